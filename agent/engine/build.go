package engine

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/pkg/jsonmessage"
)

// buildTimeout bounds the making of an image of one file.
const buildTimeout = 2 * time.Minute

// BuildFromBinary makes an image that has one static binary, as /kiosc, and nothing else. An image of the same binary and
// entrypoint is left as it is.
func (e *Engine) BuildFromBinary(ctx context.Context, ref, binary string, entrypoint []string, labels map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	f, err := os.Open(binary)
	if err != nil {
		return fmt.Errorf("opening the program for the image: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return fmt.Errorf("reading the program for the image: %w", err)
	}
	command, err := json.Marshal(entrypoint)
	if err != nil {
		return fmt.Errorf("encoding the entrypoint: %w", err)
	}
	sum.Write(command)
	want := hex.EncodeToString(sum.Sum(nil))
	there, err := e.docker.ImageInspect(ctx, ref)
	if err != nil && !errdefs.IsNotFound(err) {
		return explain(err, "looking for the image")
	}
	if err == nil && there.Config != nil && there.Config.Labels[labelBinary] == want {
		return nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading the program for the image: %w", err)
	}
	changes := []string{"ENTRYPOINT " + string(command), "LABEL " + labelBinary + "=" + want}
	for k, v := range labels {
		changes = append(changes, fmt.Sprintf("LABEL %s=%q", k, v))
	}
	return e.importFile(ctx, ref, f, size, changes)
}

func (e *Engine) importFile(ctx context.Context, ref string, f io.Reader, size int64, changes []string) error {
	read, write := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := pack(write, f, size)
		write.CloseWithError(err)
		packed <- err
	}()
	out, err := e.docker.ImageImport(ctx, image.ImportSource{Source: read, SourceName: "-"}, ref, image.ImportOptions{Changes: changes})
	if err == nil {
		err = errors.Join(readImport(out), out.Close())
	}
	read.CloseWithError(errors.New("the reader has gone"))
	if packErr := <-packed; err == nil {
		err = packErr
	}
	return explain(err, "importing the image "+strings.TrimSpace(ref))
}

// readImport waits for the end of an import. Docker tells a failure within its answer once that has begun.
func readImport(out io.Reader) error {
	for decoder := json.NewDecoder(out); ; {
		var m jsonmessage.JSONMessage
		switch err := decoder.Decode(&m); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case m.Error != nil:
			return m.Error
		}
	}
}

func pack(w io.Writer, f io.Reader, size int64) error {
	archive := tar.NewWriter(w)
	err := archive.WriteHeader(&tar.Header{Name: "kiosc", Mode: 0o755, Size: size, Typeflag: tar.TypeReg})
	if err == nil {
		_, err = io.CopyN(archive, f, size)
	}
	return errors.Join(err, archive.Close())
}

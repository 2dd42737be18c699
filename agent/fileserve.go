package agent

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"kiosc/agent/engine"
	"kiosc/cluster/wire"
)

const (
	// askTimeout bounds the question to one manager whether the container may have the file.
	askTimeout = 8 * time.Second
	// fillTimeout bounds the fetching of one file from a manager.
	fillTimeout = 10 * time.Minute
	// maxFileSize is more than any manager lets a small file have, in bytes.
	maxFileSize = 1 << 30
)

// filePath is the only address that is served: a file's id, and its name, which tells nothing.
var filePath = regexp.MustCompile(`^/containers/file/serve/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/[^/]+$`)

var (
	errNoSuchFile = errors.New("no such file for this container")
	errNoManager  = errors.New("no manager answers")
)

// ServeHTTP gives a container a small file of its project. No header says who asks.
func (f *files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	path := filePath.FindStringSubmatch(r.URL.Path)
	if path == nil {
		http.Error(w, "There is nothing at this address.", http.StatusNotFound)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "Only GET and HEAD are possible here.", http.StatusMethodNotAllowed)
		return
	}
	err := f.serve(w, r, path[1])
	switch {
	case err == nil || r.Context().Err() != nil:
	case errors.Is(err, errNoSuchFile):
		http.Error(w, "There is no such file in the project of this container.", http.StatusNotFound)
	default:
		f.logger.Warn("a container could not get a small file", "file", path[1], "from", r.RemoteAddr, "error", err)
		w.Header().Set("Retry-After", "2")
		http.Error(w, "The file can't be had at the moment. Try again in a few seconds.", http.StatusServiceUnavailable)
	}
}

// serve writes nothing before it returns an error.
func (f *files) serve(w http.ResponseWriter, r *http.Request, id string) error {
	network := r.Context().Value(networkKey{}).(engine.ProjectNetwork)
	from := remoteAddr(r)
	if !network.Subnet.Contains(from) {
		return errNoSuchFile
	}
	container, err := f.agent.engine.Caller(r.Context(), network, from)
	if errors.Is(err, engine.ErrNotFound) {
		return errNoSuchFile
	}
	if err != nil {
		return err
	}
	stream, answer, err := f.ask(r.Context(), wire.FileHeader{File: id, Container: container})
	if err != nil {
		return err
	}
	defer stream.Kill()
	etag := `"` + hex.EncodeToString(answer.Hash) + `"`
	var content io.ReadSeeker
	if r.Method == http.MethodHead || strings.Contains(r.Header.Get("If-None-Match"), etag) {
		stream.Close()
		content = io.NewSectionReader(nothing{}, 0, answer.Size) // is not read
	} else {
		kept, err := f.fetch(r.Context(), stream, answer)
		if err != nil {
			return err
		}
		defer kept.Close()
		content = kept
	}
	w.Header().Set("ETag", etag)
	w.Header().Set("Content-Type", answer.ContentType)
	w.Header().Set("Cache-Control", "no-cache") // a file may be replaced; the ETag tells
	http.ServeContent(w, r, "", time.Time{}, content)
	return nil
}

// nothing stands for content of which only the size is asked.
type nothing struct{}

func (nothing) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }

// ask asks the managers one after the other. The stream is for fetch.
func (f *files) ask(ctx context.Context, head wire.FileHeader) (*wire.Stream, *wire.FileAnswer, error) {
	err := errNoManager
	for _, l := range f.agent.links.all() {
		stream, answer, askErr := askOne(ctx, l, head)
		if askErr == nil {
			return stream, answer, nil
		}
		if errors.Is(askErr, errNoSuchFile) || ctx.Err() != nil {
			return nil, nil, askErr
		}
		err = askErr
	}
	return nil, nil, err
}

func askOne(ctx context.Context, l *link, head wire.FileHeader) (*wire.Stream, *wire.FileAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	stream, err := l.session.Open(ctx, wire.File, head)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, stream.Kill)
	msg, err := wire.Read(stream)
	if !stop() {
		err = ctx.Err()
	}
	answer, ok := msg.(*wire.FileAnswer)
	switch {
	case err != nil:
		err = fmt.Errorf("asking a manager for a small file: %w", err)
	case !ok:
		err = fmt.Errorf("a manager answered with %T", msg)
	case answer.Missing:
		err = errNoSuchFile
	case answer.Error != "":
		err = errors.New(answer.Error)
	case answer.Size < 0 || answer.Size > maxFileSize || len(answer.Hash) != 32:
		err = fmt.Errorf("a manager told of a small file of %d bytes", answer.Size)
	}
	if err != nil {
		stream.Kill()
		return nil, nil, err
	}
	return stream, answer, nil
}

// fetch returns the file's content, from the cache or the manager.
func (f *files) fetch(ctx context.Context, stream *wire.Stream, answer *wire.FileAnswer) (io.ReadSeekCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, fillTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, stream.Kill)
	defer stop()
	kept, err := f.cache.open(ctx, answer.Hash, answer.Size, func(w io.Writer) error {
		if err := wire.Write(stream, &wire.FileWanted{}); err != nil {
			return err
		}
		_, err := io.CopyN(w, stream, answer.Size)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("fetching a small file: %w", err)
	}
	stream.Close()
	return kept, nil
}

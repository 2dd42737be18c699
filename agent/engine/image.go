package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/jsonmessage"
)

// pullIdle ends a pull in which nothing has happened for so long. A slow pull may take as long as it likes.
const pullIdle = 2 * time.Minute

// PullProgress is told while an image is pulled.
type PullProgress struct {
	// Line is a new line for the log; empty where only the numbers have moved.
	Line string
	// Percent is of all layers known so far; -1 before any is.
	Percent int
}

// EnsureImage pulls an image unless that very reference is there, and returns its id. progress is called while it pulls.
func (e *Engine) EnsureImage(ctx context.Context, ref string, progress func(PullProgress)) (id string, pulled bool, err error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", false, fmt.Errorf("the image name %q is not valid: %w", ref, err)
	}
	ref = reference.FamiliarString(reference.TagNameOnly(named))
	id, err = e.imageID(ctx, ref)
	if !errdefs.IsNotFound(err) {
		return id, false, explain(err, "looking for the image")
	}
	if err := e.pull(ctx, ref, progress); err != nil {
		return "", false, err
	}
	id, err = e.imageID(ctx, ref)
	return id, true, explain(err, "looking for the pulled image")
}

func (e *Engine) imageID(ctx context.Context, ref string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := e.docker.ImageInspect(ctx, ref)
	return info.ID, err
}

func (e *Engine) pull(ctx context.Context, ref string, progress func(PullProgress)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(pullIdle, func() { cancel(fmt.Errorf("pulling %s: nothing has come for %s", ref, pullIdle)) })
	defer idle.Stop()
	stream, err := e.docker.ImagePull(ctx, ref, image.PullOptions{})
	if err != nil {
		return pullError(ctx, ref, err)
	}
	defer stream.Close()
	layers := layers{seen: make(map[string]bool), size: make(map[string][2]int64)}
	for decoder := json.NewDecoder(stream); ; {
		var m jsonmessage.JSONMessage
		err := decoder.Decode(&m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && m.Error != nil {
			err = m.Error
		}
		if err != nil {
			return pullError(ctx, ref, err)
		}
		idle.Reset(pullIdle)
		if p := layers.take(m); progress != nil {
			progress(p)
		}
	}
}

// pullError says in one sentence what a person can do about it.
func pullError(ctx context.Context, ref string, err error) error {
	text := err.Error()
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case client.IsErrConnectionFailed(err), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return explain(err, "pulling "+ref)
	// Before "not found", because registries call what they hide not found and denied.
	case has("denied", "unauthorized", "authentication required", "no basic auth credentials"):
		return fmt.Errorf("the registry gives no access to the image %s, or has none of this name (%w)", ref, err)
	case has("dial tcp", "lookup ", "no such host", "connection refused", "i/o timeout", "Client.Timeout", "TLS handshake timeout", "request canceled"):
		return fmt.Errorf("the registry of the image %s can't be reached from this Docker host (%w)", ref, err)
	case errdefs.IsNotFound(err), has("not found", "manifest unknown", "name unknown"):
		return fmt.Errorf("there is no image %s in its registry; check repository and tag (%w)", ref, err)
	}
	return explain(err, "pulling "+ref)
}

// layers adds up what Docker says of each.
type layers struct {
	seen map[string]bool     // lines told before
	size map[string][2]int64 // bytes there and in all, by layer
}

func (l *layers) take(m jsonmessage.JSONMessage) PullProgress {
	p := PullProgress{Percent: -1}
	line := strings.TrimSpace(m.ID + " " + m.Status)
	if !l.seen[line] {
		l.seen[line] = true
		p.Line = line
	}
	if m.Progress != nil && m.Progress.Total > 0 && m.Status == "Downloading" {
		l.size[m.ID] = [2]int64{m.Progress.Current, m.Progress.Total}
	} else if was, ok := l.size[m.ID]; ok && m.Status != "Downloading" {
		l.size[m.ID] = [2]int64{was[1], was[1]}
	}
	var there, all int64
	for _, s := range l.size {
		there, all = there+s[0], all+s[1]
	}
	if all > 0 {
		p.Percent = int(100 * there / all)
	}
	return p
}

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
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/jsonmessage"

	"kiosc/cluster/wire"
)

// pullIdle ends a pull in which nothing has happened for so long, unless the caller's limit does. A slow pull may take as long as
// it likes.
const pullIdle = 2 * time.Minute

// PullProgress is told while an image is pulled.
type PullProgress struct {
	// Line is a new line for the log; empty where only the numbers have moved.
	Line string
	// Percent is of all layers known so far; -1 before any is.
	Percent int
}

// Wanted says which image, and how it is come by.
type Wanted struct {
	Image      string // reference
	PullPolicy string // missing (also where it is empty), always or never
	Login      *wire.RegistryLogin
}

// EnsureImage pulls an image as its policy says, and returns its id. progress is called while it pulls.
func (e *Engine) EnsureImage(ctx context.Context, want Wanted, progress func(PullProgress)) (id string, pulled bool, err error) {
	named, err := reference.ParseNormalizedNamed(want.Image)
	if err != nil {
		return "", false, fmt.Errorf("the image name %q is not valid: %w", want.Image, err)
	}
	// Docker is asked for the full name: it would take sha256:0123 and the like for the beginning of an image's id.
	named = reference.TagNameOnly(named)
	ref, full := reference.FamiliarString(named), named.String()
	if want.PullPolicy != "always" {
		id, err = e.imageID(ctx, full)
		if !errdefs.IsNotFound(err) {
			return id, false, explain(err, "looking for the image")
		}
		if want.PullPolicy == "never" {
			return "", false, fmt.Errorf("the image %s is not on this Docker host, and its pull policy is never", ref)
		}
	}
	if err := e.pull(ctx, ref, want.Login, progress); err != nil {
		return "", false, err
	}
	id, err = e.imageID(ctx, full)
	return id, true, explain(err, "looking for the pulled image")
}

func (e *Engine) imageID(ctx context.Context, ref string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := e.docker.ImageInspect(ctx, ref)
	return info.ID, err
}

func (e *Engine) pull(ctx context.Context, ref string, login *wire.RegistryLogin, progress func(PullProgress)) error {
	options := image.PullOptions{}
	if login != nil {
		auth, err := registry.EncodeAuthConfig(registry.AuthConfig{Username: login.User, Password: login.Password, ServerAddress: login.Host})
		if err != nil {
			return fmt.Errorf("encoding the login for the registry %s: %w", login.Host, err)
		}
		options.RegistryAuth = auth
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := limitOf(ctx, pullIdle)
	idle := time.AfterFunc(limit, func() { cancel(e.judge(ctx, limit, context.DeadlineExceeded, "pulling "+ref)) })
	defer idle.Stop()
	stream, err := e.docker.ImagePull(ctx, ref, options)
	if err != nil {
		return pullError(ctx, ref, login, err)
	}
	defer stream.Close()
	layers := layers{told: make(map[string]bool), of: make(map[string]*layer), best: -1}
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
			return pullError(ctx, ref, login, err)
		}
		idle.Reset(limit)
		if p := layers.take(m); progress != nil {
			progress(p)
		}
	}
}

// pullError says in one sentence what a person can do about it.
func pullError(ctx context.Context, ref string, login *wire.RegistryLogin, err error) error {
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
		return noAccess(ref, login, err)
	case has("dial tcp", "lookup ", "no such host", "connection refused", "i/o timeout", "Client.Timeout", "TLS handshake timeout", "request canceled"):
		return fmt.Errorf("the registry of the image %s can't be reached from this Docker host (%w)", ref, err)
	case errdefs.IsNotFound(err), has("not found", "manifest unknown", "name unknown"):
		return fmt.Errorf("there is no image %s in its registry; check repository and tag (%w)", ref, err)
	}
	return explain(err, "pulling "+ref)
}

func noAccess(ref string, login *wire.RegistryLogin, err error) error {
	if login == nil {
		return fmt.Errorf("the registry gives no access to the image %s without a login, or has none of this name; a user and password for it can be set in the project's registries (%w)", ref, err)
	}
	return fmt.Errorf("the registry %s gives the user %s no access to the image %s, or has none of this name; check the user and password in the project's registries (%w)", login.Host, login.User, ref, err)
}

// layers adds up what Docker says of each.
type layers struct {
	told map[string]bool   // lines told before
	of   map[string]*layer // by id, without those that were there before
	best int               // the highest percentage told, so that it never goes back
}

// layer is how far one layer is.
type layer struct {
	there, size int64 // bytes; size is 0 as long as it isn't known
	unpacked    bool
}

// unpacking is the share of the work, in percent, that comes after a layer was fetched.
const unpacking = 10

func (l *layers) take(m jsonmessage.JSONMessage) (p PullProgress) {
	if line := strings.TrimSpace(m.ID + " " + m.Status); !l.told[line] {
		l.told[line] = true
		p.Line = line
	}
	at := l.of[m.ID]
	if m.Status == "Pulling fs layer" {
		at = &layer{}
		l.of[m.ID] = at
	}
	if at != nil {
		at.take(m)
	}
	l.best = max(l.best, l.percent())
	p.Percent = l.best
	return p
}

func (l *layer) take(m jsonmessage.JSONMessage) {
	switch m.Status {
	case "Downloading":
		if m.Progress != nil && m.Progress.Total > 0 {
			l.there, l.size = m.Progress.Current, m.Progress.Total
		}
	case "Verifying Checksum", "Download complete", "Extracting", "Pull complete":
		l.size = max(l.size, 1) // one so small that it was never seen on its way
		l.there = l.size
		l.unpacked = m.Status == "Pull complete"
	}
}

// percent counts a layer whose size isn't known yet as large as the others are on average; -1 as long as nothing is known.
func (l *layers) percent() int {
	var known, bytes int64
	for _, one := range l.of {
		if one.size > 0 {
			known, bytes = known+1, bytes+one.size
		}
	}
	if known == 0 {
		return -1
	}
	var done, all float64
	for _, one := range l.of {
		size := float64(one.size)
		if one.size == 0 {
			size = float64(bytes) / float64(known)
		}
		all += size
		done += float64(one.there) * (100 - unpacking)
		if one.unpacked {
			done += size * unpacking
		}
	}
	return int(done / all)
}

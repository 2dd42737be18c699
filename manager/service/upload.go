package service

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"mime"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

const (
	// maxUploads bounds the uploads that one manager takes at once, each with one chunk in memory and one under way to the
	// other managers. More wait.
	maxUploads = 8
	// maxUploadsOf bounds those of one user, who can so not keep the others waiting.
	maxUploadsOf = 3
	// maxUploadTime bounds one upload.
	maxUploadTime = 30 * time.Minute
	// uploadWait is how long an upload waits for its turn.
	uploadWait = 15 * time.Second
	// chunkPatience is for how long a chunk is tried again while there is no leader, so that an election doesn't end
	// uploads; chunkAgain is the wait between.
	chunkPatience = 20 * time.Second
	chunkAgain    = 500 * time.Millisecond
	// dropTimeout bounds the removal of what is left of an upload. What stays is dropped later, see DropIdleUploads.
	dropTimeout = 5 * time.Second
)

var (
	errUploadsFull = state.Errorf(state.TooMany, "Too many files are being uploaded at the moment. Try again in a minute.")
	errCutOff      = state.Errorf(state.Invalid, "The upload broke off before its end, and nothing was stored. Upload the file again.")
)

// uploads are those that a manager takes at the moment.
type uploads struct {
	mu   sync.Mutex
	all  int
	by   map[string]int // user id → uploads
	left chan struct{}  // closed and replaced when one ends
}

func newUploads() *uploads { return &uploads{by: make(map[string]int), left: make(chan struct{})} }

// enter waits for room for one more of the user's. It is false where ctx ends before.
func (u *uploads) enter(ctx context.Context, user string) bool {
	for {
		u.mu.Lock()
		if u.all < maxUploads && u.by[user] < maxUploadsOf {
			u.all++
			u.by[user]++
			u.mu.Unlock()
			return true
		}
		left := u.left
		u.mu.Unlock()
		select {
		case <-left:
		case <-ctx.Done():
			return false
		}
	}
}

func (u *uploads) leave(user string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all--
	if u.by[user]--; u.by[user] == 0 {
		delete(u.by, user)
	}
	close(u.left)
	u.left = make(chan struct{})
}

// Upload is one file on its way into the state. It is for one goroutine, which must call Close.
type Upload struct {
	service     *Service
	actor       Actor
	project     string
	id          string
	contentType string
	content     state.UploadedContent
	taken, used bool
}

// BeginUpload begins an upload of a file for a project. It waits while this manager takes as many as it can.
func (s *Service) BeginUpload(ctx context.Context, a Actor, project string) (*Upload, error) {
	if err := s.may(a, project, auth.AddFiles); err != nil {
		return nil, err
	}
	return s.beginUpload(ctx, a, project)
}

// BeginReplacement begins an upload of new content for a file.
func (s *Service) BeginReplacement(ctx context.Context, a Actor, file string) (*Upload, error) {
	f, err := s.changeFile(a, file)
	if err != nil {
		return nil, err
	}
	return s.beginUpload(ctx, a, f.Project)
}

func (s *Service) beginUpload(ctx context.Context, a Actor, project string) (*Upload, error) {
	ctx, cancel := context.WithTimeout(ctx, uploadWait)
	defer cancel()
	if !s.uploads.enter(ctx, a.User.ID) {
		return nil, errUploadsFull
	}
	id := uuid.NewString()
	return &Upload{service: s, actor: a, project: project, id: id, content: state.UploadedContent{Upload: id}}, nil
}

// Close drops what has not become that of a file. It may be called more than once, and for no upload.
func (u *Upload) Close() {
	if u == nil || u.service == nil {
		return
	}
	if !u.used && u.content.Chunks > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
		defer cancel()
		if _, err := u.service.node.Propose(ctx, &state.UploadsDropped{IDs: []string{u.id}}); err != nil {
			u.service.logger.Debug("an upload is dropped later", "error", err)
		}
	}
	u.service.uploads.leave(u.actor.User.ID)
	u.service = nil
}

// Take reads the whole content, to io.EOF, and brings it into the state, a chunk at a time: the next is read once the
// last is stored, so that a fast sender fills no memory. contentType is what the sender says; name completes it.
func (u *Upload) Take(ctx context.Context, content io.Reader, name, contentType string) error {
	if u.taken {
		return &state.Error{Code: state.Invalid, Message: "Send one file.", Fields: map[string][]string{"file": {"Send one file."}}}
	}
	u.taken, u.contentType = true, typeOf(name, contentType)
	limit := u.service.files.Limits.File
	sum, chunk, end := sha256.New(), make([]byte, state.FileChunk), time.Now().Add(maxUploadTime)
	for {
		n, err := fill(content, chunk, end)
		if err != nil && !errors.Is(err, io.EOF) {
			u.service.logger.Debug("an upload broke off", "error", err)
			return errCutOff
		}
		if u.content.Size+int64(n) > limit {
			text := state.TooLargeText(limit)
			return &state.Error{Code: state.Invalid, Message: text, Fields: map[string][]string{"file": {text}}}
		}
		if n > 0 {
			if err := u.store(ctx, chunk[:n], sum); err != nil {
				return err
			}
		}
		if err != nil {
			u.content.Hash = sum.Sum(nil)
			return nil
		}
	}
}

func (u *Upload) store(ctx context.Context, chunk []byte, sum hash.Hash) error {
	number := u.content.Chunks
	// Counted first: one whose outcome is not known has to be dropped, too.
	u.content.Chunks, u.content.Size = number+1, u.content.Size+int64(len(chunk))
	sum.Write(chunk)
	for end := time.Now().Add(chunkPatience); ; {
		_, err := u.service.node.Propose(ctx, &state.ChunkUploaded{Upload: u.id, Project: u.project, User: u.actor.User.ID,
			Number: number, Data: chunk, At: now(), Limits: u.service.files.Limits})
		if state.CodeOf(err) != state.Unavailable || time.Now().After(end) {
			return err
		}
		select {
		case <-time.After(chunkAgain):
		case <-ctx.Done():
			return err
		}
	}
}

// fill reads until p is full. Unlike io.ReadFull it leaves a reader's error as it is: a body that breaks off must not
// look like one that has ended.
func fill(r io.Reader, p []byte, end time.Time) (n int, err error) {
	for n < len(p) && err == nil {
		if time.Now().After(end) {
			return n, os.ErrDeadlineExceeded
		}
		var more int
		more, err = r.Read(p[n:])
		n += more
	}
	return n, err
}

// Taken tells whether content has come.
func (u *Upload) Taken() bool { return u.taken }

var errNoContent = &state.Error{Code: state.Invalid, Message: "Choose a file.", Fields: map[string][]string{"file": {"No file was submitted."}}}

// Add makes a file of the upload.
func (u *Upload) Add(ctx context.Context, in FileInput) (f state.File, err error) {
	if !u.taken {
		return f, errNoContent
	}
	in.trim()
	at := now()
	f = state.File{ID: uuid.NewString(), Project: u.project, Folder: in.Folder, Name: in.Name, Description: in.Description,
		Owner: u.actor.User.ID, CreatedAt: at, ModifiedAt: at, ContentType: u.contentType}
	if err := f.Validate(); err != nil {
		return f, err
	}
	// Asked again: the upload may have taken long.
	s := u.service
	if err := s.may(u.actor, u.project, auth.AddFiles); err != nil {
		return f, err
	}
	f, err = act[state.File](ctx, s, &state.FileAdded{File: f, Content: u.content},
		fileEvent(u.actor, "file", f.Project, f.ID, f.Name, "file_create", "upload file {file}"))
	u.used = err == nil
	return f, err
}

// Replace gives a file of the project this content.
func (u *Upload) Replace(ctx context.Context, file string) (f state.File, err error) {
	if !u.taken {
		return f, errNoContent
	}
	if f, err = u.service.changeFile(u.actor, file); err != nil {
		return f, err
	}
	f, err = act[state.File](ctx, u.service, &state.FileReplaced{ID: file, ContentType: u.contentType, At: now(), Content: u.content},
		fileEvent(u.actor, "file", f.Project, f.ID, f.Name, "file_replace", "replace file {file}"))
	u.used = err == nil
	return f, err
}

const unknownType = "application/octet-stream"

// typeOf is the content type that a file gets: what its sender says if that says something, else by the name's ending.
func typeOf(name, said string) string {
	if _, _, err := mime.ParseMediaType(said); err == nil && said != unknownType && valid(said) {
		return said
	}
	if byName := mime.TypeByExtension(strings.ToLower(filepath.Ext(name))); byName != "" {
		return byName
	}
	return unknownType
}

func valid(contentType string) bool {
	return len(contentType) <= state.MaxContentType && utf8.ValidString(contentType) && !strings.ContainsAny(contentType, "\r\n")
}

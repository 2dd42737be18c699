package agent

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

const (
	// maxCached is how many bytes of small files are kept. Beyond it, those go that were not wanted for the longest time.
	maxCached = 256 << 20
	// maxFills bounds the files that are fetched at once.
	maxFills = 4
)

// fileCache keeps small files on disk by the hash of their content. It begins empty, so that all that is in it was checked
// by this process. Its methods may be called from any goroutine.
type fileCache struct {
	dir   string
	limit int64
	fills chan struct{}

	mu     sync.Mutex
	bytes  int64
	files  map[string]*list.Element // by hash, of *cachedFile
	recent *list.List               // the last wanted first
	filled map[string]chan struct{} // of those that are being fetched: closed at the end
}

type cachedFile struct {
	name string // the hash in hex
	size int64
}

func newFileCache(dir string, limit int64) *fileCache {
	return &fileCache{dir: dir, limit: limit, fills: make(chan struct{}, maxFills), files: make(map[string]*list.Element),
		recent: list.New(), filled: make(map[string]chan struct{})}
}

// clear makes the directory anew, and empty.
func (c *fileCache) clear() error {
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("clearing the cache of small files: %w", err)
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("making the cache of small files: %w", err)
	}
	return nil
}

// open returns the content with this hash, which the caller must close. Where it isn't there, fill writes it; of several
// callers one fills and the others wait.
func (c *fileCache) open(ctx context.Context, hash []byte, size int64, fill func(io.Writer) error) (*os.File, error) {
	name := hex.EncodeToString(hash)
	for {
		f, wait, err := c.take(name)
		switch {
		case f != nil || err != nil:
			return f, err
		case wait == nil:
			return c.fetch(ctx, name, size, fill)
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take opens what is there, or tells what to wait for. Where both are nil, it is the caller's to fill.
func (c *fileCache) take(name string) (*os.File, <-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, there := c.files[name]; there {
		f, err := os.Open(filepath.Join(c.dir, name))
		if err == nil {
			c.recent.MoveToFront(e)
			return f, nil, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return nil, nil, fmt.Errorf("opening a small file: %w", err)
		}
		c.forget(e) // somebody has cleaned up
	}
	if wait := c.filled[name]; wait != nil {
		return nil, wait, nil
	}
	c.filled[name] = make(chan struct{})
	return nil, nil, nil
}

func (c *fileCache) forget(e *list.Element) {
	f := c.recent.Remove(e).(*cachedFile)
	delete(c.files, f.name)
	c.bytes -= f.size
}

func (c *fileCache) fetch(ctx context.Context, name string, size int64, fill func(io.Writer) error) (*os.File, error) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		close(c.filled[name])
		delete(c.filled, name)
	}()
	select {
	case c.fills <- struct{}{}:
		defer func() { <-c.fills }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f, err := os.CreateTemp(c.dir, "incoming-")
	if err != nil {
		return nil, fmt.Errorf("making room for a small file: %w", err)
	}
	if err = fillFile(f, name, size, fill); err == nil {
		err = os.Rename(f.Name(), filepath.Join(c.dir, name))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	c.keep(&cachedFile{name, size})
	return f, nil
}

// fillFile writes and checks the content, and goes back to its beginning.
func fillFile(f *os.File, name string, size int64, fill func(io.Writer) error) error {
	sum, counted := sha256.New(), &countingWriter{}
	if err := fill(io.MultiWriter(f, sum, counted)); err != nil {
		return err
	}
	if counted.n != size || hex.EncodeToString(sum.Sum(nil)) != name {
		return errors.New("a small file did not arrive as it is in the cluster's state")
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

type countingWriter struct{ n int64 }

func (w *countingWriter) Write(p []byte) (int, error) {
	w.n += int64(len(p))
	return len(p), nil
}

// keep adds a file and removes the least recent ones of those that are too much. Who has one open reads it to its end.
func (c *fileCache) keep(f *cachedFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files[f.name] = c.recent.PushFront(f)
	c.bytes += f.size
	for c.bytes > c.limit && c.recent.Len() > 1 {
		old := c.recent.Back()
		os.Remove(filepath.Join(c.dir, old.Value.(*cachedFile).name))
		c.forget(old)
	}
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kiosc/agent/engine"
	"kiosc/cluster/wire"
)

const (
	// A batch goes out when it has so many lines or bytes, or when its first line has waited so long. The wait is what
	// people who watch a log notice; the size keeps a Raft entry small: with one line more
	// it is at most twice batchBytes.
	batchLines = 1000
	batchBytes = 128 << 10
	batchWait  = 100 * time.Millisecond
	// queuedLines is how far reading Docker's log may run ahead of sending; then Docker's stream waits.
	queuedLines = 4 * batchLines

	// A container may write so many bytes of text each second, and so many at once; what is more is read but left out, and
	// counted in its log. Otherwise one container could fill the log of the whole cluster.
	floodRate  = 1 << 20
	floodBurst = 16 << 20

	ackTimeout = 30 * time.Second
	// After a failure a follower waits for so long before it asks again from where to send.
	followRetry = time.Second
)

// followers reads the log of each Docker container and sends it, as long as there is a session.
type followers struct {
	engine *engine.Engine
	logger *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	all    sync.WaitGroup

	mu      sync.Mutex
	link    *wire.Session
	changed chan struct{}        // closed and replaced when link changes
	active  map[string]*follower // by Docker id
}

type follower struct {
	again bool          // the Docker container was started once more while its log was read
	done  chan struct{} // closed when the whole log has been sent, or the Docker container is gone
}

func newFollowers(e *engine.Engine, logger *slog.Logger) *followers {
	f := &followers{engine: e, logger: logger, changed: make(chan struct{}), active: make(map[string]*follower)}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// stop ends all followers and waits for them.
func (f *followers) stop() {
	f.cancel()
	f.all.Wait()
}

// attach makes link the session over which logs go; detach ends that.
func (f *followers) attach(link *wire.Session) { f.setLink(link) }

func (f *followers) detach(link *wire.Session) {
	f.mu.Lock()
	same := f.link == link
	f.mu.Unlock()
	if same {
		f.setLink(nil)
	}
}

func (f *followers) setLink(link *wire.Session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.link = link
	close(f.changed)
	f.changed = make(chan struct{})
}

// session waits for one.
func (f *followers) session(ctx context.Context) (*wire.Session, error) {
	for {
		f.mu.Lock()
		link, changed := f.link, f.changed
		f.mu.Unlock()
		if link != nil {
			return link, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// follow begins to send the log of a Docker container, unless that is under way.
func (f *followers) follow(container, dockerID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.active[dockerID]; now != nil {
		now.again = true
		return
	}
	if f.ctx.Err() != nil {
		return
	}
	mine := &follower{done: make(chan struct{})}
	f.active[dockerID] = mine
	f.all.Add(1)
	go func() {
		defer f.all.Done()
		defer close(mine.done)
		for f.run(container, dockerID); !f.finished(dockerID, mine); f.run(container, dockerID) {
		}
	}()
}

// finished ends the follower, unless there is more to read.
func (f *followers) finished(dockerID string, mine *follower) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if mine.again && f.ctx.Err() == nil {
		mine.again = false
		return false
	}
	delete(f.active, dockerID)
	return true
}

// drain waits until the log of a stopped Docker container has been sent, but not longer than timeout.
func (f *followers) drain(ctx context.Context, dockerID string, timeout time.Duration) {
	f.mu.Lock()
	now := f.active[dockerID]
	f.mu.Unlock()
	if now == nil {
		return
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-now.done:
	case <-timer.C:
		f.logger.Warn("a Docker container is removed before its log was sent whole", "id", dockerID)
	case <-ctx.Done():
	}
}

// run sends the log until Docker says that it has ended. Failures on the way are tried again.
func (f *followers) run(container, dockerID string) {
	for f.ctx.Err() == nil {
		link, err := f.session(f.ctx)
		if err != nil {
			return
		}
		err = f.send(f.ctx, link, container, dockerID)
		if err == nil || errors.Is(err, engine.ErrNotFound) {
			return
		}
		f.logger.Debug("a log stream was interrupted", "id", dockerID, "error", err)
		select {
		case <-f.ctx.Done():
		case <-time.After(followRetry):
		}
	}
}

// entry is a line with the place behind it.
type entry struct {
	line  wire.LogLine
	after wire.Cursor
	left  int // how many lines it stands for that were left out
}

// send asks the manager where its stored log ends and sends what follows. It returns nil when Docker's log has ended
// and everything is acknowledged.
func (f *followers) send(ctx context.Context, link *wire.Session, container, dockerID string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := link.Open(ctx, wire.Logs, wire.LogsHeader{Container: container, DockerID: dockerID})
	if err != nil {
		return fmt.Errorf("opening a log stream: %w", err)
	}
	defer stream.Kill()
	stream.SetDeadline(time.Now().Add(ackTimeout))
	start, err := wire.ReadAs[*wire.LogsCursor](stream)
	if err != nil {
		return fmt.Errorf("asking for the place in the log: %w", err)
	}

	lines := make(chan entry, queuedLines)
	ended := make(chan error, 1)
	go func() {
		defer close(lines)
		put := func(e entry) error {
			select {
			case lines <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		t := throttle{put: put, room: floodBurst, at: time.Now()}
		err := f.engine.Logs(ctx, dockerID, start.Cursor, start.MaxLine, t.take)
		ended <- errors.Join(err, t.finish())
	}()
	err = f.sendLines(stream, start.Cursor, lines)
	cancel()
	for range lines { // the reader is done when it has closed the channel
	}
	return errors.Join(err, <-ended)
}

// sendLines cuts the lines into batches and sends them one after the other.
func (f *followers) sendLines(stream *wire.Stream, at wire.Cursor, lines <-chan entry) error {
	for {
		first, ok := <-lines
		if !ok {
			return nil
		}
		batch := gather(at, first, lines)
		stream.SetDeadline(time.Now().Add(ackTimeout))
		if err := wire.Write(stream, batch); err != nil {
			return fmt.Errorf("sending log lines: %w", err)
		}
		ack, err := wire.ReadAs[*wire.LogAck](stream)
		if err != nil {
			return fmt.Errorf("waiting for log lines to be stored: %w", err)
		}
		if !ack.Stored {
			return errors.New("the stored log ends at another place")
		}
		at = batch.To
	}
}

// gather takes what comes within batchWait after the first line, up to a full batch.
func gather(from wire.Cursor, first entry, lines <-chan entry) *wire.LogBatch {
	batch := &wire.LogBatch{From: from, To: first.after, Lines: []wire.LogLine{first.line}, LeftOut: uint64(first.left)}
	size := len(first.line.Text)
	timer := time.NewTimer(batchWait)
	defer timer.Stop()
	for len(batch.Lines) < batchLines && size < batchBytes {
		select {
		case next, ok := <-lines:
			if !ok {
				return batch
			}
			batch.Lines, batch.To = append(batch.Lines, next.line), next.after
			batch.LeftOut += uint64(next.left)
			size += len(next.line.Text)
		case <-timer.C:
			return batch
		}
	}
	return batch
}

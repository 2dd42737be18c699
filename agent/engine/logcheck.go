package engine

import (
	"bufio"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"

	"kiosc/cluster/wire"
)

// logCheck is how often the log of a silent Docker container is compared with what Docker has.
const logCheck = 10 * time.Second

// errStalled says that Docker has lines which it doesn't send to the one who follows.
var errStalled = errors.New("reading a log: Docker doesn't send the newest lines")

// progress is how far the reader of a log has come, for the one who checks it.
type progress struct {
	mu      sync.Mutex
	waiting bool
	frames  uint64
	newest  int64 // the newest frame's time, or that of what is stored already
}

// wait says that the reader waits for Docker.
func (p *progress) wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = true
}

// got says that a frame of this time has come, 0 for none.
func (p *progress) got(at int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting, p.frames, p.newest = false, p.frames+1, max(p.newest, at)
}

func (p *progress) look() (waiting bool, frames uint64, newest int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting, p.frames, p.newest
}

// checkLog calls stalled when the reader has waited in vain twice for lines that Docker has, and ends then or with ctx.
// Docker 20.10 goes on with the wrong file of a log where it has changed files while its reader was behind: nothing comes any
// more until it changes files again, 64 MB later.
func (e *Engine) checkLog(ctx context.Context, dockerID string, reader *progress, stalled func()) {
	tick := time.NewTicker(e.cfg.LogCheck)
	defer tick.Stop()
	var before uint64 // frames that had come when Docker had more
	suspect := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		waiting, frames, newest := reader.look()
		if !waiting {
			suspect = false
			continue
		}
		latest, err := e.latestLine(ctx, dockerID)
		switch {
		case err != nil || latest <= newest: // an error is the stream's, too
			suspect = false
		case suspect && frames == before:
			stalled()
			return
		default:
			suspect, before = true, frames
		}
	}
}

// latestLine is the time of the newest line that Docker has, 0 where it has none.
func (e *Engine) latestLine(ctx context.Context, dockerID string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	options := container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Tail: "1"}
	stream, err := e.docker.ContainerLogs(ctx, dockerID, options)
	if err != nil {
		return 0, explain(err, "reading the end of a log")
	}
	defer stream.Close()
	r := &logReader{maxLine: wire.ShortLine, warn: func(string) {}, f: func(wire.LogLine, wire.Cursor) error { return nil }}
	err = r.readAll(bufio.NewReader(stream))
	_, _, newest := r.progress.look()
	return newest, err
}

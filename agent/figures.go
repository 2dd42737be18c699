package agent

import (
	"context"
	"sync"
	"time"

	"kiosc/agent/engine"
	"kiosc/cluster/wire"
)

const (
	// A leader may ask for figures no more often than minFigures, because Docker works for each time.
	minFigures = time.Second
	maxFigures = 10 * time.Minute
)

// figures reads what containers use. Nothing is read while no leader asks.
type figures struct {
	engine *engine.Engine

	mu   sync.Mutex // one reading at a time
	at   time.Time
	last []wire.Figure
}

// read reads, unless somebody else has just done so: then it returns the same.
func (f *figures) read(ctx context.Context) (*wire.Figures, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at.IsZero() || time.Since(f.at) >= minFigures {
		all, err := f.engine.Figures(ctx)
		if err != nil {
			return nil, err
		}
		f.at, f.last = time.Now(), all
	}
	msg := &wire.Figures{Containers: make([]wire.Figure, len(f.last))}
	for i, one := range f.last {
		one.Age += time.Since(f.at)
		msg.Containers[i] = one
	}
	return msg, nil
}

// serveFigures sends figures until the leader, or the session, ends the stream. Where Docker doesn't answer it sends none,
// which keeps the stream.
func (a *Agent) serveFigures(ctx context.Context, stream *wire.Stream, head wire.UsageHeader) {
	tick := time.NewTicker(min(max(head.Every, minFigures), maxFigures))
	defer tick.Stop()
	gone := make(chan struct{})
	go func() { // ends with the stream
		defer close(gone)
		stream.Wait()
	}()
	defer func() {
		stream.Kill()
		<-gone
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		msg, err := a.figures.read(ctx)
		if err != nil {
			a.logger.Debug("no figures of containers can be read", "error", err)
			msg = &wire.Figures{}
		}
		stream.SetWriteDeadline(time.Now().Add(writeTimeout))
		if wire.Write(stream, msg) != nil {
			return
		}
		select {
		case <-tick.C:
		case <-gone:
			return
		case <-ctx.Done():
			return
		}
	}
}

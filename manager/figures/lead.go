package figures

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
)

const (
	// lookEvery is how often the list of agents is looked at without a change of it.
	lookEvery = 10 * time.Second
	// openTimeout bounds the opening of a stream.
	openTimeout = 10 * time.Second
	// The wait before an agent is asked again doubles from the first to the last. One that knows no figures is asked as
	// often as one that is away.
	firstRetry = 500 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// Run asks every agent for figures until ctx ends. It is for the leader alone.
func (b *Book) Run(ctx context.Context) {
	b.begin(time.Now())
	defer b.end()
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	nodes, stop := b.cfg.Store.Watch(state.TopicNodes)
	defer stop()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	asked := make(map[string]context.CancelFunc)
	for {
		var want []string
		err := b.cfg.Store.View(func(tx *state.Tx) error {
			agents, err := tx.Agents()
			for _, n := range agents {
				want = append(want, n.ID)
			}
			return err
		})
		if err != nil {
			b.cfg.Logger.Error("the list of Docker hosts can't be read", "error", err)
		}
		for id, cancel := range asked {
			if err == nil && !slices.Contains(want, id) {
				cancel()
				delete(asked, id)
			}
		}
		for _, id := range want {
			if asked[id] == nil {
				ctx, cancel := context.WithCancel(ctx)
				asked[id] = cancel
				running.Go(func() { b.ask(ctx, id) })
			}
		}
		b.forget(time.Now())
		select {
		case <-nodes:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// ask has one agent's figures, again and again.
func (b *Book) ask(ctx context.Context, node string) {
	wait := firstRetry
	for ctx.Err() == nil {
		began := time.Now()
		err := b.listen(ctx, node)
		if time.Since(began) > 2*b.cfg.Every {
			wait = firstRetry
		}
		b.cfg.Logger.Debug("a Docker host's figures ended", "node", node, "reason", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, lastRetry)
	}
}

// listen takes figures from one stream until that ends.
func (b *Book) listen(ctx context.Context, node string) error {
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	stream, err := b.cfg.Reach(opening, node, wire.Usage, wire.UsageHeader{Every: b.cfg.Every})
	if err != nil {
		return err
	}
	defer stream.Kill()
	stop := context.AfterFunc(ctx, stream.Kill)
	defer stop()
	for {
		// A host with many containers takes its time.
		stream.SetReadDeadline(time.Now().Add(b.cfg.Every + maxAge))
		msg, err := wire.Read(stream)
		if err != nil {
			return err
		}
		f, ok := msg.(*wire.Figures)
		if !ok {
			return fmt.Errorf("an agent sent %T where figures belong", msg)
		}
		if err := b.take(node, f, time.Now()); err != nil {
			return err
		}
	}
}

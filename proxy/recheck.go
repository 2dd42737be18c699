package proxy

import (
	"context"
	"errors"
	"time"
)

// recheckEvery is how often the exchanges that last are authorised again: access
// that is taken away ends an open stream within this time. The Gate answers
// from memory, so thousands of them cost it little.
const recheckEvery = time.Second

// visit is for whom a connection speaks to an app.
type visit struct {
	who       Credentials
	container string
}

// recheck ends the exchanges whose visitors have lost their access, until ctx
// ends. What the Gate can't decide at the moment goes on.
func (s *Server) recheck(ctx context.Context, r *run) {
	tick := time.NewTicker(recheckEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.loads.forget(now)
		}
		for _, c := range r.clients() {
			s.recheckClient(ctx, c)
		}
	}
}

func (r *run) clients() []*client {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*client, 0, len(r.conns))
	for c := range r.conns {
		all = append(all, c)
	}
	return all
}

// recheckClient holds the client's lock, so that its next request, which may be
// another visitor's, doesn't suffer for this one.
func (s *Server) recheckClient(ctx context.Context, c *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.app == nil {
		return
	}
	_, err := s.cfg.Gate.Authorize(ctx, c.visit.who, c.visit.container)
	var d *Denial
	if !errors.As(err, &d) || d.Kind != NotLoggedIn && d.Kind != NoAccess {
		return
	}
	s.log.Info("a visitor has lost the access to an app", "container", c.visit.container, "client", c.address)
	c.app.kill()
	c.reset()
}

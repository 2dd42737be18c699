package service

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"kiosc/cluster/state"
)

// The defaults of how long a login lasts.
const (
	DefaultSessionLife = 14 * 24 * time.Hour
	DefaultSessionIdle = 3 * 24 * time.Hour
	// MinSessionIdle is far more than it takes to tell the state of a use.
	MinSessionIdle = 30 * time.Minute
)

func (s Settings) sessionLife() time.Duration { return cmp.Or(s.SessionLife, DefaultSessionLife) }

// SessionLife is how long a login lasts at most.
func (s *Service) SessionLife() time.Duration { return s.settings.sessionLife() }

const (
	// tellUses is how often the state hears of uses, repeatUses how much later of one that goes on.
	tellUses   = 20 * time.Second
	repeatUses = 5 * time.Minute
	// tellUsesTimeout bounds one attempt.
	tellUsesTimeout = 5 * time.Second
	// maxUses bounds what is remembered, about 100 bytes each.
	maxUses = 50_000
)

// uses remembers when sessions and API tokens were used through this manager. The zero value is ready. What finds no room is
// not noted: such a login then ends early.
type uses struct {
	mu   sync.Mutex
	last map[used]use
}

type used struct {
	hash string
	api  bool
}

type use struct{ at, told time.Time }

func (u *uses) note(hash []byte, api bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last == nil {
		u.last = make(map[used]use)
	}
	key := used{string(hash), api}
	before, known := u.last[key]
	if known || len(u.last) < maxUses {
		u.last[key] = use{time.Now(), before.told}
	}
}

func (u *uses) at(hash []byte) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last[used{string(hash), false}].at
}

// due lists what the state has to hear of, in an order that stays the same, and forgets what it has heard of long ago.
func (u *uses) due(repeat time.Duration) (list []used, at map[used]time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	at = make(map[used]time.Time)
	for key, last := range u.last {
		switch {
		case last.at.Sub(last.told) >= repeat && last.at.After(last.told):
			list = append(list, key)
			at[key] = last.at
		case time.Since(last.at) > 2*repeatUses && !last.at.After(last.told):
			delete(u.last, key)
		}
	}
	slices.SortFunc(list, func(a, b used) int { return cmp.Compare(a.hash, b.hash) })
	return list, at
}

func (u *uses) told(key used, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if last, ok := u.last[key]; ok {
		last.told = at
		u.last[key] = last
	}
}

// idleEnd is until when a session lasts that isn't used any more: to its end, or until it was idle for too long.
func (s *Service) idleEnd(hash []byte, g grant) time.Time {
	last := g.used
	if here := s.uses.at(hash); here.After(last) {
		last = here
	}
	idle := last.Add(cmp.Or(s.settings.SessionIdle, DefaultSessionIdle))
	if idle.Before(g.until) {
		return idle
	}
	return g.until
}

// TellUses tells the state when sessions and API tokens were used, until ctx ends, and then the rest.
func (s *Service) TellUses(ctx context.Context) error {
	tick := time.NewTicker(tellUses)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.tellUses(ctx, repeatUses)
		case <-ctx.Done():
			s.tellUses(context.WithoutCancel(ctx), 0)
			return nil
		}
	}
}

func (s *Service) tellUses(ctx context.Context, repeat time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, tellUsesTimeout)
	defer cancel()
	list, at := s.uses.due(repeat)
	for batch := range slices.Chunk(list, state.MaxCredentialUses) {
		c := &state.CredentialsUsed{}
		for _, key := range batch {
			one := state.CredentialUse{Hash: []byte(key.hash), At: at[key].UTC().Round(0)}
			if key.api {
				c.Tokens = append(c.Tokens, one)
			} else {
				c.Sessions = append(c.Sessions, one)
			}
		}
		if _, err := s.node.Propose(ctx, c); err != nil {
			s.logger.Debug("the uses of logins and API tokens wait, because the state could not be told", "error", err)
			return
		}
		for _, key := range batch {
			s.uses.told(key, at[key])
		}
	}
}

// failures bounds how much of wrong logins goes into the timeline.
type failures struct {
	mu    sync.Mutex
	since time.Time
	names map[string]bool
}

const (
	// failuresEach is the time in which one name is told of once, and maxFailures names at most.
	failuresEach = 5 * time.Minute
	maxFailures  = 100
)

// first tells whether a wrong login for a name is to be told of.
func (f *failures) first(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.names == nil || time.Since(f.since) > failuresEach {
		f.since, f.names = time.Now(), make(map[string]bool)
	}
	if f.names[name] || len(f.names) >= maxFailures {
		return false
	}
	f.names[name] = true
	return true
}

// noteFailure tells the timeline of a wrong login, once for many of one name. What can't be told is left out: a login is
// never held up by it.
func (s *Service) noteFailure(ctx context.Context, name, address string) {
	name = oneLine(name, 150)
	if !s.failures.first(name) {
		return
	}
	e := event(Actor{}, appUsers, "", "login_failed", "wrong login as {name}", state.EventObject{Label: "name", Name: name, Model: "User"})
	e.Status, e.Extra, e.Classified = state.EventFailed, map[string]string{"address": address}, true
	ctx, cancel := context.WithTimeout(ctx, tellUsesTimeout)
	defer cancel()
	if _, err := s.node.Propose(ctx, &state.Recorded{Event: e}); err != nil {
		s.logger.Debug("a wrong login was not told to the timeline", "error", err)
	}
}

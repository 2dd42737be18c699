package agent

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"kiosc/cluster/wire"
)

// lookAgain is how often the managers to connect with are looked at without being woken.
const lookAgain = time.Second

var errExpired = errors.New("this agent's certificate has expired; start it anew with --join and --token, from: kiosc join-token agent. " +
	"It keeps its place and its containers")

// jitter spreads waits over half of their length.
func jitter(wait time.Duration) time.Duration { return wait/2 + rand.N(wait/2) }

// links keeps a session with every manager.
type links struct {
	agent   *Agent
	running sync.WaitGroup
	changed chan struct{} // has a value when the list has changed

	mu     sync.Mutex
	known  []wire.ManagerAddress            // all that a connected manager has told of
	told   map[string][]wire.ManagerAddress // manager → what it told last, of those that are connected
	ids    map[string]string                // address → node id of the manager found there
	claims map[string]*link                 // manager → the session that is with it, or about to be
	live   map[string]*link                 // of those, where the hello is done
	dials  map[string]context.CancelFunc    // address → ends its goroutine
}

func newLinks(a *Agent) *links {
	l := &links{agent: a, changed: make(chan struct{}, 1), ids: make(map[string]string), claims: make(map[string]*link),
		told: make(map[string][]wire.ManagerAddress), live: make(map[string]*link), dials: make(map[string]context.CancelFunc)}
	l.known = loadManagers(a.cfg.Dir, a.logger)
	return l
}

// run keeps the sessions until ctx ends.
func (l *links) run(ctx context.Context) {
	defer l.running.Wait()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		l.look(ctx)
		select {
		case <-l.changed:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look dials what should be dialled and leaves what shouldn't.
func (l *links) look(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	want := l.wanted()
	for address, cancel := range l.dials {
		if !slices.Contains(want, address) {
			cancel()
			delete(l.dials, address)
		}
	}
	for _, address := range want {
		if l.dials[address] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		l.dials[address] = cancel
		l.running.Add(1)
		go func() {
			defer l.running.Done()
			defer cancel()
			l.keep(ctx, address)
		}()
	}
}

// wanted lists the addresses to dial: those of the known managers, and the ones from the settings unless they lead to a
// manager that is known, and connected, by its own address. l.mu is held.
func (l *links) wanted() []string {
	var want []string
	known := make(map[string]string) // id → address
	for _, m := range l.known {
		known[m.ID] = m.Address
		want = append(want, m.Address)
	}
	for _, address := range l.agent.cfg.Managers {
		id := l.ids[address]
		by, is := known[id]
		// A session by this address is not given up for the manager's own: there is no other yet.
		elsewhere := is && by != address && l.claims[id] != nil && l.claims[id].address == by
		gone := id != "" && !is && len(known) > 0 && len(l.live) > 0
		if !elsewhere && !gone && !slices.Contains(want, address) {
			want = append(want, address)
		}
	}
	return want
}

// addresses are those at which managers are, or may be, host:port.
func (l *links) addresses() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.Clone(l.agent.cfg.Managers)
	for _, m := range l.known {
		list = append(list, m.Address)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// keep has a session with the manager at an address, again and again.
func (l *links) keep(ctx context.Context, address string) {
	wait, said := firstBackoff, ""
	for ctx.Err() == nil {
		began := time.Now()
		err := l.agent.session(ctx, address)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) >= goodSession {
			wait = firstBackoff
		}
		if l.agent.cfg.Credentials.Identity().Expired(time.Now()) {
			err = errExpired // managers don't say why they end such a connection
		}
		var refused *refusal
		switch {
		case errors.Is(err, errTwice):
			wait = lastBackoff
		case errors.As(err, &refused) && said == refused.reason:
		case err.Error() == said:
		default:
			if refused != nil {
				said = refused.reason
			} else {
				said = err.Error()
			}
			l.agent.logger.Warn("no session with a manager; trying again", "manager", address, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(jitter(wait)):
		}
		wait = min(2*wait, lastBackoff)
	}
}

// claim makes one the session with a manager, unless there is another.
func (l *links) claim(id string, one *link) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids[one.address] = id
	if l.claims[id] != nil {
		return false
	}
	l.claims[id] = one
	return true
}

func (l *links) release(id string, one *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.claims[id] == one {
		delete(l.claims, id)
		delete(l.live, id)
		delete(l.told, id)
	}
}

func (l *links) up(id string, one *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live[id] = one
}

// any tells whether there is a session with a manager.
func (l *links) any() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.live) > 0
}

// all returns the sessions.
func (l *links) all() (list []*link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.live {
		list = append(list, one)
	}
	return list
}

// learn takes the list of managers that one of them has told. One manager's word is enough for another one to be
// connected; it is left when no connected manager knows it any more, because one that was cut off tells old news.
func (l *links) learn(from string, managers []wire.ManagerAddress) {
	if len(managers) == 0 {
		return
	}
	l.mu.Lock()
	l.told[from] = managers
	known := slices.Clone(managers)
	for _, id := range slices.Sorted(maps.Keys(l.told)) {
		for _, m := range l.told[id] {
			if !slices.ContainsFunc(known, func(k wire.ManagerAddress) bool { return k.ID == m.ID }) {
				known = append(known, m)
			}
		}
	}
	slices.SortFunc(known, func(a, b wire.ManagerAddress) int { return strings.Compare(a.ID, b.ID) })
	same := slices.Equal(l.known, known)
	l.known = known
	l.mu.Unlock()
	if same {
		return
	}
	if err := saveManagers(l.agent.cfg.Dir, known); err != nil {
		l.agent.logger.Warn("the list of managers could not be kept", "error", err)
	}
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

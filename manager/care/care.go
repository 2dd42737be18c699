// Package care keeps containers what they should be without anybody asking: it starts again what has failed, and stops what
// nobody uses or what has run for as long as it may.
//
// It runs on the leader alone, as periodic tasks. It owns no state: it compares what the state has with the time, and each
// decision is a command that counts only if the container is still as it was seen.
//
// What must always hold: no container is started again without end, and none that somebody uses, or that computes, is
// stopped for being unused.
package care

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"kiosc/cluster/state"
)

const (
	// DefaultGrace is how long a container may be other than it should before the first retry; the original's. Each further
	// retry waits twice as long, up to longestWait.
	DefaultGrace = 180 * time.Second
	longestWait  = time.Hour
	// SteadyAfter is how long a container must have run for its retries to be forgiven.
	SteadyAfter = 30 * time.Minute

	// A container counts as busy that has used so much over the time of busyOver: CPUs, and bytes a second over its networks.
	// What an idle app does for itself, and an open tab that asks for news, is less.
	busyOver    = 5 * time.Minute
	busyCPUs    = 0.05
	busyNetwork = 256 << 10
	// busyRepeat is how much later the state hears that a container is still busy.
	busyRepeat = 5 * time.Minute
)

// Node makes commands part of the state and has the state.
type Node interface {
	Propose(ctx context.Context, c state.Command) (any, error)
	Store() *state.Store
}

// Figures knows what containers have used of late: seconds of CPU, and bytes over their networks. ok is false where that
// isn't known for all of the time.
type Figures interface {
	Recent(container string, over time.Duration) (cpuSeconds float64, networkBytes uint64, ok bool)
}

// Config is what a Care works with. The intervals are for tests; 0 for the defaults.
type Config struct {
	Node    Node
	Figures Figures
	// MaxInactivity bounds the containers' own thresholds, in days.
	MaxInactivity      int
	Grace, SteadyAfter time.Duration
	Logger             *slog.Logger
}

// Care has the tasks. Its methods are for the leader, one at a time each.
type Care struct {
	cfg Config
	now func() time.Time
}

// New makes a Care.
func New(cfg Config) *Care {
	if cfg.Grace == 0 {
		cfg.Grace = DefaultGrace
	}
	if cfg.SteadyAfter == 0 {
		cfg.SteadyAfter = SteadyAfter
	}
	return &Care{cfg: cfg, now: func() time.Time { return time.Now().UTC() }}
}

// containers reads the containers that f wants.
func (c *Care) containers(f func(*state.Tx, *state.Container) (bool, error)) (list []state.Container, err error) {
	err = c.cfg.Node.Store().View(func(tx *state.Tx) error {
		var wrong error
		err := tx.EachContainer(func(one state.Container) bool {
			var wanted bool
			if wanted, wrong = f(tx, &one); wanted {
				list = append(list, one)
			}
			return wrong == nil
		})
		return errors.Join(err, wrong)
	})
	return list, err
}

// wish is an action of the leader's own, with what the log and the timeline tell of it.
type wish struct {
	action      state.Action
	retry       bool
	why         string
	event, tale string // name and description
}

// want proposes an action of the leader's own. refused says that a rule, such as a quota, forbids it for now.
func (c *Care) want(ctx context.Context, one *state.Container, w wish) (done, refused bool, err error) {
	e := one.Event(uuid.NewString(), w.event, w.tale, c.now())
	e.Status = state.EventSubmit
	done, err = c.propose(ctx, &state.ActionWanted{Container: one.ID, Generation: one.Generation, Seen: one.State,
		Action: w.action, Retry: w.retry, Why: w.why, At: e.Time, Event: e.ID}, e)
	if code := state.CodeOf(err); code == state.Conflict || code == state.TooMany {
		return false, true, nil
	}
	return done, false, err
}

// propose has the timeline tell of a command, if it does something.
func (c *Care) propose(ctx context.Context, command state.Command, e state.Event) (done bool, err error) {
	recorded, err := state.Record(e, command)
	if err != nil {
		return false, err
	}
	got, err := c.cfg.Node.Propose(ctx, recorded)
	done, _ = got.(bool)
	return done, err
}

// giveUp has the log and the timeline tell, once, that a container isn't tried again. One that is never to be tried again
// by itself is no news.
func (c *Care) giveUp(ctx context.Context, one *state.Container) error {
	if one.MaxRetries == 0 || one.GivenUp == one.Generation {
		return nil
	}
	e := one.Event(uuid.NewString(), "container_given_up", fmt.Sprintf("give up container {container} after %d retries: it is %s and should be %s",
		one.Retries, one.State, one.Expected()), c.now())
	e.Status = state.EventFailed
	_, err := c.propose(ctx, &state.RetriesGivenUp{Container: one.ID, Generation: one.Generation, At: e.Time}, e)
	return err
}

// Sync repeats the last action of each container that isn't, or didn't stay, what it should be: after a grace period, with
// longer and longer waits, and as often as the container allows. Failed pulls and starts are repeated alike.
func (c *Care) Sync(ctx context.Context) (summary string, err error) {
	now := c.now()
	list, err := c.containers(func(_ *state.Tx, one *state.Container) (bool, error) {
		return one.Differs() || one.Retries > 0 && one.State == state.Running, nil
	})
	if err != nil {
		return "", err
	}
	var differ, repeated, waiting, given int
	for i := range list {
		one := &list[i]
		if !one.Differs() {
			if !one.Pending() && !one.RunningSince.IsZero() && now.Sub(one.RunningSince) >= c.cfg.SteadyAfter {
				if _, err := c.cfg.Node.Propose(ctx, &state.RetriesForgiven{Container: one.ID, Generation: one.Generation}); err != nil {
					return "", err
				}
			}
			continue
		}
		differ++
		action := repeat(one)
		switch {
		case action == "":
			continue
		case one.Retries >= one.MaxRetries:
			given++
			if err := c.giveUp(ctx, one); err != nil {
				return "", err
			}
			continue
		case now.Sub(one.StatusAt) < c.wait(one.Retries):
			waiting++
			continue
		}
		done, refused, err := c.want(ctx, one, wish{action: action, retry: true,
			why:   fmt.Sprintf("Syncing last registered container state (%s) with current Docker state (%s)", one.Expected(), one.State),
			event: "container_retry", tale: fmt.Sprintf("%s container {container}, retry %d of %d: it is %s and should be %s",
				action, one.Retries+1, one.MaxRetries, one.State, one.Expected())})
		switch {
		case err != nil:
			return "", err
		case done:
			repeated++
		case refused:
			waiting++
		}
	}
	return sentence(fmt.Sprintf("%d containers differ from their last action", differ), count{repeated, "repeated"},
		count{waiting, "waiting"}, count{given, "given up"}), nil
}

// wait is how long a container must have been as it is before it is tried again.
func (c *Care) wait(retries int) time.Duration {
	wait := c.cfg.Grace
	for range retries {
		if wait *= 2; wait >= longestWait {
			return max(longestWait, c.cfg.Grace)
		}
	}
	return wait
}

// repeat is the action that makes a container what it should be; "" where none does.
func repeat(one *state.Container) state.Action {
	switch want := one.Expected(); {
	case want == state.Running && one.State == state.Paused:
		return state.Unpause
	case want == state.Running:
		return state.Start
	case want == state.Exited:
		return state.Stop
	case want == state.Paused && one.State == state.Running:
		return state.Pause
	}
	return ""
}

// count is one of the numbers of a summary.
type count struct {
	n    int
	what string
}

// sentence leaves out what there is none of.
func sentence(first string, counts ...count) string {
	parts := []string{first}
	for _, c := range counts {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return strings.Join(parts, ", ")
}

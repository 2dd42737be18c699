package care

import (
	"context"
	"fmt"
	"strings"
	"time"

	"kiosc/cluster/state"
)

// StopInactive stops the containers that nobody has used for as many days as they may be unused, and that were not busy
// either. One that was never visited counts from its start.
func (c *Care) StopInactive(ctx context.Context) (summary string, err error) {
	if err := c.noteBusy(ctx); err != nil {
		return "", err
	}
	names, looked, err := c.stopUnused(ctx, func(one *state.Container) time.Duration {
		return time.Duration(min(one.InactivityDays, c.cfg.MaxInactivity)) * 24 * time.Hour
	})
	return sentence(fmt.Sprintf("%d running containers", looked), count{len(names), "stopped"}) + named(names), err
}

// shownNames is how many names a summary has.
const shownNames = 20

// named lists titles behind a summary.
func named(titles []string) string {
	switch {
	case len(titles) == 0:
		return ""
	case len(titles) > shownNames:
		titles = append(titles[:shownNames:shownNames], "…")
	}
	return ": " + strings.Join(titles, ", ")
}

// StopExpired stops the containers whose lifetime is over, and those that nobody has used for a threshold in minutes. It
// also notes which are busy.
func (c *Care) StopExpired(ctx context.Context) (summary string, err error) {
	if err := c.noteBusy(ctx); err != nil {
		return "", err
	}
	unused, looked, err := c.stopUnused(ctx, func(one *state.Container) time.Duration {
		return time.Duration(one.InactivityMinutes) * time.Minute
	})
	if err != nil {
		return "", err
	}
	now := c.now()
	over, err := c.containers(func(_ *state.Tx, one *state.Container) (bool, error) {
		life := time.Duration(one.Lifetime) * time.Second
		return runs(one) && life > 0 && now.Sub(since(one)) >= life, nil
	})
	if err != nil {
		return "", err
	}
	old := 0
	for i := range over {
		life := (time.Duration(over[i].Lifetime) * time.Second).String()
		done, _, err := c.want(ctx, &over[i], wish{action: state.Stop, why: "The container is stopped: its maximum lifetime of " + life + " is over.",
			event: "container_expired", tale: "stop container {container}, whose maximum lifetime of " + life + " is over"})
		if err != nil {
			return "", err
		}
		if done {
			old++
		}
	}
	return sentence(fmt.Sprintf("%d running containers with a threshold in minutes", looked), count{len(unused), "stopped"},
		count{old, "stopped after their lifetime"}), nil
}

// runs tells whether a container runs or is paused, and nothing is under way.
func runs(one *state.Container) bool {
	return !one.Pending() && (one.State == state.Running || one.State == state.Paused)
}

// since is when the container was started.
func since(one *state.Container) time.Time {
	if one.RunningSince.IsZero() {
		return one.StatusAt
	}
	return one.RunningSince
}

// stopUnused stops the containers that were unused for a threshold; 0 is none.
func (c *Care) stopUnused(ctx context.Context, threshold func(*state.Container) time.Duration) (stopped []string, looked int, err error) {
	now := c.now()
	unused, err := c.containers(func(tx *state.Tx, one *state.Container) (bool, error) {
		most := threshold(one)
		if !runs(one) || most <= 0 {
			return false, nil
		}
		looked++
		used, err := lastUse(tx, one)
		return err == nil && now.Sub(used) >= most, err
	})
	for i := range unused {
		one := &unused[i]
		done, _, err := c.want(ctx, one, wish{action: state.Stop,
			why:   "The container is stopped: nobody has used the app for " + span(threshold(one)) + ", and it wasn't busy.",
			event: "container_inactive", tale: "stop container {container}, which nobody has used for " + span(threshold(one))})
		if err != nil {
			return stopped, looked, err
		}
		if done {
			stopped = append(stopped, one.Title)
		}
	}
	return stopped, looked, err
}

// lastUse is when a container was last used: by a visitor, by itself, or by who has acted on it.
func lastUse(tx *state.Tx, one *state.Container) (last time.Time, err error) {
	visited, err := tx.LastAccess(one.ID)
	if err != nil {
		return last, err
	}
	busy, err := tx.LastBusy(one.ID)
	last = since(one)
	for _, at := range []time.Time{one.ActionAt, visited, busy} {
		if at.After(last) {
			last = at
		}
	}
	return last, err
}

// span is a time for people.
func span(d time.Duration) string {
	if day := 24 * time.Hour; d >= day && d%day == 0 {
		if d == day {
			return "a day"
		}
		return fmt.Sprintf("%d days", d/day)
	}
	if d%time.Hour == 0 {
		return fmt.Sprintf("%d hours", d/time.Hour)
	}
	return fmt.Sprintf("%d minutes", d/time.Minute)
}

// noteBusy makes part of the state which containers compute or load, so that it is known also by the next leader, and when
// they have ended.
func (c *Care) noteBusy(ctx context.Context) error {
	now := c.now()
	var busy []string
	_, err := c.containers(func(tx *state.Tx, one *state.Container) (bool, error) {
		if one.State != state.Running || len(busy) >= state.MaxBusy {
			return false, nil
		}
		cpu, network, known := c.cfg.Figures.Recent(one.ID, busyOver)
		if !known || cpu < busyCPUs*busyOver.Seconds() && float64(network) < busyNetwork*busyOver.Seconds() {
			return false, nil
		}
		noted, err := tx.LastBusy(one.ID)
		if now.Sub(noted) >= busyRepeat {
			busy = append(busy, one.ID)
		}
		return false, err
	})
	if err != nil || len(busy) == 0 {
		return err
	}
	_, err = c.cfg.Node.Propose(ctx, &state.ContainersBusy{Containers: busy, At: now})
	return err
}

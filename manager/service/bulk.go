package service

import (
	"context"
	"strconv"
	"sync"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

const (
	// MaxSelection is how many containers one request may act on.
	MaxSelection = 500
	// bulkAtOnce is how many of them are under way at a time. More would only wait for the same log.
	bulkAtOnce = 16
)

// BulkActions are the actions that may be asked for on a selection.
var BulkActions = []state.Action{state.Start, state.Stop, state.Restart, state.Delete}

// Outcome is what became of an action on one of a selection.
type Outcome struct {
	Container string // id
	Title     string // empty where the actor sees no such container
	Err       error
}

// ActAll asks for an action on each container of a selection, by itself: some may be refused while others are done. It
// returns once the wishes are stored, also of deletions. The outcomes are in the order of ids; one that is named twice has
// one outcome.
func (s *Service) ActAll(ctx context.Context, a Actor, ids []string, action state.Action) ([]Outcome, error) {
	known := false
	for _, b := range BulkActions {
		known = known || b == action
	}
	switch {
	case !known:
		return nil, state.Errorf(state.Invalid, "A selection can be started, stopped, restarted or deleted.")
	case len(ids) == 0:
		return nil, state.Errorf(state.Invalid, "Select at least one container.")
	case len(ids) > MaxSelection:
		return nil, state.Errorf(state.Invalid, "Select "+strconv.Itoa(MaxSelection)+" containers at most.")
	}
	var outcomes []Outcome
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			outcomes = append(outcomes, Outcome{Container: id})
		}
	}
	slots := make(chan struct{}, bulkAtOnce)
	var running sync.WaitGroup
	for i := range outcomes {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			one := &outcomes[i]
			if c, err := s.container(a, one.Container, auth.ViewContainer); err == nil {
				one.Title = c.Title
			}
			_, one.Err = s.Act(ctx, a, one.Container, action)
		})
	}
	running.Wait()
	return outcomes, nil
}

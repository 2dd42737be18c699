package state

import (
	"errors"
	"slices"
	"time"
)

// ActionWanted makes an action the container's next goal, by the leader's own decision. It is only valid for the
// generation that the leader has seen, while no action is under way and the container is in the state that was seen; else
// it changes nothing. Applied, it tells whether it did.
type ActionWanted struct {
	Container  string
	Generation uint64
	Seen       State
	Action     Action
	// Retry counts the action as a repetition of the last one, of which there are at most Container.MaxRetries.
	Retry bool
	Why   string // for the log
	At    time.Time
	// Event is the id of the timeline's event that tells of the action, as in ActionRequested.
	Event string
}

func (c *ActionWanted) apply(tx *Tx) (any, error) {
	cont, ok, err := tx.Container(c.Container)
	if err != nil || !ok || cont.Generation != c.Generation || cont.Pending() || cont.State != c.Seen || !cont.Allowed(c.Action) ||
		c.Retry && cont.Retries >= cont.MaxRetries || c.Action == Delete {
		return false, err
	}
	if tx.pendingCount() >= MaxPending {
		return false, errTooManyPending
	}
	before := cont
	last := cont.Action
	cont.goal(c.Action, "", c.At)
	cont.ActionEvent = c.Event
	if err := tx.checkStart(&cont); err != nil {
		return false, err
	}
	if err := tx.checkQuota(&before, &cont); err != nil {
		return false, err
	}
	level := Info
	if c.Retry {
		cont.Retries++
		level = Warning
		if last == Restart && c.Action == Start { // people see the action that they have asked for
			cont.Action = Restart
		}
	}
	if err := tx.putRaw(bucketPending, []byte(cont.ID), []byte{}); err != nil {
		return false, err
	}
	tx.touch(TopicPending)
	if err := tx.log(cont.ID, LogEntry{Time: c.At, Level: level, Process: ProcessTask, Text: c.Why}); err != nil {
		return false, err
	}
	return true, cont.save(tx)
}

// RetriesForgiven begins the count of a container's retries anew, because it has run for a while. It is only valid for the
// generation that the leader has seen.
type RetriesForgiven struct {
	Container  string
	Generation uint64
}

func (c *RetriesForgiven) apply(tx *Tx) (any, error) {
	cont, ok, err := tx.Container(c.Container)
	if err != nil || !ok || cont.Generation != c.Generation || cont.Retries == 0 {
		return nil, err
	}
	cont.Retries = 0
	return nil, cont.save(tx)
}

// RetriesGivenUp notes that a container isn't what it should be and has no retry left. It is only valid for the generation that
// the leader has seen, and once for it; else it changes nothing. Applied, it tells whether it did.
type RetriesGivenUp struct {
	Container  string
	Generation uint64
	At         time.Time
}

func (c *RetriesGivenUp) apply(tx *Tx) (any, error) {
	cont, ok, err := tx.Container(c.Container)
	if err != nil || !ok || cont.Generation != c.Generation || cont.GivenUp == c.Generation || cont.Retries < cont.MaxRetries || !cont.Differs() {
		return false, err
	}
	cont.GivenUp = c.Generation
	line := LogEntry{Time: c.At, Level: Severe, Process: ProcessTask,
		Text: "Given up after " + itoa(cont.Retries) + " of " + itoa(cont.MaxRetries) + " retries. Start the container to have it tried again."}
	return true, errors.Join(tx.log(cont.ID, line), cont.save(tx))
}

// expected is what a container should be after an action.
var expected = map[Action]State{Start: Running, Restart: Running, Unpause: Running, Move: Running, Pause: Paused, Stop: Exited, Delete: Deleted}

// Expected is the state in which the last action should have left the container; "" before the first.
func (c *Container) Expected() State { return expected[c.Action] }

// stopped are the states that are as good as Exited after a stop.
var stopped = []State{Exited, Initial, Created, Failed, Dead, Deleted}

// Differs tells whether the container isn't what its last action should have made it, while nothing is under way.
func (c *Container) Differs() bool {
	want := c.Expected()
	switch {
	case want == "" || c.Pending() || c.State == want:
		return false
	case want == Exited:
		return !slices.Contains(stopped, c.State)
	case want == Running:
		return c.State != Restarting
	}
	return true
}

// MaxBusy bounds the containers of one ContainersBusy.
const MaxBusy = 5000

// ContainersBusy notes that containers have used CPU or network of late, so that they count as used although nobody
// visits them.
type ContainersBusy struct {
	Containers []string
	At         time.Time
}

func (c *ContainersBusy) apply(tx *Tx) (any, error) {
	if len(c.Containers) > MaxBusy {
		return nil, Errorf(Invalid, "More than "+itoa(MaxBusy)+" containers in one command.")
	}
	for _, id := range c.Containers {
		_, known, err := tx.Container(id)
		if err != nil {
			return nil, err
		}
		if !known {
			continue
		}
		if err := tx.put(bucketBusy, []byte(id), c.At); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// LastBusy tells when a container was last seen to be busy, to within a few minutes; zero for never.
func (tx *Tx) LastBusy(container string) (time.Time, error) {
	at, _, err := get[time.Time](tx, bucketBusy, []byte(container))
	return at, err
}

// EachContainer calls f for every container, in an order that stays the same, until f returns false.
func (tx *Tx) EachContainer(f func(Container) bool) error {
	return each(tx, bucketContainers, nil, func(_ []byte, c Container) bool { return f(c) })
}

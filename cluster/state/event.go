package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// EventStatus is how something stands that the timeline tells of, as in SODAR.
type EventStatus string

// The states of an event.
const (
	EventOK     EventStatus = "OK"
	EventSubmit EventStatus = "SUBMIT" // begun; a later event with Of tells how it ended
	EventFailed EventStatus = "FAILED"
	EventInfo   EventStatus = "INFO"
	EventCancel EventStatus = "CANCEL"
)

// EventObject is something that an event is about.
type EventObject struct {
	Label string // by which the description names it, in braces
	Name  string // as it was called then
	Model string // such as Container, Project or User
	ID    string
}

// Event is one line of the timeline: who did what to which object when. It is never changed.
type Event struct {
	// Number counts all events from 1. Previous is the hash of the event before, as it is stored; empty in the first.
	// Both are given when the event is stored.
	Number   uint64
	Previous []byte

	ID   string
	Time time.Time
	// User is a user name; empty for Kiosc itself. Via says how, such as "[API]"; empty for a page.
	User, Via string
	// Project is an id; empty for what is of no project.
	Project string
	App     string // the part of Kiosc, such as containers or projectroles
	Name    string // what happened, such as create_container
	// Description is a sentence for people that names Objects by {label}.
	Description string
	Objects     []EventObject
	Extra       map[string]string
	Status      EventStatus
	// Of is the id of the event that this one tells the end of; empty for none.
	Of string
	// Classified events are for owners and delegates.
	Classified bool
}

// Recorded applies another command and, if that isn't refused, adds an event to the timeline: both or neither. It returns
// what the other command returns. One that turns out to do nothing adds no event: an ActionRequested that is passed over, and any
// that returns false.
type Recorded struct {
	Event Event
	// Command is encoded; empty for an event alone.
	Command []byte
}

// Record makes the command that applies c and tells of it.
func Record(e Event, c Command) (*Recorded, error) {
	raw, err := Encode(c)
	return &Recorded{Event: e, Command: raw}, err
}

// Event begins an event of what Kiosc does to the container by itself. The description names it {container}.
func (c *Container) Event(id, name, description string, at time.Time) Event {
	return Event{ID: id, Time: at, Project: c.Project, App: "containers", Name: name, Description: description, Status: EventOK,
		Objects: []EventObject{{Label: "container", Name: c.Title, Model: "Container", ID: c.ID}}}
}

func (c *Recorded) apply(tx *Tx) (value any, err error) {
	if len(c.Command) > 0 {
		inner, err := Decode(c.Command)
		if err != nil {
			return nil, err
		}
		if inner != nil {
			if value, err = inner.apply(tx); err != nil {
				return nil, err
			}
			if _, passedOver := value.(CoolingDown); passedOver || value == false {
				return value, nil
			}
		}
	}
	return value, tx.record(c.Event)
}

var (
	metaEventNumber = []byte("event_number")
	metaEventHash   = []byte("event_hash")
	metaEventPruned = []byte("event_pruned") // hash of the last event that was removed
)

// record adds an event to the timeline.
func (tx *Tx) record(e Event) error {
	meta := tx.btx.Bucket(bucketMeta)
	if v := meta.Get(metaEventNumber); v != nil {
		e.Number = binary.BigEndian.Uint64(v)
	}
	e.Number++
	e.Previous = bytes.Clone(meta.Get(metaEventHash))
	raw, err := encMode.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	hash := sha256.Sum256(raw)
	tx.touch(TopicEvents)
	number := be64(e.Number)
	return errors.Join(tx.putRaw(bucketEvents, number, raw), tx.putRaw(bucketEventsOf, append(key(e.Project, ""), number...), nil),
		tx.putRaw(bucketMeta, metaEventNumber, number), tx.putRaw(bucketMeta, metaEventHash, hash[:]))
}

// EventsPruned removes the oldest events, those from before a time. The chain of hashes begins anew behind them, with what is
// kept of the last one that was removed. Applied, it returns how many went; called again, it goes on.
type EventsPruned struct {
	Before time.Time
}

// maxPruned bounds the events that one command removes.
const maxPruned = 5000

func (c *EventsPruned) apply(tx *Tx) (any, error) {
	var gone []Event
	err := each(tx, bucketEvents, nil, func(_ []byte, e Event) bool {
		if len(gone) == maxPruned || !e.Time.Before(c.Before) {
			return false
		}
		gone = append(gone, e)
		return true
	})
	if err != nil || len(gone) == 0 {
		return 0, err
	}
	for _, e := range gone {
		number := be64(e.Number)
		if e.Number == gone[len(gone)-1].Number {
			hash := sha256.Sum256(tx.btx.Bucket(bucketEvents).Get(number))
			if err := tx.putRaw(bucketMeta, metaEventPruned, hash[:]); err != nil {
				return nil, err
			}
		}
		if err := errors.Join(tx.delete(bucketEvents, number), tx.delete(bucketEventsOf, append(key(e.Project, ""), number...))); err != nil {
			return nil, err
		}
	}
	return len(gone), nil
}

// VerifyEvents reads the whole timeline and returns how many events it has. An error names the first that isn't as it was
// stored, or that is missing.
func (tx *Tx) VerifyEvents() (events uint64, err error) {
	meta := tx.btx.Bucket(bucketMeta)
	previous := meta.Get(metaEventPruned)
	var number uint64
	c := tx.btx.Bucket(bucketEvents).Cursor()
	for k, raw := c.First(); k != nil; k, raw = c.Next() {
		var e Event
		if err := decMode.Unmarshal(raw, &e); err != nil {
			return events, fmt.Errorf("event %d can't be read: it was altered", binary.BigEndian.Uint64(k))
		}
		at := binary.BigEndian.Uint64(k)
		switch {
		case e.Number != at:
			return events, fmt.Errorf("event %d says that it is number %d: it was altered", at, e.Number)
		case number != 0 && at != number+1:
			return events, fmt.Errorf("event %d is missing", number+1)
		case !bytes.Equal(e.Previous, previous):
			return events, fmt.Errorf("event %d or the one before it was altered", at)
		}
		hash := sha256.Sum256(raw)
		number, previous = at, hash[:]
		events++
	}
	if last := meta.Get(metaEventNumber); last != nil && events > 0 && binary.BigEndian.Uint64(last) != number {
		return events, fmt.Errorf("event %d is missing", number+1)
	}
	if !bytes.Equal(meta.Get(metaEventHash), previous) {
		return events, fmt.Errorf("event %d was altered", number)
	}
	return events, nil
}

// EventsFrom calls f with the events from a number on, in order, until f returns false.
func (tx *Tx) EventsFrom(number uint64, f func(e *Event) bool) error {
	c := tx.btx.Bucket(bucketEvents).Cursor()
	for k, raw := c.Seek(be64(number)); k != nil; k, raw = c.Next() {
		var e Event
		if err := decMode.Unmarshal(raw, &e); err != nil {
			return fmt.Errorf("decoding event %d: %w", binary.BigEndian.Uint64(k), err)
		}
		if !f(&e) {
			return nil
		}
	}
	return nil
}

// EventPage returns up to limit events of a project, of none for "", or of all where all is set, the newest first, that
// stand before the number before (0 for the newest) and that keep lets through.
func (tx *Tx) EventPage(project string, all bool, before uint64, limit int, keep func(*Event) bool) (events []Event, err error) {
	bucket, prefix := bucketEvents, []byte(nil)
	if !all {
		bucket, prefix = bucketEventsOf, key(project, "")
	}
	if before == 0 {
		before = 1<<64 - 1
	}
	c := tx.btx.Bucket(bucket).Cursor()
	k, _ := c.Seek(append(bytes.Clone(prefix), be64(before)...))
	if k == nil {
		k, _ = c.Last()
	} else {
		k, _ = c.Prev()
	}
	for ; k != nil && hasPrefix(k, prefix) && len(k) == len(prefix)+8 && len(events) < limit; k, _ = c.Prev() {
		e, ok, err := get[Event](tx, bucketEvents, k[len(prefix):])
		if err != nil {
			return nil, err
		}
		if ok && (keep == nil || keep(&e)) {
			events = append(events, e)
		}
	}
	return events, nil
}

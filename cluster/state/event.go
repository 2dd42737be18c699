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
// what the other command returns.
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
		}
	}
	return value, tx.record(c.Event)
}

var (
	metaEventNumber = []byte("event_number")
	metaEventHash   = []byte("event_hash")
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

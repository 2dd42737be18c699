package state

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// accessPause is the time without a request after which the next one counts as a new visit, with a log line.
const accessPause = time.Minute

// MaxAccesses bounds the accesses of one command.
const MaxAccesses = 1000

// Access is the use of an app by one user.
type Access struct {
	Container string
	User      string // user name
	// First and Last are when the first and the last of the requests came.
	First, Last time.Time
}

// AppsAccessed notes who has used which apps, as one manager has seen it over a while: an entry for each request would
// cost more than the request. The container's log gets a line for each visit.
type AppsAccessed struct {
	Accesses []Access
}

func (c *AppsAccessed) apply(tx *Tx) (any, error) {
	if len(c.Accesses) > MaxAccesses {
		return nil, Errorf(Invalid, "More than "+itoa(MaxAccesses)+" accesses in one command.")
	}
	for _, a := range c.Accesses {
		cont, known, err := tx.Container(a.Container)
		if err != nil {
			return nil, err
		}
		if !known {
			continue
		}
		if err := tx.noteAccess(a, &cont); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// accessEvent is the time without use after which the timeline tells of the next use.
const accessEvent = time.Hour

func (tx *Tx) noteAccess(a Access, cont *Container) error {
	at := key(a.Container, a.User)
	last, known, err := get[time.Time](tx, bucketAccesses, at)
	if err != nil {
		return err
	}
	if !known || a.First.Sub(last) > accessPause {
		line := LogEntry{Time: a.First, User: a.User, Process: ProcessProxy, Text: "Accessing the app"}
		if err := tx.log(a.Container, line); err != nil {
			return err
		}
	}
	if !known || a.First.Sub(last) > accessEvent {
		e := Event{ID: uuid.NewSHA1(uuid.Nil, key("access", a.Container, a.User, a.First.String())).String(), Time: a.First, User: a.User,
			Project: cont.Project, App: "containers", Name: "container_access", Description: "open the app of {container}",
			Objects: []EventObject{{Label: "container", Name: cont.Title, Model: "Container", ID: cont.ID}}, Status: EventOK}
		if err := tx.record(e); err != nil {
			return err
		}
	}
	if known && !a.Last.After(last) {
		return nil
	}
	return tx.put(bucketAccesses, at, a.Last)
}

// LastAccess tells when anybody last used a container's app, to within a few minutes; zero for never.
func (tx *Tx) LastAccess(container string) (last time.Time, err error) {
	err = each(tx, bucketAccesses, append([]byte(container), 0), func(_ []byte, at time.Time) bool {
		if at.After(last) {
			last = at
		}
		return true
	})
	return last, err
}

func (tx *Tx) removeAccesses(container string) error {
	var keys [][]byte
	err := each(tx, bucketAccesses, append([]byte(container), 0), func(k []byte, _ time.Time) bool {
		keys = append(keys, slices.Clone(k))
		return true
	})
	for _, k := range keys {
		if err == nil {
			err = tx.delete(bucketAccesses, k)
		}
	}
	return err
}

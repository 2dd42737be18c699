package state

import (
	"errors"
	"slices"
	"time"
)

// AccessFailure is why somebody who may open an app got no answer of it.
type AccessFailure string

const (
	AppRefused      AccessFailure = "refused"     // nothing listens on the app's port
	AppLate         AccessFailure = "late"        // nothing came in time, from the app or its Docker host
	AppNoAnswer     AccessFailure = "no answer"   // the app took the request and ended it, or what it said was no HTTP
	AppUnconnected  AccessFailure = "unconnected" // the Docker host could not connect to the app
	HostUnreachable AccessFailure = "unreachable" // the Docker host could not be reached
)

// MaxFailureCause bounds FailedAccess.Cause, in bytes.
const MaxFailureCause = 500

// failureRepeat is after how long the log tells again of failures that go on.
const failureRepeat = time.Hour

// FailedAccess is the requests of one user that got no answer of an app, for one reason.
type FailedAccess struct {
	Container string
	User      string // user name
	Reason    AccessFailure
	// Cause is what the manager has heard in detail, for superusers; may be empty.
	Cause string
	// First and Last are when the first and the last of the requests failed.
	First, Last time.Time
}

// AccessesFailed notes who got no answer of which apps, as one manager has seen it over a while. The container's log gets a
// line for each user and reason, and no other until there was a minute without, or after an hour.
type AccessesFailed struct {
	Failures []FailedAccess
}

// failing is what is known of a user's failures for one reason.
type failing struct {
	Last time.Time // when the last request failed
	Line time.Time // of the last line in the log
}

func (c *AccessesFailed) apply(tx *Tx) (any, error) {
	if len(c.Failures) > MaxAccesses {
		return nil, Errorf(Invalid, "More than "+itoa(MaxAccesses)+" failed accesses in one command.")
	}
	for i := range c.Failures {
		f := &c.Failures[i]
		if len(f.Cause) > MaxFailureCause {
			return nil, Errorf(Invalid, "The cause of a failed access has more than "+itoa(MaxFailureCause)+" bytes.")
		}
		cont, known, err := tx.Container(f.Container)
		if err != nil {
			return nil, err
		}
		if !known {
			continue
		}
		if err := tx.noteFailure(f, &cont); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (tx *Tx) noteFailure(f *FailedAccess, cont *Container) error {
	at := key(f.Container, f.User, string(f.Reason))
	before, known, err := get[failing](tx, bucketFailures, at)
	if err != nil {
		return err
	}
	now := failing{Last: f.Last, Line: before.Line}
	if known && before.Last.After(f.Last) {
		now.Last = before.Last // another manager's, told late
	}
	if !known || f.First.Sub(before.Last) > accessPause || f.Last.Sub(before.Line) >= failureRepeat {
		now.Line = f.First
		if known && f.First.Sub(before.Last) <= accessPause {
			now.Line = f.Last
		}
		text, err := f.text(tx, cont)
		if err != nil {
			return err
		}
		lines := []LogEntry{{Time: now.Line, Level: Severe, User: f.User, Process: ProcessProxy, Text: text}}
		if f.Cause != "" {
			lines = append(lines, LogEntry{Time: now.Line, Level: Debug, User: f.User, Process: ProcessProxy, Text: f.Cause})
		}
		if err := tx.log(cont.ID, lines...); err != nil {
			return err
		}
	}
	return tx.put(bucketFailures, at, now)
}

// text is what the owner of an app can make use of.
func (f *FailedAccess) text(tx *Tx, cont *Container) (string, error) {
	const failed = "Access to the app failed"
	switch f.Reason {
	case AppRefused:
		return failed + ": nothing listens on port " + itoa(cont.Port) + " in the container.", nil
	case AppLate:
		return failed + ": there was no answer in time.", nil
	case AppNoAnswer:
		return failed + ": it gave no proper answer in HTTP.", nil
	}
	node, known, err := tx.Node(cont.Node)
	if err != nil {
		return "", err
	}
	host := "its Docker host"
	if known {
		host += " " + node.Name
	}
	switch f.Reason {
	case AppUnconnected:
		return failed + ": " + host + " could not connect to it.", nil
	case HostUnreachable:
		return failed + ": " + host + " can't be reached.", nil
	}
	return failed + ".", nil
}

func (tx *Tx) removeFailures(container string) error {
	var keys [][]byte
	err := each(tx, bucketFailures, append([]byte(container), 0), func(k []byte, _ failing) bool {
		keys = append(keys, slices.Clone(k))
		return true
	})
	for _, k := range keys {
		err = errors.Join(err, tx.delete(bucketFailures, k))
	}
	return err
}

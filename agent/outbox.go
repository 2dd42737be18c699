package agent

import (
	"context"
	"slices"
	"sync"
	"time"

	"kiosc/cluster/wire"
)

// maxReports bounds the reports that wait to be acknowledged. Workers that have more to tell wait for room.
const maxReports = 4096

// outbox keeps each report until the manager has stored it. Reports go out in order, and again on each new session.
type outbox struct {
	mu       sync.Mutex
	reports  []*wire.Report
	sent     int                       // how many of reports this session has sent
	progress map[string]*wire.Progress // by container; only the newest is of interest
	lastSeq  uint64
	changed  chan struct{} // has a value when there may be something to send
	room     chan struct{} // closed and replaced when reports were acknowledged
}

func newOutbox() *outbox {
	return &outbox{progress: make(map[string]*wire.Progress), changed: make(chan struct{}, 1), room: make(chan struct{})}
}

// add gives the report its number and queues it. An observation replaces one of the same Docker container that isn't
// sent yet.
func (o *outbox) add(ctx context.Context, r *wire.Report) error {
	for {
		o.mu.Lock()
		if len(o.reports) < maxReports {
			break
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer o.mu.Unlock()
	if r.Generation == 0 {
		tail := slices.DeleteFunc(slices.Clone(o.reports[o.sent:]), func(old *wire.Report) bool {
			return old.Generation == 0 && old.Observed.DockerID == r.Observed.DockerID
		})
		o.reports = append(o.reports[:o.sent], tail...)
	}
	// The clock makes numbers grow across restarts of the agent, the maximum within one run.
	o.lastSeq = max(o.lastSeq+1, uint64(time.Now().UnixNano()))
	r.Seq = o.lastSeq
	o.reports = append(o.reports, r)
	if r.Done {
		delete(o.progress, r.Container)
	}
	o.wake()
	return nil
}

func (o *outbox) setProgress(p *wire.Progress) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.progress[p.Container] = p
	o.wake()
}

func (o *outbox) wake() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// rewind makes a new session send everything that isn't acknowledged.
func (o *outbox) rewind() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent = 0
	o.wake()
}

// next returns the messages to send now, if any.
func (o *outbox) next() (messages []any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.reports[o.sent:] {
		messages = append(messages, r)
	}
	o.sent = len(o.reports)
	for id, p := range o.progress {
		messages = append(messages, p)
		delete(o.progress, id)
	}
	return messages
}

// ack drops the reports up to seq.
func (o *outbox) ack(seq uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for n < o.sent && o.reports[n].Seq <= seq {
		n++
	}
	o.reports = slices.Delete(o.reports, 0, n)
	o.sent -= n
	close(o.room)
	o.room = make(chan struct{})
}

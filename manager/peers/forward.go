package peers

import (
	"context"
	"fmt"
	"sync"

	"kiosc/cluster/consensus"
	"kiosc/cluster/wire"
)

// maxForwarded bounds the commands that wait to be sent to one leader, and those that one peer has under way here.
const maxForwarded = 4096

var _ consensus.Forwarder = (*Peers)(nil)

// Forward hands a command to the leader, see consensus.Forwarder.
func (p *Peers) Forward(ctx context.Context, leader string, origin, command []byte, refused func(error)) {
	_, f := p.peer(leader).session()
	if f == nil {
		refused(consensus.ErrNotTaken)
		return
	}
	f.send(ctx, origin, command, refused)
}

// forwarder sends commands over one stream of a session, any number under way at once.
type forwarder struct {
	link  *wire.Session
	queue chan *wire.ForwardRequest

	mu     sync.Mutex
	next   uint64
	under  map[uint64]func(error) // refused, by number
	closed bool
}

func newForwarder(link *wire.Session) *forwarder {
	return &forwarder{link: link, queue: make(chan *wire.ForwardRequest, maxForwarded), under: make(map[uint64]func(error))}
}

func (f *forwarder) send(ctx context.Context, origin, command []byte, refused func(error)) {
	f.mu.Lock()
	if f.closed || len(f.queue) == cap(f.queue) {
		f.mu.Unlock()
		refused(consensus.ErrNotTaken)
		return
	}
	f.next++
	id := f.next
	f.under[id] = refused
	f.queue <- &wire.ForwardRequest{ID: id, Origin: origin, Command: command} // has room: only send adds, under mu
	f.mu.Unlock()
	context.AfterFunc(ctx, func() { f.take(id) })
}

// take returns the callback of a request and forgets it.
func (f *forwarder) take(id uint64) func(error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	refused := f.under[id]
	delete(f.under, id)
	return refused
}

// run sends what comes until the session ends.
func (f *forwarder) run(ctx context.Context) {
	defer f.close()
	stream, err := f.link.Open(ctx, wire.Forward, nil)
	if err != nil {
		return
	}
	defer stream.Kill()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		f.listen(stream)
		f.close()
	}()
	defer func() {
		stream.Kill()
		<-answered
	}()
	for {
		select {
		case request := <-f.queue:
			if err := write(stream, request); err != nil {
				f.refuse(request.ID) // it can't have been read whole
				return
			}
		case <-f.link.Done():
			return
		case <-answered:
			return
		}
	}
}

func (f *forwarder) refuse(id uint64) {
	if refused := f.take(id); refused != nil {
		refused(consensus.ErrNotTaken)
	}
}

// listen takes the answers. Only refusals are sent: that a command has succeeded shows in the log.
func (f *forwarder) listen(stream *wire.Stream) {
	for {
		msg, err := wire.Read(stream)
		if err != nil {
			return
		}
		if answer, ok := msg.(*wire.ForwardAnswer); ok && answer.Refused != "" {
			f.refuse(answer.ID)
		}
	}
}

// close refuses what was not sent. What was sent may be in the log: its callers see it there, or see that it can't be.
func (f *forwarder) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	for {
		select {
		case request := <-f.queue:
			f.refuse(request.ID)
		default:
			return
		}
	}
}

// serveForward puts another manager's commands into the log, in the order in which they come.
func (p *Peers) serveForward(ctx context.Context, stream *wire.Stream) error {
	type taken struct {
		id   uint64
		wait func() error
	}
	under := make(chan taken, maxForwarded)
	answered := make(chan error, 1)
	go func() {
		var failed error
		for t := range under { // to the end, also after a failure: the log settles each
			err := t.wait()
			if err != nil && failed == nil {
				failed = write(stream, &wire.ForwardAnswer{ID: t.id, Refused: err.Error()})
			}
		}
		answered <- failed
	}()
	err := func() error {
		for ctx.Err() == nil {
			msg, err := wire.Read(stream)
			if err != nil {
				return err
			}
			request, ok := msg.(*wire.ForwardRequest)
			if !ok {
				return fmt.Errorf("%T on a stream for commands", msg)
			}
			under <- taken{request.ID, p.handlers.Take(request.Origin, request.Command)}
		}
		return ctx.Err()
	}()
	close(under)
	<-answered
	return err
}

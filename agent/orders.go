package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	"kiosc/cluster/wire"
)

const writeTimeout = 30 * time.Second

// orders is one stream with the leader.
type orders struct {
	agent  *Agent
	link   *wire.Session
	stream *wire.Stream
	term   uint64
	stock  chan struct{} // has a value when an inventory is to be sent
	done   chan struct{}

	writing sync.Mutex
	alive   time.Time // when the last inventory or answer to a lease was sent, for the lease's end
	leased  bool      // a lease was answered
}

// serveOrders follows a leader until the stream ends, or a newer one replaces it.
func (a *Agent) serveOrders(ctx context.Context, link *wire.Session, stream *wire.Stream, head wire.OrdersHeader) {
	defer stream.Kill()
	if !a.accepts(head.Term) {
		a.logger.Warn("orders of an older leader are refused", "leader", head.Leader, "term", head.Term)
		return
	}
	o := &orders{agent: a, link: link, stream: stream, term: head.Term, stock: make(chan struct{}, 1), done: make(chan struct{})}
	defer close(o.done)
	if !a.replaceOrders(o) {
		return
	}
	defer a.endOrders(o)
	a.logger.Info("following a leader", "leader", head.Leader, "term", head.Term)
	a.followers.attach(link)
	defer a.followers.detach(link)
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, stream.Kill)
	defer stop()
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	o.takeStock()
	running.Add(1)
	go func() {
		defer running.Done()
		defer stream.Kill()
		if err := o.send(ctx); err != nil {
			a.logger.Debug("nothing more can be sent to the leader", "error", err)
		}
	}()
	err := o.receive(ctx)
	a.logger.Info("the leader's stream has ended", "leader", head.Leader, "term", head.Term, "reason", err)
}

// replaceOrders makes o the current stream once the one before has ended. It doesn't, where a newer one was faster.
func (a *Agent) replaceOrders(o *orders) bool {
	a.mu.Lock()
	before := a.orders
	if before != nil && before.term > o.term {
		a.mu.Unlock()
		return false
	}
	a.orders = o
	a.mu.Unlock()
	if before != nil {
		before.stream.Kill()
		<-before.done
	}
	return true
}

func (a *Agent) endOrders(o *orders) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.orders == o {
		a.orders = nil
	}
}

// sendInventory has an inventory sent to the leader, if there is one.
func (a *Agent) sendInventory() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.orders != nil {
		a.orders.takeStock()
	}
}

func (o *orders) takeStock() {
	select {
	case o.stock <- struct{}{}:
	default:
	}
}

func (o *orders) write(msg any) error {
	o.writing.Lock()
	defer o.writing.Unlock()
	o.stream.SetWriteDeadline(time.Now().Add(writeTimeout))
	return wire.Write(o.stream, msg)
}

// send writes the inventory first, then what the outbox has as it comes, and further inventories between. What an
// inventory doesn't know yet always comes after it.
func (o *orders) send(ctx context.Context) error {
	first := true
	for {
		if !first {
			for _, msg := range o.agent.reports.next() {
				if err := o.write(msg); err != nil {
					return err
				}
			}
		}
		select {
		case <-o.stock:
			at := time.Now()
			inventory := o.agent.watch.inventory(ctx)
			if first {
				o.setAlive(at) // before the leader can answer with a lease
			}
			if err := o.write(inventory); err != nil {
				return err
			}
			if first {
				o.agent.reports.rewind()
				first = false
			}
		case <-o.agent.reports.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (o *orders) setAlive(at time.Time) {
	o.writing.Lock()
	defer o.writing.Unlock()
	if !o.leased {
		o.alive = at
	}
}

// answerLease takes a lease and answers it. The lease counts from when this side has last shown that it is there, which
// was before the leader sent the lease.
func (o *orders) answerLease(l *wire.Lease) error {
	o.writing.Lock()
	from := o.alive
	o.alive, o.leased = time.Now(), true
	o.writing.Unlock()
	o.agent.lease.extend(from.Add(l.Duration))
	return o.write(&wire.LeaseAck{Seq: l.Seq, DockerAway: o.agent.watch.isAway()})
}

// receive takes orders as they come. It never waits for one to be carried out.
func (o *orders) receive(ctx context.Context) error {
	a := o.agent
	for {
		msg, err := wire.Read(o.stream)
		if err != nil {
			return fmt.Errorf("reading orders: %w", err)
		}
		if !a.accepts(o.term) {
			return fmt.Errorf("a leader of a later term than %d was seen", o.term)
		}
		switch m := msg.(type) {
		case *wire.Ack:
			a.reports.ack(m.Seq)
		case *wire.Order:
			if !a.current(m) {
				a.logger.Warn("an order of an older placement is refused", "container", m.Container, "placement", m.Placement)
				continue
			}
			a.workers.take(m)
		case *wire.Remove:
			a.workers.removeOrphans(m.DockerIDs)
		case *wire.InventoryRequest:
			o.takeStock()
		case *wire.Lease:
			if err := o.answerLease(m); err != nil {
				return err
			}
		default:
			return fmt.Errorf("a manager may not send %T", msg)
		}
	}
}

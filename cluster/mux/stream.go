package mux

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Stream is one of the connections in a session. Reading, writing and ending may be done by different goroutines at once,
// but only one may read at a time. It ends when both directions have, or by Reset; until then the session keeps it.
//
// Errors: io.EOF after the other side's CloseWrite; ErrReset after its Reset, without what was sent before; net.ErrClosed
// after Reset on this side and for writing after CloseWrite; os.ErrDeadlineExceeded; ErrClosed after the end of the session,
// which is never io.EOF. What has come in before the end of the session can still be read.
type Stream struct {
	id      uint32
	session *Session
	sending sync.Mutex // held by the one that writes
	sentEnd bool       // nothing more may be sent; guarded by session.out.mu

	mu                 sync.Mutex
	readable, writable sync.Cond
	in                 pieces
	taken              *piece // the reader's, from Next; only the reader uses it
	window             int    // what the other side may still send
	credit             int64  // what this side may still send
	ended, otherEnded  bool   // writing, by this side and by the other one
	reset              error  // ErrReset or net.ErrClosed
	readBy, writeBy    deadline
}

// deadline is for the time until which something may be waited for.
type deadline struct {
	at    time.Time
	timer *time.Timer // wakes those who wait; set when somebody has
}

func newStream(s *Session, id uint32) *Stream {
	st := &Stream{id: id, session: s, window: firstWindow, credit: firstWindow}
	st.readable.L, st.writable.L = &st.mu, &st.mu
	return st
}

// widen is the first frame of this side. It opens or accepts the stream and tells of the whole window.
func (st *Stream) widen(flag uint16) head {
	st.mu.Lock()
	defer st.mu.Unlock()
	more := st.session.window() - st.in.size - st.window
	st.window += more
	return head{kind: typeWindow, flags: flag, stream: st.id, length: uint32(more)}
}

// Read reads what has come, and waits if nothing has. With an empty p it waits and takes nothing.
func (st *Stream) Read(p []byte) (int, error) {
	st.mu.Lock()
	if err := st.await(); err != nil {
		st.mu.Unlock()
		return 0, err
	}
	n := st.in.read(p)
	more := st.regain()
	st.mu.Unlock()
	st.tell(more)
	return n, nil
}

// Next is Read without copying: it returns what came together, up to 64 KiB. That is valid until the reader calls Next or
// Release.
func (st *Stream) Next() ([]byte, error) {
	st.Release()
	st.mu.Lock()
	if err := st.await(); err != nil {
		st.mu.Unlock()
		return nil, err
	}
	st.taken = st.in.take()
	more := st.regain()
	st.mu.Unlock()
	st.tell(more)
	return st.taken.rest(), nil
}

// Release gives back what Next has returned.
func (st *Stream) Release() {
	if st.taken != nil {
		st.taken.free()
		st.taken = nil
	}
}

// Drop waits like Read, and drops what has come. It may be called beside another reader, which then misses it.
func (st *Stream) Drop() error {
	st.mu.Lock()
	if err := st.await(); err != nil {
		st.mu.Unlock()
		return err
	}
	st.in.drop()
	more := st.regain()
	st.mu.Unlock()
	st.tell(more)
	return nil
}

// Quiet tells whether a Read would wait, whatever the deadline is.
func (st *Stream) Quiet() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.in.size == 0 && st.readEnd() == nil
}

// await waits until something can be read. Its caller holds the lock.
func (st *Stream) await() error {
	for {
		if st.reset != nil {
			return st.reset
		}
		if st.in.size > 0 {
			return nil
		}
		if err := st.readEnd(); err != nil {
			return err
		}
		if err := st.wait(&st.readable, &st.readBy); err != nil {
			return err
		}
	}
}

// readEnd is what reading comes to when there is nothing more.
func (st *Stream) readEnd() error {
	switch {
	case st.reset != nil:
		return st.reset
	case st.session.over():
		return st.session.Err()
	case st.otherEnded:
		return io.EOF
	}
	return nil
}

// regain returns by how much the other side's window grows now: seldom, and by much. Its caller holds the lock.
func (st *Stream) regain() int {
	whole := st.session.window()
	more := whole - st.in.size - st.window
	if more < whole/2 || st.otherEnded {
		return 0
	}
	st.window += more
	return more
}

func (st *Stream) tell(more int) {
	if more > 0 {
		st.session.out.control(head{kind: typeWindow, stream: st.id, length: uint32(more)})
	}
}

// Write blocks while the other side has not read enough of what was written before.
func (st *Stream) Write(p []byte) (n int, err error) {
	st.sending.Lock()
	defer st.sending.Unlock()
	for n < len(p) {
		k, err := st.spend(min(len(p)-n, pieceSize))
		if err == nil {
			err = st.session.out.data(st, p[n:n+k])
		}
		if err != nil {
			return n, st.writeError(err)
		}
		n += k
	}
	return n, nil
}

// spend waits until something may be sent, and returns how much of want that is.
func (st *Stream) spend(want int) (int, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for {
		switch {
		case st.reset != nil:
			return 0, st.reset
		case st.ended:
			return 0, net.ErrClosed
		case st.session.over():
			return 0, st.session.Err()
		case st.credit > 0:
			k := min(int64(want), st.credit)
			st.credit -= k
			return int(k), nil
		}
		if err := st.wait(&st.writable, &st.writeBy); err != nil {
			return 0, err
		}
	}
}

// writeError says why writing failed, if the stream knows better.
func (st *Stream) writeError(err error) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.reset != nil {
		return st.reset
	}
	return err
}

// wait waits for a change or for the time. Its caller holds the lock.
func (st *Stream) wait(c *sync.Cond, d *deadline) error {
	if !d.at.IsZero() {
		left := time.Until(d.at)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		if d.timer == nil {
			d.timer = time.AfterFunc(left, func() {
				st.mu.Lock()
				defer st.mu.Unlock()
				c.Broadcast()
			})
		} else {
			d.timer.Reset(left)
		}
	}
	c.Wait()
	return nil
}

// wake makes all that waits look again.
func (st *Stream) wake() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.wakeLocked()
}

func (st *Stream) wakeLocked() {
	st.readable.Broadcast()
	st.writable.Broadcast()
}

// SetReadDeadline bounds how long Read and Next wait, also those that wait now; the zero time is none.
func (st *Stream) SetReadDeadline(t time.Time) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.readBy.set(t)
	st.readable.Broadcast()
	return nil
}

// SetWriteDeadline bounds how long Write waits for the other side to read.
func (st *Stream) SetWriteDeadline(t time.Time) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.writeBy.set(t)
	st.writable.Broadcast()
	return nil
}

func (d *deadline) set(t time.Time) {
	d.at = t
	if d.timer != nil {
		d.timer.Stop()
	}
}

// CloseWrite tells the other side that nothing more comes. Reading goes on.
func (st *Stream) CloseWrite() error {
	st.mu.Lock()
	if st.ended || st.reset != nil {
		defer st.mu.Unlock()
		return st.reset
	}
	st.ended = true
	both := st.otherEnded
	st.writeBy.set(time.Time{})
	st.writable.Broadcast()
	st.mu.Unlock()
	st.session.out.last(st, head{kind: typeWindow, flags: flagFIN, stream: st.id})
	if both {
		st.session.forget(st.id)
	}
	if st.session.over() {
		return st.session.Err()
	}
	return nil
}

// Reset ends the stream at once on both sides: calls that wait return, and what was not yet read is lost. It never blocks,
// and does nothing to a stream that has ended in both directions but for what waits to be read.
func (st *Stream) Reset() {
	st.mu.Lock()
	over := st.reset != nil || st.ended && st.otherEnded
	st.finish(net.ErrClosed)
	st.mu.Unlock()
	if !over {
		st.session.out.last(st, head{kind: typeWindow, flags: flagRST, stream: st.id})
		st.session.forget(st.id)
	}
}

// finish ends both directions. Its caller holds the lock.
func (st *Stream) finish(why error) {
	if st.reset == nil {
		st.reset = why
	}
	st.in.drop()
	st.readBy.set(time.Time{})
	st.writeBy.set(time.Time{})
	st.wakeLocked()
}

// The rest is for the goroutine that reads frames.

// receive takes a body of n bytes.
func (st *Stream) receive(n int, r *bufio.Reader) error {
	if err := st.use(n); err != nil {
		return err
	}
	if n <= smallSize {
		body, err := r.Peek(n)
		if err != nil {
			return err
		}
		st.arrive(func() { st.in.copyIn(body) })
		r.Discard(n)
		return nil
	}
	for n > 0 {
		p := newPiece(n)
		k := min(n, len(p.buf))
		if _, err := io.ReadFull(r, p.buf[:k]); err != nil {
			p.free()
			return err
		}
		p.end = k
		n -= k
		if !st.arrive(func() { st.in.add(p) }) {
			p.free()
		}
	}
	return nil
}

// use counts what comes against the window.
func (st *Stream) use(n int) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if n > st.window {
		return fmt.Errorf("%w: %d bytes more than may come on stream %d", ErrProtocol, n-st.window, st.id)
	}
	st.window -= n
	return nil
}

// arrive lets add put something to what waits to be read. It returns false where nobody will: after a reset, and after an
// end, which hashicorp/yamux lets overtake a Write.
func (st *Stream) arrive(add func()) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.reset != nil || st.otherEnded {
		return false
	}
	add()
	st.readable.Broadcast()
	return true
}

// widened says that the other side has room for more.
func (st *Stream) widened(more uint32) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.credit += int64(more)
	if st.credit > 1<<31 {
		return fmt.Errorf("%w: a window of %d bytes", ErrProtocol, st.credit)
	}
	st.writable.Signal()
	return nil
}

// hasEnded says that the other side writes no more.
func (st *Stream) hasEnded() error {
	st.mu.Lock()
	if st.otherEnded {
		st.mu.Unlock()
		return fmt.Errorf("%w: stream %d ends twice", ErrProtocol, st.id)
	}
	st.otherEnded = true
	both := st.ended
	st.readable.Broadcast()
	st.mu.Unlock()
	if both {
		st.session.forget(st.id)
	}
	return nil
}

// wasReset says that the other side has ended the stream.
func (st *Stream) wasReset() {
	st.mu.Lock()
	st.finish(ErrReset)
	st.mu.Unlock()
	st.session.out.mu.Lock()
	st.sentEnd = true
	st.session.out.room.Broadcast()
	st.session.out.mu.Unlock()
	st.session.forget(st.id)
}

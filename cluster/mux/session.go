package mux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrClosed says that the session has ended, by either side or because the connection failed.
	ErrClosed = errors.New("the session is closed")
	// ErrReset says that the other side has reset the stream, or refused it.
	ErrReset = errors.New("the other side has aborted the stream")
	// ErrProtocol says that the other side has broken the protocol.
	ErrProtocol = errors.New("the other side breaks the protocol")
)

// Config has the limits of a session. All must be set.
type Config struct {
	// Window is how many bytes one stream may have under way where the way is long, at least 256 KiB. It is 256 KiB where it
	// is short, because what lies about for longer has left the processor's cache by the time it is read.
	Window int
	// Backlog is how many streams may wait to be accepted. More are refused; this side opens no more than that.
	Backlog int
	// KeepAlive is the time between two pings, PingTimeout how long the answer may take. Since the answer comes only when
	// the other side takes what was written, this bounds writing too.
	KeepAlive, PingTimeout time.Duration
	// OpenTimeout ends a session whose other side neither accepts nor refuses a stream.
	OpenTimeout time.Duration
	// FlushTimeout is how long Close waits for what was written to leave and to arrive.
	FlushTimeout time.Duration
}

// Session is one side of a connection. All methods may be called by several goroutines at once. Somebody must call Accept
// all the time, or the other side can't open streams.
type Session struct {
	conn   net.Conn
	config Config
	odd    uint32 // 1 if this side's streams have odd numbers
	out    sender

	slots    chan struct{} // one for each stream that the other side has not yet accepted
	arrived  chan *Stream
	pongs    chan uint32
	far      atomic.Bool   // no answer to a ping has come fast
	done     chan struct{} // closed when the session has ended
	received chan struct{} // closed when nothing more is read from the connection
	running  sync.WaitGroup
	mu       sync.Mutex
	streams  map[uint32]*Stream
	unacked  map[uint32]time.Time // since when they wait to be accepted
	next     uint32
	goneAway bool
	err      error // why the session has ended
}

// Client begins the dialling side of a session, Server the other one. The session owns the connection from here on.
func Client(conn net.Conn, config Config) *Session { return begin(conn, config, 1) }

// Server begins the accepting side, see Client.
func Server(conn net.Conn, config Config) *Session { return begin(conn, config, 0) }

func begin(conn net.Conn, config Config, odd uint32) *Session {
	s := &Session{conn: conn, config: config, odd: odd, next: 2 - odd,
		slots: make(chan struct{}, config.Backlog), arrived: make(chan *Stream, config.Backlog), pongs: make(chan uint32, 1),
		done: make(chan struct{}), received: make(chan struct{}), streams: make(map[uint32]*Stream), unacked: make(map[uint32]time.Time)}
	s.out.init(conn)
	s.far.Store(true)
	s.running.Go(func() {
		if err := s.out.run(); err != nil {
			s.fail(fmt.Errorf("%w: writing: %w", ErrClosed, err))
		}
	})
	s.running.Go(func() {
		defer close(s.received)
		err := s.receive()
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
			err = errors.New("by the other side")
		}
		s.fail(fmt.Errorf("%w: %w", ErrClosed, err))
	})
	s.running.Go(s.keepAlive)
	return s
}

// Open begins a stream. ctx bounds the wait while too many are not yet accepted, and has no effect later.
func (s *Session) Open(ctx context.Context) (*Stream, error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.done:
		return nil, s.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return nil, s.err
	case s.goneAway:
		<-s.slots
		return nil, fmt.Errorf("%w: the other side takes no more streams", ErrClosed)
	case s.next > math.MaxUint32-2:
		<-s.slots
		return nil, fmt.Errorf("%w: its streams are used up", ErrClosed)
	}
	st := newStream(s, s.next)
	s.next += 2
	s.streams[st.id] = st
	s.unacked[st.id] = time.Now()
	// Under the lock, so that streams are opened in the order of their numbers.
	s.out.control(st.widen(flagSYN))
	return st, nil
}

// Accept waits for the next stream of the other side. The error is ErrClosed with the reason.
func (s *Session) Accept() (*Stream, error) {
	select {
	case st := <-s.arrived:
		s.out.control(st.widen(flagACK))
		return st, nil
	case <-s.done:
		return nil, s.Err()
	}
}

// Streams is the number of streams that have not ended in both directions.
func (s *Session) Streams() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}

// Done is closed when the session has ended, for whatever reason. Close must be called all the same.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err says why the session has ended; nil while it has not.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close ends the session and all its streams. What was written before is sent, if that doesn't take too long. It waits for
// all goroutines of the session, and may be called more than once.
func (s *Session) Close() error {
	limit := time.Now().Add(s.config.FlushTimeout)
	s.out.close(limit)
	// Closing a connection on which something has come that nobody reads would destroy what is on its way.
	if half, ok := s.conn.(interface{ CloseWrite() error }); ok && !s.over() && half.CloseWrite() == nil {
		s.conn.SetReadDeadline(limit)
		<-s.received
	}
	s.fail(ErrClosed)
	s.running.Wait()
	return nil
}

// fail ends the session. What has come in can still be read.
func (s *Session) fail(err error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = err
	streams := s.streams
	s.streams, s.unacked = nil, nil
	close(s.done)
	s.mu.Unlock()
	s.out.fail(err)
	for _, st := range streams {
		st.wake()
	}
	s.conn.Close()
}

// forget removes a stream that has ended.
func (s *Session) forget(id uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, id)
	s.settle(id)
}

// settle says that a stream no longer waits to be accepted. Its caller holds the lock.
func (s *Session) settle(id uint32) {
	if _, waits := s.unacked[id]; waits {
		delete(s.unacked, id)
		<-s.slots
	}
}

// shortWay is the time to the other side and back up to which the small window is enough for 128 MiB/s on each stream.
const shortWay = 2 * time.Millisecond

// window is how much a stream may have under way.
func (s *Session) window() int {
	if s.far.Load() {
		return s.config.Window
	}
	return firstWindow
}

// keepAlive ends the session when the other side gives no sign of life, and measures how far away it is.
func (s *Session) keepAlive() {
	tick := time.NewTicker(s.config.KeepAlive)
	defer tick.Stop()
	for n := uint32(1); ; n++ {
		sent := time.Now()
		s.out.control(head{kind: typePing, flags: flagSYN, length: n})
		if !s.awaitPong(n) {
			s.fail(fmt.Errorf("%w: no sign of life from the other side", ErrClosed))
			return
		}
		// An answer that comes late has waited behind others, and says nothing about the way.
		if time.Since(sent) < shortWay {
			s.far.Store(false)
		}
		if s.ignored() {
			s.fail(fmt.Errorf("%w: the other side accepts no streams", ErrClosed))
			return
		}
		select {
		case <-tick.C:
		case <-s.done:
			return
		}
	}
}

// awaitPong also returns true when the session has ended.
func (s *Session) awaitPong(n uint32) bool {
	limit := time.NewTimer(s.config.PingTimeout)
	defer limit.Stop()
	for {
		select {
		case got := <-s.pongs:
			if got == n {
				return true
			}
		case <-s.done:
			return true
		case <-limit.C:
			return false
		}
	}
}

// ignored tells whether a stream waits too long to be accepted.
func (s *Session) ignored() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, since := range s.unacked {
		if time.Since(since) > s.config.OpenTimeout {
			return true
		}
	}
	return false
}

// over tells whether the session has ended.
func (s *Session) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

package wire

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"kiosc/cluster/mux"
	"kiosc/cluster/pki"
)

// Kind says what a stream is for.
type Kind byte

// The kinds of streams.
const (
	Control     Kind = 1
	Logs        Kind = 2
	Proxy       Kind = 3
	Orders      Kind = 4  // the leader's with an agent
	Relay       Kind = 5  // from one manager through another to an agent
	Forward     Kind = 6  // commands for the leader, from another manager
	Call        Kind = 7  // one request and one answer between managers
	Usage       Kind = 8  // what containers use, for the leader
	File        Kind = 9  // a small file for a container, to its agent
	DockerStock Kind = 10 // what the Docker Engine of a host has, for people
	// StockRemoval is for what they remove of it.
	StockRemoval Kind = 11
)

const lastKind = StockRemoval

const (
	headVersion = 1
	streamHead  = 4
	// headTimeout is how long the side that opened a stream may take to say what it is for.
	headTimeout = 10 * time.Second
	// maxHeads bounds the streams whose head is awaited. Only a misbehaving side ever fills it, because the head
	// comes right behind the opening.
	maxHeads = 256
)

const (
	// acceptBacklog lets many visitors arrive at once; more streams than that are refused until some were accepted.
	acceptBacklog = 1024
	// keepAliveInterval, with pingTimeout, bounds how long a dead peer goes unnoticed, and keeps NAT entries fresh.
	keepAliveInterval = 3 * time.Second
	pingTimeout       = 10 * time.Second
	// streamWindow is how much one stream may have under way: at 100 ms round trip it allows 10 MiB/s. It is also how
	// much memory one stream can take.
	streamWindow = 1 << 20
	// openTimeout ends a session whose other side no longer accepts streams.
	openTimeout = 30 * time.Second
	// flushTimeout is how long Close waits for what was written to leave.
	flushTimeout = 2 * time.Second
)

// ErrSessionClosed says that the session has ended, by either side or because the connection failed.
var ErrSessionClosed = mux.ErrClosed

// Session is one connection between an agent and a manager, with any number of streams at once. All methods may be
// called by several goroutines at once. Somebody must call Accept all the time, or the other side can't open streams.
type Session struct {
	mux  *mux.Session
	conn net.Conn // for its addresses
	peer pki.Peer

	incoming chan incoming
	done     chan struct{} // closed when the session has ended
	err      error         // why; to be read after done

	mu      sync.Mutex // guards closing and adding to running
	closing bool
	running sync.WaitGroup
}

type incoming struct {
	kind   Kind
	header []byte
	stream *Stream
}

// Dial begins a session with a manager. ctx bounds connecting and the handshake.
func Dial(ctx context.Context, address string, credentials *pki.Credentials, protocol string) (*Session, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	secure := tls.Client(&gatherConn{Conn: conn}, credentials.ClientConfig(protocol))
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return NewClientSession(secure)
}

// NewClientSession begins a session on a connection that this side dialled. The session owns the connection from here
// on; on an error the connection is closed.
func NewClientSession(conn *tls.Conn) (*Session, error) {
	return newSession(conn, mux.Client, sessionConfig())
}

// NewServerSession begins a session on a connection that this side accepted. The session owns the connection from here
// on; on an error the connection is closed.
func NewServerSession(conn *tls.Conn) (*Session, error) {
	return newSession(conn, mux.Server, sessionConfig())
}

func sessionConfig() mux.Config {
	return mux.Config{
		Window:       streamWindow,
		Backlog:      acceptBacklog,
		KeepAlive:    keepAliveInterval,
		PingTimeout:  pingTimeout,
		OpenTimeout:  openTimeout,
		FlushTimeout: flushTimeout,
	}
}

func newSession(conn *tls.Conn, begin func(net.Conn, mux.Config) *mux.Session, config mux.Config) (*Session, error) {
	peer, err := handshake(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	var on net.Conn = conn
	if below, ok := conn.NetConn().(*gatherConn); ok {
		on = &gatheringConn{conn, below}
	}
	s := &Session{mux: begin(on, config), conn: conn, peer: peer, incoming: make(chan incoming), done: make(chan struct{})}
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		s.acceptLoop()
	}()
	return s, nil
}

func handshake(conn *tls.Conn) (pki.Peer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		return pki.Peer{}, fmt.Errorf("TLS handshake: %w", err)
	}
	certificates := conn.ConnectionState().PeerCertificates
	if len(certificates) == 0 {
		return pki.Peer{}, errors.New("the other side has no certificate")
	}
	return pki.PeerFromCertificate(certificates[0])
}

// Peer is who the other side is.
func (s *Session) Peer() pki.Peer { return s.peer }

// Done is closed when the session has ended, for whatever reason. Close must be called all the same.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err says why the session has ended. It is nil until Done is closed.
func (s *Session) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Streams is the number of streams that are open, in either direction.
func (s *Session) Streams() int { return s.mux.Streams() }

// Open begins a stream. The header is nil, a struct that the other side decodes with DecodeHeader, or a RawHeader. It fails when ctx
// ends before the stream's head could be sent; ctx has no effect on the stream later.
func (s *Session) Open(ctx context.Context, kind Kind, header any) (*Stream, error) {
	head, err := encodeHead(kind, header)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("opening a stream: %w", err)
	}
	m, err := s.mux.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening a stream: %w", err)
	}
	stream := newStream(s, m)
	if err := stream.writeHead(ctx, head); err != nil {
		stream.Kill()
		return nil, fmt.Errorf("opening a stream: %w", err)
	}
	return stream, nil
}

// writeHead may have to wait for the network, but then not longer than ctx.
func (s *Stream) writeHead(ctx context.Context, head []byte) error {
	stop := context.AfterFunc(ctx, s.Kill)
	_, err := s.Write(head)
	if !stop() && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func encodeHead(kind Kind, header any) ([]byte, error) {
	head := []byte{headVersion, byte(kind), 0, 0}
	raw, isRaw := header.(RawHeader)
	if !isRaw {
		var err error
		if raw, err = EncodeHeader(header); err != nil {
			return nil, err
		}
	}
	if len(raw) > maxHeader {
		return nil, fmt.Errorf("the header of a stream has %d bytes, at most %d", len(raw), maxHeader)
	}
	binary.BigEndian.PutUint16(head[2:], uint16(len(raw)))
	return append(head, raw...), nil
}

// RawHeader is a header that is encoded already.
type RawHeader []byte

// EncodeHeader gives a header's bytes, for a RelayHeader.
func EncodeHeader(header any) (RawHeader, error) {
	raw, err := encMode.Marshal(header)
	if err != nil {
		return nil, fmt.Errorf("encoding the header of a stream: %w", err)
	}
	return raw, nil
}

// DecodeHeader reads the header of a stream, as Accept returns it, into a pointer to its type.
func DecodeHeader(raw []byte, header any) error {
	if err := decMode.Unmarshal(raw, header); err != nil {
		return fmt.Errorf("decoding the header of a stream: %w", err)
	}
	if err := check(header); err != nil {
		return fmt.Errorf("%T breaks a limit: %w", header, err)
	}
	return nil
}

// Accept waits for the next stream that the other side opens. The header is for DecodeHeader.
// The error is ctx's, or ErrSessionClosed with the reason.
func (s *Session) Accept(ctx context.Context) (Kind, []byte, *Stream, error) {
	select {
	case in := <-s.incoming:
		return in.kind, in.header, in.stream, nil
	case <-ctx.Done():
		return 0, nil, nil, ctx.Err()
	case <-s.done:
		return 0, nil, nil, s.err
	}
}

// acceptLoop takes streams from yamux and reads their heads beside each other, so that one that is slow holds up none.
func (s *Session) acceptLoop() {
	slots := make(chan struct{}, maxHeads)
	for {
		m, err := s.mux.Accept()
		if err != nil {
			s.err = err
			close(s.done)
			return
		}
		select {
		case slots <- struct{}{}:
		case <-s.mux.Done():
			continue
		}
		stream := newStream(s, m)
		ok := s.spawn(func() {
			defer func() { <-slots }()
			s.receive(stream)
		})
		if !ok {
			<-slots
		}
	}
}

// receive reads the head of a stream and hands the stream to Accept.
func (s *Session) receive(stream *Stream) {
	stream.SetReadDeadline(time.Now().Add(headTimeout))
	kind, header, err := readHead(stream)
	if err != nil {
		stream.Kill()
		return
	}
	stream.SetReadDeadline(time.Time{})
	select {
	case s.incoming <- incoming{kind, header, stream}:
	case <-s.mux.Done():
	}
}

func readHead(r io.Reader) (Kind, []byte, error) {
	var head [streamHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	kind, size := Kind(head[1]), binary.BigEndian.Uint16(head[2:])
	if head[0] != headVersion || kind < Control || kind > lastKind || size > maxHeader {
		return 0, nil, fmt.Errorf("a stream of an unknown kind begins with %x", head)
	}
	header := make([]byte, size)
	if _, err := io.ReadFull(r, header); err != nil {
		return 0, nil, err
	}
	return kind, header, nil
}

// Close ends the session and all its streams. What was written before is sent, for up to two seconds. It waits for all
// goroutines of the session, and may be called more than once.
func (s *Session) Close() error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	err := s.mux.Close()
	s.running.Wait()
	return err
}

// spawn runs f in a goroutine that Close waits for. It returns false, without running f, when Close was called.
func (s *Session) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		f()
	}()
	return true
}

// LocalAddr and RemoteAddr are those of the connection.
func (s *Session) LocalAddr() net.Addr { return s.conn.LocalAddr() }

// RemoteAddr is the other side's address, for logs.
func (s *Session) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

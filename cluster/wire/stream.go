package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// lingerTimeout is how long a closed stream takes what the other side still sends, so that the other side comes to read
// what this one wrote last.
const lingerTimeout = 10 * time.Second

// ErrReset says that the other side killed the stream, or refused it.
var ErrReset = errors.New("the other side has aborted the stream")

// Stream is one connection in a session. It is a net.Conn: reading, writing and ending may be done by different
// goroutines at once. Whoever has a stream must end it with Close or Kill; CloseWrite alone keeps it.
//
// Errors: io.EOF after the other side's CloseWrite or Close; ErrReset after its Kill, without what was sent before;
// os.ErrDeadlineExceeded; net.ErrClosed after Close or Kill on this side; ErrSessionClosed. The end of the session is
// never io.EOF.
//
// A write deadline bounds only how long Write waits for the other side to read; the network has its own time limit.
type Stream struct {
	mux     *yamux.Stream
	session *Session
	ended   atomic.Bool // Close or Kill was called
	killed  atomic.Bool
	sawEOF  atomic.Bool
	halved  atomic.Bool // CloseWrite was called
}

var _ net.Conn = (*Stream)(nil)

func newStream(session *Session, mux *yamux.Stream) *Stream {
	return &Stream{mux: mux, session: session}
}

// Read reads what the other side has written.
func (s *Stream) Read(p []byte) (int, error) {
	if s.ended.Load() {
		return 0, net.ErrClosed
	}
	n, err := s.read(p)
	if err != nil && s.ended.Load() {
		err = net.ErrClosed
	}
	return n, err
}

func (s *Stream) read(p []byte) (int, error) {
	n, err := s.mux.Read(p)
	if err == io.EOF {
		// yamux ends all streams of a closed session this way too.
		if s.session.mux.IsClosed() {
			return n, ErrSessionClosed
		}
		s.sawEOF.Store(true)
		return n, io.EOF
	}
	return n, streamError(err)
}

// Wait returns when Read wouldn't wait: bytes have come, or the error is what Read would return.
func (s *Stream) Wait() error {
	_, err := s.Read(nil)
	return err
}

// Quiet tells whether there is nothing to read: no bytes wait, and the stream has not ended in any way. It must not be
// called during a Read, and takes away the deadline of later ones.
func (s *Stream) Quiet() bool {
	if s.ended.Load() || s.mux.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false
	}
	_, err := s.read(nil) // takes nothing
	return s.mux.SetReadDeadline(time.Time{}) == nil && err == os.ErrDeadlineExceeded
}

// Write blocks while the other side has not read enough of what was written before.
func (s *Stream) Write(p []byte) (int, error) {
	if s.ended.Load() {
		return 0, net.ErrClosed
	}
	n, err := s.mux.Write(p)
	if err != nil && s.ended.Load() {
		return n, net.ErrClosed
	}
	return n, streamError(err)
}

// CloseWrite tells the other side that nothing more comes. Reading goes on.
func (s *Stream) CloseWrite() error {
	if s.halved.Swap(true) {
		return nil
	}
	return streamError(s.mux.Close())
}

// Close ends the stream in both directions without losing what was written. What the other side still sends is dropped;
// if it goes on for more than ten seconds, the stream is killed. Close does not wait for that, nor for anything else.
func (s *Stream) Close() error {
	if s.ended.Swap(true) {
		return nil
	}
	if s.sawEOF.Load() && s.halved.Load() {
		return nil
	}
	s.mux.SetDeadline(time.Now().Add(lingerTimeout))
	if !s.session.spawn(s.linger) {
		s.Kill()
	}
	return nil
}

func (s *Stream) linger() {
	s.CloseWrite()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		if _, err := s.read(*buf); err != nil {
			break
		}
	}
	if !s.sawEOF.Load() {
		s.Kill()
	}
}

// Kill ends the stream at once on both sides: calls that wait return, and what was not yet read is lost. It never
// blocks, and does nothing to a stream that has come to its end in both directions.
func (s *Stream) Kill() {
	s.ended.Store(true)
	if s.killed.Swap(true) || (s.sawEOF.Load() && s.halved.Load()) {
		return
	}
	s.mux.SetDeadline(time.Unix(1, 0))
	s.session.conn.reset(s.mux.StreamID())
}

// SetDeadline sets both deadlines; the zero time is none.
func (s *Stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// SetReadDeadline bounds waiting and later calls of Read.
func (s *Stream) SetReadDeadline(t time.Time) error {
	if s.ended.Load() {
		return net.ErrClosed
	}
	return s.mux.SetReadDeadline(t)
}

// SetWriteDeadline bounds how long Write waits for the other side to read.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	if s.ended.Load() {
		return net.ErrClosed
	}
	return s.mux.SetWriteDeadline(t)
}

// Session is the session that the stream belongs to.
func (s *Stream) Session() *Session { return s.session }

// LocalAddr is that of the session's connection.
func (s *Stream) LocalAddr() net.Addr { return s.session.LocalAddr() }

// RemoteAddr is that of the session's connection.
func (s *Stream) RemoteAddr() net.Addr { return s.session.RemoteAddr() }

// streamError turns yamux's errors into those that callers of net.Conn know.
func streamError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, yamux.ErrTimeout):
		return os.ErrDeadlineExceeded
	case errors.Is(err, yamux.ErrConnectionReset):
		return ErrReset
	case errors.Is(err, yamux.ErrStreamClosed):
		return net.ErrClosed
	case errors.Is(err, yamux.ErrSessionShutdown):
		return ErrSessionClosed
	}
	return fmt.Errorf("%w: %w", ErrSessionClosed, err)
}

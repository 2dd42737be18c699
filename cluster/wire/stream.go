package wire

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"kiosc/cluster/mux"
)

// lingerTimeout is how long a closed stream takes what the other side still sends, so that the other side comes to read
// what this one wrote last.
const lingerTimeout = 10 * time.Second

// ErrReset says that the other side killed the stream, or refused it.
var ErrReset = mux.ErrReset

// Stream is one connection in a session. It is a net.Conn: reading, writing and ending may be done by different
// goroutines at once. Whoever has a stream must end it with Close or Kill; CloseWrite alone keeps it.
//
// Errors: io.EOF after the other side's CloseWrite or Close; ErrReset after its Kill, without what was sent before;
// os.ErrDeadlineExceeded; net.ErrClosed after Close or Kill on this side; ErrSessionClosed. The end of the session is
// never io.EOF.
//
// A write deadline bounds only how long Write waits for the other side to read; the network has its own time limit.
type Stream struct {
	mux     *mux.Stream
	session *Session
	ended   atomic.Bool // Close or Kill was called
	sawEOF  atomic.Bool
}

var _ net.Conn = (*Stream)(nil)

func newStream(session *Session, mux *mux.Stream) *Stream {
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
		s.sawEOF.Store(true)
	}
	return n, err
}

// Next reads without copying: it returns what came together, up to 64 KiB. That is valid until the reader calls Next or
// Release, which it must.
func (s *Stream) Next() ([]byte, error) {
	if s.ended.Load() {
		return nil, net.ErrClosed
	}
	piece, err := s.mux.Next()
	if err == io.EOF {
		s.sawEOF.Store(true)
	}
	if err != nil && s.ended.Load() {
		err = net.ErrClosed
	}
	return piece, err
}

// Release gives back what Next has returned.
func (s *Stream) Release() { s.mux.Release() }

// Wait returns when Read wouldn't wait: bytes have come, or the error is what Read would return.
func (s *Stream) Wait() error {
	_, err := s.Read(nil)
	return err
}

// Quiet tells whether there is nothing to read: no bytes wait, and the stream has not ended in any way.
func (s *Stream) Quiet() bool { return !s.ended.Load() && s.mux.Quiet() }

// Write blocks while the other side has not read enough of what was written before.
func (s *Stream) Write(p []byte) (int, error) {
	if s.ended.Load() {
		return 0, net.ErrClosed
	}
	n, err := s.mux.Write(p)
	if err != nil && s.ended.Load() {
		return n, net.ErrClosed
	}
	return n, err
}

// CloseWrite tells the other side that nothing more comes. Reading goes on.
func (s *Stream) CloseWrite() error { return s.mux.CloseWrite() }

// Close ends the stream in both directions without losing what was written. What the other side still sends is dropped;
// if it goes on for more than ten seconds, the stream is killed. Close does not wait for that, nor for anything else.
func (s *Stream) Close() error {
	if s.ended.Swap(true) {
		return nil
	}
	if s.sawEOF.Load() {
		return s.mux.CloseWrite()
	}
	limit := time.Now().Add(lingerTimeout)
	s.mux.SetReadDeadline(limit)
	s.mux.SetWriteDeadline(limit)
	if !s.session.spawn(s.linger) {
		s.Kill()
	}
	return nil
}

func (s *Stream) linger() {
	s.mux.CloseWrite()
	for {
		if err := s.mux.Drop(); err == io.EOF {
			return
		} else if err != nil {
			s.Kill()
			return
		}
	}
}

// Kill ends the stream at once on both sides: calls that wait return, and what was not yet read is lost. It never
// blocks, and does nothing to a stream that has come to its end in both directions.
func (s *Stream) Kill() {
	s.ended.Store(true)
	s.mux.Reset()
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

package wire

import (
	"io"
	"net"
	"sync"
	"syscall"
)

// pieceSize is how much is copied at a time. With less, the calls cost more than the bytes.
const pieceSize = 64 << 10

var buffers = sync.Pool{New: func() any {
	buf := make([]byte, pieceSize)
	return &buf
}}

// reader reads pieces from a connection. It has a buffer only while there is something to read, so that connections that
// are silent for hours take no memory for it. Those that can't be waited for otherwise keep theirs.
type reader struct {
	conn net.Conn
	raw  syscall.RawConn // of a TCP connection
	own  piecewise
	buf  *[]byte

	n       int // of the last read through raw
	err     error
	readRaw func(fd uintptr) bool
}

// piecewise is what lends what has come, see Stream.
type piecewise interface {
	Next() ([]byte, error)
	Release()
}

func newReader(conn net.Conn) *reader {
	r := &reader{conn: conn}
	switch c := conn.(type) {
	case *net.TCPConn:
		// It fails for a closed connection only, and then so does Read.
		if raw, err := c.SyscallConn(); err == nil {
			r.raw, r.readRaw = raw, r.tryRead
		}
	case piecewise:
		r.own = c
	}
	return r
}

// next waits for the next piece, which is valid until the following call. A piece may come with an error.
func (r *reader) next() ([]byte, error) {
	if r.raw != nil {
		return r.nextRaw()
	}
	if r.own != nil {
		return r.own.Next()
	}
	r.take()
	n, err := r.conn.Read(*r.buf)
	return (*r.buf)[:n], err
}

// nextRaw is the Read of a TCP connection, but for where the buffer comes from.
func (r *reader) nextRaw() ([]byte, error) {
	if err := r.raw.Read(r.readRaw); err != nil {
		return nil, err
	}
	switch {
	case r.err != nil:
		return nil, &net.OpError{Op: "read", Net: "tcp", Source: r.conn.LocalAddr(), Addr: r.conn.RemoteAddr(), Err: r.err}
	case r.n == 0:
		return nil, io.EOF
	}
	return (*r.buf)[:r.n], nil
}

// tryRead tells whether there was something to read.
func (r *reader) tryRead(fd uintptr) bool {
	r.take()
	for {
		r.n, r.err = syscall.Read(int(fd), *r.buf)
		if r.err != syscall.EINTR {
			break
		}
	}
	if r.err == syscall.EAGAIN {
		r.release()
		return false
	}
	return true
}

func (r *reader) take() {
	if r.buf == nil {
		r.buf = buffers.Get().(*[]byte)
	}
}

// release gives the buffer back; the last piece is no longer valid.
func (r *reader) release() {
	if r.own != nil {
		r.own.Release()
	}
	if r.buf != nil {
		buffers.Put(r.buf)
		r.buf = nil
	}
}

// Copy writes to one connection what it reads from another, until that ends, which is no error. While nothing comes, it
// holds no memory for TCP connections and streams.
func Copy(to io.Writer, from net.Conn) error {
	r := newReader(from)
	defer r.release()
	for {
		piece, err := r.next()
		if len(piece) > 0 {
			if _, err := to.Write(piece); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

package wire

import (
	"encoding/binary"
	"net"
	"sync"
	"time"
)

const (
	// writeBuffer is how much yamux may be ahead of the network. It is also how long a small frame may have to wait
	// behind bulk data, so it is not larger than what makes writes few.
	writeBuffer = 256 << 10
	// writeTimeout ends a connection whose other side takes nothing.
	writeTimeout = 30 * time.Second
	// flushTimeout is how long Close waits for what was written to leave.
	flushTimeout = 2 * time.Second
)

// batchConn stands between yamux and TLS. yamux writes the head and the body of each frame on their own; here they
// gather in a buffer while the write before them is under way, and go out together. A Write therefore returns before
// its bytes have left, and a failure shows in a later one.
//
// It also follows the frames that pass, so that reset can put one of its own between them.
type batchConn struct {
	net.Conn // not written to or read from but by this type
	flush    time.Duration

	mu      sync.Mutex
	changed sync.Cond // on mu
	buf     []byte
	out     frames // of what was put into buf
	pending []byte // frames of ours that wait for the end of the frame in buf
	closing bool
	err     error
	done    chan struct{} // closed when the writing goroutine has ended

	inMu sync.Mutex
	in   frames
	fake []byte // frames of ours that yamux shall read as if the other side had sent them
}

func newBatchConn(conn net.Conn) *batchConn {
	c := &batchConn{Conn: conn, flush: flushTimeout, done: make(chan struct{})}
	c.changed.L = &c.mu
	go c.writeLoop()
	return c
}

// Write puts p into the buffer, and blocks while that is full. It fails with the error that ended the connection.
func (c *batchConn) Write(p []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n < len(p) {
		for c.err == nil && !c.closing && len(c.buf) >= writeBuffer {
			c.changed.Wait()
		}
		if c.err != nil {
			return n, c.err
		}
		if c.closing {
			return n, net.ErrClosed
		}
		part := p[n:min(len(p), n+writeBuffer-len(c.buf))]
		c.buf = append(c.buf, part...)
		c.out.advance(part)
		n += len(part)
		c.appendPending()
		c.changed.Broadcast()
	}
	return n, nil
}

func (c *batchConn) writeLoop() {
	defer close(c.done)
	var batch []byte
	for {
		c.mu.Lock()
		for len(c.buf) == 0 && !c.closing {
			c.changed.Wait()
		}
		if len(c.buf) == 0 {
			c.mu.Unlock()
			return
		}
		batch, c.buf = c.buf, batch[:0]
		timeout := writeTimeout
		if c.closing {
			timeout = c.flush
		}
		// Under the lock, so that it doesn't undo the shorter deadline of a Close.
		c.Conn.SetWriteDeadline(time.Now().Add(timeout))
		c.changed.Broadcast()
		c.mu.Unlock()
		if _, err := c.Conn.Write(batch); err != nil {
			c.fail(err)
			return
		}
	}
}

// fail makes all later writes fail, and wakes yamux's reader.
func (c *batchConn) fail(err error) {
	c.mu.Lock()
	c.err = err
	c.changed.Broadcast()
	c.mu.Unlock()
	c.Conn.Close()
}

// Close sends what was written, for a short time, and closes the connection. It waits for the writing goroutine.
func (c *batchConn) Close() error {
	c.mu.Lock()
	if !c.closing {
		c.closing = true
		c.Conn.SetWriteDeadline(time.Now().Add(c.flush))
		c.changed.Broadcast()
	}
	c.mu.Unlock()
	<-c.done
	return c.Conn.Close()
}

// Read is for yamux's one reading goroutine, which has a small buffer of its own.
func (c *batchConn) Read(p []byte) (int, error) {
	c.inMu.Lock()
	if len(c.fake) > 0 {
		if c.in.between() {
			n := copy(p, c.fake)
			c.fake = c.fake[n:]
			c.inMu.Unlock()
			return n, nil
		}
		// Stop at the end of this frame, to go on with ours.
		p = p[:min(len(p), c.in.need())]
	}
	c.inMu.Unlock()
	n, err := c.Conn.Read(p)
	c.inMu.Lock()
	c.in.advance(p[:n])
	c.inMu.Unlock()
	return n, err
}

// reset aborts a stream on both sides at once: the other side gets a reset frame, and so does yamux on this side, with
// the next bytes that come in. It never blocks. For a stream that is no longer there it does nothing.
func (c *batchConn) reset(stream uint32) {
	frame := resetFrame(stream)
	c.inMu.Lock()
	c.fake = append(c.fake, frame[:]...)
	c.inMu.Unlock()

	c.mu.Lock()
	c.pending = append(c.pending, frame[:]...)
	c.appendPending()
	c.changed.Broadcast()
	c.mu.Unlock()
}

// appendPending may exceed the buffer's limit by twelve bytes for each open stream.
func (c *batchConn) appendPending() {
	if len(c.pending) > 0 && c.out.between() && c.err == nil && !c.closing {
		c.buf = append(c.buf, c.pending...)
		c.pending = c.pending[:0]
	}
}

// What this package has to know of yamux's frames.
const (
	muxHead      = 12
	muxData      = 0
	muxWindow    = 1
	muxFlagReset = 8
	muxTypeAt    = 1
	muxFlagsAt   = 2
	muxStreamAt  = 4
	muxLengthAt  = 8
)

func resetFrame(stream uint32) (frame [muxHead]byte) {
	frame[muxTypeAt] = muxWindow
	binary.BigEndian.PutUint16(frame[muxFlagsAt:], muxFlagReset)
	binary.BigEndian.PutUint32(frame[muxStreamAt:], stream)
	return frame
}

// frames follows a sequence of yamux frames to know where one ends.
type frames struct {
	head [muxHead]byte
	have int // bytes of head
	body int // bytes of the body that are still to come
}

// between says that the next byte begins a frame.
func (f *frames) between() bool { return f.have == 0 && f.body == 0 }

// need is the number of bytes up to the end of the head or of the body, whichever comes first.
func (f *frames) need() int {
	if f.body > 0 {
		return f.body
	}
	return muxHead - f.have
}

func (f *frames) advance(p []byte) {
	for len(p) > 0 {
		n := min(len(p), f.need())
		if f.body > 0 {
			f.body -= n
		} else {
			copy(f.head[f.have:], p[:n])
			if f.have += n; f.have == muxHead {
				f.have = 0
				if f.head[muxTypeAt] == muxData {
					f.body = int(binary.BigEndian.Uint32(f.head[muxLengthAt:]))
				}
			}
		}
		p = p[n:]
	}
}

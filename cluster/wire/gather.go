package wire

import (
	"crypto/tls"
	"net"
	"sync"
)

// gatherSize is how much leaves in one write at most.
const gatherSize = 128 << 10

// gatherConn stands below TLS, which writes each record of 16 KiB by itself. Between cork and uncork the records gather and
// leave in few writes; else they pass as they come.
type gatherConn struct {
	net.Conn

	mu     sync.Mutex
	corked bool
	buf    *[]byte // nil while there is nothing in it
}

var gathered = sync.Pool{New: func() any {
	b := make([]byte, 0, gatherSize)
	return &b
}}

// cork begins to gather. Errors of later writes may come from uncork.
func (g *gatherConn) cork() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.corked = true
}

// uncork writes what has gathered.
func (g *gatherConn) uncork() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.corked = false
	return g.flush()
}

func (g *gatherConn) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.buf != nil && len(*g.buf)+len(p) > gatherSize {
		if err := g.flush(); err != nil {
			return 0, err
		}
	}
	if !g.corked || len(p) > gatherSize {
		return g.Conn.Write(p)
	}
	if g.buf == nil {
		g.buf = gathered.Get().(*[]byte)
	}
	*g.buf = append(*g.buf, p...)
	return len(p), nil
}

func (g *gatherConn) flush() error {
	if g.buf == nil {
		return nil
	}
	_, err := g.Conn.Write(*g.buf)
	*g.buf = (*g.buf)[:0]
	gathered.Put(g.buf)
	g.buf = nil
	return err
}

// gatheringConn is TLS over a gatherConn.
type gatheringConn struct {
	*tls.Conn
	below *gatherConn
}

// Write is for the one goroutine that writes.
func (c *gatheringConn) Write(p []byte) (int, error) {
	c.below.cork()
	n, err := c.Conn.Write(p)
	if late := c.below.uncork(); err == nil {
		err = late
	}
	return n, err
}

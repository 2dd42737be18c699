package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kiosc/cluster/wire"
)

// relay passes the final response on as it comes; it reports whether the
// connection can be kept.
func (x *exchange) relay(resp *http.Response, reuse bool) (bool, error) {
	p := buffers.Get().(*[]byte)
	defer func() {
		if p != nil {
			buffers.Put(p)
		}
	}()
	_, reason, _ := strings.Cut(resp.Status, " ")
	b := appendStatus((*p)[:0], resp.StatusCode, oneLine(reason))
	b = x.appendForClient(b, resp.Header)
	bodyless := x.req.method == http.MethodHead || resp.StatusCode == http.StatusNoContent ||
		resp.StatusCode == http.StatusNotModified
	chunks := false
	switch {
	case resp.StatusCode == http.StatusNoContent:
	case bodyless:
		if v := resp.Header.Get("Content-Length"); v != "" {
			b = appendField(b, "Content-Length", v)
		}
	case resp.ContentLength >= 0:
		b = appendField(b, "Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	case x.req.minor == 1:
		chunks = true
		b = appendField(b, "Transfer-Encoding", "chunked")
		for name := range resp.Trailer {
			b = appendField(b, "Trailer", name)
		}
	default:
		reuse = false
	}
	if !reuse {
		b = appendField(b, "Connection", "close")
	} else if x.req.minor == 0 {
		b = appendField(b, "Connection", "keep-alive")
	}
	b = append(b, "\r\n"...)
	if from, ok := x.backend.Conn.(lender); ok && !bodyless && resp.ContentLength > 0 {
		left := resp.ContentLength
		err := x.relayFirst(b, from, &left)
		buffers.Put(p)
		p = nil
		if err == nil {
			err = x.relayRest(from, left)
		}
		return reuse, err
	}
	defer resp.Body.Close()
	ahead := len(b)
	// There is nothing to wait for behind the head: the app keeps its connection.
	bodyless = bodyless || resp.ContentLength == 0
	if bodyless || ahead > bufferSize/2 || !x.bodyHasBegun(chunks) {
		if _, err := x.c.Write(b); err != nil {
			return false, err
		}
		ahead = 0
	}
	if bodyless {
		return reuse, nil
	}
	if err := x.relayBody(&p, ahead, resp.Body, chunks); err != nil {
		if !chunks && resp.ContentLength < 0 {
			x.c.reset()
		}
		return false, err
	}
	if chunks {
		return reuse, x.endChunks(resp.Trailer)
	}
	return reuse, nil
}

// lender is a connection that lends what has come, so that it need not be
// copied; see Dialer.
type lender interface {
	Next() ([]byte, error)
	Release()
	Quiet() bool
}

// relayFirst writes a head, and with it what has come of a body of which left
// bytes are to come.
func (x *exchange) relayFirst(head []byte, from lender, left *int64) error {
	read, _ := x.backend.br.Peek(int(min(int64(x.backend.br.Buffered()), *left)))
	*left -= int64(len(read))
	out := net.Buffers{append(head, read...)}
	defer x.backend.br.Discard(len(read))
	if *left == 0 || from.Quiet() {
		_, err := x.c.Write(out[0])
		return err
	}
	defer from.Release()
	piece, failed := x.lend(from, left)
	if len(piece) > 0 {
		out = append(out, piece)
	}
	if _, err := out.WriteTo(x.c.Conn); err != nil {
		return err
	}
	return failed
}

// relayRest writes what is left of a body as it comes.
func (x *exchange) relayRest(from lender, left int64) error {
	defer from.Release()
	for left > 0 {
		piece, failed := x.lend(from, &left)
		if len(piece) > 0 {
			if _, err := x.c.Write(piece); err != nil {
				return err
			}
		}
		if failed != nil {
			return failed
		}
	}
	return nil
}

// lend waits for the next piece of a body and counts it.
func (x *exchange) lend(from lender, left *int64) ([]byte, error) {
	piece, err := from.Next()
	if int64(len(piece)) > *left {
		x.excess = true
		piece = piece[:*left]
	}
	*left -= int64(len(piece))
	switch {
	case *left == 0:
		err = nil
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return piece, err
}

// bodyHasBegun tells whether a piece of the body has come with the head, so
// that it can be read without waiting.
func (x *exchange) bodyHasBegun(chunks bool) bool {
	piece, _ := x.backend.br.Peek(x.backend.br.Buffered())
	if chunks {
		_, piece, _ = bytes.Cut(piece, []byte{'\n'})
	}
	return len(piece) > 0
}

// sizeRoom is the room before a piece for its size in hexadecimal and CR LF.
const sizeRoom = 10

// relayBody writes each piece to the client as soon as it is read, the first
// one together with the bytes ahead that the buffer begins with. It may
// exchange the buffer.
func (x *exchange) relayBody(p **[]byte, ahead int, from io.Reader, chunks bool) error {
	for {
		if ahead == 0 {
			x.waitForPiece(p)
		}
		buf := **p
		at := ahead + sizeRoom
		n, err := from.Read(buf[at : len(buf)-2])
		start, end := at, at+n
		if chunks && n > 0 {
			size := strconv.AppendInt(make([]byte, 0, sizeRoom), int64(n), 16)
			size = append(size, "\r\n"...)
			start -= len(size)
			copy(buf[start:], size)
			end += copy(buf[end:], "\r\n")
		}
		copy(buf[start-ahead:], buf[:ahead])
		start -= ahead
		ahead = 0
		if end > start {
			if _, err := x.c.Write(buf[start:end]); err != nil {
				return err
			}
			x.s.counts.out.Add(float64(n))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// waitForPiece waits without a buffer, where the connection can.
func (x *exchange) waitForPiece(p **[]byte) {
	w, ok := x.backend.Conn.(interface{ Wait() error })
	if !ok || x.backend.br.Buffered() > 0 {
		return
	}
	buffers.Put(*p)
	_ = w.Wait() // reading brings the error again
	*p = buffers.Get().(*[]byte)
}

func (x *exchange) endChunks(trailer http.Header) error {
	kept := http.Header{}
	for name, values := range trailer {
		if !noTrailer[name] && isToken(name) {
			kept[name] = values
		}
	}
	_, err := x.c.Write(appendHead([]byte("0\r\n"), kept))
	return err
}

// switchProtocols passes the app's consent on and then carries bytes.
func (x *exchange) switchProtocols(resp *http.Response) bool {
	x.stop(nil)
	_ = x.c.SetReadDeadline(time.Time{})
	if !x.body.done() || x.gone || !x.c.run.mark(x.c, upgraded) {
		x.backend.kill()
		return false
	}
	b := x.appendForClient(appendStatus(nil, resp.StatusCode, ""), resp.Header)
	b = appendField(appendField(b, "Connection", "Upgrade"), "Upgrade", resp.Header.Get("Upgrade"))
	if _, err := x.c.Write(append(b, "\r\n"...)); err != nil {
		x.backend.kill()
		return false
	}
	_ = x.backend.SetDeadline(time.Time{})
	x.s.counts.upgraded.Inc()
	defer x.s.counts.upgraded.Dec()
	up := make(chan struct{})
	go func() {
		defer close(up)
		x.splice(x.backend.Conn, counted{x.noticing(resp.Header.Get("Upgrade")), x.s.counts.in}, x.c.br, x.c.Conn)
	}()
	x.splice(x.c.Conn, counted{x.c.Conn, x.s.counts.out}, x.backend.br, x.backend.Conn)
	<-up
	return false
}

// noticing is the way to the app, on which what the browser does counts as use.
func (x *exchange) noticing(protocol string) io.Writer {
	accessed := func() { x.s.accessed(x.target) }
	if strings.EqualFold(protocol, "websocket") {
		return &frames{to: x.backend.Conn, message: accessed}
	}
	return writer(func(p []byte) (int, error) {
		accessed()
		return x.backend.Conn.Write(p)
	})
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// splice carries one direction by w, first what was read ahead. An orderly end
// is passed on as such where the connection can; anything else ends both
// directions.
func (x *exchange) splice(to net.Conn, w io.Writer, ahead *bufio.Reader, from net.Conn) {
	var err error
	if read, _ := ahead.Peek(ahead.Buffered()); len(read) > 0 {
		_, err = w.Write(read)
	}
	if err == nil {
		err = wire.Copy(w, from)
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil && half.CloseWrite() == nil {
		return
	}
	x.backend.kill()
	x.c.abort()
}

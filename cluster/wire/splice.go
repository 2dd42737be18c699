package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

const (
	// replyTimeout is how long a server that takes no more may be silent before its reply counts as complete.
	replyTimeout = 5 * time.Second
	// lingerIdle and lingerTotal bound how much longer a client is listened to whose server has failed. Until it stops
	// sending it may not look at the reply, and closing on it would destroy the reply. Web servers use the same.
	lingerIdle  = 5 * time.Second
	lingerTotal = 30 * time.Second
	// answeredIdle is how long a client may be silent after its server has said all it will say.
	answeredIdle = time.Minute
)

// Splice connects client, the side that called, with server, the side that was called, and copies bytes both ways until
// both directions have ended. It ends both connections and returns after its last goroutine. When ctx ends, both are
// killed at once.
//
// Each side's end of writing is passed on as a half close, where the other has CloseWrite. Both sides may be silent for
// as long as they like while none has ended. What happens at the end:
//
//   - The client fails: the server is killed at once.
//   - The server fails or takes no more, as when it refuses an upload: what it has said still reaches the client, the
//     rest of the upload is dropped, and the client is killed if it goes on for too long.
//   - The client has ended writing: the server may take any time to answer.
//   - The server has ended writing: the client is killed if it then is silent for a minute.
func Splice(ctx context.Context, client, server net.Conn) {
	s := &splice{client: client, server: server}
	killed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(killed)
		s.kill()
	})
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		s.download()
	}()
	s.upload()
	<-answered
	if !stop() {
		<-killed
	}
	s.kill()
}

type splice struct {
	client, server net.Conn
	// refused says that the server takes no more; answered that it has said all.
	refused, answered atomic.Bool
}

// upload copies from the client to the server.
func (s *splice) upload() {
	in := newReader(s.client)
	defer in.release()
	for {
		piece, err := in.next()
		if len(piece) > 0 {
			if s.answered.Load() {
				s.limitAnswered()
			}
			if _, err := s.server.Write(piece); err != nil {
				s.refused.Store(true)
				s.server.SetReadDeadline(time.Now().Add(replyTimeout))
				s.drain(in)
				return
			}
		}
		if err == io.EOF {
			closeWrite(s.server)
			return
		}
		if err != nil {
			s.kill()
			return
		}
	}
}

// drain drops what the client still sends: without limit while the reply is on its way, then for a short time.
func (s *splice) drain(in *reader) {
	var until time.Time
	for {
		if s.answered.Load() {
			now := time.Now()
			if until.IsZero() {
				until = now.Add(lingerTotal)
			}
			next := now.Add(lingerIdle)
			if next.After(until) {
				next = until
			}
			s.client.SetReadDeadline(next)
		}
		if _, err := in.next(); err == io.EOF {
			return
		} else if err != nil {
			s.kill()
			return
		}
	}
}

// download copies from the server to the client.
func (s *splice) download() {
	in := newReader(s.server)
	defer in.release()
	for {
		piece, err := in.next()
		if len(piece) > 0 {
			if _, err := s.client.Write(piece); err != nil {
				s.kill()
				return
			}
			if s.refused.Load() {
				s.server.SetReadDeadline(time.Now().Add(replyTimeout))
			}
		}
		if err == nil {
			continue
		}
		closeWrite(s.client)
		s.answered.Store(true)
		if err == io.EOF && !s.refused.Load() {
			s.limitAnswered()
		} else {
			s.client.SetReadDeadline(time.Now().Add(lingerIdle))
		}
		return
	}
}

func (s *splice) limitAnswered() {
	limit := time.Now().Add(answeredIdle)
	s.client.SetReadDeadline(limit)
	s.server.SetWriteDeadline(limit)
}

func (s *splice) kill() {
	kill(s.client)
	kill(s.server)
}

// kill ends a connection at once.
func kill(c net.Conn) {
	if k, ok := c.(interface{ Kill() }); ok {
		k.Kill()
		return
	}
	c.Close()
}

// closeWrite passes on that nothing more comes. A connection that can't be closed by half is closed.
func closeWrite(c net.Conn) {
	h, ok := c.(interface{ CloseWrite() error })
	if !ok {
		c.Close()
		return
	}
	// It fails where the connection is gone already, which the other direction sees too.
	if err := h.CloseWrite(); errors.Is(err, errors.ErrUnsupported) {
		c.Close()
	}
}

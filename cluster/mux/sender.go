package mux

import (
	"net"
	"runtime"
	"sync"
	"time"
)

const (
	// writeBuffer is how much may wait to leave before writers have to. It is also how long a small frame may have to wait
	// behind bulk data, so it is not larger than what makes writes few. One frame may go beyond it.
	writeBuffer = 256 << 10
	// answersBuffer is how far the answers to pings may go beyond that. A side that asks for more gets none.
	answersBuffer = writeBuffer + pieceSize + 8<<10
	// gatherBelow is how little there must be to write for others to be let in first.
	gatherBelow = 32 << 10
)

// batches are buffers for frames that leave together.
var batches = sync.Pool{New: func() any {
	b := make([]byte, 0, answersBuffer)
	return &b
}}

// sender gathers frames while the write before them is under way, and writes them together.
type sender struct {
	conn net.Conn

	mu      sync.Mutex
	work    sync.Cond // there is something to write, or nothing will be
	room    sync.Cond // the buffer has room, or a stream or the session has ended
	batch   *[]byte   // nil while there is nothing to write
	idle    bool      // the writing goroutine waits for work
	waiting int       // writers that wait for room
	woken   bool      // one of them was given room and has not taken it yet
	closing bool
	err     error
	done    chan struct{} // closed when the writing goroutine has ended
}

func (s *sender) init(conn net.Conn) {
	s.conn = conn
	s.work.L, s.room.L = &s.mu, &s.mu
	s.done = make(chan struct{})
}

// data sends a frame with a body of up to pieceSize bytes. It waits while there is no room.
func (s *sender) data(st *Stream, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for first := true; ; first = false {
		if err := s.ended(); err != nil {
			return err
		}
		if st.sentEnd {
			s.passOn()
			return net.ErrClosed
		}
		// Who comes now waits behind those who wait already.
		if s.size() < writeBuffer && (s.waiting == 0 || !first) {
			break
		}
		s.waiting++
		s.room.Wait()
		s.waiting--
		s.woken = false
	}
	s.put(head{kind: typeData, stream: st.id, length: uint32(len(body))}, body)
	s.passOn()
	return nil
}

// passOn gives room that is left to the next one who waits, also when the one who was given it doesn't need it. Two at once
// could find room for one only, and the other would lose its place.
func (s *sender) passOn() {
	if s.waiting > 0 && !s.woken && s.size() < writeBuffer {
		s.woken = true
		s.room.Signal()
	}
}

// control sends a frame without a body. It never waits.
func (s *sender) control(h head) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended() == nil {
		s.put(h, nil)
	}
}

// answer sends the answer to a ping.
func (s *sender) answer(h head) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended() == nil && s.size() < answersBuffer-headSize {
		s.put(h, nil)
	}
}

// last sends a frame after which the stream sends no data. What still waits for room fails.
func (s *sender) last(st *Stream, h head) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.sentEnd = true
	if s.ended() != nil {
		return
	}
	s.put(h, nil)
	if s.waiting > 0 {
		s.room.Broadcast()
	}
}

// ended says why nothing more can be sent.
func (s *sender) ended() error {
	if s.err == nil && s.closing {
		return ErrClosed
	}
	return s.err
}

func (s *sender) size() int {
	if s.batch == nil {
		return 0
	}
	return len(*s.batch)
}

func (s *sender) put(h head, body []byte) {
	if s.batch == nil {
		s.batch = batches.Get().(*[]byte)
	}
	*s.batch = append(h.append(*s.batch), body...)
	if s.idle {
		s.idle = false
		s.work.Signal()
	}
}

// run writes until close, or until writing fails, which it returns.
func (s *sender) run() error {
	defer close(s.done)
	for {
		s.mu.Lock()
		for s.batch == nil && !s.closing && s.err == nil {
			s.idle = true
			s.work.Wait()
		}
		if n := s.size(); n > 0 && n < gatherBelow && !s.closing {
			// Whoever is ready to run now may have frames that can go with these.
			s.mu.Unlock()
			runtime.Gosched()
			s.mu.Lock()
		}
		batch := s.batch
		s.batch = nil
		s.passOn()
		err := s.err
		s.mu.Unlock()
		if batch == nil || err != nil {
			return err
		}
		if _, err := s.conn.Write(*batch); err != nil {
			return err
		}
		if cap(*batch) <= answersBuffer {
			*batch = (*batch)[:0]
			batches.Put(batch)
		}
	}
}

// fail makes all that waits, and all that comes, fail.
func (s *sender) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.idle = false
	s.work.Signal()
	s.room.Broadcast()
}

// close waits until what was written has left, but no longer than limit.
func (s *sender) close(limit time.Time) {
	s.mu.Lock()
	if !s.closing {
		s.closing, s.idle = true, false
		s.conn.SetWriteDeadline(limit)
		s.work.Signal()
		s.room.Broadcast()
	}
	s.mu.Unlock()
	<-s.done
}

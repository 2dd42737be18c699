package mux

import (
	"bufio"
	"fmt"
	"io"
)

// receive reads frames until the connection ends.
func (s *Session) receive() error {
	r := bufio.NewReaderSize(s.conn, smallSize)
	for {
		raw, err := r.Peek(headSize)
		if err != nil {
			return err
		}
		h, err := parseHead(raw)
		if err != nil {
			return err
		}
		r.Discard(headSize)
		switch h.kind {
		case typePing:
			s.pinged(h)
		case typeGoAway:
			err = s.leaves(h)
		default:
			err = s.frame(h, r)
		}
		if err != nil {
			return err
		}
	}
}

func (s *Session) pinged(h head) {
	if h.flags&flagSYN != 0 {
		s.out.answer(head{kind: typePing, flags: flagACK, length: h.length})
		return
	}
	select {
	case s.pongs <- h.length:
	default: // it answers nothing that somebody waits for
	}
}

func (s *Session) leaves(h head) error {
	if h.length != 0 {
		return fmt.Errorf("the other side leaves for the reason %d", h.length)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.goneAway = true
	return nil
}

// frame is for those that belong to a stream.
func (s *Session) frame(h head, r *bufio.Reader) error {
	st, err := s.streamOf(h)
	if err != nil {
		return err
	}
	if st == nil {
		// A reset and what was on its way then cross each other.
		if h.kind == typeData {
			_, err = io.CopyN(io.Discard, r, int64(h.length))
		}
		return err
	}
	if h.kind == typeData && h.length > 0 {
		if err := st.receive(int(h.length), r); err != nil {
			return err
		}
	}
	if h.kind == typeWindow && h.length > 0 {
		if err := st.widened(h.length); err != nil {
			return err
		}
	}
	if h.flags&flagRST != 0 {
		st.wasReset()
	} else if h.flags&flagFIN != 0 {
		return st.hasEnded()
	}
	return nil
}

// streamOf returns nil for a stream that isn't there, or isn't wanted.
func (s *Session) streamOf(h head) (*Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if h.flags&flagACK != 0 {
		s.settle(h.stream)
	}
	st := s.streams[h.stream]
	if h.flags&flagSYN == 0 {
		return st, nil
	}
	if st != nil || h.stream == 0 || h.stream&1 == s.odd {
		return nil, fmt.Errorf("%w: it opens stream %d", ErrProtocol, h.stream)
	}
	st = newStream(s, h.stream)
	select {
	case s.arrived <- st:
		s.streams[h.stream] = st
		return st, nil
	default:
		s.out.answer(head{kind: typeWindow, flags: flagRST, stream: h.stream})
		return nil, nil
	}
}

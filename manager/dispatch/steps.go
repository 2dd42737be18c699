package dispatch

import "sync"

// maxSteps bounds the steps that are kept. They are for people who wait, so that losing some does no harm.
const maxSteps = 10_000

// steps are the momentary steps of running actions, by container.
type steps struct {
	mu sync.Mutex
	of map[string]step
}

type step struct {
	generation uint64
	text       string
	percent    int
}

// set tells whether that was news.
func (s *steps) set(container string, at step) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.of[container]
	if ok && (old.generation > at.generation || old == at) {
		return false
	}
	if len(s.of) >= maxSteps {
		clear(s.of)
	}
	s.of[container] = at
	return true
}

func (s *steps) clear(container string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, container)
}

// Progress tells the momentary step of a container's action; "" when nothing is known.
func (h *Hub) Progress(container string) (text string, percent int) {
	h.steps.mu.Lock()
	defer h.steps.mu.Unlock()
	at, ok := h.steps.of[container]
	if !ok {
		return "", -1
	}
	return at.text, at.percent
}

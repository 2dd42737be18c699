package state

import "sync"

// TopicPending wakes loops that bring containers from what is to what should be.
const TopicPending = "pending"

// TopicEvents wakes those who look at the timeline.
const TopicEvents = "events"

// TopicContainer wakes those who look at one container: its record or its log changed.
func TopicContainer(id string) string { return "container/" + id }

// watches wakes waiting readers by topic. A wake-up carries nothing: the reader looks at the state again, so that
// missed or merged wake-ups do no harm.
type watches struct {
	mu     sync.Mutex
	topics map[string]map[chan struct{}]struct{}
}

func (w *watches) init() { w.topics = make(map[string]map[chan struct{}]struct{}) }

// Watch returns a channel that gets a value after each change of the topic; changes that come while one is unread are
// merged with it. The caller must call stop.
func (s *Store) Watch(topic string) (changed <-chan struct{}, stop func()) {
	w, ch := &s.watches, make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.topics[topic] == nil {
		w.topics[topic] = make(map[chan struct{}]struct{})
	}
	w.topics[topic][ch] = struct{}{}
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.topics[topic], ch)
		if len(w.topics[topic]) == 0 {
			delete(w.topics, topic)
		}
	}
}

func (w *watches) notify(topics map[string]struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for topic := range topics {
		wake(w.topics[topic])
	}
}

func (w *watches) notifyAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, waiting := range w.topics {
		wake(waiting)
	}
}

func wake(waiting map[chan struct{}]struct{}) {
	for ch := range waiting {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

func (tx *Tx) touch(topic string) {
	if tx.touched == nil {
		tx.touched = make(map[string]struct{})
	}
	tx.touched[topic] = struct{}{}
}

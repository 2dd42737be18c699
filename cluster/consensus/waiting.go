package consensus

import (
	"crypto/rand"
	"encoding/binary"
	"sync"

	"kiosc/cluster/state"
)

// A command's origin goes with it through the log, in Raft's Extensions:
//
//	offset 0    1 byte    format, 1
//	offset 1    8 bytes   random number of the process that proposed it
//	offset 9    8 bytes   the process's own number of the command
//	offset 17   8 bytes   the Raft term that it was proposed in
//
// An entry counts only if it stands in the log with the term of its origin. So the first entry of a later term that a
// node applies tells it that nothing proposed before, and not seen yet, will ever count: the proposer may try again
// without a risk that the command is applied twice.
const (
	originFormat = 1
	originSize   = 25
)

// origin is a decoded origin; the zero value is that of an entry without one, which always counts.
type origin struct {
	process, number, term uint64
}

func readOrigin(raw []byte) (o origin, ok bool) {
	if len(raw) != originSize || raw[0] != originFormat {
		return o, false
	}
	return origin{binary.BigEndian.Uint64(raw[1:]), binary.BigEndian.Uint64(raw[9:]), binary.BigEndian.Uint64(raw[17:])}, true
}

// waiting are this process's commands whose outcome isn't known yet.
type waiting struct {
	process uint64

	mu    sync.Mutex
	next  uint64
	seen  uint64 // highest term of an applied entry
	byNum map[uint64]*waiter
}

// waiter is one command under way.
type waiter struct {
	number, term uint64
	origin       []byte
	outcome      chan outcome // has room for two; the first counts
}

type outcome struct {
	result state.Result
	err    error
}

func newWaiting() *waiting {
	var process [8]byte
	rand.Read(process[:]) // never fails: the runtime ends the process where there is no randomness
	return &waiting{process: binary.BigEndian.Uint64(process[:]), byNum: make(map[uint64]*waiter)}
}

// expect begins to wait for a command that is about to be handed over in the term.
func (w *waiting) expect(term uint64) *waiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	one := &waiter{number: w.next, term: term, outcome: make(chan outcome, 2)}
	one.origin = binary.BigEndian.AppendUint64([]byte{originFormat}, w.process)
	one.origin = binary.BigEndian.AppendUint64(one.origin, one.number)
	one.origin = binary.BigEndian.AppendUint64(one.origin, term)
	if w.seen > term {
		one.refuse(ErrNotTaken)
		return one
	}
	w.byNum[one.number] = one
	return one
}

func (w *waiting) forget(one *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byNum, one.number)
}

// refuse says that the command was not taken.
func (w *waiter) refuse(err error) { w.settle(outcome{err: err}) }

func (w *waiter) settle(o outcome) {
	select {
	case w.outcome <- o:
	default: // settled before
	}
}

// applied tells the command's caller, if it is one of this process, what became of it.
func (w *waiting) applied(o origin, result state.Result, counted bool) {
	if o.process != w.process {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.byNum[o.number]
	switch {
	case one == nil:
	case counted:
		one.settle(outcome{result: result})
	default:
		one.refuse(ErrNotTaken)
	}
}

// foreign tells whether another process waits for the command.
func (w *waiting) foreign(o origin) bool { return o.process != w.process && o.process != 0 }

// reached says that an entry of the term was applied, after all of earlier terms.
func (w *waiting) reached(term uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if term <= w.seen {
		return
	}
	w.seen = term
	for _, one := range w.byNum {
		if one.term < term {
			one.refuse(ErrNotTaken)
		}
	}
}

// skipped says that a snapshot has brought this node forward, past entries whose results it will never see.
func (w *waiting) skipped() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.byNum {
		one.settle(outcome{err: errUnsure})
	}
}

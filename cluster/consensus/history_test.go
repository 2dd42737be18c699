package consensus_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

const (
	historyNode = "registers" // its labels are the registers
	sharedKeys  = 3
	clients     = 9
	// troubled is how long the clients work at least while the nemesis does.
	troubled = 8 * time.Second
	// atMost is how long they may take for what a test needs of them.
	atMost  = time.Minute
	forever = int64(1) << 62
)

// action is one operation on a register: a write of value, or a read that has seen it.
type action struct {
	write bool
	value string
}

// register is what a single copy of a register would do.
var register = porcupine.Model{
	Init: func() any { return "" },
	Step: func(current, input, output any) (bool, any) {
		if in := input.(action); in.write {
			return true, in.value
		}
		return output.(string) == current.(string), current
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprint(input, " → ", output) },
}

// history gathers what clients have seen.
type history struct {
	began time.Time

	mu       sync.Mutex
	byKey    map[string][]porcupine.Operation
	stale    []string // local reads that missed a write of their own client
	acked    int
	unknown  int
	refusals int
}

func (h *history) now() int64 { return time.Since(h.began).Nanoseconds() }

func (h *history) confirmed() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.acked
}

// writer makes a write by one node.
type writer func(m *member, c state.Command) error

func propose(m *member, c state.Command) error {
	ctx, cancel := context.WithTimeout(context.Background(), clientPatience)
	defer cancel()
	_, err := m.Propose(ctx, c)
	return err
}

// client writes and reads shared registers at the leader's path, and one register of its own that it reads locally.
func (h *history) client(ctx context.Context, number int, m *member, write writer) {
	own := fmt.Sprint("own-", number)
	mine := map[string]bool{"": true} // values that the own register may have
	for i := 0; ctx.Err() == nil; i++ {
		key, value := fmt.Sprint("key-", rand.IntN(sharedKeys)), fmt.Sprintf("%d.%d", number, i)
		switch rand.IntN(3) {
		case 0:
			h.write(number, m, key, value, write)
		case 1:
			h.read(number, m, key)
		default:
			err := write(m, set(own, value))
			switch {
			case err == nil:
				mine = map[string]bool{value: true}
			case !strings.Contains(err.Error(), "nothing was changed"):
				mine[value] = true // it may come yet
			}
			h.local(m, own, mine)
		}
	}
}

func set(key, value string) state.Command {
	return &state.NodeLabelled{Node: historyNode, Set: map[string]string{key: value}}
}

func look(m *member, key string) (value string, err error) {
	err = m.view(func(tx *state.Tx) error {
		n, _, err := tx.Node(historyNode)
		value = n.SetLabels[key]
		return err
	})
	return value, err
}

func (h *history) write(number int, m *member, key, value string, write writer) {
	op := porcupine.Operation{ClientId: number, Input: action{true, value}, Call: h.now()}
	err := write(m, set(key, value))
	op.Return = h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		h.acked++
	case strings.Contains(err.Error(), "nothing was changed"):
		h.refusals++
		return // the checker proves it: were it there, a read would see a value that nobody has written
	default:
		h.unknown++
		op.Return = forever
	}
	h.byKey[key] = append(h.byKey[key], op)
}

func (h *history) read(number int, m *member, key string) {
	op := porcupine.Operation{ClientId: number, Input: action{}, Call: h.now()}
	if m.sync() != nil {
		return
	}
	value, err := look(m, key)
	if err != nil {
		return
	}
	op.Output, op.Return = value, h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.byKey[key] = append(h.byKey[key], op)
}

func (h *history) local(m *member, key string, allowed map[string]bool) {
	value, err := look(m, key)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil && !allowed[value] {
		h.stale = append(h.stale, fmt.Sprintf("%s reads %s = %q", m.name, key, value))
	}
}

// run has the clients work, each at one node, while trouble is made: for some time, and on a slow machine until enough of
// their writes are confirmed.
func run(t *testing.T, all []*member, write writer, enough int, trouble func(ctx context.Context)) *history {
	t.Helper()
	_, err := leading(t, all).Propose(context.Background(), node(historyNode, historyNode))
	require.NoError(t, err)
	for _, m := range all {
		require.NoError(t, m.Sync(context.Background()))
	}
	h := &history{began: time.Now(), byKey: map[string][]porcupine.Operation{}}
	ctx, cancel := context.WithTimeout(context.Background(), atMost)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil && (h.now() < troubled.Nanoseconds() || h.confirmed() < enough) {
			pause(ctx, 100*time.Millisecond)
		}
		cancel()
	})
	for i := range clients {
		running.Add(1)
		go func() {
			defer running.Done()
			h.client(ctx, i, all[i%len(all)], write)
		}()
	}
	trouble(ctx)
	running.Wait()
	return h
}

func TestConfirmedWritesAreLinearizableAndReadByTheirWriters(t *testing.T) {
	const enough = 100
	on, all := cluster(t)
	h := run(t, all, propose, enough, func(ctx context.Context) {
		for ctx.Err() == nil {
			victim := all[rand.IntN(len(all))]
			if rand.IntN(2) == 0 {
				victim = leading(t, all)
			}
			on.isolate(victim.name, false)
			pause(ctx, time.Duration(200+rand.IntN(1200))*time.Millisecond)
			on.isolate(victim.name, true)
			pause(ctx, time.Duration(rand.IntN(600))*time.Millisecond)
			again := all[rand.IntN(len(all))]
			again.restart(t)
			pause(ctx, time.Duration(rand.IntN(600))*time.Millisecond)
		}
	})
	require.Empty(t, h.stale, "a client reads its own writes on its node")
	for key, ops := range h.byKey {
		result, _ := porcupine.CheckOperationsVerbose(register, ops, time.Minute)
		require.Equal(t, porcupine.Ok, result, "%s: %d operations", key, len(ops))
	}
	t.Logf("%d writes confirmed, %d unknown, %d refused", h.acked, h.unknown, h.refusals)
	require.GreaterOrEqual(t, h.acked, enough)
}

// TestTheCheckerFindsAMissingWait has the same clients return as soon as the leader has committed, without waiting for
// their own node: the checker must notice.
func TestTheCheckerFindsAMissingWait(t *testing.T) {
	on, all := cluster(t)
	l := leading(t, all)
	var behind *member
	for _, m := range all {
		if m != l {
			behind = m
		}
	}
	careless := func(_ *member, c state.Command) error {
		raw, err := state.Encode(c)
		if err != nil {
			return err
		}
		return l.Take(nil, raw)()
	}
	h := run(t, all, careless, 0, func(ctx context.Context) {
		on.isolate(behind.name, false) // what it applies is late
		pause(ctx, time.Second)
		on.isolate(behind.name, true)
	})
	require.NotEmpty(t, h.stale)
}

// pause is trouble's, whose timing is random by purpose; nothing waits for it.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

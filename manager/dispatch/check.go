package dispatch

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
)

// checkPatience is how long a check waits for the inventory of a host.
const checkPatience = 20 * time.Second

// checked counts what the inventories of one host have shown. The zero value is usable.
type checked struct {
	mu      sync.Mutex
	waiting chan struct{} // closed when the next inventory was dealt with; nil while nobody waits
	checkCounts
}

// checkCounts are numbers of inventories, of the Docker containers in the last one, and of those that were found to be
// other than the state had them, or to belong nowhere, in all of them.
type checkCounts struct{ inventories, seen, corrected, removed int }

func (c *checked) add(seen, corrected, removed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inventories++
	c.seen = seen
	c.corrected += corrected
	c.removed += removed
	if c.waiting != nil {
		close(c.waiting)
		c.waiting = nil
	}
}

// now returns the counts, and a channel that is closed when they have changed.
func (c *checked) now() (checkCounts, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil {
		c.waiting = make(chan struct{})
	}
	return c.checkCounts, c.waiting
}

// Check has each connected Docker host list what it has, in case an event was missed, and returns what came of it. It is
// for the leader alone.
func (h *Hub) Check(ctx context.Context) (summary string, err error) {
	total, hosts, err := h.check(ctx)
	return total.text(hosts), err
}

// RemoveOrphans is Check, told for those who want to know what was removed.
func (h *Hub) RemoveOrphans(ctx context.Context) (summary string, err error) {
	total, hosts, err := h.check(ctx)
	return fmt.Sprintf("%d of %d Docker hosts, %d Docker containers removed", total.inventories, hosts, total.removed), err
}

func (h *Hub) check(ctx context.Context) (total checkCounts, hosts int, err error) {
	h.mu.Lock()
	l := h.leading
	h.mu.Unlock()
	if l == nil {
		return total, 0, state.Errorf(state.Unavailable, "This manager does not lead any more.")
	}
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	all := l.all()
	before := make([]checkCounts, len(all))
	asked := make([]bool, len(all))
	for i, one := range all {
		before[i], _ = one.checked.now()
		asked[i] = one.isReady() && one.write(&wire.InventoryRequest{}) == nil
	}
	for i, one := range all {
		if !asked[i] {
			continue
		}
		if after, ok := one.awaitInventory(ctx, before[i].inventories); ok {
			total.inventories++
			total.seen += after.seen
			total.corrected += after.corrected - before[i].corrected
			total.removed += after.removed - before[i].removed
		}
	}
	return total, len(all), nil
}

// awaitInventory waits until more than n inventories of the host were dealt with.
func (l *line) awaitInventory(ctx context.Context, n int) (checkCounts, bool) {
	for {
		counts, changed := l.checked.now()
		if counts.inventories > n {
			return counts, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return counts, false
		}
	}
}

func (c checkCounts) text(hosts int) string {
	parts := []string{fmt.Sprintf("%d of %d Docker hosts, %d Docker containers", c.inventories, hosts, c.seen)}
	if c.corrected > 0 {
		parts = append(parts, fmt.Sprintf("%d states corrected", c.corrected))
	}
	if c.removed > 0 {
		parts = append(parts, fmt.Sprintf("%d removed that belong nowhere", c.removed))
	}
	return strings.Join(parts, ", ")
}

func (l *lead) all() (all []*line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.lines {
		all = append(all, one)
	}
	return all
}

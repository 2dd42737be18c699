package consensus

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// commitDelay is how much later followers hear of a commit that none of them waits for.
const commitDelay = 5 * time.Millisecond

// commits tells the followers of a leader at once how far the log is committed. Raft mentions it in its next message to
// a follower, which without further writes is a commitTimeout away: a caller on a follower would wait that long for its
// own write.
//
// The message is the one that Raft would send, a request without entries whose previous entry is the committed one: a
// follower that lacks the entry refuses it, and one that has seen a later term, too. A lost message costs time only.
// Commits that no other node waits for are told a little later, many at once.
type commits struct {
	raft      *raft.Raft
	transport raft.Transport
	id        string

	news    chan struct{} // somebody waits
	later   chan struct{}
	stopped chan struct{}
	done    chan struct{}

	mu          sync.Mutex
	index, term uint64 // of the newest commit
	told        map[raft.ServerID]uint64
	busy        map[raft.ServerID]bool
	sending     sync.WaitGroup
}

func newCommits() *commits {
	return &commits{news: make(chan struct{}, 1), later: make(chan struct{}, 1), stopped: make(chan struct{}), done: make(chan struct{}),
		told: make(map[raft.ServerID]uint64), busy: make(map[raft.ServerID]bool)}
}

// reached says that an entry was committed and applied here, and whether another node waits for it or one before it.
func (c *commits) reached(index, term uint64, awaited bool) {
	c.mu.Lock()
	c.index, c.term = index, term
	c.mu.Unlock()
	signal(c.later)
	if awaited {
		signal(c.news)
	}
}

// signal leaves a value in a channel that has room for one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run tells the followers until stop.
func (c *commits) run(r *raft.Raft, transport raft.Transport, id string) {
	c.raft, c.transport, c.id = r, transport, id
	defer close(c.done)
	defer c.sending.Wait()
	var due <-chan time.Time
	for {
		select {
		case <-c.news:
			c.tell()
		case <-c.later:
			if due == nil {
				due = time.After(commitDelay)
			}
		case <-due:
			due = nil
			c.tell()
		case <-c.stopped:
			return
		}
	}
}

// stop ends run. What is being sent ends when the transport is closed.
func (c *commits) stop() {
	close(c.stopped)
}

func (c *commits) tell() {
	if c.raft.State() != raft.Leader {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.raft.CurrentTerm() != c.term {
		return
	}
	for _, server := range c.raft.GetConfiguration().Configuration().Servers {
		if server.ID == raft.ServerID(c.id) || c.busy[server.ID] || c.told[server.ID] >= c.index {
			continue
		}
		c.busy[server.ID] = true
		c.told[server.ID] = c.index
		c.sending.Add(1)
		go c.send(server, c.index, c.term)
	}
}

// send tells one follower; the next message to it waits for this one's end.
func (c *commits) send(server raft.Server, index, term uint64) {
	defer c.sending.Done()
	request := &raft.AppendEntriesRequest{
		RPCHeader:    raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(c.id), Addr: c.transport.EncodePeer(raft.ServerID(c.id), c.transport.LocalAddr())},
		Term:         term,
		PrevLogEntry: index, PrevLogTerm: term, LeaderCommitIndex: index,
	}
	c.transport.AppendEntries(server.ID, server.Address, request, &raft.AppendEntriesResponse{})
	c.mu.Lock()
	delete(c.busy, server.ID)
	behind := c.told[server.ID] < c.index
	c.mu.Unlock()
	if behind {
		signal(c.news)
	}
}

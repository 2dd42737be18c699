package consensus

import (
	"sync"

	"github.com/hashicorp/raft"
)

// commits tells the followers of a leader at once how far the log is committed. Raft mentions it in its next message to
// a follower, which without further writes is a commitTimeout away: a caller on a follower would wait that long for its
// own write.
//
// The message is the one that Raft would send, a request without entries whose previous entry is the committed one: a
// follower that lacks the entry refuses it, and one that has seen a later term, too. A lost message costs time only.
type commits struct {
	raft      *raft.Raft
	transport raft.Transport
	id        string

	news    chan struct{}
	stopped chan struct{}
	done    chan struct{}

	mu          sync.Mutex
	index, term uint64 // the newest commit that somebody elsewhere waits for
	told        map[raft.ServerID]uint64
	busy        map[raft.ServerID]bool
	sending     sync.WaitGroup
}

func newCommits() *commits {
	return &commits{news: make(chan struct{}, 1), stopped: make(chan struct{}), done: make(chan struct{}),
		told: make(map[raft.ServerID]uint64), busy: make(map[raft.ServerID]bool)}
}

// awaited says that another node waits for an entry that was committed here.
func (c *commits) awaited(index, term uint64) {
	c.mu.Lock()
	c.index, c.term = index, term
	c.mu.Unlock()
	c.wake()
}

func (c *commits) wake() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// run tells the followers until stop.
func (c *commits) run(r *raft.Raft, transport raft.Transport, id string) {
	c.raft, c.transport, c.id = r, transport, id
	defer close(c.done)
	defer c.sending.Wait()
	for {
		select {
		case <-c.news:
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
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(c.id), Addr: c.transport.EncodePeer(raft.ServerID(c.id), c.transport.LocalAddr())},
		Term:      term, Leader: c.transport.EncodePeer(raft.ServerID(c.id), c.transport.LocalAddr()),
		PrevLogEntry: index, PrevLogTerm: term, LeaderCommitIndex: index,
	}
	c.transport.AppendEntries(server.ID, server.Address, request, &raft.AppendEntriesResponse{})
	c.mu.Lock()
	delete(c.busy, server.ID)
	behind := c.told[server.ID] < c.index
	c.mu.Unlock()
	if behind {
		c.wake()
	}
}

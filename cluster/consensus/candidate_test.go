package consensus_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"
)

// TestACandidateKnowsOfNoLeader has a leader hand over and be gone, as well as all others. Its last heartbeat comes late.
func TestACandidateKnowsOfNoLeader(t *testing.T) {
	on, all := cluster(t)
	l := leading(t, all)
	follower := all[0]
	if follower == l {
		follower = all[1]
	}
	on.isolate(follower.name, false)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	old := raft.NewNetworkTransport(&faultyLayer{listener, "the old leader", on}, 1, patience, io.Discard)
	defer old.Close()
	to, at := raft.ServerID(follower.name), raft.ServerAddress(follower.addr)
	head := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(l.name), Addr: []byte(l.addr)}
	term := follower.Term()
	require.NoError(t, old.TimeoutNow(to, at, &raft.TimeoutNowRequest{RPCHeader: head}, &raft.TimeoutNowResponse{}))
	require.Eventually(t, func() bool { return follower.Term() > term }, patience, time.Millisecond)
	beat := &raft.AppendEntriesRequest{RPCHeader: head, Term: follower.Term()}
	require.NoError(t, old.AppendEntries(to, at, beat, &raft.AppendEntriesResponse{}))
	require.Eventually(t, func() bool { return follower.Leader() == "" }, patience, 10*time.Millisecond)
	require.Eventually(t, func() bool { return follower.LeaderlessFor() > 0 }, patience, 10*time.Millisecond)

	on.isolate(follower.name, true)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, follower.WaitLeader(ctx))
	require.NoError(t, follower.Sync(ctx))
}

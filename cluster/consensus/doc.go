// Package consensus replicates the state by Raft: it turns a typed command into a log entry, and a committed entry
// into a change of cluster/state.
//
// It owns the Raft node with its log, its snapshots and the loops that run on the leader alone. It decides nothing
// about the domain and talks to no Docker host.
//
// What must always hold:
//   - The Raft log is the durable copy. The state's own file is rebuilt at each start from the last snapshot and the
//     log, so it may be written without syncing, and a file damaged by a power failure does no harm.
//   - Propose returns a result only after this node has applied the command: its caller reads its own write.
//   - At most one function passed to Lead runs at a time in the whole cluster, up to the time that a deposed leader
//     needs to notice; whatever it sends outside therefore carries its term.
package consensus

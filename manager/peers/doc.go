// Package peers connects a manager with the other managers.
//
// It owns one session to each of them, over which this manager hands commands to the leader, calls what the leader
// alone may do, reaches agents that have no session with it, and tells how it stands. What others want of this manager
// comes over the sessions that they have dialled. The package knows nothing of containers, and Raft's own traffic has
// connections of its own.
//
// What must always hold:
//   - Only managers whose certificate the cluster port has let in are heard.
//   - A peer that is slow or gone blocks nobody here: what is told to it waits in a bounded queue, of which the oldest
//     are left out, and each call has a deadline.
package peers

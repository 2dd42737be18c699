// Package dispatch brings every container from what is to what should be.
//
// On every manager it has the sessions with agents: it lets visitors and other managers through to them, and stores the
// log lines that they send. On the leader alone it also talks with each agent over one stream of orders: it decides on
// placements, gives the orders of pending actions, stores what agents report, and moves containers away from hosts that
// are down or drained.
//
// It owns no state: what should be is read from the store, what is comes from agents, and the difference becomes orders
// and commands. It never talks to Docker and never changes what users want.
//
// What must always hold:
//   - Only the leader gives orders, with its Raft term, after it has applied all that was committed before.
//   - An order goes out only over a stream on which the agent has listed what it has, and what doesn't belong there was
//     removed.
//   - A container is placed elsewhere only after its host was unseen, by any way, for the grace period; a host's lease
//     has run out by then.
package dispatch

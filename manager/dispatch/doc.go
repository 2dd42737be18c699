// Package dispatch brings every container from what is to what should be.
//
// It owns this manager's sessions with agents: it takes their reports and log lines into the state, opens proxy
// connections through them, and on the leader sends orders. It owns no state of its own: what should be is read from the
// store, what is comes from agents, and the difference becomes orders. It never talks to Docker and never changes what
// should be.
//
// What must always hold:
//   - An order is sent at most once per session and generation, and again on each new session until the generation is
//     done. Agents carry out each generation once, so a repeated order does no harm.
//   - What an agent says counts only for containers that are placed on the node in its certificate.
//   - A report is acknowledged after it is part of the replicated state, never before.
package dispatch

// Package nodes decides who belongs to the cluster: it lets nodes join, renews their certificates, gives managers their
// votes in Raft, and removes nodes. It also tells how the cluster stands.
//
// It owns the rules of membership. It carries no traffic of its own: sessions are manager/peers' and manager/dispatch's,
// and who may ask for a change was decided by its callers.
//
// What must always hold:
//   - A node gets a certificate only for a join token's secret, or for the key of the certificate that it has.
//   - A change of the voters never leaves fewer managers in contact than a majority needs.
//   - What only the leader can do is done by the leader, whichever manager was asked.
package nodes

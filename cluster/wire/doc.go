// Package wire is the protocol between agents and managers, and the one TLS port on which all nodes of a cluster meet.
//
// It owns how bytes look between nodes: protocols, sessions, streams, messages and their limits. It decides nothing:
// who may join, and what a message leads to, is its callers' concern.
//
// # Protocols
//
// A connection is TLS 1.3. The ALPN protocol says what it is for:
//
//	kiosc-agent/1   an agent's session; the client shows an agent's certificate
//	kiosc-peer/1    a session between two managers; the client shows a manager's certificate
//	kiosc-raft/1    Raft between managers; the client shows a manager's certificate
//	kiosc-join/1    one JoinRequest and one JoinAnswer; the client has no certificate yet
//
// # Sessions
//
// The connections of agents, and those between managers, are multiplexed by the yamux protocol, see cluster/mux, the dialling
// side being its client.
// Each stream begins with a head from the side that opened it:
//
//	offset 0   1 byte    protocol version, 1
//	offset 1   1 byte    kind, see below
//	offset 2   2 bytes   length of the header, big-endian, at most 4,096
//	offset 4             header in CBOR, or null
//
// The kinds, with who opens them and their headers:
//
//	1  control   the dialling side, first and once: Hello or PeerHello, then what concerns the session
//	2  logs      the agent, for each Docker container whose log it sends; LogsHeader
//	3  proxy     a manager, for each connection to an app; ProxyHeader
//	4  orders    the leader, once for each agent, also through another manager; OrdersHeader
//	5  relay     a manager at another one, to reach an agent of that one's; RelayHeader
//	6  forward   a manager at another one, once: commands for the Raft log
//	7  call      a manager at the leader: one request and one answer
//	8  usage     the leader, once for each agent, also through another manager; UsageHeader
//	9  file      the agent, for each small file that a container asks it for; FileHeader
//	10 stock     a manager, also through another one, to learn what a host's Docker Engine has; StockHeader
//	11 removal   a manager, likewise, to have unused images and volumes removed there; StockRemovalHeader
//
// After the head, streams carry messages. A proxy stream carries one ProxyAnswer and then the bytes of a TCP connection; a
// relayed stream one RelayAnswer and then the bytes of the stream that it stands for. A file stream carries one FileAnswer,
// and after the agent's FileWanted the file's bytes.
//
// A stream of another version or kind is reset; the session goes on.
//
// # Messages
//
//	offset 0   4 bytes   length of the rest, big-endian, at most 4 MiB
//	offset 4   1 byte    type, see the table in frame.go
//	offset 5             the message in CBOR, a map from field names
//
// Unknown fields are ignored and missing ones are zero, so that nodes one version apart understand each other. An
// unknown type is an error, so a new type is sent only to a side whose version knows it.
//
// # What must always hold
//
//   - Nothing is read without a limit on its length, and nothing that a peer claims is believed beyond its certificate.
//   - One stream that is slow or stuck holds up no other, beyond what the session's buffer holds.
//   - The end of one direction of a stream leaves the other open. Whoever is done with a whole stream closes or kills it,
//     and a kill reaches the other side at once. No side waits for ever for the other.
//   - The end of a session never looks like the clean end of a stream.
package wire

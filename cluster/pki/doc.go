// Package pki is the cluster's own certificate authority: it says who is a node of the cluster, and seals the secrets
// that the cluster keeps.
//
// It owns the format of node certificates, join tokens, sealed values, wrapped keys and the files that hold a node's
// identity, the CA and the cluster key. It opens no connection, keeps no state but those files and a running node's
// Credentials, and decides nothing about whom to let in: callers compare a join token's secret and ask Issue for a
// certificate.
//
// A node is who its certificate says:
//
//	URI SAN   spiffe://<cluster id>/<role>/<node id>     role is manager or agent
//	DNS SAN   kiosc-manager                              managers only
//
// It is valid for DefaultLife unless the cluster chose otherwise. At half of its life the node asks for the next one with
// Request, puts it in place with Renewed, Save and Credentials.Replace, and keeps its key. A node whose certificate has
// expired needs a join token again; Former shows under which id it was known.
//
// A join token is text that an operator carries to a new node:
//
//	kioscjoin-1-<role>-<hex SHA-256 of the CA certificate, 64 digits>-<base32 secret, 32 letters>
//
// A sealed value:
//
//	offset 0   1 byte    format version, 1
//	offset 1   24 bytes  nonce, random
//	offset 25            XChaCha20-Poly1305 of the plain text, with the version byte and the context as associated data
//
// What must always hold:
//   - Only TLS 1.3 is spoken, both sides show certificates of the same CA, and a client talks to managers alone. The one
//     exception is joining, where the client has no certificate yet and knows the CA by the fingerprint in the token.
//   - Each new connection shows a certificate that is valid at that time; none is resumed from an earlier one. What is
//     connected stays so when its certificate expires or is replaced.
//   - A node keeps its id, role, cluster and CA as long as it runs.
//   - A cluster key that is in a file is never replaced by a new random one: what it sealed would be lost.
//   - The operating system's certificates are never trusted.
//   - A private key leaves this package only sealed by its caller or into a file that no other user can read.
package pki

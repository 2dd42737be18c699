// Package agent is the daemon on a Docker host. It dials out to the managers, carries out orders on the local Docker
// Engine, and sends back states, log lines and the bytes of proxied connections.
//
// It owns the order in which things happen to a Docker container, and what still has to be told to the managers. It keeps
// nothing on disk but its certificate and small files that were fetched: what it has done is read from the labels of the
// Docker containers. It listens only in the projects' networks, for containers that fetch small files of their project,
// and of what is proxied it understands no HTTP.
//
// What must always hold:
//   - At most one order per container is carried out at a time; one of a higher generation ends the one before.
//   - Carrying out the same generation again changes nothing that is done already.
//   - A Docker container is removed only after its log has been sent, unless the container is being deleted or its log
//     can't be sent within drainTimeout.
package agent

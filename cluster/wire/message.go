package wire

import "time"

// Hello is the first message of an agent on a new session.
type Hello struct {
	// Versions are the protocol versions the agent speaks, best first.
	Versions []uint16
	// Name is what people call the node, the host name by default. At most 64 bytes.
	Name string
	// Engine tells what the Docker Engine is; it is for display and placement only.
	Engine EngineInfo
	// Labels are the operator's key=value pairs for placement constraints.
	Labels map[string]string
}

// EngineInfo describes a Docker Engine.
type EngineInfo struct {
	Version     string
	APIVersion  string
	CPUs        int
	MemoryBytes int64
	// NetworkMode is how containers are reached: "docker-shared" or "host".
	NetworkMode string
}

// Welcome answers Hello. From here on both sides speak Version.
type Welcome struct {
	Version   uint16
	ClusterID string
	NodeID    string
}

// Refusal ends a session. Reason is a sentence for the operator of the other side.
type Refusal struct {
	Reason string
}

// Inventory lists every Docker container with the cluster's label. An agent sends it once after Welcome
// and again whenever its event subscription was interrupted.
type Inventory struct {
	Containers []Observed
}

// Observed is what the Docker Engine says of one Docker container.
type Observed struct {
	// Container is the Kiosc container's id, from the label.
	Container string
	// Generation is the generation that made this Docker container, from the label.
	Generation uint64
	DockerID   string
	ImageID    string
	// State is Docker's own word: created, running, paused, restarting, exited, dead; "" when it is gone.
	State    string
	ExitCode int
	// IP is the address in the project's network; empty when not running or not reachable that way.
	IP string
	// HostPort is the port published on 127.0.0.1 of the Docker host; 0 when none is.
	HostPort  int
	StartedAt time.Time
}

// Order tells an agent what a container should be. Orders are idempotent: the same one may come any number of times.
type Order struct {
	// Term is the Raft term of the leader that sends it. An agent refuses a term below the highest it has seen.
	Term       uint64
	Container  string
	Generation uint64
	// Action is start, stop, pause, unpause, restart or delete.
	Action string
	Spec   Spec
}

// Spec is all that a start needs.
type Spec struct {
	Project string
	// Image is the full reference, repository:tag.
	Image   string
	Command []string
	// Env is in KEY=value form; a KEY without "=" unsets the image's variable.
	Env  []string
	Port int
	// Timeout bounds each Docker call but the pull.
	Timeout time.Duration
	// NoFileSoft and NoFileHard are the nofile ulimit; 0 leaves the engine's default.
	NoFileSoft, NoFileHard int64
}

// Report tells the manager how far an order is, or what became of a container without one.
type Report struct {
	// Seq grows with every report of one agent, across its restarts too. The manager answers with Ack once the
	// report is stored; until then the agent sends it again on each new session.
	Seq        uint64
	Container  string
	Generation uint64
	// Done says that the order of this generation has been carried out or has failed for good.
	Done bool
	// State is the container's state from here on: one of Docker's, or pulling, deleting, deleted, failed, initial.
	State    string
	Observed Observed
	Lines    []TaskLine
}

// TaskLine is one line for the container's log about what Kiosc or Docker did.
type TaskLine struct {
	Time time.Time
	// Process is task or docker.
	Process string
	// Level is info, warning or error.
	Level string
	Text  string
}

// Ack says that all reports up to and including Seq are stored.
type Ack struct {
	Seq uint64
}

// Progress is the momentary step of a running order, for people who wait. It is neither acknowledged nor stored.
type Progress struct {
	Container  string
	Generation uint64
	// Text is one sentence, such as "Pulling image".
	Text string
	// Percent is 0 to 100, or -1 where it can't be told.
	Percent int
}

// Remove tells an agent to remove Docker containers that belong to no container of the cluster.
type Remove struct {
	Term      uint64
	DockerIDs []string
}

// LogsHeader opens a stream of kind Logs, from the agent. The manager answers with LogsCursor, then the agent sends
// LogBatch messages, each answered with LogAck.
type LogsHeader struct {
	Container string
	DockerID  string
}

// Cursor is a place in a Docker log: for each output stream, the time of the last stored line and how many lines
// with that very time are stored. Docker orders lines by time within one output stream only, hence two places.
type Cursor struct {
	Stdout, Stderr Place
}

// Place is a place in the log of one output stream. The zero value is its beginning.
type Place struct {
	// Time is in nanoseconds since 1970, as Docker stamped it.
	Time  int64
	Count uint32
}

// LogsCursor tells from where the agent shall send.
type LogsCursor struct {
	Cursor Cursor
}

// LogBatch carries lines that follow From and end at To. A batch whose From isn't the stored cursor is not stored.
type LogBatch struct {
	From, To Cursor
	Lines    []LogLine
}

// LogLine is one line that a container wrote.
//
// Its names on the wire are one letter long, because they come with each line.
type LogLine struct {
	// Time is in nanoseconds since 1970, as Docker stamped it.
	Time   int64 `cbor:"t"`
	Stderr bool  `cbor:"e,omitempty"`
	// Text is valid UTF-8 without the line end, at most maxText bytes.
	Text string `cbor:"x"`
}

// LogAck answers a batch. Stored is false when From didn't match; Cursor is where the store stands now.
type LogAck struct {
	Stored bool
	Cursor Cursor
}

// ProxyHeader opens a stream of kind Proxy, from the manager. The agent answers with ProxyAnswer; if that has no
// error, every byte after it in both directions is the TCP connection's.
type ProxyHeader struct {
	Container string
	DockerID  string
	Port      int
}

// ProxyAnswer says whether the connection to the container stands.
type ProxyAnswer struct {
	// Error is empty on success, else a sentence for the log.
	Error string
	// Refused says that the container's host answered and nothing listens on the port yet.
	Refused bool
}

// JoinRequest is the only message on a join connection. The secret proves that an operator wants this node.
type JoinRequest struct {
	Secret string
	// CSR is a PKCS#10 request in DER. Its subject is ignored.
	CSR  []byte
	Name string
}

// JoinAnswer gives the certificate, or says why not.
type JoinAnswer struct {
	Refused string
	NodeID  string
	// Certificate is the node's certificate in DER, CA that of the cluster.
	Certificate, CA []byte
	ClusterID       string
}

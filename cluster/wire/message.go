package wire

import "time"

// Hello is the first message of an agent on a new session.
type Hello struct {
	// Versions are the protocol versions the agent speaks, best first.
	Versions []uint16
	// Name is what people call the node, the host name by default. At most 64 bytes.
	Name string
	// Build is the agent's kiosc version, for people.
	Build string
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
	// Exposed says why containers are not kept from the host's ports; empty where they are.
	Exposed string `cbor:",omitempty"`
}

// Welcome answers Hello. From here on both sides speak Version.
type Welcome struct {
	Version   uint16
	ClusterID string
	NodeID    string
	// Managers are all managers of the cluster. The agent keeps a session with each.
	Managers []ManagerAddress
}

// ManagerAddress is where a manager's cluster port is reached.
type ManagerAddress struct {
	ID      string
	Address string // host:port
}

// Managers tells an agent on its control stream that the managers have changed.
type Managers struct {
	Managers []ManagerAddress
}

// RenewRequest asks on the control stream for a new certificate for the key that the agent has.
type RenewRequest struct {
	CSR []byte
}

// RenewAnswer gives the certificate in DER, or says why not.
type RenewAnswer struct {
	Refused     string
	Certificate []byte
}

// OrdersHeader opens a stream of kind Orders, from the leader, directly or through another manager. An agent that has
// seen a higher term kills the stream; else the stream replaces any other of its kind, and the agent begins with its
// Inventory. On it go Inventory, Report, Progress and LeaseAck from the agent; Order, Remove, Ack, Lease and
// InventoryRequest from the leader.
type OrdersHeader struct {
	// Term is the Raft term of the leader. It counts for every message on the stream.
	Term   uint64
	Leader string // node id
}

// InventoryRequest asks for the Inventory once more.
type InventoryRequest struct{}

// Lease lets the agent serve its containers for Duration, counted from when it sent its last LeaseAck or, for the first
// one, its last Inventory: that was before the leader sent this one, whatever the clocks say.
type Lease struct {
	Seq      uint64
	Duration time.Duration
}

// LeaseAck answers a Lease at once. To the leader it is the sign of life of the host.
type LeaseAck struct {
	Seq uint64
	// DockerAway says that the host's Docker Engine doesn't answer at the moment. What runs goes on.
	DockerAway bool
}

// RelayHeader opens a stream of kind Relay between managers: the other manager opens a stream of the kind with the
// header on its session with the node, and from then on every byte goes through.
type RelayHeader struct {
	Node   string
	Kind   Kind
	Header []byte
}

// RelayAnswer is the first message on a relayed stream; without an error, the bytes of the other stream follow.
type RelayAnswer struct {
	Error string
}

// Refusal ends a session. Reason is a sentence for the operator of the other side.
type Refusal struct {
	Reason string
}

// Inventory lists every Docker container with the cluster's and this node's label. An agent sends it first on each
// Orders stream, after each Remove that it has carried out, when it is asked to, and whenever its subscription to
// Docker's events was interrupted.
type Inventory struct {
	Containers []Observed
	// Away says that Docker doesn't answer: what the host has is not known now.
	Away bool
}

// Observed is what the Docker Engine says of one Docker container.
type Observed struct {
	// Container is the Kiosc container's id, from the label.
	Container string
	// Generation is the generation that made this Docker container, from the label.
	Generation uint64
	// Placement is the number of the placement that made it, from the label.
	Placement uint64
	DockerID  string
	ImageID   string
	// State is Docker's own word: created, running, paused, restarting, exited, dead; "" when it is gone.
	State    string
	ExitCode int
	// IP is the address in the project's network; empty when not running or not reachable that way.
	IP string
	// HostPort is the port published on 127.0.0.1 of the Docker host; 0 when none is.
	HostPort  int
	StartedAt time.Time
	// Interrupted says that the process was ended by a restart of Docker or of the host, not by itself.
	Interrupted bool
	// Heartbeat is where the app is asked whether it answers, port and path, from the label; empty for nowhere. Silent says
	// that it doesn't.
	Heartbeat string `cbor:",omitempty"`
	Silent    bool   `cbor:",omitempty"`
}

// Order tells an agent what a container should be. Orders are idempotent: the same one may come any number of times.
type Order struct {
	// Term is the Raft term of the leader that sends it. An agent refuses a term below the highest it has seen.
	Term       uint64
	Container  string
	Generation uint64
	// Placement is the number of the decision for this node. An agent refuses a number below the highest it has seen
	// for the container, and removes Docker containers of lower ones.
	Placement uint64
	// Action is start, stop, pause, unpause, restart, delete or move.
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
	// What Docker lets the container use, and what it keeps for it: thousandths of a CPU, and bytes; 0 for no limit.
	LimitMilliCPUs, LimitMemory, ReservedMemory int64
	// FileHost is the name by which the container finds the project's small files, at port 8080; empty for none.
	FileHost string

	// What came later is left out where it is zero, so that orders of older managers and agents look as they did.

	// MaxProcesses bounds the processes and threads of the container; 0 for the agent's default.
	MaxProcesses int64 `cbor:",omitempty"`
	// Capabilities are those, such as SYS_PTRACE, that the container has beyond the agent's own small set.
	Capabilities []string `cbor:",omitempty"`
	// SharedMemory is the size of /dev/shm in bytes; 0 for the engine's default.
	SharedMemory int64 `cbor:",omitempty"`
	// GPUs is how many GPUs the container gets; -1 for all.
	GPUs         int  `cbor:",omitempty"`
	ReadOnlyRoot bool `cbor:",omitempty"`
	// Volumes are those of the project that the container has. An order to delete has only those to be deleted with it.
	Volumes []Volume `cbor:",omitempty"`
	// Heartbeat is the path at which the app is asked whether it answers; empty for none.
	Heartbeat string `cbor:",omitempty"`
	// PullPolicy is missing (also where it is empty), always or never.
	PullPolicy string `cbor:",omitempty"`
	// Registry is the login for the image's registry; nil for none. An agent keeps it for as long as the order lasts, in
	// memory only.
	Registry *RegistryLogin `cbor:",omitempty"`
}

// Volume is a named volume of the project and its place in a container.
type Volume struct {
	Name, Path string
}

// RegistryLogin proves to a registry who pulls. It must not be logged, nor written to disk by an agent.
type RegistryLogin struct {
	Host           string
	User, Password string
}

// String keeps the password out of whatever prints the message.
func (l RegistryLogin) String() string { return l.User + " at " + l.Host }

// GoString does the same for %#v.
func (l RegistryLogin) GoString() string { return l.String() }

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
	// MaxLine is how long a line may be, in bytes; 0 for ShortLine. A longer one comes as several.
	MaxLine int
}

// The longest lines of containers that a manager takes: this one, and one that doesn't say it.
const (
	MaxLine   = 128 << 10
	ShortLine = 16 << 10
)

// LogBatch carries lines that follow From and end at To. A batch whose From isn't the stored cursor is not stored.
type LogBatch struct {
	From, To Cursor
	Lines    []LogLine
	// LeftOut is how many lines were left out, because there were too many at once. One of Lines says so at each place.
	LeftOut uint64
}

// LogLine is one line that a container wrote.
//
// Its names on the wire are one letter long, because they come with each line.
type LogLine struct {
	// Time is in nanoseconds since 1970, as Docker stamped it.
	Time   int64 `cbor:"t"`
	Stderr bool  `cbor:"e,omitempty"`
	// Text is valid UTF-8 without the line end, of at most as many bytes as LogsCursor says.
	Text string `cbor:"x"`
}

// LogAck answers a batch. Stored is false when From didn't match; Cursor is where the store stands now.
type LogAck struct {
	Stored bool
	Cursor Cursor
}

// UsageHeader opens a stream of kind Usage, from the leader, directly or through another manager. The agent sends Figures
// on it at once, and then again each time Every has passed. An agent that doesn't know the kind kills the stream.
type UsageHeader struct {
	Every time.Duration
}

// Figures is what the running Docker containers of a host have used.
type Figures struct {
	Containers []Figure
}

// Figure is what one Docker container has used since it was started.
//
// Its names on the wire are one letter long, because there are many.
type Figure struct {
	Container string `cbor:"c"`
	DockerID  string `cbor:"d"`
	// Age is how long before the message the figure was read.
	Age time.Duration `cbor:"a"`
	// CPU is in nanoseconds of one CPU.
	CPU uint64 `cbor:"u"`
	// Memory is in bytes, at the moment, without what the kernel only keeps because there is room. MemoryLimit is the
	// container's, or else all that the host has.
	Memory      uint64 `cbor:"m"`
	MemoryLimit uint64 `cbor:"l"`
	// Received and Sent are the bytes that went over the container's networks.
	Received uint64 `cbor:"r"`
	Sent     uint64 `cbor:"s"`
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

// FileHeader opens a stream of kind File, from the agent, for a small file that one of its containers has asked for. The
// manager answers with FileAnswer, and sends the file's bytes once the agent has sent FileWanted. An agent that has them
// already closes the stream instead. A manager that doesn't know the kind kills the stream.
type FileHeader struct {
	File string
	// Container is who asks. The manager makes sure that it runs on the agent's node and is of the file's project.
	Container string
}

// FileAnswer says what the file is at the moment, or why the container can't have it.
type FileAnswer struct {
	// Error is empty on success, else a sentence for the log.
	Error string
	// Missing says that there is no such file for the container; any other error may pass.
	Missing     bool
	Hash        []byte // SHA-256
	Size        int64  // bytes
	ContentType string
}

// FileWanted asks for the bytes of the file.
type FileWanted struct{}

// JoinRequest is the only message on a join connection. The secret proves that an operator wants this node.
type JoinRequest struct {
	// Versions are the protocol versions that the node speaks, best first.
	Versions []uint16
	Secret   string
	// Role is manager or agent, as in the join token.
	Role string
	// CSR is a PKCS#10 request in DER. Its subject is ignored.
	CSR  []byte
	Name string
	// Address is where a joining manager's cluster port is reached.
	Address string
	// Former is the certificate, perhaps expired, of a node that joins again; the CSR has the same key then.
	Former []byte
}

// JoinAnswer gives the certificate, or says why not.
type JoinAnswer struct {
	Refused string
	NodeID  string
	// Certificate is the node's certificate in DER, CA that of the cluster.
	Certificate, CA []byte
	ClusterID       string
	Managers        []ManagerAddress
}

// PeerHello is the first message of a manager that dials another one, on a control stream. The answer is a Welcome or a
// Refusal. On the stream go PeerStatus, PeerAgents, Visits and Progress in both directions.
type PeerHello struct {
	Versions []uint16
	Build    string
}

// PeerStatus is what a manager tells the others of itself, every second.
type PeerStatus struct {
	Term   uint64
	Leader string // node id of the leader it knows; empty for none
	// Applied and Last are the Raft indices up to which its state and its log go.
	Applied, Last uint64
	Build         string
}

// PeerAgents lists the agents that have a session with the sender.
type PeerAgents struct {
	Nodes []string
}

// Visits tells how the apps on draining hosts are used through the sender.
type Visits struct {
	// Open has the requests and WebSockets under way, by container.
	Open map[string]int
}

// ForwardRequest asks the leader to put a command into the Raft log. Any number may be under way on one stream of kind
// Forward.
type ForwardRequest struct {
	ID uint64
	// Origin marks the log entry so that the sender recognises it when it applies it.
	Origin  []byte
	Command []byte
}

// ForwardAnswer says that a command was not taken, and is not in the log. That one was is not answered: the log tells.
type ForwardAnswer struct {
	ID      uint64
	Refused string // why
}

// CallRequest is the one message from the opener of a stream of kind Call, between managers.
type CallRequest struct {
	// Method is one of those that the leader serves to other managers.
	Method string
	Body   []byte // JSON
}

// CallAnswer answers a CallRequest.
type CallAnswer struct {
	// Code and Message are those of a state.Error; empty on success.
	Code, Message string
	Body          []byte // JSON
}

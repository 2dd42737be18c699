package service

import "time"

// ClusterStatus is the cluster as one manager sees it.
type ClusterStatus struct {
	ClusterID string `json:"cluster_id"`
	// Answered is the node id of the manager that gives the answer.
	Answered string `json:"answered_by"`
	// Leader is a node id; empty where none is known.
	Leader string `json:"leader"`
	Term   uint64 `json:"term"`
	// Quorum tells whether this manager is in touch with a leader that a majority follows. Without it nothing can be
	// changed, and what is shown may be out of date.
	Quorum bool         `json:"quorum"`
	Index  uint64       `json:"index"` // last entry of the Raft log that this manager has applied
	Nodes  []NodeStatus `json:"nodes"`
}

// NodeStatus is one node.
type NodeStatus struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Role     string    `json:"role"` // manager or agent
	Version  string    `json:"version"`
	Health   string    `json:"health"` // ready or down
	JoinedAt time.Time `json:"joined_at"`
	// LastContact is when the answering manager, or for agents the leader, last heard of the node; null for never.
	LastContact *time.Time `json:"last_contact"`

	// Of managers.
	Address string `json:"address,omitempty"`
	Leader  bool   `json:"leader,omitempty"`
	Voter   bool   `json:"voter,omitempty"`
	// Index is how far the manager has applied the Raft log, Lag how many entries that is behind the leader.
	Index uint64 `json:"index,omitempty"`
	Lag   uint64 `json:"lag,omitempty"`

	// Of agents.
	Availability  string            `json:"availability,omitempty"` // active or drain
	DrainBy       *time.Time        `json:"drain_by,omitempty"`
	DockerVersion string            `json:"docker_version,omitempty"`
	NetworkMode   string            `json:"network_mode,omitempty"`
	Exposed       string            `json:"exposed,omitempty"` // why containers are not kept from the host's ports
	CPUs          int               `json:"cpus,omitempty"`
	MemoryBytes   int64             `json:"memory_bytes,omitempty"`
	Containers    int               `json:"containers"` // placed here
	Active        int               `json:"active"`     // of those, running or about to
	ReservedCPUs  float64           `json:"reserved_cpus,omitempty"`
	ReservedBytes int64             `json:"reserved_memory_bytes,omitempty"`
	Labels        map[string]string `json:"labels,omitempty"`
	// Managers are the names of the managers that the agent has a session with.
	Managers []string `json:"managers,omitempty"`
	// Placed lists the containers; only inspect gives it.
	Placed []PlacedContainer `json:"placed,omitempty"`
}

// PlacedContainer is a container on a node.
type PlacedContainer struct {
	ID      string `json:"sodar_uuid"`
	Title   string `json:"title"`
	Project string `json:"project"` // title
	State   string `json:"state"`
	// Note says what keeps the container from being where it should be; empty for nothing.
	Note string `json:"note,omitempty"`
}

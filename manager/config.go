package manager

import (
	"log/slog"
	"time"

	"kiosc/cluster/consensus"
	"kiosc/cluster/state"
	"kiosc/manager/dispatch"
	"kiosc/manager/service"
)

// Config is what an operator decides.
type Config struct {
	DataDir string
	// Listen is for browsers and API clients, ClusterListen for agents and other managers; host:port each.
	Listen, ClusterListen string
	// Advertise is the host:port at which other nodes reach ClusterListen; empty for one that is found out.
	Advertise string
	// Name is what people call this manager.
	Name string
	// Bootstrap makes a new cluster if the data directory has none. Join are cluster ports of managers of a cluster to
	// enter instead, with Token.
	Bootstrap bool
	Join      []string
	Token     string
	// NodeGrace is how long a Docker host may be unseen before its containers are placed elsewhere.
	NodeGrace time.Duration
	Web       WebConfig
	// OpenID is the provider at which people can log in; nil for none.
	OpenID *OpenIDConfig
	// FiguresEvery is how often what containers use is read; 0 for figures.DefaultEvery.
	FiguresEvery time.Duration
	// Site are the settings that must be the same on all managers.
	Site service.Settings
	// Directories are those that people log in with, two at most.
	Directories []DirectoryConfig
	// Limits are what the site allows each app.
	Limits dispatch.Limits
	// MetricsListen is where Prometheus reads, host:port; empty for nowhere.
	MetricsListen string
	// LogLimits bound the log of each container; the zero value leaves them as they are.
	LogLimits state.LogLimits
	// SyncGrace is how long a container may be other than its last action wants before that is repeated; 0 for the default.
	SyncGrace time.Duration
	// CertLife is how long the certificates of nodes are valid; 0 for the default.
	CertLife time.Duration
	// Schedules has schedules of periodic tasks by their names, instead of their own; see tasks.Task.
	Schedules map[string]string
	// RaftLog is the kind of Raft log of a new data directory.
	RaftLog consensus.LogKind
	// AdminPassword is the first admin's, at the very first start only; empty for a generated one.
	AdminPassword string
	Version       string
	Logger        *slog.Logger
}

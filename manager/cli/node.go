package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"kiosc/agent"
	"kiosc/agent/engine"
	"kiosc/agent/guard"
	"kiosc/cluster/consensus"
	"kiosc/cluster/pki"
	"kiosc/cluster/state"
	"kiosc/manager"
	"kiosc/manager/care"
	"kiosc/manager/dispatch"
	"kiosc/manager/figures"
)

// nodeFlags are what every kind of node has.
type nodeFlags struct {
	dataDir, logLevel string
}

func (f *nodeFlags) add(cmd *cobra.Command, dataDir string) {
	cmd.Flags().StringVar(&f.dataDir, "data-dir", dataDir, "directory of this node's data (KIOSC_DATA_DIR)")
	cmd.Flags().StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error (KIOSC_LOG_LEVEL)")
}

// managerFlags are a manager's.
type managerFlags struct {
	listen, clusterListen, advertise, raftLog string
	metricsListen                             string
	nodeGrace, certLife, figuresEvery         time.Duration
	web                                       webFlags
	logLimits                                 state.LogLimits
	schedules                                 schedules
	syncGrace                                 seconds
	site                                      siteFlags
	limits                                    limitFlags
}

func (f *managerFlags) add(cmd *cobra.Command, listen, clusterListen string) {
	cmd.Flags().StringVar(&f.listen, "listen", listen, "address for browsers and API clients (KIOSC_LISTEN)")
	cmd.Flags().StringVar(&f.clusterListen, "cluster-listen", clusterListen, "address for agents and other managers (KIOSC_CLUSTER_LISTEN)")
	cmd.Flags().StringVar(&f.advertise, "advertise", "", "host:port at which other nodes reach --cluster-listen; found out by default (KIOSC_ADVERTISE)")
	cmd.Flags().StringVar(&f.raftLog, "raft-log", string(consensus.LogBolt), "kind of Raft log of a new data directory, boltdb or wal (KIOSC_RAFT_LOG)")
	cmd.Flags().DurationVar(&f.nodeGrace, "node-grace", time.Minute, "how long a Docker host may be unseen before its containers start elsewhere; the same on all managers (KIOSC_NODE_GRACE)")
	f.web.add(cmd)
	f.syncGrace = seconds(care.DefaultGrace)
	cmd.Flags().Var(&f.syncGrace, "sync-grace", "how long a container may be other than it should before Kiosc starts it again, in seconds or such as 5m; the same on all managers (KIOSC_SYNC_GRACE)")
	cmd.Flags().Var(&f.schedules, "task-schedule", "when periodic tasks run, as name=schedule with ; between; a schedule is an interval such as 30s, five fields as cron has them, or off; the same on all managers (KIOSC_TASK_SCHEDULE)")
	cmd.Flags().StringVar(&f.metricsListen, "metrics-listen", "", "address at which Prometheus may read /metrics without a login; none by default (KIOSC_METRICS_LISTEN)")
	cmd.Flags().IntVar(&f.logLimits.Lines, "container-max-log-lines", state.DefaultLogLimits.Lines, "how many lines of each container's log are kept; the same on all managers (KIOSC_CONTAINER_MAX_LOG_LINES)")
	cmd.Flags().IntVar(&f.logLimits.Bytes, "container-max-log-bytes", state.DefaultLogLimits.Bytes, "how many bytes of each container's log are kept, compressed; the same on all managers (KIOSC_CONTAINER_MAX_LOG_BYTES)")
	cmd.Flags().DurationVar(&f.figuresEvery, "figures-every", figures.DefaultEvery, "how often what containers use of CPU, memory and network is read, 1s to 10m; the same on all managers (KIOSC_FIGURES_EVERY)")
	f.site.add(cmd)
	f.limits.add(cmd)
	cmd.Flags().DurationVar(&f.certLife, "cert-life", pki.DefaultLife, "how long the certificates of nodes are valid; they are renewed at half of it (KIOSC_CERT_LIFE)")
}

// config is the manager's configuration without what only one of the commands decides.
func (f *managerFlags) config(node nodeFlags, name string, logger *slog.Logger) (manager.Config, error) {
	switch {
	case f.nodeGrace < dispatch.MinGrace:
		return manager.Config{}, fmt.Errorf("--node-grace is %s; give at least %s", f.nodeGrace, dispatch.MinGrace)
	case f.figuresEvery < minFigures || f.figuresEvery > maxFigures:
		return manager.Config{}, fmt.Errorf("--figures-every is %s; give %s to %s", f.figuresEvery, minFigures, maxFigures)
	case f.logLimits.Validate() != nil:
		return manager.Config{}, f.logLimits.Validate()
	case f.certLife < minCertLife:
		return manager.Config{}, fmt.Errorf("--cert-life is %s; give at least %s", f.certLife, minCertLife)
	}
	web, err := f.web.config()
	if err != nil {
		return manager.Config{}, err
	}
	ldap, err := directories(os.LookupEnv)
	if err != nil {
		return manager.Config{}, err
	}
	provider, err := openID(os.LookupEnv)
	if err != nil {
		return manager.Config{}, err
	}
	site, err := f.site.settings()
	if err != nil {
		return manager.Config{}, err
	}
	limits, err := f.limits.config()
	if err != nil {
		return manager.Config{}, err
	}
	return manager.Config{DataDir: node.dataDir, Listen: f.listen, Web: web, Directories: ldap, OpenID: provider, ClusterListen: f.clusterListen, Advertise: f.advertise, Name: name, Site: site, Limits: limits,
		NodeGrace: f.nodeGrace, FiguresEvery: f.figuresEvery, LogLimits: f.logLimits, MetricsListen: f.metricsListen, CertLife: f.certLife, Schedules: f.schedules, SyncGrace: time.Duration(f.syncGrace), RaftLog: consensus.LogKind(f.raftLog),
		AdminPassword: os.Getenv("KIOSC_ADMIN_PASSWORD"), Version: version(), Logger: logger}, nil
}

// More often than minFigures an agent doesn't read, and after maxFigures nobody remembers what was going on.
const (
	minFigures = time.Second
	maxFigures = 10 * time.Minute
)

// minCertLife leaves time for a renewal that must be tried several times.
const minCertLife = time.Minute

// agentFlags are an agent's.
type agentFlags struct {
	name, dockerHost, networkMode, subnetPool string
	labels                                    map[string]string
	access                                    []string
}

// addName adds the flag of a node's name.
func addName(cmd *cobra.Command, name *string) {
	host, _ := os.Hostname()
	cmd.Flags().StringVar(name, "name", host, "what people call this node (KIOSC_NAME)")
}

func (f *agentFlags) add(cmd *cobra.Command) {
	addName(cmd, &f.name)
	cmd.Flags().StringVar(&f.dockerHost, "docker-host", "", "address of the Docker Engine; DOCKER_HOST or the local socket by default (KIOSC_DOCKER_HOST)")
	cmd.Flags().StringVar(&f.networkMode, "network-mode", "auto", "how containers are reached: auto, docker-shared or host (KIOSC_NETWORK_MODE)")
	cmd.Flags().StringVar(&f.subnetPool, "subnet-pool", engine.DefaultSubnetPool, "addresses for the projects' networks (KIOSC_SUBNET_POOL)")
	cmd.Flags().StringSliceVar(&f.access, "app-access", nil, "IPv4 addresses or prefixes, with :port or without, that apps may reach although they are the Docker host's, a manager's or link-local (KIOSC_APP_ACCESS)")
	cmd.Flags().StringToStringVar(&f.labels, "label", nil, "key=value that placement can ask for; may be given several times (KIOSC_LABEL)")
}

func (f *agentFlags) open(ctx context.Context, clusterID, nodeID string, logger *slog.Logger) (*engine.Engine, error) {
	pool, err := netip.ParsePrefix(f.subnetPool)
	if err != nil {
		return nil, fmt.Errorf("the subnet pool %q is no prefix such as %s", f.subnetPool, engine.DefaultSubnetPool)
	}
	return engine.Open(ctx, engine.Config{Host: f.dockerHost, ClusterID: clusterID, NodeID: nodeID,
		NetworkMode: f.networkMode, SubnetPool: pool, Logger: logger})
}

// run keeps an agent going until ctx ends.
func (f *agentFlags) run(ctx context.Context, identity pki.Identity, dir string, managers []string, e *engine.Engine, logger *slog.Logger) error {
	var allowed []guard.Place
	for _, text := range f.access {
		place, err := guard.ParsePlace(text)
		if err != nil {
			return fmt.Errorf("--app-access: %w", err)
		}
		allowed = append(allowed, place)
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program's file: %w", err)
	}
	agent.New(agent.Config{Credentials: pki.NewCredentials(identity), Dir: dir, Managers: managers, Name: f.name, Labels: f.labels,
		Build: version(), Engine: e, Guard: guard.New(identity.NodeID), Allowed: allowed, DemoImage: manager.DemoRepository + ":" + manager.DemoTag, Binary: binary, Logger: logger}).Run(ctx)
	return nil
}

func newDev() *cobra.Command {
	var node nodeFlags
	var man managerFlags
	var ag agentFlags
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a manager and an agent in one process on the local Docker",
		Long: "Runs a whole Kiosc on this machine: a manager, in a cluster of one, and an agent on the local Docker Engine.\n" +
			"At the first start it makes the user admin, prints the password and adds a project \"Demo\".\n" +
			"Ctrl-C stops Kiosc; the containers go on and are found again at the next start.",
		Example: "  kiosc dev\n  kiosc dev --listen 127.0.0.1:9000 --data-dir /var/lib/kiosc\n  KIOSC_ADMIN_PASSWORD=secret-words kiosc dev",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := newLogger(cmd, node.logLevel)
			if err != nil {
				return err
			}
			return runDev(cmd, node, man, ag, logger)
		},
	}
	node.add(cmd, "data")
	man.add(cmd, "127.0.0.1:8080", "127.0.0.1:0")
	ag.add(cmd)
	return cmd
}

func runDev(cmd *cobra.Command, node nodeFlags, man managerFlags, ag agentFlags, logger *slog.Logger) error {
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	// Asked first, so that a machine without Docker hears of it before anything is made.
	if err := engine.Check(ctx, ag.dockerHost); err != nil {
		return err
	}
	cfg, err := man.config(node, ag.name, logger)
	if err != nil {
		return err
	}
	cfg.Bootstrap = true
	tuneCollector()
	m, err := manager.New(ctx, cfg)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	served := make(chan error, 1)
	running.Add(1)
	go func() {
		defer running.Done()
		served <- m.Run(ctx)
	}()
	greet(cmd.ErrOrStderr(), m, node.dataDir)
	running.Add(1)
	worked := make(chan error, 1)
	go func() {
		defer running.Done()
		worked <- runDevAgent(ctx, m, node, ag, logger)
	}()
	select {
	case err := <-served:
		return err
	case err := <-worked:
		if err != nil {
			return err
		}
		return <-served
	}
}

// runDevAgent joins the agent over the real cluster port, as an agent on another machine does.
func runDevAgent(ctx context.Context, m *manager.Manager, node nodeFlags, ag agentFlags, logger *slog.Logger) error {
	dir := filepath.Join(node.dataDir, "agent")
	managers := []string{m.ClusterAddr()}
	identity, err := pki.LoadIdentity(dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && identity.Expired(time.Now()) {
		var token string
		if token, err = m.AgentToken(ctx); err == nil {
			identity, err = agent.Join(ctx, managers, token, ag.name, dir)
		}
	}
	if err != nil {
		return quiet(ctx, err)
	}
	e, err := ag.open(ctx, identity.ClusterID, identity.NodeID, logger)
	if err != nil {
		return quiet(ctx, err)
	}
	defer e.Close()
	return ag.run(ctx, identity, dir, managers, e, logger)
}

// quiet drops an error that only says that ctx has ended.
func quiet(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func greet(w io.Writer, m *manager.Manager, dataDir string) {
	fmt.Fprintf(w, "\n  Kiosc is running at %s\n  User:     %s\n", m.URL(), manager.AdminName)
	switch {
	case m.FirstPassword != "":
		fmt.Fprintf(w, "  Password: %s   (shown only now)\n", m.FirstPassword)
	default:
		fmt.Fprintf(w, "  Password: as set at the first start\n")
	}
	fmt.Fprintf(w, "  Data:     %s\n  Press Ctrl-C to stop; containers go on.\n\n", dataDir)
}

func newManager() *cobra.Command {
	var node nodeFlags
	var man managerFlags
	var bootstrap bool
	var join []string
	var token, name string
	cmd := &cobra.Command{
		Use:   "manager",
		Short: "Run a manager",
		Long: "Runs a manager: it keeps the state, serves the web pages, the API and the proxy, and gives agents their orders.\n" +
			"The first start needs --bootstrap, which makes a new cluster in the data directory, or --join and --token, which\n" +
			"enter a cluster; `kiosc join-token manager` prints the token. Later starts need neither.\n" +
			"A manager that enters a cluster votes as soon as it has caught up. Have three or five of them.\n" +
			"LDAP directories are set up by variables without flags, ENABLE_LDAP and AUTH_LDAP_…; see docs/access.md.",
		Example: "  kiosc manager --bootstrap --data-dir /var/lib/kiosc\n  kiosc manager --join m1.example.org:7443 --token kioscjoin-1-manager-…\n  kiosc manager --data-dir /var/lib/kiosc --listen 0.0.0.0:8080 --cluster-listen 0.0.0.0:7443",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := newLogger(cmd, node.logLevel)
			if err != nil {
				return err
			}
			if bootstrap && len(join) > 0 {
				return errors.New("give --bootstrap to make a cluster or --join to enter one, not both")
			}
			cfg, err := man.config(node, name, logger)
			if err != nil {
				return err
			}
			cfg.Bootstrap, cfg.Join, cfg.Token = bootstrap, join, token
			tuneCollector()
			m, err := manager.New(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			greet(cmd.ErrOrStderr(), m, node.dataDir)
			return m.Run(cmd.Context())
		},
	}
	node.add(cmd, "/var/lib/kiosc")
	man.add(cmd, "127.0.0.1:8080", "0.0.0.0:7443")
	addName(cmd, &name)
	cmd.Flags().BoolVar(&bootstrap, "bootstrap", false, "make a new cluster if the data directory has none (KIOSC_BOOTSTRAP)")
	cmd.Flags().StringSliceVar(&join, "join", nil, "host:port of cluster ports of managers whose cluster to enter, for the first start only (KIOSC_JOIN)")
	cmd.Flags().StringVar(&token, "token", "", "join token, for the first start only (KIOSC_JOIN_TOKEN)")
	return cmd
}

func newAgent() *cobra.Command {
	var node nodeFlags
	var ag agentFlags
	var addresses []string
	var token string
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run the agent of a Docker host",
		Long: "Connects this machine's Docker Engine with a cluster. The agent dials out to the managers' cluster ports and\n" +
			"listens on none itself. The first start needs --join and --token, from `kiosc join-token agent`; afterwards the\n" +
			"data directory has the certificate and knows the managers, and learns of new ones.",
		Example: "  kiosc agent --join m1.example.org:7443,m2.example.org:7443 --token kioscjoin-1-agent-…\n  kiosc agent --label gpu=true",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := newLogger(cmd, node.logLevel)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			identity, err := ag.identify(ctx, node.dataDir, addresses, token)
			if err != nil {
				return err
			}
			e, err := ag.open(ctx, identity.ClusterID, identity.NodeID, logger)
			if err != nil {
				return err
			}
			defer e.Close()
			return ag.run(ctx, identity, node.dataDir, addresses, e, logger)
		},
	}
	node.add(cmd, "/var/lib/kiosc-agent")
	ag.add(cmd)
	cmd.Flags().StringSliceVar(&addresses, "join", nil, "host:port of the managers' cluster ports; one is enough, the others are learned (KIOSC_JOIN)")
	cmd.Flags().StringVar(&token, "token", "", "join token, for the first start or after the certificate has expired (KIOSC_JOIN_TOKEN)")
	return cmd
}

// identify loads the agent's certificate, or joins to get one. One that has expired is replaced by joining again, which
// keeps the node's id.
func (f *agentFlags) identify(ctx context.Context, dir string, addresses []string, token string) (pki.Identity, error) {
	identity, err := pki.LoadIdentity(dir)
	fresh := errors.Is(err, os.ErrNotExist)
	switch {
	case err != nil && !fresh:
		return identity, err
	case err == nil && !identity.Expired(time.Now()):
		return identity, nil
	case token == "" && fresh:
		return identity, errors.New("this agent has not joined a cluster yet; give --join and --token, from: kiosc join-token agent")
	case token == "":
		return identity, fmt.Errorf("this agent's certificate has expired on %s; give --join and --token, from: kiosc join-token agent. It keeps its place and its containers", identity.Certificate.Leaf.NotAfter.Format(time.DateOnly))
	}
	return agent.Join(ctx, addresses, token, f.name, dir)
}

// tuneCollector leaves the last word to GOGC.
func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(manager.GCPercent)
	}
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"

	"kiosc/agent"
	"kiosc/agent/engine"
	"kiosc/cluster/pki"
	"kiosc/manager"
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
	listen, clusterListen string
}

func (f *managerFlags) add(cmd *cobra.Command, listen, clusterListen string) {
	cmd.Flags().StringVar(&f.listen, "listen", listen, "address for browsers and API clients (KIOSC_LISTEN)")
	cmd.Flags().StringVar(&f.clusterListen, "cluster-listen", clusterListen, "address for agents and other managers (KIOSC_CLUSTER_LISTEN)")
}

// agentFlags are an agent's.
type agentFlags struct {
	name, dockerHost, networkMode, subnetPool string
	labels                                    map[string]string
}

func (f *agentFlags) add(cmd *cobra.Command) {
	host, _ := os.Hostname()
	cmd.Flags().StringVar(&f.name, "name", host, "what people call this Docker host (KIOSC_NAME)")
	cmd.Flags().StringVar(&f.dockerHost, "docker-host", "", "address of the Docker Engine; DOCKER_HOST or the local socket by default (KIOSC_DOCKER_HOST)")
	cmd.Flags().StringVar(&f.networkMode, "network-mode", "auto", "how containers are reached: auto, docker-shared or host (KIOSC_NETWORK_MODE)")
	cmd.Flags().StringVar(&f.subnetPool, "subnet-pool", engine.DefaultSubnetPool, "addresses for the projects' networks (KIOSC_SUBNET_POOL)")
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
func (f *agentFlags) run(ctx context.Context, identity pki.Identity, address string, e *engine.Engine, logger *slog.Logger) error {
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program's file: %w", err)
	}
	agent.New(agent.Config{Identity: identity, Manager: address, Name: f.name, Labels: f.labels, Engine: e,
		DemoImage: manager.DemoRepository + ":" + manager.DemoTag, Binary: binary, Logger: logger}).Run(ctx)
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
	m, err := manager.New(ctx, manager.Config{DataDir: node.dataDir, Listen: man.listen, ClusterListen: man.clusterListen,
		Bootstrap: true, AdminPassword: os.Getenv("KIOSC_ADMIN_PASSWORD"), Version: version(), Logger: logger})
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
	identity, err := pki.LoadIdentity(dir)
	if errors.Is(err, os.ErrNotExist) {
		var token string
		if token, err = m.NewJoinToken(ctx); err == nil {
			identity, err = agent.Join(ctx, m.ClusterAddr(), token, ag.name, dir)
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
	return ag.run(ctx, identity, m.ClusterAddr(), e, logger)
}

// quiet drops an error that only says that ctx has ended.
func quiet(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func greet(w io.Writer, m *manager.Manager, dataDir string) {
	fmt.Fprintf(w, "\n  Kiosc is running at http://%s\n  User:     %s\n", printable(m.Addr()), manager.AdminName)
	switch {
	case m.FirstPassword != "":
		fmt.Fprintf(w, "  Password: %s   (shown only now)\n", m.FirstPassword)
	default:
		fmt.Fprintf(w, "  Password: as set at the first start\n")
	}
	fmt.Fprintf(w, "  Data:     %s\n  Press Ctrl-C to stop; containers go on.\n\n", dataDir)
}

// printable turns an address that means every interface into one that a browser can open.
func printable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func newManager() *cobra.Command {
	var node nodeFlags
	var man managerFlags
	var bootstrap bool
	cmd := &cobra.Command{
		Use:   "manager",
		Short: "Run a manager",
		Long: "Runs a manager: it keeps the state, serves the web pages, the API and the proxy, and gives agents their orders.\n" +
			"The first start needs --bootstrap, which makes a new cluster in the data directory. Agents join with a token\n" +
			"that `kiosc join-token agent` prints.",
		Example: "  kiosc manager --bootstrap --data-dir /var/lib/kiosc\n  kiosc manager --data-dir /var/lib/kiosc --listen 0.0.0.0:8080 --cluster-listen 0.0.0.0:7443",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := newLogger(cmd, node.logLevel)
			if err != nil {
				return err
			}
			m, err := manager.New(cmd.Context(), manager.Config{DataDir: node.dataDir, Listen: man.listen,
				ClusterListen: man.clusterListen, Bootstrap: bootstrap, AdminPassword: os.Getenv("KIOSC_ADMIN_PASSWORD"),
				Version: version(), Logger: logger})
			if err != nil {
				return err
			}
			greet(cmd.ErrOrStderr(), m, node.dataDir)
			return m.Run(cmd.Context())
		},
	}
	node.add(cmd, "/var/lib/kiosc")
	man.add(cmd, "127.0.0.1:8080", "0.0.0.0:7443")
	cmd.Flags().BoolVar(&bootstrap, "bootstrap", false, "make a new cluster if the data directory has none (KIOSC_BOOTSTRAP)")
	return cmd
}

func newAgent() *cobra.Command {
	var node nodeFlags
	var ag agentFlags
	var address, token string
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run the agent of a Docker host",
		Long: "Connects this machine's Docker Engine with a cluster. The agent dials out to the manager's cluster port and\n" +
			"listens on none itself. The first start needs --token, from `kiosc join-token agent`; afterwards the\n" +
			"certificate in the data directory is enough.",
		Example: "  kiosc agent --join manager.example.org:7443 --token kioscjoin-1-agent-…\n  kiosc agent --join manager.example.org:7443 --label gpu=true",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := newLogger(cmd, node.logLevel)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			if address == "" {
				return errors.New("give the manager's cluster port with --join, such as --join manager.example.org:7443")
			}
			identity, err := pki.LoadIdentity(node.dataDir)
			if errors.Is(err, os.ErrNotExist) {
				if token == "" {
					return errors.New("this agent has not joined a cluster yet; give --token, from: kiosc join-token agent")
				}
				identity, err = agent.Join(ctx, address, token, ag.name, node.dataDir)
			}
			if err != nil {
				return err
			}
			e, err := ag.open(ctx, identity.ClusterID, identity.NodeID, logger)
			if err != nil {
				return err
			}
			defer e.Close()
			return ag.run(ctx, identity, address, e, logger)
		},
	}
	node.add(cmd, "/var/lib/kiosc-agent")
	ag.add(cmd)
	cmd.Flags().StringVar(&address, "join", "", "host:port of the manager's cluster port (KIOSC_JOIN)")
	cmd.Flags().StringVar(&token, "token", "", "join token, for the first start only (KIOSC_JOIN_TOKEN)")
	return cmd
}

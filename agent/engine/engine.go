// Package engine is the only code of Kiosc that talks to Docker.
//
// It owns how a container becomes a Docker container: names, labels, networks, limits, and what is read back. It takes
// no decision: which step comes when is the agent's concern.
//
// What must always hold:
//   - A Docker container without this cluster's label is never started, stopped, removed, read or connected to.
//   - Every call to Docker has a deadline, but the two that follow something: events and logs.
//   - An image or a volume is removed only where no Docker container has it, and never by force; a volume of another cluster
//     never.
//   - A step that is done already is a success, so that each may be repeated.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

	"kiosc/cluster/wire"
)

// The labels of everything that Kiosc makes in Docker.
const (
	labelCluster    = "kiosc.cluster"
	labelContainer  = "kiosc.container"
	labelGeneration = "kiosc.generation"
	labelPlacement  = "kiosc.placement"
	labelNode       = "kiosc.node"
	labelProject    = "kiosc.project"
	labelVolume     = "kiosc.volume"
	labelHeartbeat  = "kiosc.heartbeat" // port and path
	labelBinary     = "kiosc.binary"
)

// How containers are reached.
const (
	ModeAuto         = "auto"
	ModeDockerShared = "docker-shared" // at their address in the project's network
	ModeHost         = "host"          // at a port published on 127.0.0.1 of the Docker host
)

// DefaultSubnetPool is where the projects' networks are cut from.
const DefaultSubnetPool = "10.171.0.0/16"

const (
	checkTimeout = 5 * time.Second
	callTimeout  = 60 * time.Second
	// stopMargin is how much longer than the grace a stop may take.
	stopMargin = 30 * time.Second
)

var (
	// ErrUnavailable says that Docker doesn't answer.
	ErrUnavailable = errors.New("the Docker Engine does not answer")
	// ErrNotFound says that there is no such Docker container of this cluster.
	ErrNotFound = errors.New("there is no such Docker container")
	// ErrNotRunning says that the Docker container doesn't run.
	ErrNotRunning = errors.New("the Docker container is not running")
	// ErrRefused says that nothing listens on the port.
	ErrRefused = errors.New("nothing listens on the port")
)

// Config says which Docker Engine, and on whose behalf.
type Config struct {
	Host              string // such as unix:///var/run/docker.sock; empty for DOCKER_HOST or the default
	ClusterID, NodeID string
	NetworkMode       string // empty for ModeAuto
	SubnetPool        netip.Prefix
	LogCheck          time.Duration // how often a silent log is compared with what Docker has; 0 for 10 s
	Logger            *slog.Logger
}

// Engine is one Docker Engine. Its methods may be called from any goroutine.
type Engine struct {
	cfg    Config
	docker *client.Client
	mode   string
	self   self
	logger *slog.Logger

	networks  sync.Mutex // one change of networks at a time, and none while a Docker container is made in one
	addresses addresses
	owned     sync.Map // Docker ids whose label was seen
}

func connect(host string) (*client.Client, error) {
	opts := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if host != "" {
		opts = append(opts, client.WithHost(host))
	}
	docker, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, fmt.Errorf("the address of the Docker Engine is not valid: %w", err)
	}
	return docker, nil
}

// Check tells in one sentence why Docker can't be used; nil if it can.
func Check(ctx context.Context, host string) error {
	docker, err := connect(host)
	if err != nil {
		return err
	}
	defer docker.Close()
	return check(ctx, docker)
}

func check(ctx context.Context, docker *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	_, err := docker.Ping(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: no permission to use %s; add this user to the group docker or run as root", ErrUnavailable, docker.DaemonHost())
	default:
		return fmt.Errorf("%w at %s; start Docker, or set DOCKER_HOST to where it runs", ErrUnavailable, docker.DaemonHost())
	}
}

// Open connects with the Docker Engine and finds out how containers are reached.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	docker, err := connect(cfg.Host)
	if err != nil {
		return nil, err
	}
	if !cfg.SubnetPool.IsValid() {
		cfg.SubnetPool = netip.MustParsePrefix(DefaultSubnetPool)
	}
	if cfg.LogCheck <= 0 {
		cfg.LogCheck = logCheck
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	e := &Engine{cfg: cfg, docker: docker, mode: cfg.NetworkMode, self: findSelf(), logger: cfg.Logger}
	if err := e.prepare(ctx); err != nil {
		return nil, errors.Join(err, docker.Close())
	}
	return e, nil
}

func (e *Engine) prepare(ctx context.Context) error {
	if err := check(ctx, e.docker); err != nil {
		return err
	}
	if e.cfg.SubnetPool.Bits() > subnetBits || !e.cfg.SubnetPool.Addr().Is4() {
		return fmt.Errorf("the subnet pool %s is too small; give an IPv4 prefix of at most /%d", e.cfg.SubnetPool, subnetBits)
	}
	switch e.mode {
	case ModeDockerShared, ModeHost:
		return nil
	case "", ModeAuto:
		return e.detect(ctx)
	default:
		return fmt.Errorf("the network mode %q is none of %s, %s and %s", e.mode, ModeAuto, ModeDockerShared, ModeHost)
	}
}

// detect finds out whether this process can reach bridge networks: it can where a bridge's own address is on an interface
// of its own, and not with a rootless, virtual or remote Docker, nor from within a Docker container, whose bridge Docker
// keeps apart from the others.
func (e *Engine) detect(ctx context.Context) error {
	local, err := e.Local(ctx)
	if e.mode = ModeHost; local {
		e.mode = ModeDockerShared
	}
	return err
}

// Local tells whether Docker's bridges are among this process's own interfaces.
func (e *Engine) Local(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	bridges, err := e.docker.NetworkList(ctx, network.ListOptions{Filters: filters.NewArgs(filters.Arg("driver", "bridge"))})
	if err != nil {
		return false, explain(err, "looking at Docker's bridge networks")
	}
	local := localAddresses()
	for _, bridge := range bridges {
		for _, ipam := range bridge.IPAM.Config {
			if slices.Contains(local, gateway(ipam)) {
				return true, nil
			}
		}
	}
	return false, nil
}

// gateway is the bridge's own address. Docker doesn't tell that of its default bridge, which is the subnet's first.
func gateway(ipam network.IPAMConfig) netip.Addr {
	if addr, err := netip.ParseAddr(ipam.Gateway); err == nil {
		return addr
	}
	subnet, err := netip.ParsePrefix(ipam.Subnet)
	if err != nil {
		return netip.Addr{}
	}
	return subnet.Masked().Addr().Next()
}

// Close ends the connections to Docker.
func (e *Engine) Close() error { return e.docker.Close() }

// Info tells what the Docker Engine is.
func (e *Engine) Info(ctx context.Context) (wire.EngineInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := e.docker.Info(ctx)
	if err != nil {
		return wire.EngineInfo{}, explain(err, "asking Docker what it is")
	}
	return wire.EngineInfo{Version: info.ServerVersion, APIVersion: e.docker.ClientVersion(), CPUs: info.NCPU,
		MemoryBytes: info.MemTotal, NetworkMode: e.mode}, nil
}

// explain says what was being done, and makes a Docker Engine that doesn't answer recognisable. One that takes longer
// than the call's deadline counts as such.
func explain(err error, doing string) error {
	var netErr net.Error
	switch {
	case err == nil:
		return nil
	case errdefs.IsNotFound(err):
		return fmt.Errorf("%s: %w", doing, err)
	case client.IsErrConnectionFailed(err), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF),
		errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr):
		return fmt.Errorf("%s: %w (%w)", doing, ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

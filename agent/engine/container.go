package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
	"github.com/docker/go-units"

	"kiosc/cluster/wire"
)

const (
	// The log file of a Docker container is kept by Docker until it has been sent; these bound its size.
	logFileSize = "64m"
	logFiles    = "2"
	// maxProcesses bounds what one app can start.
	maxProcesses = 4096
)

// List returns every Docker container of this cluster and node, running or not.
func (e *Engine) List(ctx context.Context) ([]wire.Observed, error) { return e.list(ctx, "") }

// Find returns the Docker containers of one container, newest generation first.
func (e *Engine) Find(ctx context.Context, id string) ([]wire.Observed, error) {
	return e.list(ctx, labelContainer+"="+id)
}

func (e *Engine) list(ctx context.Context, label string) ([]wire.Observed, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	args := e.mine()
	if label != "" {
		args.Add("label", label)
	}
	found, err := e.docker.ContainerList(ctx, container.ListOptions{All: true, Filters: args})
	if err != nil {
		return nil, explain(err, "listing Docker containers")
	}
	var all []wire.Observed
	for _, c := range found {
		o, err := e.Inspect(ctx, c.ID)
		if errors.Is(err, ErrNotFound) {
			continue // removed in between
		}
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

// mine filters by this cluster and node.
func (e *Engine) mine() filters.Args {
	return filters.NewArgs(filters.Arg("label", labelCluster+"="+e.cfg.ClusterID), filters.Arg("label", labelNode+"="+e.cfg.NodeID))
}

// Inspect returns what Docker says of a Docker container of this cluster.
func (e *Engine) Inspect(ctx context.Context, dockerID string) (wire.Observed, error) {
	info, err := e.inspect(ctx, dockerID)
	if err != nil {
		return wire.Observed{}, err
	}
	generation, err := strconv.ParseUint(info.Config.Labels[labelGeneration], 10, 64)
	if err != nil {
		return wire.Observed{}, fmt.Errorf("the Docker container %s has no generation", dockerID)
	}
	o := wire.Observed{Container: info.Config.Labels[labelContainer], Generation: generation, DockerID: info.ID,
		ImageID: info.Image, State: string(info.State.Status), ExitCode: info.State.ExitCode}
	if o.State == "removing" {
		o.State = "dead"
	}
	if at, err := time.Parse(time.RFC3339Nano, info.State.StartedAt); err == nil && at.Year() > 1 {
		o.StartedAt = at.UTC()
	}
	o.IP, o.HostPort = reachedAt(info)
	return o, nil
}

// inspect fails with ErrNotFound also for a Docker container of somebody else.
func (e *Engine) inspect(ctx context.Context, dockerID string) (container.InspectResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := e.docker.ContainerInspect(ctx, dockerID)
	if errdefs.IsNotFound(err) {
		return info, ErrNotFound
	}
	if err != nil {
		return info, explain(err, "looking at a Docker container")
	}
	if info.Config == nil || info.State == nil || info.Config.Labels[labelCluster] != e.cfg.ClusterID {
		return info, ErrNotFound
	}
	e.owned.Store(info.ID, true)
	return info, nil
}

// own refuses Docker containers without this cluster's label.
func (e *Engine) own(ctx context.Context, dockerID string) error {
	if _, seen := e.owned.Load(dockerID); seen {
		return nil
	}
	_, err := e.inspect(ctx, dockerID)
	return err
}

// reachedAt is the address in the first network and the first published port.
func reachedAt(info container.InspectResponse) (ip string, port int) {
	if info.NetworkSettings == nil || !info.State.Running {
		return "", 0
	}
	for _, endpoint := range info.NetworkSettings.Networks {
		if endpoint.IPAddress != "" {
			ip = endpoint.IPAddress
		}
	}
	for _, bindings := range info.NetworkSettings.Ports {
		for _, b := range bindings {
			if n, err := strconv.Atoi(b.HostPort); err == nil && n > 0 {
				port = n
			}
		}
	}
	return ip, port
}

// Create makes a Docker container of a generation, in the project's network. It isn't started.
func (e *Engine) Create(ctx context.Context, id string, generation uint64, spec wire.Spec, imageID string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, max(spec.Timeout, checkTimeout))
	defer cancel()
	name := fmt.Sprintf("kiosc-%s-%d", id, generation)
	if err := e.clearName(ctx, name); err != nil {
		return "", err
	}
	e.networks.Lock()
	defer e.networks.Unlock()
	net, err := e.ensureNetwork(ctx, spec.Project)
	if err != nil {
		return "", err
	}
	config, host := e.describe(id, generation, spec, imageID)
	made, err := e.docker.ContainerCreate(ctx, config, host,
		&network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{net: {}}}, nil, name)
	if err != nil {
		return "", explain(err, "creating the Docker container")
	}
	e.owned.Store(made.ID, true)
	return made.ID, nil
}

// clearName removes what an earlier, cut-off try has left.
func (e *Engine) clearName(ctx context.Context, name string) error {
	info, err := e.docker.ContainerInspect(ctx, name)
	switch {
	case errdefs.IsNotFound(err):
		return nil
	case err != nil:
		return explain(err, "looking for a Docker container of the same name")
	case info.Config.Labels[labelCluster] != e.cfg.ClusterID:
		return fmt.Errorf("there is a Docker container with the name %s that isn't Kiosc's; remove or rename it", name)
	}
	return e.Remove(ctx, info.ID)
}

func (e *Engine) describe(id string, generation uint64, spec wire.Spec, imageID string) (*container.Config, *container.HostConfig) {
	port := nat.Port(strconv.Itoa(spec.Port) + "/tcp")
	config := &container.Config{
		Image: imageID, Cmd: spec.Command, Env: spec.Env, ExposedPorts: nat.PortSet{port: {}},
		Labels: map[string]string{labelCluster: e.cfg.ClusterID, labelNode: e.cfg.NodeID, labelContainer: id,
			labelGeneration: strconv.FormatUint(generation, 10), labelProject: spec.Project},
	}
	processes := int64(maxProcesses)
	host := &container.HostConfig{
		LogConfig:   container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": logFileSize, "max-file": logFiles}},
		SecurityOpt: []string{"no-new-privileges"},
		CapDrop:     []string{"NET_RAW"},
		Resources:   container.Resources{PidsLimit: &processes},
	}
	if hard := min(spec.NoFileHard, openFiles()); hard > 0 {
		host.Ulimits = []*units.Ulimit{{Name: "nofile", Soft: min(spec.NoFileSoft, hard), Hard: hard}}
	}
	if e.mode == ModeHost {
		host.PortBindings = nat.PortMap{port: {{HostIP: "127.0.0.1"}}} // the engine chooses a free port
	}
	return config, host
}

// openFiles is how many files a process of this machine may open at most. Docker can't start a container with more where
// it lacks the right to raise its own limit, as within another container.
func openFiles() int64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Max > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(limit.Max)
}

// Start starts a Docker container.
func (e *Engine) Start(ctx context.Context, dockerID string) error {
	return e.do(ctx, dockerID, callTimeout, "starting the Docker container", func(ctx context.Context) error {
		return e.docker.ContainerStart(ctx, dockerID, container.StartOptions{})
	})
}

// Stop asks the process to end and kills it after grace.
func (e *Engine) Stop(ctx context.Context, dockerID string, grace time.Duration) error {
	seconds := int(grace.Seconds())
	return e.do(ctx, dockerID, grace+callTimeout, "stopping the Docker container", func(ctx context.Context) error {
		return e.docker.ContainerStop(ctx, dockerID, container.StopOptions{Timeout: &seconds})
	})
}

// Pause freezes the processes of a Docker container.
func (e *Engine) Pause(ctx context.Context, dockerID string) error {
	return e.change(ctx, dockerID, "paused", "pausing the Docker container", func(ctx context.Context) error {
		return e.docker.ContainerPause(ctx, dockerID)
	})
}

// Unpause lets them go on.
func (e *Engine) Unpause(ctx context.Context, dockerID string) error {
	return e.change(ctx, dockerID, "running", "unpausing the Docker container", func(ctx context.Context) error {
		return e.docker.ContainerUnpause(ctx, dockerID)
	})
}

// change is do for calls that Docker refuses where there is nothing to change.
func (e *Engine) change(ctx context.Context, dockerID, to, doing string, f func(context.Context) error) error {
	err := e.do(ctx, dockerID, callTimeout, doing, f)
	if err == nil {
		return nil
	}
	if o, lookErr := e.Inspect(ctx, dockerID); lookErr == nil && o.State == to {
		return nil
	}
	return err
}

// Remove removes a Docker container with its anonymous volumes, running or not, and its project's network if that was
// the last. One that is gone already is a success.
func (e *Engine) Remove(ctx context.Context, dockerID string) error {
	info, err := e.inspect(ctx, dockerID)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	err = e.do(ctx, dockerID, callTimeout, "removing the Docker container", func(ctx context.Context) error {
		return e.docker.ContainerRemove(ctx, dockerID, container.RemoveOptions{Force: true, RemoveVolumes: true})
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	e.owned.Delete(info.ID)
	if err := e.pruneNetworks(ctx); err != nil {
		e.logger.Warn("a project's network could not be removed; it is tried again with the next container", "error", err)
	}
	return nil
}

// do makes one call about a Docker container of this cluster.
func (e *Engine) do(ctx context.Context, dockerID string, limit time.Duration, doing string, f func(context.Context) error) error {
	if err := e.own(ctx, dockerID); err != nil {
		return err
	}
	e.addresses.forget(dockerID)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := f(ctx)
	if errdefs.IsNotFound(err) {
		return ErrNotFound
	}
	return explain(err, doing)
}

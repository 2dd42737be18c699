package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"kiosc/cluster/wire"
)

const (
	// The log file of a Docker container is kept by Docker until it has been sent; these bound its size.
	logFileSize = "64m"
	logFiles    = "2"
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
		if _, err := generationOf(c.Labels); err != nil {
			e.logger.Warn("a Docker container with this cluster's label is passed over", "id", c.ID, "error", err)
			continue
		}
		o, err := e.Inspect(ctx, c.ID)
		if errors.Is(err, ErrNotFound) {
			continue // removed in between
		}
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	slices.SortStableFunc(all, func(a, b wire.Observed) int { return cmp.Compare(b.Generation, a.Generation) })
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
	generation, err := generationOf(info.Config.Labels)
	if err != nil {
		return wire.Observed{}, fmt.Errorf("the Docker container %s: %w", dockerID, err)
	}
	o := wire.Observed{Container: info.Config.Labels[labelContainer], Generation: generation, Placement: placementOf(info.Config.Labels), DockerID: info.ID,
		ImageID: info.Image, State: string(info.State.Status), ExitCode: info.State.ExitCode}
	if o.State == "removing" {
		o.State = "dead"
	}
	if at, err := time.Parse(time.RFC3339Nano, info.State.StartedAt); err == nil && at.Year() > 1 {
		o.StartedAt = at.UTC()
	}
	o.IP, o.HostPort = e.reachedAt(info)
	o.Heartbeat = info.Config.Labels[labelHeartbeat]
	return o, nil
}

func generationOf(labels map[string]string) (uint64, error) {
	n, err := strconv.ParseUint(labels[labelGeneration], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the label %s has no generation but %q", labelGeneration, labels[labelGeneration])
	}
	return n, nil
}

// placementOf is 0 for what was made before there were placements.
func placementOf(labels map[string]string) uint64 {
	n, _ := strconv.ParseUint(labels[labelPlacement], 10, 64)
	return n
}

// inspect fails with ErrNotFound also for a Docker container of somebody else.
func (e *Engine) inspect(ctx context.Context, dockerID string) (container.InspectResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := e.docker.ContainerInspect(ctx, dockerID)
	if errdefs.IsNotFound(err) {
		e.owned.Delete(dockerID)
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

// reachedAt is the address in the project's network and the published port.
func (e *Engine) reachedAt(info container.InspectResponse) (ip string, port int) {
	if info.NetworkSettings == nil || !info.State.Running {
		return "", 0
	}
	if endpoint := info.NetworkSettings.Networks[e.networkName(info.Config.Labels[labelProject])]; endpoint != nil {
		ip = endpoint.IPAddress
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

// Making says what a Docker container is made of.
type Making struct {
	Container             string // id of the container
	Generation, Placement uint64
	Spec                  wire.Spec
	ImageID               string
}

// Create makes a Docker container of a generation, in the project's network. It isn't started. With ErrTooLong, Docker may have
// made it or make it yet.
func (e *Engine) Create(ctx context.Context, m Making) (string, error) {
	id, generation, spec, limit := m.Container, m.Generation, m.Spec, limitOf(ctx, callTimeout)
	name := fmt.Sprintf("kiosc-%s-%d", id, generation)
	if err := e.clearName(ctx, limit, name); err != nil {
		return "", err
	}
	// The deadline begins behind the lock, or a queue of creations would take it from the last of them.
	e.networks.Lock()
	defer e.networks.Unlock()
	net, err := e.ensureNetwork(ctx, limit, spec.Project)
	if err != nil {
		return "", err
	}
	if err := e.ensureVolumes(ctx, limit, spec); err != nil {
		return "", err
	}
	config, host := e.describe(m)
	host.NetworkMode = container.NetworkMode(net.ID)
	if spec.FileHost != "" && net.Gateway.IsValid() {
		host.ExtraHosts = []string{spec.FileHost + ":" + net.Gateway.String()}
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	made, err := e.docker.ContainerCreate(ctx, config, host, nil, nil, name)
	if err != nil {
		return "", e.judge(ctx, limit, err, "creating the Docker container")
	}
	e.owned.Store(made.ID, true)
	return made.ID, nil
}

// clearName removes what an earlier, cut-off try has left.
func (e *Engine) clearName(ctx context.Context, limit time.Duration, name string) error {
	look, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	info, err := e.docker.ContainerInspect(look, name)
	switch {
	case errdefs.IsNotFound(err):
		return nil
	case err != nil:
		return explain(err, "looking for a Docker container of the same name")
	case info.Config == nil || info.Config.Labels[labelCluster] != e.cfg.ClusterID:
		return fmt.Errorf("there is a Docker container with the name %s that isn't Kiosc's; remove or rename it", name)
	}
	return e.Remove(ctx, info.ID)
}

// Start starts a Docker container.
func (e *Engine) Start(ctx context.Context, dockerID string) error {
	err := e.do(ctx, dockerID, limitOf(ctx, callTimeout), "starting the Docker container", func(ctx context.Context) error {
		return e.docker.ContainerStart(ctx, dockerID, container.StartOptions{})
	})
	if err != nil && strings.Contains(err.Error(), "could not select device driver") { // Docker gives no code for it
		return fmt.Errorf("this Docker host has no GPU that Docker can use; choose one that has, by a condition such as node.labels.gpu == true (%w)", err)
	}
	return err
}

// Stop asks the process to end and kills it after grace.
func (e *Engine) Stop(ctx context.Context, dockerID string, grace time.Duration) error {
	seconds := int(grace.Seconds())
	return e.do(ctx, dockerID, grace+limitOf(ctx, stopMargin), "stopping the Docker container", func(ctx context.Context) error {
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
	err := e.do(ctx, dockerID, limitOf(ctx, callTimeout), doing, f)
	if err == nil {
		return nil
	}
	if errors.Is(err, ErrUnavailable) || errors.Is(err, ErrTooLong) {
		return err
	}
	o, lookErr := e.Inspect(ctx, dockerID)
	switch {
	case lookErr != nil:
		return lookErr
	case o.State == to:
		return nil
	case o.State != "running" && o.State != "paused":
		return fmt.Errorf("%s: %w", doing, ErrNotRunning)
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
	err = e.do(ctx, dockerID, limitOf(ctx, callTimeout), "removing the Docker container", func(ctx context.Context) error {
		return e.removeDocker(ctx, dockerID)
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	e.owned.Delete(info.ID)
	if err := e.pruneNetwork(ctx, info.Config.Labels[labelProject]); err != nil {
		e.logger.Warn("a project's network could not be removed; it is tried again with the next container", "error", err)
	}
	return nil
}

// removeDocker waits where Docker is removing it already, so that its name and network are free afterwards.
func (e *Engine) removeDocker(ctx context.Context, dockerID string) error {
	err := e.docker.ContainerRemove(ctx, dockerID, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "already in progress") {
		return err
	}
	gone, failed := e.docker.ContainerWait(ctx, dockerID, container.WaitConditionRemoved)
	select {
	case <-gone:
		return nil
	case err := <-failed:
		return err
	}
}

// do makes one call about a Docker container of this cluster.
func (e *Engine) do(ctx context.Context, dockerID string, limit time.Duration, doing string, f func(context.Context) error) error {
	if err := e.own(ctx, dockerID); err != nil {
		return err
	}
	defer e.addresses.forget(dockerID) // behind the call, because a dial during it may have remembered the address again
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := f(ctx)
	// Docker says "not found" of other things too, such as a network that somebody has removed.
	if errdefs.IsNotFound(err) && strings.Contains(strings.ToLower(err.Error()), "no such container") {
		e.owned.Delete(dockerID)
		return ErrNotFound
	}
	return e.judge(ctx, limit, err, doing)
}

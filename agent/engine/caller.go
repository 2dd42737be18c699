package engine

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
)

// ProjectNetwork is a project's network on this Docker host.
type ProjectNetwork struct {
	ID, Project string
	Subnet      netip.Prefix
	Gateway     netip.Addr // the host's own address in it, which its containers reach
	Bridge      string     // the host's interface in it
}

func projectNetwork(n *network.Summary) ProjectNetwork {
	found := ProjectNetwork{ID: n.ID, Project: n.Labels[labelProject], Bridge: "br-" + n.ID[:min(12, len(n.ID))]} // Docker's way
	for _, ipam := range n.IPAM.Config {
		if subnet, err := netip.ParsePrefix(ipam.Subnet); err == nil && subnet.Addr().Is4() {
			found.Subnet, found.Gateway = subnet, gateway(ipam)
		}
	}
	return found
}

// ProjectNetworks lists the networks that have Docker containers of this node, running or not. Where two nodes share a
// Docker Engine, there are others beside them.
func (e *Engine) ProjectNetworks(ctx context.Context) (list []ProjectNetwork, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	args := filters.NewArgs(filters.Arg("label", labelCluster+"="+e.cfg.ClusterID), filters.Arg("driver", "bridge"))
	all, err := e.docker.NetworkList(ctx, network.ListOptions{Filters: args})
	if err != nil {
		return nil, explain(err, "listing the projects' networks")
	}
	containers, err := e.docker.ContainerList(ctx, container.ListOptions{All: true, Filters: e.mine()})
	if err != nil {
		return nil, explain(err, "listing Docker containers")
	}
	mine := make(map[string]bool)
	for i := range containers {
		mine[containers[i].Labels[labelProject]] = true
	}
	for i := range all {
		if n := projectNetwork(&all[i]); n.Project != "" && mine[n.Project] && n.Gateway.IsValid() {
			list = append(list, n)
		}
	}
	return list, nil
}

// IsLocal tells whether an address is one of this machine's, as far as this process sees. That of a network's gateway is
// not where Docker runs in another network namespace: rootless, in a virtual machine, or where this process itself is in
// a Docker container.
func IsLocal(addr netip.Addr) bool { return slices.Contains(localAddresses(), addr) }

// Caller tells which container of this cluster and node has an address in a project's network, by what Docker says of the
// network at the moment. It is ErrNotFound where none has, or Docker's network of this id is no longer the project's.
func (e *Engine) Caller(ctx context.Context, n ProjectNetwork, from netip.Addr) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	info, err := e.docker.NetworkInspect(ctx, n.ID, network.InspectOptions{})
	if errdefs.IsNotFound(err) {
		return "", ErrNotFound
	}
	if err != nil {
		return "", explain(err, "looking at a project's network")
	}
	if info.Labels[labelCluster] != e.cfg.ClusterID || info.Labels[labelProject] != n.Project {
		return "", ErrNotFound
	}
	for dockerID, endpoint := range info.Containers {
		if addr, err := netip.ParsePrefix(endpoint.IPv4Address); err != nil || addr.Addr() != from {
			continue
		}
		found, err := e.inspect(ctx, dockerID)
		switch {
		case errors.Is(err, ErrNotFound):
			continue
		case err != nil:
			return "", err
		}
		labels := found.Config.Labels
		if labels[labelNode] == e.cfg.NodeID && labels[labelProject] == n.Project && labels[labelContainer] != "" {
			return labels[labelContainer], nil
		}
	}
	return "", ErrNotFound
}

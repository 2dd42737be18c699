package engine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
)

// subnetBits is the size of a project's network: 61 containers on one Docker host.
const subnetBits = 26

// networkName is the name of a project's network on this Docker host.
func (e *Engine) networkName(project string) string {
	return "kiosc-" + e.cfg.ClusterID[:min(8, len(e.cfg.ClusterID))] + "-" + project
}

// ensureNetwork makes the project's bridge network unless it is there. Docker's own choice of subnets ends after about
// thirty networks, so ours are cut from the pool. The caller holds e.networks.
func (e *Engine) ensureNetwork(ctx context.Context, limit time.Duration, project string) (ProjectNetwork, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	name := e.networkName(project)
	all, err := e.docker.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return ProjectNetwork{}, explain(err, "listing Docker's networks")
	}
	taken := localSubnets()
	for _, n := range all {
		if n.Name == name && n.Labels[labelCluster] == e.cfg.ClusterID {
			return projectNetwork(&n), nil
		}
		for _, ipam := range n.IPAM.Config {
			if p, err := netip.ParsePrefix(ipam.Subnet); err == nil {
				taken = append(taken, p)
			}
		}
	}
	for subnet := netip.PrefixFrom(e.cfg.SubnetPool.Masked().Addr(), subnetBits); e.cfg.SubnetPool.Contains(subnet.Addr()); subnet = after(subnet) {
		if overlaps(taken, subnet) {
			continue
		}
		made, err := e.docker.NetworkCreate(ctx, name, network.CreateOptions{
			Driver: "bridge", EnableIPv6: new(false), IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet.String(), Gateway: subnet.Addr().Next().String()}}},
			Labels: map[string]string{labelCluster: e.cfg.ClusterID, labelNode: e.cfg.NodeID, labelProject: project},
		})
		if err == nil {
			return ProjectNetwork{ID: made.ID, Project: project, Subnet: subnet, Gateway: subnet.Addr().Next()}, nil
		}
		if !strings.Contains(err.Error(), "overlap") { // Docker gives no code for it
			return ProjectNetwork{}, e.judge(ctx, limit, err, "making the project's network")
		}
	}
	return ProjectNetwork{}, fmt.Errorf("the subnet pool %s has no free subnet left; give a larger one with KIOSC_SUBNET_POOL", e.cfg.SubnetPool)
}

// after is the next subnet of the same size.
func after(p netip.Prefix) netip.Prefix {
	a := p.Addr().As4()
	n := uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
	n += 1 << (32 - p.Bits())
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), p.Bits())
}

func overlaps(taken []netip.Prefix, p netip.Prefix) bool {
	for _, t := range taken {
		if t.Overlaps(p) {
			return true
		}
	}
	return false
}

// localSubnets are the networks that this machine is in.
func localSubnets() (subnets []netip.Prefix) {
	for _, p := range localPrefixes() {
		subnets = append(subnets, p.Masked())
	}
	return subnets
}

// localAddresses are this machine's own.
func localAddresses() (addresses []netip.Addr) {
	for _, p := range localPrefixes() {
		addresses = append(addresses, p.Addr())
	}
	return addresses
}

func localPrefixes() (prefixes []netip.Prefix) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil // Docker refuses what overlaps, too
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			prefixes = append(prefixes, p)
		}
	}
	return prefixes
}

// pruneNetwork removes the project's network if no Docker container is left in it, running or not.
func (e *Engine) pruneNetwork(ctx context.Context, project string) error {
	if project == "" {
		return nil
	}
	e.networks.Lock()
	defer e.networks.Unlock()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	// Not only this node's: where two nodes share a Docker Engine they share its networks. And asked of the containers,
	// because a network doesn't show those that were never started.
	args := filters.NewArgs(filters.Arg("label", labelCluster+"="+e.cfg.ClusterID), filters.Arg("label", labelProject+"="+project))
	left, err := e.docker.ContainerList(ctx, container.ListOptions{All: true, Filters: args})
	if err != nil || len(left) > 0 {
		return explain(err, "listing the project's Docker containers")
	}
	empty, err := e.docker.NetworkList(ctx, network.ListOptions{Filters: args})
	if err != nil {
		return explain(err, "listing the project's networks")
	}
	for _, n := range empty {
		if err := e.docker.NetworkRemove(ctx, n.ID); err != nil && !errdefs.IsNotFound(err) {
			return explain(err, "removing the project's network")
		}
	}
	return nil
}

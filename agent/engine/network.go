package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
)

// subnetBits is the size of a project's network: 61 containers on one Docker host.
const subnetBits = 26

// networkName is the name of a project's network on this Docker host.
func (e *Engine) networkName(project string) string {
	return "kiosc-" + e.cfg.ClusterID[:min(8, len(e.cfg.ClusterID))] + "-" + project
}

// ensureNetwork makes the project's bridge network unless it is there, and returns its name. Docker's own choice of
// subnets ends after about thirty networks, so ours are cut from the pool. The caller holds e.networks.
func (e *Engine) ensureNetwork(ctx context.Context, project string) (string, error) {
	name := e.networkName(project)
	all, err := e.docker.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return "", explain(err, "listing Docker's networks")
	}
	taken := localSubnets()
	for _, n := range all {
		if n.Name == name && n.Labels[labelCluster] == e.cfg.ClusterID {
			return name, nil
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
		_, err := e.docker.NetworkCreate(ctx, name, network.CreateOptions{
			Driver: "bridge", IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet.String()}}},
			Labels: map[string]string{labelCluster: e.cfg.ClusterID, labelNode: e.cfg.NodeID, labelProject: project},
		})
		if err == nil {
			return name, nil
		}
		if !strings.Contains(err.Error(), "overlap") { // Docker gives no code for it
			return "", explain(err, "making the project's network")
		}
	}
	return "", fmt.Errorf("the subnet pool %s has no free subnet left; give a larger one with KIOSC_SUBNET_POOL", e.cfg.SubnetPool)
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
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil // Docker refuses what overlaps, too
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			subnets = append(subnets, p.Masked())
		}
	}
	return subnets
}

// pruneNetworks removes the networks of projects that have no Docker container left here, running or not.
func (e *Engine) pruneNetworks(ctx context.Context) error {
	e.networks.Lock()
	defer e.networks.Unlock()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	left, err := e.docker.ContainerList(ctx, container.ListOptions{All: true, Filters: e.mine()})
	if err != nil {
		return explain(err, "listing Docker containers")
	}
	used := make(map[string]bool)
	for _, c := range left {
		used[c.Labels[labelProject]] = true
	}
	all, err := e.docker.NetworkList(ctx, network.ListOptions{Filters: e.mine()})
	if err != nil {
		return explain(err, "listing the projects' networks")
	}
	var failed []error
	for _, n := range all {
		if used[n.Labels[labelProject]] {
			continue
		}
		if err := e.docker.NetworkRemove(ctx, n.ID); err != nil && !errdefs.IsNotFound(err) {
			failed = append(failed, explain(err, "removing the network "+n.Name))
		}
	}
	return errors.Join(failed...)
}

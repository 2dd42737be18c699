package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"

	"kiosc/cluster/wire"
)

// stockTimeout bounds all that is asked for a Stock: somebody waits for a page.
const stockTimeout = 10 * time.Second

// Stock lists everything that Docker has, also what isn't of this cluster, of which it only tells.
func (e *Engine) Stock(ctx context.Context) (*wire.Stock, error) {
	ctx, cancel := context.WithTimeout(ctx, stockTimeout)
	defer cancel()
	containers, err := e.docker.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return nil, explain(err, "listing Docker containers")
	}
	networks, err := e.docker.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return nil, explain(err, "listing networks")
	}
	images, err := e.docker.ImageList(ctx, image.ListOptions{})
	if err != nil {
		return nil, explain(err, "listing images")
	}
	volumes, err := e.docker.VolumeList(ctx, volume.ListOptions{})
	if err != nil {
		return nil, explain(err, "listing volumes")
	}
	stock := &wire.Stock{}
	inNetwork, ofImage, withVolume := make(map[string][]string), make(map[string]int), make(map[string]int)
	for _, c := range containers {
		one := wire.StockContainer{DockerID: c.ID, Name: nameOf(c.Names), Image: c.Image, State: string(c.State),
			Cluster: c.Labels[labelCluster], Container: c.Labels[labelContainer]}
		stock.Containers = append(stock.Containers, one)
		ofImage[c.ImageID]++
		for _, m := range c.Mounts {
			withVolume[m.Name]++
		}
		if c.NetworkSettings != nil {
			for name := range c.NetworkSettings.Networks {
				inNetwork[name] = append(inNetwork[name], one.Name)
			}
		}
	}
	for _, n := range networks {
		one := wire.StockNetwork{ID: n.ID, Name: n.Name, Driver: n.Driver, Containers: inNetwork[n.Name], Ours: n.Labels[labelCluster] == e.cfg.ClusterID}
		slices.Sort(one.Containers)
		if len(n.IPAM.Config) > 0 {
			one.Subnet, one.Gateway = n.IPAM.Config[0].Subnet, n.IPAM.Config[0].Gateway
		}
		stock.Networks = append(stock.Networks, one)
	}
	for _, i := range images {
		stock.Images = append(stock.Images, wire.StockImage{ID: i.ID, Tags: slices.DeleteFunc(i.RepoTags, func(tag string) bool { return tag == "<none>:<none>" }), Size: i.Size, Used: ofImage[i.ID]})
	}
	for _, v := range volumes.Volumes {
		stock.Volumes = append(stock.Volumes, wire.StockVolume{Name: v.Name, Driver: v.Driver, Mountpoint: v.Mountpoint, Used: withVolume[v.Name],
			Ours: v.Labels[labelCluster] == e.cfg.ClusterID})
	}
	tidyStock(stock)
	return stock, nil
}

// nameOf is a Docker container's name without Docker's slash.
func nameOf(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return strings.TrimPrefix(names[0], "/")
}

// tidyStock sorts and bounds the lists.
func tidyStock(s *wire.Stock) {
	slices.SortFunc(s.Containers, func(a, b wire.StockContainer) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Networks, func(a, b wire.StockNetwork) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Images, func(a, b wire.StockImage) int {
		return cmp.Or(slices.Compare(a.Tags, b.Tags), cmp.Compare(a.ID, b.ID))
	})
	slices.SortFunc(s.Volumes, func(a, b wire.StockVolume) int { return cmp.Compare(a.Name, b.Name) })
	s.Containers = s.Containers[:min(len(s.Containers), wire.MaxStock)]
	s.Networks = s.Networks[:min(len(s.Networks), wire.MaxStock)]
	s.Images = s.Images[:min(len(s.Images), wire.MaxStock)]
	s.Volumes = s.Volumes[:min(len(s.Volumes), wire.MaxStock)]
}

package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"

	"kiosc/cluster/wire"
)

const (
	// stockTimeout bounds all that is asked for a Stock: somebody waits for a page.
	stockTimeout = 10 * time.Second
	// sizesTimeout bounds Docker's look at what is in the volumes.
	sizesTimeout = 4 * time.Second
)

// labelAnonymous marks a volume that Docker has made without a name. Before Docker 23 there is only its name to tell.
const labelAnonymous = "com.docker.volume.anonymous"

// Stock lists everything that Docker has, also what isn't of this cluster. Sizes of volumes are told where they are wanted
// and Docker finds them out in time.
func (e *Engine) Stock(ctx context.Context, sizes bool) (*wire.Stock, error) {
	ctx, cancel := context.WithTimeout(ctx, stockTimeout)
	defer cancel()
	told := make(chan map[string]int64, 1)
	go func() {
		if !sizes {
			told <- nil
			return
		}
		told <- e.volumeSizes(ctx)
	}()
	stock, err := e.everything(ctx)
	if err != nil {
		cancel()
	}
	known := <-told
	if err != nil {
		return nil, err
	}
	for i := range stock.Volumes {
		if size, ok := known[stock.Volumes[i].Name]; ok {
			stock.Volumes[i].Size = &size
		}
	}
	return stock, nil
}

// volumeSizes are those of the volumes that Docker knows the size of, in bytes.
func (e *Engine) volumeSizes(ctx context.Context) map[string]int64 {
	ctx, cancel := context.WithTimeout(ctx, sizesTimeout)
	defer cancel()
	usage, err := e.docker.DiskUsage(ctx, types.DiskUsageOptions{Types: []types.DiskUsageObject{types.VolumeObject}})
	if err != nil {
		e.logger.Debug("Docker does not tell how large volumes are", "error", err)
		return nil
	}
	sizes := make(map[string]int64)
	for _, v := range usage.Volumes {
		if v != nil && v.UsageData != nil && v.UsageData.Size >= 0 {
			sizes[v.Name] = v.UsageData.Size
		}
	}
	return sizes
}

// everything is a Stock without the sizes of volumes.
func (e *Engine) everything(ctx context.Context) (*wire.Stock, error) {
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
	for i := range containers {
		c := &containers[i]
		stock.Containers = append(stock.Containers, wire.StockContainer{DockerID: c.ID, Name: nameOf(c.Names), Image: c.Image, State: string(c.State),
			Cluster: c.Labels[labelCluster], Container: c.Labels[labelContainer], Self: e.self.is(c)})
	}
	by := usersOf(containers)
	for _, n := range networks {
		one := wire.StockNetwork{ID: n.ID, Name: n.Name, Driver: n.Driver, Ours: n.Labels[labelCluster] == e.cfg.ClusterID}
		one.Containers, one.Used = by.networks.of(n.Name)
		if len(n.IPAM.Config) > 0 {
			one.Subnet, one.Gateway = n.IPAM.Config[0].Subnet, n.IPAM.Config[0].Gateway
		}
		stock.Networks = append(stock.Networks, one)
	}
	for _, i := range images {
		one := wire.StockImage{ID: i.ID, Tags: named(i.RepoTags), Digests: named(i.RepoDigests), Size: i.Size}
		one.UsedBy, one.Used = by.images.of(i.ID)
		stock.Images = append(stock.Images, one)
	}
	for _, v := range volumes.Volumes {
		one := wire.StockVolume{Name: v.Name, Driver: v.Driver, Mountpoint: v.Mountpoint, Ours: v.Labels[labelCluster] == e.cfg.ClusterID,
			Cluster: v.Labels[labelCluster], Project: v.Labels[labelProject], Volume: v.Labels[labelVolume], Anonymous: anonymous(v)}
		one.UsedBy, one.Used = by.volumes.of(v.Name)
		stock.Volumes = append(stock.Volumes, one)
	}
	tidyStock(stock)
	return stock, nil
}

// anonymous tells whether Docker has made the volume's name itself.
func anonymous(v *volume.Volume) bool {
	_, marked := v.Labels[labelAnonymous]
	return marked || len(v.Labels) == 0 && len(v.Name) == 64 && dockerID.MatchString(v.Name)
}

// named leaves out what Docker says where an image has no name.
func named(refs []string) []string {
	return slices.DeleteFunc(refs, func(ref string) bool { return strings.HasPrefix(ref, "<none>") })
}

// users are the names of Docker containers, by what they use.
type users map[string][]string

func (u users) add(of, name string) {
	if of != "" && !slices.Contains(u[of], name) {
		u[of] = append(u[of], name)
	}
}

// of returns the first names, sorted, and how many there are.
func (u users) of(what string) ([]string, int) {
	all := u[what]
	slices.Sort(all)
	return all[:min(len(all), wire.MaxStockNames)], len(all)
}

// used says which Docker containers use what: networks and volumes by name, images by id.
type used struct{ networks, images, volumes users }

func usersOf(containers []container.Summary) used {
	by := used{make(users), make(users), make(users)}
	for _, c := range containers {
		name := nameOf(c.Names)
		by.images.add(c.ImageID, name)
		for _, m := range c.Mounts {
			by.volumes.add(m.Name, name)
		}
		if c.NetworkSettings != nil {
			for network := range c.NetworkSettings.Networks {
				by.networks.add(network, name)
			}
		}
	}
	return by
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

package service

import (
	"slices"

	"github.com/distribution/reference"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
)

// claims is what the state has a use for of what Docker hosts have.
type claims struct {
	cluster    string
	projects   map[string]string // titles by id
	containers map[string]bool
	images     map[string]string    // a container, by the full name of its image
	volumes    map[[2]string]string // a container, by project and name of its volume
}

func readClaims(tx *state.Tx) (c claims, err error) {
	c = claims{projects: make(map[string]string), containers: make(map[string]bool), images: make(map[string]string), volumes: make(map[[2]string]string)}
	cluster, _, err := tx.Cluster()
	if err != nil {
		return c, err
	}
	c.cluster = cluster.ID
	projects, err := tx.Projects()
	if err != nil {
		return c, err
	}
	for _, p := range projects {
		c.projects[p.ID] = p.Title
		all, err := tx.ContainersOf(p.ID)
		if err != nil {
			return c, err
		}
		for _, one := range all {
			title := p.Title + " / " + one.Title
			c.containers[one.ID] = true
			c.images[fullName(one.Image())] = title
			for _, v := range one.Volumes {
				c.volumes[[2]string{p.ID, v.Name}] = title
			}
		}
	}
	return c, nil
}

// fullName is the one way to write the name of an image; empty where it has no valid one.
func fullName(image string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return ""
	}
	if by, ok := named.(reference.Digested); ok { // the tag doesn't count
		return reference.TrimNamed(named).String() + "@" + by.Digest().String()
	}
	return reference.TagNameOnly(named).String()
}

func (c *claims) fill(host *DockerHost, stock *wire.Stock) {
	for _, one := range stock.Containers {
		host.Containers = append(host.Containers, DockerContainer{ID: one.DockerID, Name: one.Name, Image: one.Image, State: one.State, Kin: c.kin(one)})
	}
	for _, n := range stock.Networks {
		host.Networks = append(host.Networks, DockerNetwork{ID: n.ID, Name: n.Name, Driver: n.Driver, Subnet: n.Subnet, Gateway: n.Gateway,
			Ours: n.Ours, Used: max(n.Used, len(n.Containers)), UsedBy: some(n.Containers)})
	}
	for _, i := range stock.Images {
		host.Images = append(host.Images, DockerImage{ID: i.ID, Tags: some(i.Tags), Size: i.Size, Used: i.Used, UsedBy: some(i.UsedBy), Removal: c.image(i)})
	}
	for _, v := range stock.Volumes {
		host.Volumes = append(host.Volumes, DockerVolume{Name: v.Name, Driver: v.Driver, Mountpoint: v.Mountpoint, Size: v.Size, Ours: v.Ours,
			Used: v.Used, UsedBy: some(v.UsedBy), Removal: c.volume(v), project: v.Project, volume: v.Volume})
	}
}

// some is never nil, which JSON would have as null.
func some(list []string) []string { return append([]string{}, list...) }

func (c *claims) kin(one wire.StockContainer) Kinship {
	switch {
	case one.Self:
		return Self
	case one.Cluster == "":
		return Foreign
	case one.Cluster != c.cluster:
		return Sibling
	case c.containers[one.Container]:
		return Known
	}
	return Orphan
}

// image tells whether an image can be removed. One that a container needs for its next start is never swept away.
func (c *claims) image(i wire.StockImage) Removal {
	if i.Used > 0 {
		return Removal{}
	}
	for _, name := range slices.Concat(i.Tags, i.Digests) {
		if title := c.images[fullName(name)]; title != "" {
			return Removal{Can: true, Note: "Named by the container " + title + ", which needs it to start."}
		}
	}
	return Removal{Can: true, Sweep: true}
}

// volume tells whether a volume can be removed. What may hold somebody's data is never swept away, and what may be in use
// though no Docker container has it is not removed.
func (c *claims) volume(v wire.StockVolume) Removal {
	title, known := c.projects[v.Project]
	switch namer := c.volumes[[2]string{v.Project, v.Volume}]; {
	case v.Used > 0:
		return Removal{}
	case v.Cluster != "" && v.Cluster != c.cluster:
		return Removal{Note: "Of another Kiosc, which removes it itself."}
	case v.Cluster == "" && v.Ours: // an agent of before there were removals
		return Removal{Note: "Of this Kiosc. The agent there is too old to tell of which container."}
	case v.Cluster == "" && v.Anonymous:
		return Removal{Can: true, Sweep: true}
	case v.Cluster == "":
		return Removal{Can: true, Note: "Not made by Kiosc. It may hold somebody's data."}
	case namer != "":
		return Removal{Note: "Of the container " + namer + "."}
	case known:
		return Removal{Can: true, Note: "Of the project " + title + ", where no container names it any more. It may hold data of theirs."}
	}
	return Removal{Can: true, Note: "Of a project that is gone. It may hold data of theirs."}
}

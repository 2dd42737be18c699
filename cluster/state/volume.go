package state

var bucketVolumes = bucket("volumes") // project id, volume name → volumeHome

// volumeHome is where a named volume of a project is. Docker keeps a volume on one host, so that containers that name it
// can run there only.
type volumeHome struct {
	Node string
}

// settleVolumes notes the container's node as the home of its volumes that have none yet, or had it on a removed node.
func (c *Container) settleVolumes(tx *Tx) error {
	if c.Node == "" {
		return nil
	}
	for _, v := range c.Volumes {
		home, err := tx.homeOf(c.Project, v.Name)
		if err != nil {
			return err
		}
		if home != "" {
			continue
		}
		if err := tx.put(bucketVolumes, key(c.Project, v.Name), volumeHome{Node: c.Node}); err != nil {
			return err
		}
	}
	return nil
}

// homeOf is the node that has a project's volume; empty where none has it.
func (tx *Tx) homeOf(project, name string) (string, error) {
	home, ok, err := get[volumeHome](tx, bucketVolumes, key(project, name))
	if err != nil || !ok {
		return "", err
	}
	_, known, err := tx.Node(home.Node)
	if err != nil || !known {
		return "", err
	}
	return home.Node, nil
}

// HomesOf returns the nodes that the container's volumes are on. It can run only where that is one node, or none.
func (tx *Tx) HomesOf(c *Container) (nodes []string, err error) {
	seen := make(map[string]bool)
	for _, v := range c.Volumes {
		home, err := tx.homeOf(c.Project, v.Name)
		if err != nil {
			return nil, err
		}
		if home != "" && !seen[home] {
			seen[home] = true
			nodes = append(nodes, home)
		}
	}
	return nodes, nil
}

// OwnVolumes returns the container's volumes that no other container of the project names, but for those that are being
// deleted, too.
func (tx *Tx) OwnVolumes(c *Container) (own []Volume, err error) {
	if len(c.Volumes) == 0 {
		return nil, nil
	}
	others, err := tx.ContainersOf(c.Project)
	if err != nil {
		return nil, err
	}
	named := make(map[string]bool)
	for _, other := range others {
		if other.ID == c.ID || other.Action == Delete && other.Pending() {
			continue
		}
		for _, v := range other.Volumes {
			named[v.Name] = true
		}
	}
	for _, v := range c.Volumes {
		if !named[v.Name] {
			own = append(own, v)
		}
	}
	return own, nil
}

// forgetVolumes forgets where the volumes are that go with the container.
func (c *Container) forgetVolumes(tx *Tx) error {
	own, err := tx.OwnVolumes(c)
	if err != nil {
		return err
	}
	for _, v := range own {
		if err := tx.delete(bucketVolumes, key(c.Project, v.Name)); err != nil {
			return err
		}
	}
	return nil
}

// forgetVolumesOf forgets where the volumes of a project that goes are. Those that no container named at the end are left
// on their hosts.
func (tx *Tx) forgetVolumesOf(project string) error {
	var keys [][]byte
	err := each(tx, bucketVolumes, key(project, ""), func(k []byte, _ volumeHome) bool {
		keys = append(keys, append([]byte{}, k...))
		return true
	})
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := tx.delete(bucketVolumes, k); err != nil {
			return err
		}
	}
	return nil
}

// NamersOf returns the containers that name a project's volume, also those that are being deleted.
func (tx *Tx) NamersOf(project, volume string) (namers []Container, err error) {
	all, err := tx.ContainersOf(project)
	for _, c := range all {
		for _, v := range c.Volumes {
			if v.Name == volume {
				namers = append(namers, c)
			}
		}
	}
	return namers, err
}

// VolumeGivenUp forgets where a project's volume is, because it is about to be removed from its host. It is refused as long
// as a container names the volume; one that does so later gets a new one.
type VolumeGivenUp struct {
	Project, Name string
	Node          string // where it is removed
}

func (c *VolumeGivenUp) apply(tx *Tx) (any, error) {
	namers, err := tx.NamersOf(c.Project, c.Name)
	if err != nil {
		return nil, err
	}
	if len(namers) > 0 {
		return nil, Errorf(Conflict, "It is of the container "+namers[0].Title+".")
	}
	home, err := tx.homeOf(c.Project, c.Name)
	if err != nil || home != c.Node {
		return nil, err
	}
	return nil, tx.delete(bucketVolumes, key(c.Project, c.Name))
}

package state

import "errors"

// Orphan is a Docker container of this cluster that doesn't belong on its Docker host, and that the host is told to remove.
type Orphan struct {
	Node, DockerID string
	Container      string // by its label
}

func (o *Orphan) key() []byte { return key(o.Node, o.DockerID) }

// OrphanNoted notes that a host has an orphan, or with Gone that it hasn't any more, so that also the next leader knows what was
// told to be removed. Applied, it tells whether that was news.
type OrphanNoted struct {
	Orphan Orphan
	Gone   bool
}

func (c *OrphanNoted) apply(tx *Tx) (any, error) {
	_, known, err := get[Orphan](tx, bucketOrphans, c.Orphan.key())
	switch {
	case err != nil:
		return false, err
	case c.Gone && known:
		return true, tx.delete(bucketOrphans, c.Orphan.key())
	case c.Gone || known || tx.Revoked(c.Orphan.Node):
		return false, nil
	}
	return true, tx.put(bucketOrphans, c.Orphan.key(), &c.Orphan)
}

// Orphans lists what a node is told to remove, as far as it is noted.
func (tx *Tx) Orphans(node string) (all []Orphan, err error) {
	err = each(tx, bucketOrphans, key(node, ""), func(_ []byte, o Orphan) bool {
		all = append(all, o)
		return true
	})
	return all, err
}

// forgetOrphans drops what is noted of a node that is removed.
func (tx *Tx) forgetOrphans(node string) error {
	all, err := tx.Orphans(node)
	for _, o := range all {
		err = errors.Join(err, tx.delete(bucketOrphans, o.key()))
	}
	return err
}

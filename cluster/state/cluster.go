package state

import (
	"errors"
	"time"
)

// Cluster is what the whole cluster agrees on from its first start.
type Cluster struct {
	ID        string
	CreatedAt time.Time
	// CACertificate is the cluster's certificate authority in DER; SealedCAKey its private key, sealed with the
	// cluster key, which is never in the state.
	CACertificate []byte
	SealedCAKey   []byte
}

// ClusterInitialized is the first command of a cluster.
type ClusterInitialized struct {
	Cluster Cluster
}

func (c *ClusterInitialized) apply(tx *Tx) (any, error) {
	if _, ok, err := get[Cluster](tx, bucketMeta, metaCluster); err != nil || ok {
		return nil, orConflict(err, "This cluster has been initialized before.")
	}
	return nil, tx.put(bucketMeta, metaCluster, c.Cluster)
}

// Cluster returns the cluster's record; ok is false before the first start is complete.
func (tx *Tx) Cluster() (c Cluster, ok bool, err error) {
	return get[Cluster](tx, bucketMeta, metaCluster)
}

// Synced changes nothing. Whoever sees it applied has seen everything that was confirmed before it was proposed.
type Synced struct{}

func (c *Synced) apply(*Tx) (any, error) { return nil, nil }

// ClusterRestored is the first command after a backup was restored: Manager goes on alone. The managers of the time of
// the backup are removed, and the join tokens of then no longer count.
type ClusterRestored struct {
	Manager Node
	At      time.Time
}

func (c *ClusterRestored) apply(tx *Tx) (any, error) {
	managers, err := tx.Managers()
	if err != nil {
		return nil, err
	}
	for _, m := range managers {
		if err := m.revoke(tx, c.At); err != nil {
			return nil, err
		}
	}
	for _, role := range []NodeRole{ManagerNode, AgentNode} {
		err := errors.Join(tx.delete(bucketJoinTokens, []byte(role)), tx.delete(bucketJoinTokens, key(string(role), "sealed")))
		if err != nil {
			return nil, err
		}
	}
	return (&NodeRegistered{Node: c.Manager}).apply(tx)
}

// JoinTokenSet replaces the secret that lets nodes of one role join.
type JoinTokenSet struct {
	Role string // manager or agent
	Hash []byte
	// Sealed is the secret, sealed with the cluster key, so that it can be printed again.
	Sealed []byte
	// IfNone leaves an existing token alone.
	IfNone bool
}

func (c *JoinTokenSet) apply(tx *Tx) (any, error) {
	if c.IfNone && tx.btx.Bucket(bucketJoinTokens).Get([]byte(c.Role)) != nil {
		return nil, Errorf(Conflict, "There is a join token for this role already.")
	}
	if err := tx.putRaw(bucketJoinTokens, key(c.Role, "sealed"), c.Sealed); err != nil {
		return nil, err
	}
	return nil, tx.putRaw(bucketJoinTokens, []byte(c.Role), c.Hash)
}

// SealedJoinToken returns the sealed secret for a role, nil where none was made.
func (tx *Tx) SealedJoinToken(role string) []byte {
	return append([]byte(nil), tx.btx.Bucket(bucketJoinTokens).Get(key(role, "sealed"))...)
}

// JoinTokenHash returns the hash of the secret for a role, nil where none was made.
func (tx *Tx) JoinTokenHash(role string) []byte {
	return append([]byte(nil), tx.btx.Bucket(bucketJoinTokens).Get([]byte(role))...)
}

// orError returns err, or where it is nil the other.
func orError(err error, other *Error) error {
	if err != nil {
		return err
	}
	return other
}

// orConflict returns err, or where it is nil a Conflict with this message.
func orConflict(err error, message string) error {
	if err != nil {
		return err
	}
	return Errorf(Conflict, message)
}

package service

import (
	"context"
	"time"
)

// Cluster is who belongs to the cluster, and how it stands.
type Cluster interface {
	Cluster() (ClusterStatus, error)
	Drain(ctx context.Context, node string, deadline time.Duration, now bool) (NodeStatus, error)
	Activate(ctx context.Context, node string) (NodeStatus, error)
}

// UseCluster says where the nodes are. It must be called before the service is used.
func (s *Service) UseCluster(c Cluster) { s.cluster = c }

// ClusterStatus tells how the cluster stands, to administrators.
func (s *Service) ClusterStatus(a Actor) (ClusterStatus, error) {
	if err := administer(a); err != nil {
		return ClusterStatus{}, err
	}
	return s.cluster.Cluster()
}

// DrainNode takes a Docker host out of use, for administrators. Visitors of its apps may stay until the deadline.
func (s *Service) DrainNode(ctx context.Context, a Actor, node string, deadline time.Duration) (NodeStatus, error) {
	if err := administer(a); err != nil {
		return NodeStatus{}, err
	}
	return s.cluster.Drain(ctx, node, deadline, false)
}

// ActivateNode brings a Docker host back into use, for administrators.
func (s *Service) ActivateNode(ctx context.Context, a Actor, node string) (NodeStatus, error) {
	if err := administer(a); err != nil {
		return NodeStatus{}, err
	}
	return s.cluster.Activate(ctx, node)
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/volume"

	"kiosc/cluster/wire"
)

// ErrInUse says that a Docker container, running or not, has the volume.
var ErrInUse = errors.New("the volume is in use")

// volumeName is the name of a project's volume in Docker. Each project has names of its own.
func (e *Engine) volumeName(project, name string) string {
	return e.networkName(project) + "-" + name
}

// ensureVolumes makes the volumes of a container unless they are there. One of the same name that isn't this cluster's
// is refused: it may be anybody's data.
func (e *Engine) ensureVolumes(ctx context.Context, limit time.Duration, spec wire.Spec) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, v := range spec.Volumes {
		made, err := e.docker.VolumeCreate(ctx, volume.CreateOptions{Name: e.volumeName(spec.Project, v.Name), Labels: map[string]string{
			labelCluster: e.cfg.ClusterID, labelNode: e.cfg.NodeID, labelProject: spec.Project, labelVolume: v.Name}})
		if err != nil {
			return e.judge(ctx, limit, err, "making the volume "+v.Name)
		}
		if made.Labels[labelCluster] != e.cfg.ClusterID {
			return fmt.Errorf("there is a Docker volume with the name %s that isn't Kiosc's; remove it, or name the volume %s differently", made.Name, v.Name)
		}
	}
	return nil
}

// RemoveVolume removes a volume of a project with its data. One that is gone already is a success; one that a Docker
// container has is left, with ErrInUse.
func (e *Engine) RemoveVolume(ctx context.Context, project, name string) error {
	limit := limitOf(ctx, callTimeout)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	there, err := e.docker.VolumeInspect(ctx, e.volumeName(project, name))
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return explain(err, "looking for the volume "+name)
	}
	if there.Labels[labelCluster] != e.cfg.ClusterID {
		return nil // somebody else's, whatever it is called
	}
	switch err := e.docker.VolumeRemove(ctx, there.Name, false); {
	case err == nil, errdefs.IsNotFound(err):
		return nil
	case errdefs.IsConflict(err):
		return ErrInUse
	default:
		return e.judge(ctx, limit, err, "removing the volume "+name)
	}
}

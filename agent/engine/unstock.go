package engine

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"

	"kiosc/cluster/wire"
)

// RemoveImage removes an image that no Docker container, running or not, is made of. It is left where it has got a tag that
// isn't named.
func (e *Engine) RemoveImage(ctx context.Context, what wire.StockImageRemoval) wire.StockRemoved {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	there, err := e.docker.ImageInspect(ctx, what.ID)
	if err != nil {
		return e.removed(what.ID, err)
	}
	if there.ID != what.ID {
		return wire.StockRemoved{ID: what.ID, Refused: "It is not named by its whole id."}
	}
	tags := named(there.RepoTags)
	for _, tag := range tags {
		if !slices.Contains(what.Tags, tag) {
			return wire.StockRemoved{ID: what.ID, Refused: "It has got another name meanwhile: " + tag + "."}
		}
	}
	if refused := e.unused(ctx, what.ID, func(by used) users { return by.images }); refused != nil {
		return *refused
	}
	// Docker removes an image with several tags by its id only by force; without them it goes as any other.
	for i := 1; i < len(tags); i++ {
		if _, err := e.docker.ImageRemove(ctx, tags[i], image.RemoveOptions{}); err != nil && !errdefs.IsNotFound(err) {
			return e.removed(what.ID, err)
		}
	}
	_, err = e.docker.ImageRemove(ctx, what.ID, image.RemoveOptions{PruneChildren: true})
	if err != nil {
		// Two that remove the same at once get odd errors from Docker.
		if _, gone := e.docker.ImageInspect(ctx, what.ID); errdefs.IsNotFound(gone) {
			err = gone
		}
	}
	return e.removed(what.ID, err)
}

// RemoveUnusedVolume removes a volume, by Docker's name of it, that no Docker container has. That of another Kiosc is left.
func (e *Engine) RemoveUnusedVolume(ctx context.Context, name string) wire.StockRemoved {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	there, err := e.docker.VolumeInspect(ctx, name)
	if err != nil {
		return e.removed(name, err)
	}
	if of := there.Labels[labelCluster]; of != "" && of != e.cfg.ClusterID {
		return wire.StockRemoved{ID: name, Refused: "It is of another Kiosc."}
	}
	if refused := e.unused(ctx, name, func(by used) users { return by.volumes }); refused != nil {
		return *refused
	}
	return e.removed(name, e.docker.VolumeRemove(ctx, name, false))
}

// unused refuses what a Docker container uses at the moment; nil for none.
func (e *Engine) unused(ctx context.Context, id string, kind func(used) users) *wire.StockRemoved {
	containers, err := e.docker.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		refused := e.removed(id, err)
		return &refused
	}
	if names, n := kind(usersOf(containers)).of(id); n > 0 {
		return &wire.StockRemoved{ID: id, Refused: "It is used by the Docker container " + names[0] + "."}
	}
	return nil
}

// removed says what became of something by Docker's answer, in words for people.
func (e *Engine) removed(id string, err error) wire.StockRemoved {
	out := wire.StockRemoved{ID: id}
	switch {
	case err == nil:
	case errdefs.IsNotFound(err):
		out.Gone = true
	case errors.Is(explain(err, ""), ErrUnavailable):
		out.Refused = "The Docker Engine does not answer."
	case strings.Contains(err.Error(), "dependent child images"):
		out.Refused = "Other images are built on it."
	case strings.Contains(err.Error(), "multiple repositories"):
		out.Refused = "It has names in several repositories, and Docker removes it only by force."
	case errdefs.IsConflict(err):
		out.Refused = "A Docker container uses it."
	default:
		out.Refused = "Docker has not removed it; the agent's log says why."
	}
	if out.Refused != "" {
		e.logger.Info("Docker keeps what was to be removed", "id", id, "error", err)
	}
	return out
}

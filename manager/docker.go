package manager

import (
	"context"
	"net/http"

	"kiosc/manager/service"
)

// DockerRequest asks for what Docker hosts have, or for the removal of what is unused on one.
type DockerRequest struct {
	Node   string `json:"node"`   // name, id or the beginning of the id; empty for all
	Remove bool   `json:"remove"` // without it they are only listed
}

// dockerCommands adds the admin commands on what Docker hosts have.
func (m *Manager) dockerCommands(mux *http.ServeMux) {
	mux.HandleFunc("POST "+AdminPrefix+"docker-ls", command(m, func(ctx context.Context, in DockerRequest) ([]service.DockerHost, error) {
		if in.Node == "" {
			return m.service.Docker(ctx, actorOf(ctx), true)
		}
		node, err := m.nodes.DockerHost(in.Node)
		if err != nil {
			return nil, err
		}
		host, err := m.service.DockerOf(ctx, actorOf(ctx), node.ID)
		return []service.DockerHost{host}, err
	}))
	mux.HandleFunc("POST "+AdminPrefix+"docker-prune", command(m, func(ctx context.Context, in DockerRequest) (out service.DockerRemoval, err error) {
		node, err := m.nodes.DockerHost(in.Node)
		if err != nil {
			return out, err
		}
		return m.service.RemoveFromDocker(ctx, actorOf(ctx), node.ID, service.DockerThings{UnusedImages: true, UnusedVolumes: true}, in.Remove)
	}))
}

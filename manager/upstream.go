package manager

import (
	"context"
	"net/http"
	"time"

	"kiosc/cluster/state"
	"kiosc/manager/service"
	"kiosc/manager/tasks"
	"kiosc/manager/upstream"
)

// upstreamTimeout ends a sync with the upstream site. One of 5,000 users and 2,000 projects takes seconds.
const upstreamTimeout = 10 * time.Minute

// upstreamTask is nothing where this site takes nothing over.
func (m *Manager) upstreamTask() []tasks.Task {
	if !m.cfg.Site.Upstream.Target {
		return nil
	}
	schedule := tasks.Off
	if m.cfg.Site.Upstream.Enable {
		schedule = m.service.SyncInterval().String()
	}
	sync := upstream.New(upstream.Config{Node: m.node, Source: m.service.SyncSource, Options: m.service.SyncOptions(), Logger: m.cfg.Logger})
	return []tasks.Task{{Name: service.UpstreamTask, Schedule: schedule, Timeout: upstreamTimeout, Run: sync.Run,
		About: "Takes projects, users and roles over from the upstream site."}}
}

// RemoteSiteRequest names a target site.
type RemoteSiteRequest struct {
	Site string `json:"site"` // id or name
}

// RemoteSiteAnswer is a target site with what it is given.
type RemoteSiteAnswer struct {
	Site     service.RemoteSiteView      `json:"site"`
	Projects []service.RemoteProjectView `json:"projects"`
}

// upstreamCommands are the admin commands on the upstream site and on target sites.
func (m *Manager) upstreamCommands(mux *http.ServeMux) {
	svc := m.service
	mux.HandleFunc("POST "+AdminPrefix+"sync-run", command(m, func(ctx context.Context, _ struct{}) (service.TaskStatus, error) {
		return svc.SyncUpstream(ctx, actorOf(ctx))
	}))
	mux.HandleFunc("POST "+AdminPrefix+"sync-status", command(m, func(ctx context.Context, _ struct{}) (service.UpstreamView, error) {
		return svc.Upstream(ctx, actorOf(ctx))
	}))
	mux.HandleFunc("POST "+AdminPrefix+"sync-source", command(m, func(ctx context.Context, in service.UpstreamInput) (struct{}, error) {
		return struct{}{}, svc.SetUpstream(ctx, actorOf(ctx), in)
	}))
	mux.HandleFunc("POST "+AdminPrefix+"sync-release", command(m, func(ctx context.Context, in service.ReleaseInput) (state.UpstreamTally, error) {
		return svc.ReleaseUpstream(ctx, actorOf(ctx), in)
	}))
	mux.HandleFunc("POST "+AdminPrefix+"remote-site-ls", command(m, func(ctx context.Context, _ struct{}) ([]service.RemoteSiteView, error) {
		return svc.RemoteSites(actorOf(ctx))
	}))
	mux.HandleFunc("POST "+AdminPrefix+"remote-site-inspect", command(m, func(ctx context.Context, in RemoteSiteRequest) (out RemoteSiteAnswer, err error) {
		out.Site, out.Projects, err = svc.RemoteSite(actorOf(ctx), in.Site)
		return out, err
	}))
	mux.HandleFunc("POST "+AdminPrefix+"remote-site-add", command(m, func(ctx context.Context, in service.RemoteSiteInput) (service.RemoteSiteView, error) {
		return svc.AddRemoteSite(ctx, actorOf(ctx), in)
	}))
	mux.HandleFunc("POST "+AdminPrefix+"remote-site-rm", command(m, func(ctx context.Context, in RemoteSiteRequest) (struct{}, error) {
		return struct{}{}, svc.RemoveRemoteSite(ctx, actorOf(ctx), in.Site)
	}))
	mux.HandleFunc("POST "+AdminPrefix+"remote-site-give", command(m, func(ctx context.Context, in service.GiveInput) (service.RemoteSiteView, error) {
		return svc.GiveProjects(ctx, actorOf(ctx), in)
	}))
}

package manager

import (
	"context"
	"fmt"
	"slices"
	"time"

	"kiosc/manager/care"
	"kiosc/manager/figures"
	"kiosc/manager/tasks"
)

// settle is how long a new leader waits with the periodic tasks: agents come back to it within seconds.
const settle = 10 * time.Second

// periodic are the tasks that the leader does now and then. Settings may give each another schedule.
func (m *Manager) periodic() []tasks.Task {
	care := care.New(care.Config{Node: m.node, Figures: m.figures, MaxInactivity: m.service.MaxInactivity(),
		Grace: m.cfg.SyncGrace, Logger: m.cfg.Logger})
	return []tasks.Task{
		{Name: "check", Schedule: "30s", Timeout: 30 * time.Second, Run: m.hub.Check,
			About: "Compares what each Docker host has with what is known of it, in case an event was missed."},
		{Name: "drop-uploads", Schedule: "1m", Timeout: 30 * time.Second, Run: m.service.DropIdleUploads,
			About: "Drops small files whose upload was begun and has stopped."},
		{Name: "prune-timeline", Schedule: "23 2 * * *", Timeout: 10 * time.Minute, Run: m.pruneTimeline,
			About: "Removes events of the timeline that are older than the site keeps them."},
		{Name: "sync", Schedule: "1m", Run: care.Sync,
			About: "Repeats the last action of containers that are not what they should be, such as apps that have ended."},
		{Name: "stop-expired", Schedule: "1m", Run: care.StopExpired,
			About: "Stops apps whose maximum lifetime is over, and those unused for a threshold in minutes."},
		{Name: "stop-inactive", Schedule: "11 1 * * *", Run: care.StopInactive,
			About: "Stops apps that nobody has used for as many days as they may be unused."},
		{Name: "orphans", Schedule: "30 * * * *", Timeout: 30 * time.Second, Run: m.hub.RemoveOrphans,
			About: "Removes Docker containers of this cluster that belong to no container any more."},
	}
}

// pruneTimeline removes what is older than the site's setting says.
func (m *Manager) pruneTimeline(ctx context.Context) (string, error) {
	keep := m.cfg.Site.KeepTimeline
	if keep == 0 {
		return "all events are kept", nil
	}
	removed, err := m.service.PruneTimeline(ctx, time.Now().Add(-keep))
	return fmt.Sprintf("%d events removed", removed), err
}

// assembleTasks puts the periodic tasks together.
func (m *Manager) assembleTasks() error {
	m.tasks = tasks.New(tasks.Config{Node: m.node, Peers: m.peers, Self: m.credentials.Peer().NodeID,
		Schedules: m.cfg.Schedules, Settle: settle, Logger: m.cfg.Logger})
	for _, t := range slices.Concat(m.periodic(), m.directoryTask(), m.upstreamTask()) {
		if err := m.tasks.Register(t); err != nil {
			return err
		}
	}
	m.service.UseTasks(m.tasks)
	m.service.UseCluster(m.nodes)
	m.service.UseStocks(m.hub)
	return m.tasks.Known()
}

// called serves what other managers call.
func (m *Manager) called(ctx context.Context, from, method string, body []byte) ([]byte, error) {
	switch {
	case tasks.Serves(method):
		return m.tasks.Call(ctx, method, body)
	case method == figures.Method:
		return m.figures.Serve(body)
	}
	return m.nodes.Call(ctx, from, method, body)
}

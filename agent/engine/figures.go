package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"

	"kiosc/cluster/wire"
)

const (
	// statsTimeout bounds the call for one Docker container. Docker 20.10 answers with its next look at all of them, which
	// is up to a second away, or several where it has a hundred to look at.
	statsTimeout = 10 * time.Second
	// statsAtOnce calls are under way at a time. They mostly wait: with so many, a hundred take five seconds of Docker
	// 20.10's time, and two thirds of a second of a CPU.
	statsAtOnce = 32
)

// Figures reads what the running and paused Docker containers of this cluster and node have used. One that Docker gives no
// figures for, such as one that has just ended, is left out. The Age of each counts up to the return.
func (e *Engine) Figures(ctx context.Context) ([]wire.Figure, error) {
	list, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	args := e.mine()
	args.Add("status", "running")
	args.Add("status", "paused")
	found, err := e.docker.ContainerList(list, container.ListOptions{Filters: args})
	if err != nil {
		return nil, explain(err, "listing Docker containers")
	}
	var (
		mu   sync.Mutex
		all  []wire.Figure
		read []time.Time // when each was
		busy sync.WaitGroup
		room = make(chan struct{}, statsAtOnce)
	)
	for _, c := range found {
		room <- struct{}{}
		busy.Go(func() {
			defer func() { <-room }()
			f, err := e.figure(ctx, c.ID)
			if err != nil {
				e.logger.Debug("a Docker container has no figures", "id", c.ID, "error", err)
				return
			}
			f.Container = c.Labels[labelContainer]
			mu.Lock()
			defer mu.Unlock()
			all, read = append(all, f), append(read, time.Now())
		})
	}
	busy.Wait()
	for i, at := range read {
		all[i].Age = time.Since(at)
	}
	return all, ctx.Err()
}

func (e *Engine) figure(ctx context.Context, dockerID string) (f wire.Figure, err error) {
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	answer, err := e.docker.ContainerStatsOneShot(ctx, dockerID)
	if err != nil {
		return f, explain(err, "asking for a Docker container's figures")
	}
	defer answer.Body.Close()
	var s container.StatsResponse
	if err := json.NewDecoder(answer.Body).Decode(&s); err != nil {
		return f, fmt.Errorf("reading a Docker container's figures: %w", err)
	}
	if s.Read.IsZero() {
		return f, ErrNotRunning
	}
	f = wire.Figure{DockerID: dockerID, CPU: s.CPUStats.CPUUsage.TotalUsage, Memory: s.MemoryStats.Usage, MemoryLimit: s.MemoryStats.Limit}
	// Files that the kernel keeps in memory because there is room are no need of the container's. Their name differs
	// between the versions of cgroups.
	for _, name := range []string{"total_inactive_file", "inactive_file"} {
		if files, ok := s.MemoryStats.Stats[name]; ok && files < f.Memory {
			f.Memory -= files
			break
		}
	}
	for _, n := range s.Networks {
		f.Received += n.RxBytes
		f.Sent += n.TxBytes
	}
	return f, nil
}

package manager_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager"
	"kiosc/manager/service"
)

// TestAQuotaHoldsAgainstStartsAtOnceThroughAllManagers starts 200 containers at a time where 10 may run.
func TestAQuotaHoldsAgainstStartsAtOnceThroughAllManagers(t *testing.T) {
	const starts, quota = 200, 10
	all := three(t)
	var set service.QuotaView
	request := manager.QuotaRequest{Project: "Demo", Quota: service.QuotaText{Running: fmt.Sprint(quota)}}
	require.NoError(t, all[1].admin("quota-set", request, &set))
	require.EqualValues(t, quota, *set.Running.Limit)

	// Each container is made through the manager that shall start it, which so knows of it.
	actor, err := all[1].m.Service().ByName(manager.AdminName)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	ids := make([]string, starts)
	var running sync.WaitGroup
	for i := range ids {
		running.Go(func() {
			spec := service.ContainerInput{Spec: state.Spec{Title: fmt.Sprint("App ", i), Repository: "nginx", Tag: "1", Port: 80, Timeout: 60, InactivityDays: 1}}
			c, err := all[i%len(all)].m.Service().CreateContainer(ctx, actor, set.Project, spec)
			if err == nil {
				ids[i] = c.ID
			}
		})
	}
	running.Wait()

	errs := make([]error, starts)
	for i, id := range ids {
		require.NotEmpty(t, id)
		running.Go(func() { _, errs[i] = all[i%len(all)].m.Service().Act(ctx, actor, id, state.Start) })
	}
	running.Wait()
	started := 0
	for _, err := range errs {
		if err == nil {
			started++
			continue
		}
		require.Equal(t, state.Conflict, state.CodeOf(err), "%v", err)
		require.ErrorContains(t, err, "The quota of this project is used up: 10 of 10 containers run or start.")
	}
	require.Equal(t, quota, started)
	for _, n := range all {
		require.Eventually(t, func() bool {
			var views []service.QuotaView
			require.NoError(t, n.admin("quota-ls", struct{}{}, &views))
			return views[0].Running.Used == quota && views[1].Running.Used == quota
		}, soon, 50*time.Millisecond)
	}
}

func TestOfPeopleWhoActAtOnceThroughDifferentManagersOneWins(t *testing.T) {
	const delay = time.Minute
	all := three(t, func(cfg *manager.Config) { cfg.Site.ActionMinDelay = delay })
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	actor, err := all[0].m.Service().ByName(manager.AdminName)
	require.NoError(t, err)
	projects, err := all[0].m.Service().Projects(actor)
	require.NoError(t, err)
	spec := service.ContainerInput{Spec: state.Spec{Title: "App", Repository: "nginx", Tag: "1", Port: 80, Timeout: 60, InactivityDays: 1}}
	c, err := all[0].m.Service().CreateContainer(ctx, actor, projects[0].ID, spec)
	require.NoError(t, err)
	for _, n := range all {
		require.Eventually(t, func() bool { _, err := n.m.Service().Container(actor, c.ID); return err == nil }, soon, 10*time.Millisecond)
	}
	actions := []state.Action{state.Start, state.Restart, state.Start, state.Stop, state.Start, state.Unpause}
	errs := make([]error, len(actions))
	var running sync.WaitGroup
	for i, action := range actions {
		running.Go(func() { _, errs[i] = all[i%len(all)].m.Service().Act(ctx, actor, c.ID, action) })
	}
	running.Wait()
	won := 0
	for _, err := range errs {
		switch state.CodeOf(err) {
		case "":
			won++
		case state.Conflict, state.TooMany: // not allowed in the state, or too soon after the winner
		default:
			t.Fatal(err)
		}
	}
	require.Equal(t, 1, won)
	_, err = all[1].m.Service().Act(ctx, actor, c.ID, state.Stop)
	require.Equal(t, state.TooMany, state.CodeOf(err))
	require.ErrorContains(t, err, "less than 1m0s ago")
	lines, _, err := all[1].m.Service().Logs(actor, c.ID, service.LogFilter{}, 100)
	require.NoError(t, err)
	require.Contains(t, lines[len(lines)-1].Text, "Action not performed: stop. Cool-down is active (60s)")
}

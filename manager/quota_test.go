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

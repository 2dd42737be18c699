package webui_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/figures"
)

// fakeFigures stands in for figures that come from Docker hosts over minutes.
type fakeFigures struct {
	mu     sync.Mutex
	of     figures.Of
	report figures.Report
	err    error
}

func (f *fakeFigures) Report(_ context.Context, of figures.Of) (figures.Report, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.of = of
	return f.report, f.err
}

func (f *fakeFigures) set(r figures.Report, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.report, f.err = r, err
}

func TestFiguresArePlotted(t *testing.T) {
	s := newSite(t)
	c := s.Container("app")
	require.Contains(t, s.get("guest", "/containers/detail/"+c).body, "No figures yet.")
	s.figures.set(figures.Report{}, state.Errorf(state.Unavailable, "No leader."))
	require.Contains(t, s.get("guest", "/containers/detail/"+c).body, "No figures yet.", "the page comes all the same")
	require.Equal(t, 503, s.get("guest", "/containers/ajax/figures/container/"+c).status)

	use := func(cpu float64) figures.Usage {
		return figures.Usage{CPU: cpu, Memory: 512 << 20, Received: 12_300, Sent: 0}
	}
	now := use(1.5)
	s.figures.set(figures.Report{Now: &now, MemoryLimit: 1 << 30, Containers: 1, Restarts: 2, Step: 15, Points: []figures.Point{
		{At: 1500, Usage: use(1)}, {At: 1515, Usage: use(2)}, {At: 1560, Usage: use(0)}, {At: 1575, Usage: use(1.5)}}}, nil)
	page := s.get("guest", "/containers/detail/"+c).body
	for _, text := range []string{"1.50 CPUs", "at most 2.00 CPUs in the last hour", "512MiB", "of 1GiB", "12.3 kB/s", "0 B/s", "Started anew 2 times in the last hour."} {
		require.Contains(t, page, text)
	}
	require.Contains(t, page, `d="M234 20L235 20L236 1M238 39L239 39L240 10.5"`, "a gap, and the highest at the top")
	require.Equal(t, figures.Of{Container: c}, s.figures.of)

	var live struct {
		Every int
		Plots []struct{ Key, Value, Line string }
	}
	require.NoError(t, json.Unmarshal([]byte(s.get("guest", "/containers/ajax/figures/project/"+s.Project).body), &live))
	require.Equal(t, 15, live.Every)
	require.Equal(t, figures.Of{Project: s.Project}, s.figures.of)
	require.Equal(t, "1.50 CPUs", live.Plots[0].Value)
	require.Contains(t, s.get("guest", "/containers/"+s.Project).body, "In use by all of them")
}

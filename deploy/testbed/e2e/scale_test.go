//go:build e2e

package e2e_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

// TestAFloodedLogLeavesOthersLive has one container print a million lines as fast as it can, beside some that print one a
// second.
func TestAFloodedLogLeavesOthersLive(t *testing.T) {
	const (
		all     = 1_000_000 // lines of 200 bytes, twelve times what may come at once
		others  = 3
		live    = 5 * time.Second // from a line's writing to its place in the log
		growth  = 256 << 20       // of either program
		patient = 2 * time.Minute
	)
	k := testbed.StartManager(t)
	agent := k.Agent(strings.TrimSpace(k.CLI("join-token", "agent")))
	defer agent.Stop()
	run := func(title, script string) string {
		id := k.Create(title, map[string]any{"repository": "kiosc-e2e/apps", "tag": "1", "command": "sh -c '" + script + "'"})
		k.Act("start", id)
		k.WaitState(appPatience, id, "running")
		return id
	}
	var ticking []string
	for i := range others {
		ticking = append(ticking, run(fmt.Sprint("Ticking ", i), "while sleep 1; do date +%s.%N; done"))
	}
	// newest is the text of the newest line that the app has written.
	newest := func(id string) string {
		var tail struct{ Lines []string }
		k.Get("/containers/api/logs/"+id+"?last=1&source=docker", &tail)
		if len(tail.Lines) == 0 {
			return ""
		}
		_, text, _ := strings.Cut(tail.Lines[0], "(Docker) ")
		return text
	}
	age := func(ticking string) time.Duration {
		at, err := strconv.ParseFloat(newest(ticking), 64)
		if err != nil {
			return patient
		}
		return time.Since(time.UnixMicro(int64(at * 1e6)))
	}
	for _, id := range ticking {
		k.Wait(moment, "its lines come", func() bool { return age(id) < live })
	}
	manager, host := k.Memory(), agent.Memory()
	t.Logf("before: manager %d MiB, agent %d MiB", manager>>20, host>>20)

	began := time.Now()
	flood := run("Flood", fmt.Sprintf("seq -f %%0200.0f %d; while sleep 1; do echo over $((n=n+1)); done", all))
	var oldest time.Duration
	mostManager, mostHost := manager, host
	looks := 0
	look := func() {
		for _, id := range ticking {
			oldest = max(oldest, age(id))
		}
		mostManager, mostHost = max(mostManager, k.Memory()), max(mostHost, agent.Memory())
		looks++
	}
	k.Wait(patient, "the flood is over", func() bool { look(); return strings.HasPrefix(newest(flood), "over") })
	t.Logf("%d lines were taken within %s; others' lines were %s old at most (they come once a second), in %d looks", all, time.Since(began), oldest, looks)
	t.Logf("while it lasted: manager %d MiB, agent %d MiB at most", mostManager>>20, mostHost>>20)
	require.Less(t, oldest, live, "lines of others are late")
	require.Less(t, mostManager-manager, int64(growth))
	require.Less(t, mostHost-host, int64(growth))

	status, log := k.Request(http.MethodGet, "/containers/api/logs/"+flood+"/download?format=text&source=docker", nil)
	require.Equal(t, http.StatusOK, status)
	kept, left, cuts, last := 0, 0, 0, 0
	for line := range strings.Lines(string(log)) {
		_, text, _ := strings.Cut(line, "(Docker) ")
		var n int
		if _, err := fmt.Sscanf(text, "%d lines were left out here", &n); err == nil {
			left += n
			cuts++
		} else if strings.HasPrefix(text, "0000") {
			_, err := fmt.Sscanf(text, "%d", &n)
			require.NoError(t, err)
			require.Greater(t, n, last, "in order, and none twice")
			kept, last = kept+1, n
		} else if _, err := fmt.Sscanf(text, "over %d", &n); err == nil {
			left -= n - 1 // those before were left out, too
			break
		}
	}
	// Of 128 MiB and more Docker itself drops the oldest; what the agent hadn't read by then nobody can count.
	t.Logf("%d lines kept, %d left out at %d places and counted, %d dropped by Docker before they were read", kept, left, cuts, all-kept-left)
	require.LessOrEqual(t, kept+left, all, "no line is counted that is there")
	require.Positive(t, left, "the log says that it is cut")
	require.LessOrEqual(t, kept, 500_000, "no more than a log keeps")
	k.Wait(moment, "memory is given back", func() bool { return k.Memory()-manager < growth/2 && agent.Memory()-host < growth/2 })
	t.Logf("after: manager %d MiB, agent %d MiB", k.Memory()>>20, agent.Memory()>>20)
}

// TestAListOfAThousandContainers opens the lists in a browser, and acts from one.
func TestAListOfAThousandContainers(t *testing.T) {
	const all = 1000
	k := testbed.Start(t)
	demo := k.List()[0].UUID
	for n := range all - 1 {
		k.Create(fmt.Sprintf("App %04d", n), map[string]any{"description": "One of a thousand"})
	}
	b := open(t, "http://"+k.Addr)
	logIn(b)
	for name, path := range map[string]string{"project": "/containers/" + k.Project(), "all": "/containerlist/", "admin": "/kioscadmin/overview/containers"} {
		b.visit(path)
		require.Equal(t, 200, eval[int](b, `document.querySelectorAll("tr[data-container]").length`))
		require.Contains(t, eval[string](b, `document.querySelector("main").innerText`), "1–200 of 1000")
		times := eval[[]float64](b, `(() => { const n = performance.getEntriesByType("navigation")[0]
			return [n.responseStart, n.responseEnd, n.domContentLoadedEventEnd, n.loadEventEnd, n.decodedBodySize] })()`)
		t.Logf("%s: first byte after %.0f ms, last %.0f, ready %.0f, all loaded %.0f; %.0f KiB", name, times[0], times[1], times[2], times[3], times[4]/1024)
		b.glance("list-1000-" + name)
	}
	b.visit("/containers/" + k.Project() + "?page=4")
	b.do(chromedp.Click(`a[rel="next"]`), chromedp.WaitVisible(`tr[data-container="`+demo+`"]`))
	b.do(chromedp.SendKeys(`input[name="find"]`, "demo app"), chromedp.Submit(`input[name="find"]`))
	b.until("it is found", `document.querySelectorAll("tr[data-container]").length === 1`)
	b.glance("list-1000-found")
	b.do(chromedp.ScrollIntoView(`tr[data-container="`+demo+`"]`), chromedp.Click(`tr[data-container="`+demo+`"] summary`))
	b.glance("list-1000-menu")
	b.do(chromedp.Click(`button[formaction="/containers/start/` + demo + `"]`))
	b.until("it is started", `location.pathname === "/containers/detail/`+demo+`"`)
	k.WaitState(moment, demo, "running")
}

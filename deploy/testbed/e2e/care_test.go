//go:build e2e

package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

// often has the leader's tasks look all the time, and retries begin at once. Each further one waits twice as long.
var often = []string{"KIOSC_SYNC_GRACE=1", "KIOSC_TASK_SCHEDULE=sync=1s; stop-expired=1s"}

// TestPeopleSeeThatAnAppCrashesAgainAndAgain follows an app from its first crash to Kiosc's giving up.
func TestPeopleSeeThatAnAppCrashesAgainAndAgain(t *testing.T) {
	k := testbed.Start(t, often...)
	b := open(t, "http://"+k.Addr)
	logIn(b)
	id := k.Create("Crashing", map[string]any{"command": "--fail", "max_retries": 2})
	b.visit("/containers/detail/" + id)
	k.Act("start", id)
	b.until("the first retry is shown", `document.body.innerText.includes("start (1/2)")`)
	b.until("the second retry is shown", `document.body.innerText.includes("start (2/2)")`)
	b.until("the bell says what it should be", `document.body.innerText.includes("Should be running")`)
	b.until("the log says that it is given up", `document.querySelector("#log").innerText.includes("Given up after 2 of 2 retries.")`)
	b.shot("crashing")
	var steps []string
	for _, line := range k.Log(id) {
		for _, step := range []string{"(Action) Start", "Syncing last registered container state (running) with current Docker state (failed)",
			"right after its start.", "Given up"} {
			if strings.Contains(line, step) {
				steps = append(steps, step)
			}
		}
	}
	ends, again := "right after its start.", "Syncing last registered container state (running) with current Docker state (failed)"
	require.Equal(t, []string{"(Action) Start", ends, again, ends, again, ends, "Given up"}, steps)
	b.visit("/timeline/" + k.Project())
	for _, text := range []string{"retry 1 of 2: it is failed and should be running", "retry 2 of 2", "give up container Crashing after 2 retries"} {
		b.until("the timeline tells: "+text, `document.body.innerText.includes("`+text+`")`)
	}
	b.shot("crashing-timeline")
}

// TestTheLobbyWaitsForTheHeartbeat has an app whose pages are there long before it says that it is ready.
func TestTheLobbyWaitsForTheHeartbeat(t *testing.T) {
	k := testbed.Start(t)
	b := open(t, "http://"+k.Addr)
	logIn(b)
	id := k.Create("Loading", map[string]any{"repository": "kiosc-e2e/apps", "heartbeat_url": "/ready", "command": `python3 -c "
import http.server, os
class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        loading = self.path == '/ready' and not os.path.exists('/tmp/ready')
        self.send_response(503 if loading else 200)
        self.end_headers()
        self.wfile.write(b'the app is here')
http.server.HTTPServer(('', 8080), App).serve_forever()"`})
	b.visit("/containers/proxy/lobby/" + id)
	k.WaitState(appPatience, id, "running")
	b.until("the lobby waits", `document.body.innerText.includes("waiting for the app to answer")`)
	k.Wait(appPatience, "the app's pages answer", func() bool {
		status, _, err := k.Try(stepTimeout, "GET", "/containers/proxy/"+id+"/", nil)
		return err == nil && status == 200
	})
	b.shot("lobby-waits")
	require.True(t, eval[bool](b, `location.pathname.includes("/lobby/")`), "the heartbeat says that it isn't ready")
	list := open(t, "http://"+k.Addr)
	logIn(list)
	list.visit("/containers/detail/" + id)
	list.until("the state is shown", `document.body.innerText.includes("running (not answering)")`)

	k.Docker("exec", k.Containers(id)[0], "touch", "/tmp/ready")
	b.until("the lobby goes on to the app", `document.body.innerText === "the app is here"`)
	list.until("the state follows by itself", `!document.body.innerText.includes("not answering")`)
}

// TestALifetimeEndsAnAppThatIsInUse has somebody in the app when its time is over.
func TestALifetimeEndsAnAppThatIsInUse(t *testing.T) {
	k := testbed.Start(t, often...)
	id := k.Create("Brief", map[string]any{"max_lifetime": 15})
	k.Act("start", id)
	k.WaitState(moment, id, "running")
	began := time.Now()
	k.WaitState(moment, id, "exited")
	require.Greater(t, time.Since(began), 12*time.Second)
	require.True(t, k.LogHas(id, "The container is stopped: its maximum lifetime of 15s is over."))
	require.NotEmpty(t, k.Containers(id), "its Docker container is kept")
}

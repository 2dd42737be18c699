package care_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/care"
	"kiosc/manager/managertest"
)

const (
	day  = 24 * time.Hour
	soon = 20 * time.Second
)

// fixture is a Care on a cluster of one. Containers tell of times that are past.
type fixture struct {
	*testing.T
	node *managertest.Node
	care *care.Care
	used map[string]float64 // seconds of CPU over the last five minutes; what is missing isn't known
	net  map[string]uint64
}

func newFixture(t *testing.T) *fixture {
	t.Parallel()
	f := &fixture{T: t, node: managertest.NewNode(t), used: make(map[string]float64), net: make(map[string]uint64)}
	f.care = care.New(care.Config{Node: f.node, Figures: f, MaxInactivity: 7, Logger: slog.New(slog.DiscardHandler)})
	f.node.Do(&state.UserCreated{User: state.User{ID: "u1", Name: "ana", Active: true}})
	f.node.Do(&state.ProjectCreated{Project: state.Project{ID: "p1", Title: "Mice", Type: state.TypeProject}, Owner: "u1"})
	f.node.Do(&state.NodeRegistered{Node: state.Node{ID: "n1", Name: "host1"}})
	return f
}

// Recent is what the tests say.
func (f *fixture) Recent(container string, _ time.Duration) (float64, uint64, bool) {
	cpu, known := f.used[container]
	return cpu, f.net[container], known
}

func ago(d time.Duration) time.Time { return time.Now().UTC().Add(-d) }

// container makes one that an action led to a state some time ago.
func (f *fixture) container(id string, action state.Action, to state.State, since time.Duration, spec func(*state.Spec)) {
	f.Helper()
	c := state.Container{ID: id, Project: "p1", CreatedAt: ago(30 * day), Spec: state.Spec{Title: "App " + id, Repository: "nginx", Tag: "1",
		Port: 80, Timeout: 60, MaxRetries: 3, InactivityDays: 7}}
	if spec != nil {
		spec(&c.Spec)
	}
	f.node.Do(&state.ContainerCreated{Container: c, User: "ana"})
	f.act(id, state.Start, state.Running, since)
	if action != state.Start || to != state.Running {
		if action != state.Start {
			f.act(id, action, to, since)
		} else {
			f.observe(id, to, since)
		}
	}
}

func (f *fixture) act(id string, action state.Action, to state.State, since time.Duration) {
	f.Helper()
	f.node.Do(&state.ActionRequested{Container: id, Action: action, User: "ana", Time: ago(since)})
	f.done(id, to, since)
}

// done reports the end of the action under way.
func (f *fixture) done(id string, to state.State, since time.Duration) {
	f.Helper()
	c := f.read(id)
	if c.Node == "" {
		f.node.Do(&state.ContainerPlaced{Container: id, Generation: c.Generation, Node: "n1"})
	}
	f.node.Do(&state.ContainerReported{Container: id, Node: "n1", Generation: c.Generation, Seq: c.ReportSeq + 1, Done: true, State: to,
		DockerID: fmt.Sprint(id, "-", c.Generation), Began: ago(since), StartedAt: ago(since), Time: ago(since)})
}

// failAgain makes a container fail at a time, which counts from when it ran before.
func (f *fixture) failAgain(id string, since time.Duration) {
	f.Helper()
	f.observe(id, state.Running, 10*day)
	f.observe(id, state.Exited, since)
}

// observe reports what became of the Docker container by itself.
func (f *fixture) observe(id string, to state.State, since time.Duration) {
	f.Helper()
	f.node.Do(&state.ContainerReported{Container: id, Node: "n1", State: to, DockerID: f.read(id).DockerID, Began: ago(since),
		StartedAt: ago(since + time.Hour), Time: ago(since)})
}

func (f *fixture) read(id string) (c *state.Container) {
	f.Helper()
	f.node.View(func(tx *state.Tx) error {
		one, _, err := tx.Container(id)
		c = &one
		return err
	})
	return c
}

func (f *fixture) lastLine(id string) (text string) {
	f.Helper()
	f.node.View(func(tx *state.Tx) error {
		lines, _, err := tx.LogTail(id, 1)
		text = lines[0].Text
		return err
	})
	return text
}

// told are the events of what Kiosc has done by itself, without those that tell how it ended.
func (f *fixture) told() (texts []string) {
	f.Helper()
	f.node.View(func(tx *state.Tx) error {
		return tx.EventsFrom(0, func(e *state.Event) bool {
			if e.Of == "" && e.User == "" {
				require.Equal(f, "p1", e.Project)
				texts = append(texts, fmt.Sprint(e.Name, " ", e.Status, ": ", strings.ReplaceAll(e.Description, "{container}", e.Objects[0].Name)))
			}
			return true
		})
	})
	return texts
}

// ends are how the actions have ended that the timeline tells of.
func (f *fixture) ends() (ends []state.EventStatus) {
	f.Helper()
	f.node.View(func(tx *state.Tx) error {
		return tx.EventsFrom(0, func(e *state.Event) bool {
			if e.Of != "" {
				ends = append(ends, e.Status)
			}
			return true
		})
	})
	return ends
}

func (f *fixture) sync() string {
	f.Helper()
	summary, err := f.care.Sync(context.Background())
	require.NoError(f, err)
	return summary
}

func TestWhatEndedIsStartedAgainWithLongerAndLongerWaits(t *testing.T) {
	f := newFixture(t)
	f.container("c1", state.Start, state.Exited, 170*time.Second, nil)
	require.Equal(t, "1 containers differ from their last action, 1 waiting", f.sync())
	f.container("c2", state.Start, state.Exited, 190*time.Second, nil)
	require.Equal(t, "2 containers differ from their last action, 1 repeated, 1 waiting", f.sync())
	c := f.read("c2")
	require.True(t, c.Pending())
	require.Equal(t, 1, c.Retries)
	require.Equal(t, "Syncing last registered container state (running) with current Docker state (exited)", f.lastLine("c2"))

	for i, wait := range []time.Duration{3 * time.Minute, 6 * time.Minute, 12 * time.Minute} {
		for _, over := range []bool{false, true} {
			id := fmt.Sprint("retried-", i, over)
			f.container(id, state.Start, state.Exited, 10*day, nil)
			for range i {
				c := f.read(id)
				f.node.Do(&state.ActionWanted{Container: id, Generation: c.Generation, Seen: c.State, Action: state.Start, Retry: true, At: ago(day)})
				f.done(id, state.Failed, 10*day)
			}
			last := wait - 10*time.Second
			if over {
				last = wait + 10*time.Second
			}
			f.failAgain(id, last)
			f.sync()
			require.Equal(t, over, f.read(id).Pending(), "%s after retry %d", last, i)
		}
	}
}

func TestThereIsAnEndToRetries(t *testing.T) {
	f := newFixture(t)
	f.container("c1", state.Start, state.Exited, day, nil)
	for i := range 3 {
		require.Equal(t, "1 containers differ from their last action, 1 repeated", f.sync())
		require.Equal(t, i+1, f.read("c1").Retries)
		f.done("c1", state.Failed, day)
	}
	for range 2 {
		require.Equal(t, "1 containers differ from their last action, 1 given up", f.sync())
	}
	require.False(t, f.read("c1").Pending())
	require.Equal(t, "Given up after 3 of 3 retries. Start the container to have it tried again.", f.lastLine("c1"))
	require.Equal(t, []string{
		"container_retry SUBMIT: start container App c1, retry 1 of 3: it is exited and should be running",
		"container_retry SUBMIT: start container App c1, retry 2 of 3: it is failed and should be running",
		"container_retry SUBMIT: start container App c1, retry 3 of 3: it is failed and should be running",
		"container_given_up FAILED: give up container App c1 after 3 retries: it is failed and should be running",
	}, f.told())
	require.Equal(t, []state.EventStatus{state.EventFailed, state.EventFailed, state.EventFailed}, f.ends())

	// Once somebody has acted it begins anew.
	f.act("c1", state.Start, state.Failed, day)
	require.Equal(t, "1 containers differ from their last action, 1 repeated", f.sync())

	f.container("never", state.Start, state.Exited, day, func(s *state.Spec) { s.MaxRetries = 0 })
	require.Equal(t, "1 containers differ from their last action, 1 given up", f.sync())
	require.NotContains(t, f.lastLine("never"), "Given up")
}

// TestALeaderThatIsOvertakenTellsNothing has two leaders come to the same decision: the second finds that it was taken.
func TestALeaderThatIsOvertakenTellsNothing(t *testing.T) {
	f := newFixture(t)
	f.container("c1", state.Start, state.Exited, day, nil)
	c := f.read("c1")
	for i := range 2 {
		e := c.Event(fmt.Sprint("e", i), "container_retry", "start container {container}", time.Now().UTC())
		r, err := state.Record(e, &state.ActionWanted{Container: "c1", Generation: c.Generation, Seen: c.State, Action: state.Start, Retry: true, Event: e.ID})
		require.NoError(t, err)
		require.Equal(t, i == 0, f.node.Do(r))
	}
	require.Len(t, f.told(), 1)
}

func TestRetriesAreForgivenOnlyAfterAWhile(t *testing.T) {
	f := newFixture(t)
	f.container("c1", state.Start, state.Exited, time.Hour, nil)
	f.sync()
	f.done("c1", state.Running, 20*time.Minute)
	f.sync()
	require.Equal(t, 1, f.read("c1").Retries, "it may be a crash loop")
	f.observe("c1", state.Exited, 10*time.Minute)
	f.sync()
	require.Equal(t, 2, f.read("c1").Retries)
	f.done("c1", state.Running, 31*time.Minute)
	f.sync()
	require.Zero(t, f.read("c1").Retries)
	require.False(t, f.read("c1").Pending())
}

func TestOtherActionsAreRepeatedToo(t *testing.T) {
	for _, one := range []struct {
		last state.Action
		now  state.State
		want state.Action
	}{
		{state.Stop, state.Running, state.Stop}, {state.Pause, state.Running, state.Pause}, {state.Start, state.Paused, state.Unpause},
		{state.Restart, state.Exited, state.Restart},
	} {
		t.Run(string(one.last), func(t *testing.T) {
			f := newFixture(t)
			led := map[state.Action]state.State{state.Stop: state.Exited, state.Pause: state.Paused, state.Start: state.Running, state.Restart: state.Running}
			f.container("c1", one.last, led[one.last], time.Hour, nil)
			f.observe("c1", one.now, time.Hour)
			f.sync()
			c := f.read("c1")
			require.True(t, c.Pending())
			require.Equal(t, one.want, c.Action)
		})
	}
}

func (f *fixture) inactive() string {
	f.Helper()
	summary, err := f.care.StopInactive(context.Background())
	require.NoError(f, err)
	return summary
}

func (f *fixture) expired() string {
	f.Helper()
	summary, err := f.care.StopExpired(context.Background())
	require.NoError(f, err)
	return summary
}

func (f *fixture) visit(id string, since time.Duration) {
	f.node.Do(&state.AppsAccessed{Accesses: []state.Access{{Container: id, User: "ana", First: ago(since), Last: ago(since)}}})
}

func TestUnusedAppsAreStopped(t *testing.T) {
	f := newFixture(t)
	long := func(s *state.Spec) { s.InactivityDays = 3000 }
	f.container("never-visited", state.Start, state.Running, 8*day, nil)
	f.container("young", state.Start, state.Running, 6*day, nil)
	f.container("abandoned", state.Start, state.Running, 20*day, long)
	f.visit("abandoned", 8*day)
	f.container("visited", state.Start, state.Running, 20*day, nil)
	f.visit("visited", 6*day)
	f.container("paused", state.Pause, state.Paused, 8*day, nil)
	f.container("stopped", state.Stop, state.Exited, 8*day, nil)
	f.container("computing", state.Start, state.Running, 20*day, nil)
	f.used["computing"] = 60 // of 300 seconds
	f.container("loading", state.Start, state.Running, 20*day, nil)
	f.used["loading"], f.net["loading"] = 1, 200<<20
	f.container("tab", state.Start, state.Running, 20*day, nil) // an open tab asks for news
	f.used["tab"], f.net["tab"] = 2, 1<<20

	require.Equal(t, "8 running containers, 4 stopped: App abandoned, App never-visited, App paused, App tab", f.inactive())
	for id, stopped := range map[string]bool{"never-visited": true, "young": false, "abandoned": true, "visited": false,
		"paused": true, "stopped": false, "computing": false, "loading": false, "tab": true} {
		require.Equal(t, stopped, f.read(id).Pending(), id)
	}
	require.Equal(t, "The container is stopped: nobody has used the app for 7 days, and it wasn't busy.", f.lastLine("abandoned"))
	require.Equal(t, state.Stop, f.read("abandoned").Action)
	require.Len(t, f.told(), 4)
	require.Contains(t, f.told(), "container_inactive SUBMIT: stop container App abandoned, which nobody has used for 7 days")

	// What is known of a computation outlives the leader's memory of it.
	clear(f.used)
	require.Equal(t, "4 running containers", f.inactive())
}

func TestAThresholdInMinutes(t *testing.T) {
	f := newFixture(t)
	half := func(s *state.Spec) { s.InactivityMinutes = 30 }
	f.container("unused", state.Start, state.Running, 31*time.Minute, half)
	f.container("used", state.Start, state.Running, time.Hour, half)
	f.visit("used", 29*time.Minute)
	f.container("computing", state.Start, state.Running, time.Hour, half)
	f.used["computing"] = 300
	f.container("days", state.Start, state.Running, 6*day, nil)
	require.Equal(t, "3 running containers with a threshold in minutes, 1 stopped", f.expired())
	require.True(t, f.read("unused").Pending())
	require.Equal(t, "The container is stopped: nobody has used the app for 30 minutes, and it wasn't busy.", f.lastLine("unused"))
}

func TestALifetimeEnds(t *testing.T) {
	f := newFixture(t)
	hour := func(s *state.Spec) { s.Lifetime = 3600 }
	f.container("old", state.Start, state.Running, 61*time.Minute, hour)
	f.visit("old", 0)
	f.used["old"] = 300
	f.container("young", state.Start, state.Running, 59*time.Minute, hour)
	require.Equal(t, "0 running containers with a threshold in minutes, 1 stopped after their lifetime", f.expired())
	require.True(t, f.read("old").Pending())
	require.Equal(t, "The container is stopped: its maximum lifetime of 1h0m0s is over.", f.lastLine("old"))
	require.Equal(t, []string{"container_expired SUBMIT: stop container App old, whose maximum lifetime of 1h0m0s is over"}, f.told())
	f.done("old", state.Exited, 0)
	require.Equal(t, []state.EventStatus{state.EventOK}, f.ends())
}

package cli_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/manager/service"
)

func TestTasksInATable(t *testing.T) {
	f := newFake(t)
	at := time.Now().Add(-3 * time.Minute)
	f.answer("task-ls", []service.TaskStatus{
		{Name: "check", Schedule: "30s", Last: &service.TaskRun{At: at, Duration: 12 * time.Millisecond, Summary: "3 of 3\x1b[1m"}},
		{Name: "sync", Schedule: "off"},
		{Name: "orphans", Schedule: "1h", Last: &service.TaskRun{At: at, Duration: 90 * time.Second, Error: "It broke."}}})
	stdout, _ := f.ok("task", "ls")
	require.Equal(t, "NAME     SCHEDULE  LAST RUN  TOOK   RESULT             NEXT RUN\n"+
		"check    30s       3m ago    12ms   3 of 3 [1m         -\n"+
		"sync     off       never     -      -                  -\n"+
		"orphans  1h        3m ago    1m30s  FAILED: It broke.  -\n", stdout)
	stdout, _ = f.ok("task", "ls", "--json")
	require.Contains(t, stdout, `"name": "orphans"`)
}

func TestRunningATask(t *testing.T) {
	f := newFake(t)
	f.answer("task-run", service.TaskStatus{Name: "check", Last: &service.TaskRun{Duration: time.Second, Summary: "3 of 3 Docker hosts"}})
	stdout, _ := f.ok("task", "run", "check")
	require.Equal(t, "3 of 3 Docker hosts (1s)\n", stdout)
	require.JSONEq(t, `{"task":"check"}`, f.requests()[0].body)

	f.answer("task-run", service.TaskStatus{Name: "check", Last: &service.TaskRun{Error: "It broke."}})
	_, stderr, code := f.run("task", "run", "check")
	require.Equal(t, 1, code)
	require.Equal(t, "kiosc: It broke.\n", stderr)
	stdout, _, code = f.run("task", "run", "check", "--json")
	require.Equal(t, 1, code, "a script sees the failure, too")
	require.Contains(t, stdout, `"error": "It broke."`)

	f.answer("task-run", service.TaskStatus{Name: "check"})
	_, stderr = f.ok("task", "run", "check")
	require.Contains(t, stderr, "still running")
}

func TestSchedulesOfTasks(t *testing.T) {
	for _, text := range []string{"check", "=30s", "check=now and then", "check=0s"} {
		_, stderr, code := run("dev", "--task-schedule", text)
		require.Equal(t, 2, code)
		require.Contains(t, stderr, "task-schedule", text)
	}
}

func TestQuotasOnTheCommandLine(t *testing.T) {
	f := newFake(t)
	ten, cpus, memory := int64(10), int64(2500), int64(8<<30)
	site := service.QuotaView{Title: "Whole site", Running: service.Share{Used: 3}, Files: service.Share{Used: 2048}}
	mice := service.QuotaView{Project: "p-1", Title: "Mice", Running: service.Share{Used: 3, Limit: &ten}, CPUs: service.Share{Used: 500, Limit: &cpus}, Memory: service.Share{Limit: &memory}}
	f.answer("quota-ls", []service.QuotaView{site, mice})
	stdout, _ := f.ok("quota", "ls")
	require.Equal(t, "PROJECT     UUID  RUNNING  CPUS        MEMORY      SMALL FILES\n"+
		"Whole site  -     3        0           0B          2KiB\n"+
		"Mice        p-1   3 of 10  0.5 of 2.5  0B of 8GiB  0B\n", stdout)

	f.answer("quota-set", mice)
	stdout, _ = f.ok("quota", "set", "Mice", "--running", "10", "--memory", "none")
	require.Contains(t, stdout, "3 of 10")
	require.JSONEq(t, `{"project":"Mice","quota":{"running":"10","cpus":"","memory":"none","files":""}}`, f.requests()[1].body)
	_, stderr, code := f.run("quota", "set", "Mice")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "at least one of the flags")
}

func TestSweepingContainers(t *testing.T) {
	f := newFake(t)
	f.answer("remove-stopped", []service.Swept{{ID: "c-1", Title: "App", Project: "Mice", State: "exited"}},
		[]service.Swept{{ID: "c-1", Title: "App", Project: "Mice", State: "exited", Done: true}, {ID: "c-2", Title: "Other", Project: "Mice", State: "exited", Detail: "Too many."}},
		[]service.Swept{})
	stdout, _ := f.ok("container", "remove-stopped")
	require.Equal(t, "PROJECT  TITLE  UUID  STATE   RESULT\nMice     App    c-1   exited  would be removed\n", stdout)
	stdout, stderr, code := f.run("container", "remove_stopped", "--remove")
	require.Equal(t, 1, code)
	require.Equal(t, "PROJECT  TITLE  UUID  STATE   RESULT\nMice     App    c-1   exited  removed\nMice     Other  c-2   exited  NOT REMOVED: Too many.\n", stdout)
	require.Equal(t, "kiosc: 1 of 2 containers were refused or are still waited for; run the command again for those\n", stderr)
	stdout, _ = f.ok("container", "remove-stopped", "--remove")
	require.Equal(t, "There is no such container.\n", stdout)
	require.JSONEq(t, `{"remove":false}`, f.requests()[0].body)
	require.JSONEq(t, `{"remove":true}`, f.requests()[1].body)

	f.answer("stop-all", []service.Swept{{ID: "c-1", Title: "App", Project: "Mice", State: "running", Done: true}})
	stdout, _ = f.ok("container", "stop_all", "--json")
	require.Equal(t, `[
  {
    "sodar_uuid": "c-1",
    "title": "App",
    "project": "Mice",
    "state": "running",
    "done": true,
    "detail": ""
  }
]
`, stdout)
	away := service.Swept{ID: "c-1", Title: "App", Project: "Mice", State: "running", Detail: "It is not done yet. Waiting for the Docker host d1: it is not connected."}
	f.answer("stop-all", []service.Swept{away})
	stdout, _, code = f.run("container", "stop-all", "--json")
	require.Equal(t, 1, code)
	require.True(t, json.Valid([]byte(stdout)))
	stdout, _, code = f.run("container", "stop-all")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "running  NOT STOPPED: It is not done yet. Waiting for the Docker host d1: it is not connected.\n")
	_, _, code = f.run("container", "stop-all", "--remove")
	require.Equal(t, 2, code, "it has no such flag")
	f.answer("task-run", service.TaskStatus{Name: "stop-inactive", Last: &service.TaskRun{Summary: "3 running containers, 1 stopped: App"}})
	f.ok("container", "stop_unused")
	stdout, _ = f.ok("container", "stop-unused")
	require.Contains(t, stdout, "1 stopped: App")
}

func TestTheImageAllowListOnTheCommandLine(t *testing.T) {
	f := newFake(t)
	f.answer("image-allow-list-ls", service.ImageAllowList{}, service.ImageAllowList{Patterns: []string{"rocker/*", "nginx:1.*"},
		NotAllowed: []service.NotAllowed{{ID: "c-1", Title: "App", ProjectTitle: "Mice", Image: "alpine:3", State: "running"}}})
	stdout, _ := f.ok("image-allow-list", "ls")
	require.Equal(t, "All images are allowed.\n", stdout)
	stdout, _ = f.ok("image-allow-list", "ls")
	require.Equal(t, "PATTERN\nrocker/*\nnginx:1.*\n\nNot allowed any more:\nPROJECT  TITLE  UUID  IMAGE     STATE\nMice     App    c-1   alpine:3  running\n", stdout)

	f.answer("image-allow-list-set", service.ImageAllowList{Patterns: []string{"nginx"}}, service.ImageAllowList{})
	stdout, _ = f.ok("image-allow-list", "set", "nginx")
	require.Equal(t, "PATTERN\nnginx\n", stdout)
	f.ok("image-allow-list", "set", "--all")
	require.JSONEq(t, `{"patterns":["nginx"]}`, f.requests()[2].body)
	require.JSONEq(t, `{"patterns":[]}`, f.requests()[3].body)
	for _, args := range [][]string{{"set"}, {"set", "nginx", "--all"}} {
		_, stderr, code := f.run(append([]string{"image-allow-list"}, args...)...)
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "give the patterns, or --all")
	}
}

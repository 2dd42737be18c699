package testbed_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

const soon = 20 * time.Second

func TestTheWholeLifeOfAnApp(t *testing.T) {
	t.Parallel()
	k := testbed.Start(t)
	demo := k.List()[0]
	require.Equal(t, "Demo app", demo.Title)
	k.Act("start", demo.UUID)
	k.WaitState(soon, demo.UUID, "running")
	base := "/containers/proxy/" + demo.UUID + "/"
	k.Wait(soon, "the app answers", func() bool {
		status, _ := k.Request(http.MethodGet, base, nil)
		return status == http.StatusOK
	})

	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+k.Addr+base+"ws", &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"token " + k.Token}}})
	require.NoError(t, err)
	require.NoError(t, conn.Write(ctx, websocket.MessageText, []byte("hello")))
	_, answer, err := conn.Read(ctx)
	require.NoError(t, err)
	require.Equal(t, "hello", string(answer))
	require.NoError(t, conn.Close(websocket.StatusNormalClosure, ""))

	anonymous, err := http.Get("http://" + k.Addr + base)
	require.NoError(t, err)
	anonymous.Body.Close()
	require.Equal(t, http.StatusUnauthorized, anonymous.StatusCode)

	const visit = "admin] (Proxy) Accessing the app"
	k.Wait(soon, "the log has the visit", func() bool { return k.LogHas(demo.UUID, visit) })

	docker := k.Containers(demo.UUID)
	require.Contains(t, k.Stop(), "Kiosc is running at")
	require.Equal(t, []string{"true"}, k.Docker("inspect", "-f", "{{.State.Running}}", docker[0]), "Ctrl-C leaves apps alone")
	k.Run()
	require.Equal(t, "running", k.State(demo.UUID))
	require.Equal(t, docker, k.Containers(demo.UUID))

	k.Act("stop", demo.UUID)
	k.WaitState(soon, demo.UUID, "exited")
	status, _ := k.Request(http.MethodGet, base, nil)
	require.Equal(t, http.StatusServiceUnavailable, status)
	visits := slices.DeleteFunc(k.Log(demo.UUID), func(line string) bool { return !strings.Contains(line, visit) })
	require.Len(t, visits, 1, "all requests are one visit")
	status, _ = k.Request(http.MethodDelete, "/containers/api/delete/"+demo.UUID, nil)
	require.Equal(t, http.StatusNoContent, status)
	require.Empty(t, k.Containers(demo.UUID))
	require.Empty(t, k.List())
}

func TestWhatCannotStartFailsWithTheReason(t *testing.T) {
	t.Parallel()
	k := testbed.Start(t)
	for title, c := range map[string]struct {
		fields map[string]any
		reason string
	}{
		"no such image": {map[string]any{"repository": "127.0.0.1:1/nothing", "tag": "1"}, "can't be reached from this Docker host"},
		"ends at once":  {map[string]any{"command": "--fail"}, "right after its start"},
		"no such file":  {map[string]any{"command": "--no-such-flag"}, "unknown flag"},
	} {
		id := k.Create(title, c.fields)
		k.Act("start", id)
		k.WaitState(soon, id, "failed")
		k.Wait(soon, "the log of \""+title+"\" gives the reason", func() bool { return k.LogHas(id, c.reason) })
	}
}

func TestMistakesInOneSentence(t *testing.T) {
	t.Parallel()
	k := testbed.Start(t)
	for name, c := range map[string]struct {
		env, args []string
		want      string
	}{
		"data directory in use": {nil, []string{"--data-dir", k.Dir, "--listen", "127.0.0.1:0"}, "in use by another kiosc process"},
		"port taken":            {nil, []string{"--data-dir", t.TempDir(), "--listen", k.Addr}, "cannot listen on " + k.Addr},
		"no Docker":             {[]string{"DOCKER_HOST=unix:///nowhere.sock"}, []string{"--data-dir", t.TempDir()}, "does not answer at unix:///nowhere.sock"},
		"short password":        {[]string{"KIOSC_ADMIN_PASSWORD=x"}, []string{"--data-dir", t.TempDir(), "--listen", "127.0.0.1:0"}, "at least 8 characters"},
	} {
		cmd := exec.Command(k.Binary, append([]string{"dev"}, c.args...)...)
		cmd.Env = append(cmd.Environ(), c.env...)
		out, err := cmd.CombinedOutput()
		require.Error(t, err, name)
		require.Contains(t, string(out), c.want, name)
	}
}

func TestALostClusterKeyFailsTheStart(t *testing.T) {
	t.Parallel()
	k := testbed.Start(t)
	id := k.Create("secret", map[string]any{"environment": map[string]any{"KEY": "s3cret"}, "environment_secret_keys": "KEY"})
	k.Act("start", id)
	k.WaitState(soon, id, "running")
	require.Contains(t, k.Docker("inspect", "-f", "{{.Config.Env}}", k.Containers(id)[0]), "KEY=s3cret")
	k.Act("stop", id)
	k.WaitState(soon, id, "exited")
	k.Stop()
	require.NoError(t, os.WriteFile(filepath.Join(k.Dir, "cluster.key"), make([]byte, 32), 0o600))
	k.Run()
	k.Act("start", id)
	k.WaitState(soon, id, "failed")
	require.True(t, k.LogHas(id, "sealed with another key"))
}

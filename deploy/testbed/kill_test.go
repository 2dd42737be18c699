package testbed_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

// recovery is how long Kiosc may take after a restart until what it says is right.
const recovery = 5 * time.Second

func TestKillInTheMiddleOfAStart(t *testing.T) {
	k := testbed.Start(t)
	for name, reached := range map[string]func(id string) bool{
		"asked for":   func(string) bool { return true },
		"begun":       func(id string) bool { return k.State(id) != "initial" },
		"made":        func(id string) bool { return len(k.Containers(id)) > 0 },
		"carried out": func(id string) bool { return k.State(id) == "running" },
	} {
		id := k.Create(name, nil)
		k.Act("start", id)
		k.Wait(soon, name, func() bool { return reached(id) })
		k.Kill()
		k.Run()
		k.WaitState(recovery, id, "running")
		require.Len(t, k.Containers(id), 1, "started once")
	}
}

func TestKillInTheMiddleOfAStop(t *testing.T) {
	k := testbed.Start(t)
	id := k.Create("stop", nil)
	k.Act("start", id)
	k.WaitState(soon, id, "running")
	k.Act("stop", id)
	k.Kill()
	k.Run()
	k.WaitState(recovery, id, "exited")
}

func TestKillInTheMiddleOfAPull(t *testing.T) {
	asked, answer := make(chan struct{}, 100), make(chan struct{})
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/manifests/") {
			asked <- struct{}{}
			select {
			case <-answer:
			case <-r.Context().Done():
			}
			http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`, http.StatusNotFound)
		}
	}))
	defer registry.Close()
	defer func() {
		select {
		case <-answer:
		default:
			close(answer)
		}
	}()
	k := testbed.Start(t)
	id := k.Create("pull", map[string]any{"repository": strings.TrimPrefix(registry.URL, "http://") + "/slow/app"})
	k.Act("start", id)
	<-asked
	k.WaitState(soon, id, "pulling")
	k.Kill()
	k.Run()
	<-asked // pulled again
	require.Equal(t, "pulling", k.State(id))
	close(answer)
	k.WaitState(recovery, id, "failed")
	require.True(t, k.LogHas(id, "there is no image"))
}

func TestKillInTheMiddleOfALogBurst(t *testing.T) {
	const lines = 100_000
	k := testbed.Start(t)
	id := k.Create("burst", map[string]any{"command": fmt.Sprint("--lines ", lines)})
	k.Act("start", id)
	k.WaitState(soon, id, "running")
	for range 3 {
		k.Wait(soon, "lines come", func() bool { return k.LogHas(id, "line ") })
		k.Kill()
		k.Run()
		require.Equal(t, "running", k.State(id))
	}
	k.Wait(time.Minute, "the last line is stored", func() bool { return k.LogHas(id, "demo: serving") })
	var got []string
	for _, line := range k.Log(id) {
		if _, text, ok := strings.Cut(line, "(Docker) line "); ok {
			got = append(got, text)
		}
	}
	require.Len(t, got, lines)
	for i, text := range got {
		require.Equal(t, fmt.Sprint(i+1), text)
	}
	require.True(t, slices.IsSortedFunc(got, func(a, b string) int { return len(a) - len(b) }))
}

package cli_test

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/manager"
)

func TestRequests(t *testing.T) {
	const node = `{"node":"host-2","deadline":0,"now":false,"force":false,"set":null,"remove":null}`
	for line, want := range map[string]struct {
		args []string
		name string
		body string
	}{
		"status":       {[]string{"cluster", "status"}, "cluster-status", `{}`},
		"ls":           {[]string{"node", "ls"}, "cluster-status", `{}`},
		"inspect":      {[]string{"node", "inspect", "host-2"}, "node-inspect", node},
		"activate":     {[]string{"node", "activate", "host-2"}, "node-activate", node},
		"rm":           {[]string{"node", "rm", "host-2"}, "node-rm", node},
		"rm --force":   {[]string{"node", "rm", "host-2", "--force"}, "node-rm", `{"node":"host-2","deadline":0,"now":false,"force":true,"set":null,"remove":null}`},
		"promote":      {[]string{"manager-set", "promote", "host-2"}, "manager-promote", node},
		"demote":       {[]string{"manager-set", "demote", "host-2"}, "manager-demote", node},
		"drain":        {[]string{"node", "drain", "host-2", "--detach"}, "node-drain", `{"node":"host-2","deadline":600000000000,"now":false,"force":false,"set":null,"remove":null}`},
		"drain at":     {[]string{"node", "drain", "host-2", "--detach", "--deadline", "1h"}, "node-drain", `{"node":"host-2","deadline":3600000000000,"now":false,"force":false,"set":null,"remove":null}`},
		"drain now":    {[]string{"node", "drain", "host-2", "--detach", "--now"}, "node-drain", `{"node":"host-2","deadline":600000000000,"now":true,"force":false,"set":null,"remove":null}`},
		"label":        {[]string{"node", "label", "host-2", "gpu=true", "note=a=b", "--remove", "rack", "--remove", "row"}, "node-label", `{"node":"host-2","deadline":0,"now":false,"force":false,"set":{"gpu":"true","note":"a=b"},"remove":["rack","row"]}`},
		"token":        {[]string{"join-token", "agent"}, "join-token", `{"role":"agent","rotate":false}`},
		"token rotate": {[]string{"join-token", "manager", "--rotate"}, "join-token", `{"role":"manager","rotate":true}`},
	} {
		t.Run(line, func(t *testing.T) {
			f := newFake(t)
			f.answer(want.name, `{"quorum":true,"nodes":[]}`)
			f.ok(want.args...)
			requests := f.requests()
			require.Len(t, requests, 1)
			require.Equal(t, want.name, requests[0].name)
			require.JSONEq(t, want.body, requests[0].body)
		})
	}
}

func TestWrongArgumentsAskForNothing(t *testing.T) {
	f := newFake(t)
	for _, args := range [][]string{
		{"join-token", "worker"}, {"join-token"}, {"node", "inspect"}, {"node", "rm", "a", "b"}, {"node", "label", "a"},
		{"node", "label", "a", "gpu"}, {"node", "label", "a", "=true"}, {"node", "drain", "a", "--deadline", "soon"}, {"backup", "x"},
	} {
		stdout, stderr, code := f.run(args...)
		require.NotZero(t, code, args)
		require.Empty(t, stdout, args)
		require.Regexp(t, `^kiosc: .+\n$`, stderr, args)
	}
	require.Empty(t, f.requests())
}

func TestRefusals(t *testing.T) {
	f := newFake(t)
	for _, name := range []string{"cluster-status", "node-inspect", "node-drain", "node-activate", "node-rm", "node-label", "manager-promote", "manager-demote", "join-token"} {
		f.serve(name, refuse(http.StatusConflict, "This can't be done now."))
	}
	for _, args := range [][]string{
		{"cluster", "status"}, {"cluster", "status", "--json"}, {"node", "ls"}, {"node", "inspect", "a"}, {"node", "drain", "a"}, {"node", "activate", "a"},
		{"node", "rm", "a"}, {"node", "label", "a", "b=c"}, {"manager-set", "promote", "a"}, {"manager-set", "demote", "a"}, {"join-token", "agent"},
	} {
		stdout, stderr, code := f.run(args...)
		require.Equal(t, 1, code, args)
		require.Empty(t, stdout, args)
		require.Equal(t, "kiosc: This can't be done now.\n", stderr, args)
	}
	f.serve("node-rm", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) })
	_, stderr, code := f.run("node", "rm", "a")
	require.Equal(t, 1, code)
	require.Equal(t, "kiosc: the manager answered with 502 Bad Gateway\n", stderr)
	f.answer("node-inspect", "no JSON")
	_, stderr, code = f.run("node", "inspect", "a")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "reading the manager's answer")
}

func TestNoManager(t *testing.T) {
	newFake(t) // for the environment
	dir := t.TempDir()
	stdout, stderr, code := run("node", "ls", "--data-dir", dir)
	require.Equal(t, 1, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "no manager answers in the data directory "+dir)
}

func TestOverTheNetwork(t *testing.T) {
	f := newFake(t)
	server := httptest.NewServer(f)
	defer server.Close()
	f.answer("join-token", manager.Printed{Value: "kioscjoin-1-agent-x"})
	t.Setenv("KIOSC_ADDR", server.URL+"/")
	t.Setenv("KIOSC_TOKEN", "kiosc_secret")
	stdout, stderr, code := run("join-token", "agent", "--data-dir", filepath.Join(f.dir, "nowhere"))
	require.Zero(t, code, stderr)
	require.Equal(t, "kioscjoin-1-agent-x\n", stdout)
	require.Equal(t, []asked{{"join-token", `{"role":"agent","rotate":false}`, "token kiosc_secret"}}, f.requests())
	server.Close()
	_, stderr, code = run("join-token", "agent")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "does not answer")
	require.NotContains(t, stderr, "secret")
}

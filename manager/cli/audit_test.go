package cli_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/manager/service"
)

func TestAuditCommands(t *testing.T) {
	f := newFake(t)
	f.answer("audit-verify", service.TimelineCheck{Events: 12})
	stdout, _ := f.ok("audit", "verify")
	require.Equal(t, "12 events, all as they were stored\n", stdout)
	f.answer("audit-verify", service.TimelineCheck{Events: 7, Fault: "event 8 was altered"})
	_, stderr, code := f.run("audit", "verify")
	require.NotZero(t, code)
	require.Contains(t, stderr, "after 7 good events: event 8 was altered")

	whole := "{\"number\":1}\n{\"number\":2}\n"
	f.serve("audit-export", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(whole + "{\"end\":true}\n")) })
	stdout, _ = f.ok("audit", "export")
	require.Equal(t, whole, stdout)
	f.serve("audit-export", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(whole)) })
	_, stderr, code = f.run("audit", "export")
	require.NotZero(t, code)
	require.Contains(t, stderr, "broke off")
}

func TestTokenCommandsListAndDelete(t *testing.T) {
	f := newFake(t)
	used := time.Date(2026, 1, 2, 12, 0, 0, 0, time.Local)
	f.answer("token-ls", []service.TokenView{{ID: "t1", Name: "nightly", Scope: "read", CreatedAt: used, UsedAt: &used}})
	stdout, _ := f.ok("token", "ls", "--user", "ana")
	require.Regexp(t, `t1 +nightly +read +2026-01-02 +never +2026-01-02`, stdout)
	f.answer("token-rm", map[string]string{"value": "t1"})
	f.ok("token", "rm", "t1", "--user", "ana")
	requests := f.requests()
	require.Contains(t, requests[len(requests)-1].body, `"user":"ana","id":"t1"`)
}

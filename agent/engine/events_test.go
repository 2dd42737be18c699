package engine_test

import (
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/agent/engine"
)

func testEvents(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeAuto)
	other := openEngine(t, engine.ModeAuto)
	ctx, cancel := context.WithCancel(t.Context())
	ready, seen, broken := make(chan struct{}), make(chan engine.Event, 100), make(chan error, 1)
	go func() {
		broken <- e.Events(ctx, func() { close(ready) }, func(ev engine.Event) error {
			seen <- ev
			return nil
		})
	}()
	<-ready
	startApp(t, other, "exit", "0") // another node's, not told
	id, dockerID := startApp(t, e, "wait")
	require.NoError(t, e.Pause(t.Context(), dockerID))
	require.NoError(t, e.Unpause(t.Context(), dockerID))
	require.NoError(t, e.Stop(t.Context(), dockerID, patience))
	require.NoError(t, e.Remove(t.Context(), dockerID))
	// As a set: Docker's versions differ in which of die and stop is told first, and what happens as the subscription
	// begins may be told twice.
	got := make(map[string]bool)
	for !got["destroy"] {
		event := <-seen
		require.Equal(t, engine.Event{Container: id, DockerID: dockerID, Action: event.Action}, event)
		got[event.Action] = true
	}
	for _, action := range []string{"start", "pause", "unpause", "die", "stop"} {
		require.True(t, got[action], action)
	}
	cancel()
	require.ErrorIs(t, <-broken, context.Canceled)
}

func testEventsEndWithTheCallersError(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeAuto)
	ready, broken := make(chan struct{}), make(chan error, 1)
	go func() {
		broken <- e.Events(t.Context(), func() { close(ready) }, func(engine.Event) error { return io.ErrShortWrite })
	}()
	<-ready
	startApp(t, e, "exit", "0")
	require.ErrorIs(t, <-broken, io.ErrShortWrite)
}

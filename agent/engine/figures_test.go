package engine_test

import (
	"io"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/agent/engine"
	"kiosc/cluster/wire"
)

func testFigures(t *testing.T) {
	e := openEngine(t, engine.ModeAuto)
	busy, busyDocker := startApp(t, e, "burn", strconv.Itoa(appPort))
	idle, idleDocker := startApp(t, e, "wait")
	_, ended := startApp(t, e, "exit", "0")
	awaitState(t, e, ended, "exited")
	startApp(t, openEngine(t, engine.ModeAuto), "wait") // of another node
	var last map[string]wire.Figure
	read := func() map[string]wire.Figure {
		all, err := e.Figures(t.Context())
		require.NoError(t, err)
		last = make(map[string]wire.Figure)
		for _, f := range all {
			last[f.Container] = f
		}
		return last
	}
	require.Len(t, read(), 2, "what runs on this node")
	before := last[busy]
	require.Equal(t, busyDocker, before.DockerID)
	require.NotZero(t, before.Memory)
	require.Greater(t, before.MemoryLimit, before.Memory)
	eventually(t, "the busy one uses CPU", func() bool { return read()[busy].CPU > before.CPU+3e8 })
	require.Less(t, last[idle].CPU, last[busy].CPU/2)

	conn, err := e.Dial(t.Context(), busyDocker, appPort)
	require.NoError(t, err)
	defer conn.Close()
	const sent = 1 << 20
	go conn.Write(make([]byte, sent))
	_, err = io.ReadFull(conn, make([]byte, sent))
	require.NoError(t, err)
	eventually(t, "the bytes are counted", func() bool {
		f := read()[busy]
		return f.Received > before.Received+sent && f.Sent > before.Sent+sent
	})
	require.NoError(t, e.Pause(t.Context(), idleDocker))
	require.Contains(t, read(), idle, "a paused one has its memory")
}

package engine_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/agent/engine"
)

func testDial(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{engine.ModeDockerShared, engine.ModeHost} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			e := openEngine(t, mode)
			_, dockerID := createApp(t, e, randomHex(4), "serve", "8080")
			_, err := e.Dial(t.Context(), dockerID, appPort)
			require.ErrorIs(t, err, engine.ErrNotRunning)
			require.NoError(t, e.Start(t.Context(), dockerID))
			for range 3 {
				echo(t, dial(t, e, dockerID))
			}
			require.NoError(t, e.Stop(t.Context(), dockerID, patience))
			_, err = e.Dial(t.Context(), dockerID, appPort)
			require.ErrorIs(t, err, engine.ErrNotRunning)
			// Its address may be another one now.
			require.NoError(t, e.Start(t.Context(), dockerID))
			echo(t, dial(t, e, dockerID))
			require.NoError(t, e.Remove(t.Context(), dockerID))
			_, err = e.Dial(t.Context(), dockerID, appPort)
			require.ErrorIs(t, err, engine.ErrNotFound)
		})
	}
}

// dial waits for the app to listen.
func dial(t *testing.T, e *engine.Engine, dockerID string) (conn net.Conn) {
	t.Helper()
	eventually(t, "a connection", func() bool {
		var err error
		conn, err = e.Dial(t.Context(), dockerID, appPort)
		if err != nil {
			require.ErrorIs(t, err, engine.ErrRefused)
		}
		return err == nil
	})
	return conn
}

func echo(t *testing.T, conn net.Conn) {
	t.Helper()
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err := conn.Write([]byte("hello"))
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, "hello", string(answer))
}

func testDialIsRefused(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{engine.ModeDockerShared, engine.ModeHost} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			e := openEngine(t, mode)
			_, dockerID := startApp(t, e, "wait")
			for range 2 {
				_, err := e.Dial(t.Context(), dockerID, appPort)
				require.ErrorIs(t, err, engine.ErrRefused)
			}
		})
	}
}

func testConfigIsChecked(t *testing.T) {
	t.Parallel()
	_, err := engine.Open(t.Context(), config("node", "bridge"))
	require.ErrorContains(t, err, `"bridge"`)
	nowhere := config("node", "")
	nowhere.Host = "unix://" + t.TempDir() + "/none.sock"
	_, err = engine.Open(t.Context(), nowhere)
	require.ErrorIs(t, err, engine.ErrUnavailable)
	require.ErrorIs(t, engine.Check(t.Context(), nowhere.Host), engine.ErrUnavailable)
	info, err := openEngine(t, "").Info(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, info.Version)
	require.Positive(t, info.CPUs)
	require.Contains(t, []string{engine.ModeDockerShared, engine.ModeHost}, info.NetworkMode)
}

package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
)

func TestSessionCarriesHeadersAndPeers(t *testing.T) {
	l := newLink(t)
	require.Equal(t, pki.Peer{Role: pki.RoleAgent, NodeID: "a1", ClusterID: clusterID}, l.manager.Peer())
	require.Equal(t, pki.RoleManager, l.agent.Peer().Role)

	sent := LogsHeader{Container: "c1", DockerID: "d1"}
	_, err := l.agent.Open(limited(t), Control, nil)
	require.NoError(t, err)
	kind, _, _, err := l.manager.Accept(limited(t))
	require.NoError(t, err)
	require.Equal(t, Control, kind)
	_, err = l.agent.Open(limited(t), Logs, sent)
	require.NoError(t, err)
	kind, raw, stream, err := l.manager.Accept(limited(t))
	require.NoError(t, err)
	require.Equal(t, Logs, kind)
	var got LogsHeader
	require.NoError(t, DecodeHeader(raw, &got))
	require.Equal(t, sent, got)
	require.Same(t, l.manager, stream.Session())
}

func TestManyStreamsAtOnce(t *testing.T) {
	l := newLink(t)
	const streams, size = 200, 300 << 10 // more than a window of 256 KiB
	var all sync.WaitGroup
	all.Go(func() {
		for range streams {
			_, raw, stream, err := l.agent.Accept(limited(t))
			if err != nil {
				t.Error(err)
				return
			}
			var head ProxyHeader
			if err := DecodeHeader(raw, &head); err != nil {
				t.Error(err)
			}
			all.Go(func() { // echo
				defer stream.Close()
				if _, err := io.Copy(stream, stream); err != nil {
					t.Error(err)
				}
			})
		}
	})
	for i := range streams {
		all.Go(func() {
			stream, err := l.manager.Open(limited(t), Proxy, ProxyHeader{Container: fmt.Sprint(i), Port: 1 + i})
			if err != nil {
				t.Error(err)
				return
			}
			defer stream.Close()
			want := bytes.Repeat([]byte{byte(i)}, size)
			go func() {
				stream.Write(want)
				stream.CloseWrite()
			}()
			got, err := io.ReadAll(stream)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("stream %d: %d bytes, %v", i, len(got), err)
			}
		})
	}
	all.Wait()
	require.True(t, waitFor(func() bool { return l.manager.Streams() == 0 && l.agent.Streams() == 0 }), "streams are left")
}

func TestSilentStreamHoldsUpNoOther(t *testing.T) {
	l := newLink(t)
	_, err := l.manager.mux.Open(limited(t)) // opened, and never says what for
	require.NoError(t, err)
	l.pair(t)
}

func TestUnknownKindIsKilled(t *testing.T) {
	l := newLink(t)
	for _, head := range []string{"\x01\x63\x00\x00", "\x02\x01\x00\x00", "\x01\x01\xff\xff"} {
		y, err := l.manager.mux.Open(limited(t))
		require.NoError(t, err)
		stream := newStream(l.manager, y)
		stream.SetDeadline(time.Now().Add(patience))
		_, err = stream.Write([]byte(head))
		require.NoError(t, err)
		_, err = stream.Read(make([]byte, 1))
		require.ErrorIs(t, err, ErrReset)
	}
	l.pair(t)
}

func TestKillReachesBothSidesAtOnce(t *testing.T) {
	l := newLink(t)
	manager, agent := l.pair(t)
	remote, local := make(chan error, 2), make(chan error, 1)
	go func() { _, err := agent.Read(make([]byte, 1)); remote <- err }()
	go func() { _, err := io.Copy(agent, endless{}); remote <- err }() // blocks when the window is full
	go func() { _, err := manager.Write(make([]byte, 8<<20)); local <- err }()
	require.True(t, waitFor(func() bool { return l.agent.Streams() == 1 }))
	manager.Kill()
	manager.Kill()
	require.ErrorIs(t, <-local, net.ErrClosed)
	require.ErrorIs(t, <-remote, ErrReset)
	require.ErrorIs(t, <-remote, ErrReset)
	_, err := manager.Read(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)

	require.True(t, waitFor(func() bool { return l.manager.Streams() == 0 }), "the killed stream is kept")
}

func TestKillWhileDataFlows(t *testing.T) {
	l := newLink(t)
	for range 50 {
		manager, agent := l.pair(t)
		var copies sync.WaitGroup
		for _, s := range []*Stream{manager, agent} {
			copies.Go(func() { io.Copy(s, endless{}) })
			copies.Go(func() { io.Copy(io.Discard, s) })
		}
		agent.Kill()
		copies.Wait()
		manager.Kill()
	}
	l.pair(t)
	require.Nil(t, l.manager.Err())
}

func TestCloseLosesNothingWritten(t *testing.T) {
	l := newLink(t)
	manager, agent := l.pair(t)
	want := bytes.Repeat([]byte("x"), 100<<10)
	_, err := agent.Write(want)
	require.NoError(t, err)
	agent.Close()
	got, err := io.ReadAll(manager)
	require.NoError(t, err)
	require.Equal(t, want, got)
	manager.Close()
	require.True(t, waitFor(func() bool { return l.agent.Streams() == 0 && l.manager.Streams() == 0 }))
}

func TestSessionCloseFlushesAndIsNoCleanEnd(t *testing.T) {
	l := newLink(t)
	manager, agent := l.pair(t)
	want := bytes.Repeat([]byte("y"), 200<<10)
	_, err := agent.Write(want)
	require.NoError(t, err)
	require.NoError(t, l.agent.Close())
	got, err := io.ReadAll(manager)
	require.ErrorIs(t, err, ErrSessionClosed)
	require.Equal(t, want, got)
	select {
	case <-l.manager.Done():
	case <-time.After(patience):
		t.Fatal("the manager doesn't notice")
	}
	require.ErrorIs(t, l.manager.Err(), ErrSessionClosed)
	_, err = l.manager.Open(limited(t), Control, nil)
	require.ErrorIs(t, err, ErrSessionClosed)
	_, _, _, err = l.manager.Accept(limited(t))
	require.ErrorIs(t, err, ErrSessionClosed)
}

func TestOpenHonoursContext(t *testing.T) {
	l := newLink(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := l.manager.Open(ctx, Proxy, nil)
	require.ErrorIs(t, err, context.Canceled)
	_, _, _, err = l.manager.Accept(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestStreamDeadlines(t *testing.T) {
	l := newLink(t)
	manager, agent := l.pair(t)
	manager.SetDeadline(time.Now().Add(time.Millisecond))
	_, err := manager.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	_, err = io.Copy(manager, endless{})
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	manager.SetDeadline(time.Time{})
	agent.Write([]byte("a"))
	_, err = manager.Read(make([]byte, 1))
	require.NoError(t, err)
}

func TestQuietTakesNothing(t *testing.T) {
	l := newLink(t)
	manager, agent := l.pair(t)
	require.True(t, manager.Quiet())
	agent.Write([]byte("a"))
	require.Eventually(t, func() bool { return !manager.Quiet() }, patience, time.Millisecond)
	got := make([]byte, 2)
	n, err := manager.Read(got)
	require.NoError(t, err)
	require.Equal(t, "a", string(got[:n]))
	require.True(t, manager.Quiet())
	agent.CloseWrite()
	require.Eventually(t, func() bool { return !manager.Quiet() }, patience, time.Millisecond)

	manager, agent = l.pair(t)
	require.True(t, manager.Quiet())
	agent.Kill()
	require.Eventually(t, func() bool { return !manager.Quiet() }, patience, time.Millisecond)
	manager, _ = l.pair(t)
	manager.Close()
	require.False(t, manager.Quiet())
	manager, _ = l.pair(t)
	l.agent.Close()
	require.Eventually(t, func() bool { return !manager.Quiet() }, patience, time.Millisecond)
}

// endless is a reader of zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

package wire

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// spliced is a manager's stream that an agent splices with a backend.
func spliced(t *testing.T, ctx context.Context) (visitor *Stream, backend *net.TCPConn, done chan struct{}) {
	t.Helper()
	l := newLink(t)
	visitor, stream := l.pair(t)
	near, backend := tcpPair(t)
	done = make(chan struct{})
	go func() {
		defer close(done)
		Splice(ctx, stream, near)
	}()
	deadline := time.Now().Add(patience)
	visitor.SetDeadline(deadline)
	backend.SetDeadline(deadline)
	return visitor, backend, done
}

func ends(t *testing.T, done chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the splice hangs")
	}
}

func TestSpliceHalfCloses(t *testing.T) {
	visitor, backend, done := spliced(t, context.Background())
	question, answer := bytes.Repeat([]byte("q"), 2<<20), bytes.Repeat([]byte("a"), 3<<20)
	go func() {
		visitor.Write(question)
		visitor.CloseWrite()
	}()
	got, err := io.ReadAll(backend)
	require.NoError(t, err)
	require.Equal(t, len(question), len(got))
	go func() {
		backend.Write(answer)
		backend.CloseWrite()
	}()
	got, err = io.ReadAll(visitor)
	require.NoError(t, err)
	require.Equal(t, len(answer), len(got))
	ends(t, done)
}

func TestEarlyReplyReachesTheVisitor(t *testing.T) {
	visitor, backend, done := spliced(t, context.Background())
	go func() {
		io.ReadFull(backend, make([]byte, 1000))
		backend.Write([]byte("413"))
		backend.Close() // with most of the upload unread: the kernel resets the connection
	}()
	// A visitor that looks at the answer only when it has sent everything, far more than all buffers hold.
	_, err := io.CopyN(visitor, endless{}, 64<<20)
	require.NoError(t, err)
	visitor.CloseWrite()
	got, err := io.ReadAll(visitor)
	require.NoError(t, err)
	require.Equal(t, "413", string(got))
	ends(t, done)
}

func TestVisitorWhoLeavesIsToldToTheBackend(t *testing.T) {
	visitor, backend, done := spliced(t, context.Background())
	visitor.Write([]byte("GET"))
	_, err := io.ReadFull(backend, make([]byte, 3))
	require.NoError(t, err)
	begin := time.Now()
	visitor.Kill()
	_, err = io.Copy(backend, endless{}) // a backend that only ever sends
	require.Error(t, err)
	require.Less(t, time.Since(begin), time.Second)
	ends(t, done)
}

func TestSpliceEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	visitor, backend, done := spliced(t, ctx)
	cancel()
	ends(t, done)
	_, err := visitor.Read(make([]byte, 1))
	require.ErrorIs(t, err, ErrReset)
	_, err = backend.Read(make([]byte, 1))
	require.Error(t, err)
}

func TestSpliceEndsWithItsSession(t *testing.T) {
	visitor, backend, done := spliced(t, context.Background())
	visitor.Session().Close()
	ends(t, done)
	_, err := backend.Read(make([]byte, 1))
	require.Error(t, err)
}

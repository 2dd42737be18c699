package mux

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log"
	"math/rand"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func testConfig() Config {
	return Config{Window: 1 << 20, Backlog: 256, KeepAlive: 3 * time.Second, PingTimeout: patience, OpenTimeout: patience, FlushTimeout: 2 * time.Second}
}

// tcpPair is a connection with itself.
func tcpPair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	port, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer port.Close()
	a, err = net.Dial("tcp", port.Addr().String())
	require.NoError(t, err)
	b, err = port.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func waitFor(ok func() bool) bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if ok() {
			return true
		}
	}
	return false
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// sessions are both sides of one, which leave no goroutines.
func sessions(t *testing.T, change func(*Config)) (client, server *Session) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		require.True(t, waitFor(func() bool { return runtime.NumGoroutine() <= before }), "goroutines are left")
	})
	a, b := tcpPair(t)
	config := testConfig()
	change(&config)
	client, server = Client(a, config), Server(b, config)
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// pair is one stream.
func pair(t *testing.T, client, server *Session) (a, b *Stream) {
	t.Helper()
	a, err := client.Open(limited(t))
	require.NoError(t, err)
	b, err = server.Accept()
	require.NoError(t, err)
	return a, b
}

// bare is the other side of a session, which can do wrong.
func bare(t *testing.T, change func(*Config)) (server *Session, far net.Conn) {
	t.Helper()
	a, b := tcpPair(t)
	config := testConfig()
	config.FlushTimeout = 10 * time.Millisecond // nobody reads what is left
	change(&config)
	server = Server(b, config)
	t.Cleanup(func() { server.Close() })
	return server, a
}

// eitherStream is one of ours or of hashicorp's.
type eitherStream interface {
	io.ReadWriter
	half() error
}

func (st *Stream) half() error { return st.CloseWrite() }

type theirStream struct{ *yamux.Stream }

func (s theirStream) half() error { return s.Close() }

// endpoint opens and accepts, whoever has written it.
type endpoint struct {
	open, accept func() (eitherStream, error)
	streams      func() int
	close        func() error
}

func ours(s *Session) endpoint {
	return endpoint{
		func() (eitherStream, error) { return s.Open(context.Background()) },
		func() (eitherStream, error) { return s.Accept() }, s.Streams, s.Close}
}

func theirs(s *yamux.Session, err error) endpoint {
	if err != nil {
		panic(err)
	}
	wrap := func(st *yamux.Stream, err error) (eitherStream, error) { return theirStream{st}, err }
	return endpoint{func() (eitherStream, error) { return wrap(s.OpenStream()) },
		func() (eitherStream, error) { return wrap(s.AcceptStream()) }, s.NumStreams, s.Close}
}

// TestSpeaksYamux sends streams of all sizes both ways at once, with each other and with hashicorp/yamux on either side.
func TestSpeaksYamux(t *testing.T) {
	config := yamux.DefaultConfig()
	config.LogOutput, config.Logger = nil, log.New(io.Discard, "", 0)
	for name, make := range map[string]func(a, b net.Conn) (endpoint, endpoint){
		"ourselves": func(a, b net.Conn) (endpoint, endpoint) {
			return ours(Client(a, testConfig())), ours(Server(b, testConfig()))
		},
		"their client": func(a, b net.Conn) (endpoint, endpoint) {
			return theirs(yamux.Client(a, config)), ours(Server(b, testConfig()))
		},
		"their server": func(a, b net.Conn) (endpoint, endpoint) {
			return ours(Client(a, testConfig())), theirs(yamux.Server(b, config))
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := make(tcpPair(t))
			defer b.close()
			defer a.close()
			var all sync.WaitGroup
			for _, side := range [2][2]endpoint{{a, b}, {b, a}} {
				all.Go(func() { echoAll(t, side[0], side[1], 15) })
			}
			all.Wait()
			require.True(t, waitFor(func() bool { return a.streams() == 0 && b.streams() == 0 }), "streams are left")
		})
	}
}

// echoAll opens n streams at one side, which the other sends back.
func echoAll(t *testing.T, from, to endpoint, n int) {
	var all sync.WaitGroup
	defer all.Wait()
	for i := range n {
		st, err := from.open()
		if err != nil {
			t.Error(err)
			return
		}
		far, err := to.accept()
		if err != nil {
			t.Error(err)
			return
		}
		all.Go(func() {
			if _, err := io.Copy(onlyWrites{far}, onlyReads{far}); err != nil {
				t.Error(err)
			}
			far.half()
		})
		random := rand.New(rand.NewSource(int64(i)))
		sent, back := sha256.New(), sha256.New()
		all.Go(func() {
			for left := 1 + random.Intn(2<<20); left > 0; {
				p := make([]byte, min(left, 1+random.Intn(1<<(1+random.Intn(18)))))
				random.Read(p)
				sent.Write(p)
				if _, err := st.Write(p); err != nil {
					t.Error(err)
				}
				left -= len(p)
			}
			st.half()
		})
		all.Go(func() {
			if _, err := io.Copy(back, onlyReads{st}); err != nil {
				t.Error(err)
			}
			if !bytes.Equal(sent.Sum(nil), back.Sum(nil)) {
				t.Error("other bytes came back than were sent")
			}
		})
	}
}

type onlyReads struct{ io.Reader }
type onlyWrites struct{ io.Writer }

func TestNextLendsWhatCame(t *testing.T) {
	client, server := sessions(t, func(*Config) {})
	a, b := pair(t, client, server)
	random := rand.New(rand.NewSource(1))
	var want, got bytes.Buffer
	go func() {
		for range 300 {
			p := make([]byte, 1+random.Intn(1<<(1+random.Intn(17))))
			random.Read(p)
			want.Write(p)
			a.Write(p)
		}
		a.CloseWrite()
	}()
	for {
		piece, err := b.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		require.NotEmpty(t, piece)
		got.Write(piece)
		if random := len(piece) % 3; random == 0 { // and now and then by copying
			p := make([]byte, 10)
			n, err := b.Read(p)
			if err == nil {
				got.Write(p[:n])
			}
		}
	}
	b.Release()
	require.True(t, bytes.Equal(want.Bytes(), got.Bytes()))
}

// TestSmallFramesTakeNoMoreThanTheirBytes fills a window with frames of each size.
func TestSmallFramesTakeNoMoreThanTheirBytes(t *testing.T) {
	for _, size := range []int{1, 100, smallSize, smallSize + 1, 20_000, pieceSize} {
		server, far := bare(t, func(c *Config) { c.Window = firstWindow })
		_, err := far.Write(head{kind: typeWindow, flags: flagSYN, stream: 1}.append(nil))
		require.NoError(t, err)
		st, err := server.Accept()
		require.NoError(t, err)
		n := 0
		for ; n+size <= firstWindow && n < 4096*size; n += size {
			_, err := far.Write(append(head{kind: typeData, stream: 1, length: uint32(size)}.append(nil), make([]byte, size)...))
			require.NoError(t, err)
		}
		held := func() (size, room int) {
			st.mu.Lock()
			defer st.mu.Unlock()
			for _, p := range st.in.list[st.in.first:] {
				room += len(p.buf)
			}
			return st.in.size, room
		}
		require.True(t, waitFor(func() bool { have, _ := held(); return have == n }))
		_, room := held()
		require.LessOrEqual(t, room, 2*n+pieceSize, "frames of %d bytes", size)
		for n > 0 {
			piece, err := st.Next()
			require.NoError(t, err)
			n -= len(piece)
		}
		st.Release()
		_, room = held()
		require.Zero(t, room)
	}
}

func TestAStuckStreamHoldsUpNoOther(t *testing.T) {
	client, server := sessions(t, func(*Config) {})
	a, _ := pair(t, client, server)
	stuck := make(chan error, 1)
	go func() { _, err := a.Write(make([]byte, 4<<20)); stuck <- err }()
	for range 10 {
		c, d := pair(t, client, server)
		go io.Copy(d, onlyReads{d})
		p := make([]byte, 1000)
		c.Write(p)
		_, err := io.ReadFull(c, p)
		require.NoError(t, err)
		c.Reset()
	}
	a.Reset()
	require.ErrorIs(t, <-stuck, net.ErrClosed)
	require.True(t, waitFor(func() bool { return client.Streams() == 0 && server.Streams() == 0 }))
}

// TestBulkLetsOthersThrough counts frames, over a connection that buffers nothing: while many write all they can, who comes
// later waits for what is in the buffers and for one frame of each of the others.
func TestBulkLetsOthersThrough(t *testing.T) {
	near, far := net.Pipe()
	server := Server(near, testConfig())
	defer server.Close()
	defer far.Close()
	open := func(id uint32) *Stream {
		far.Write(head{kind: typeWindow, flags: flagSYN, stream: id, length: 64 << 20}.append(nil))
		st, err := server.Accept()
		require.NoError(t, err)
		return st
	}
	waiting := func(n int) {
		t.Helper()
		require.True(t, waitFor(func() bool {
			server.out.mu.Lock()
			defer server.out.mu.Unlock()
			return server.out.waiting == n
		}))
	}
	const writers = 8
	for i := range uint32(writers) {
		st := open(2*i + 1)
		go st.Write(make([]byte, 8<<20)) // ends with the session
	}
	small := open(101)
	waiting(writers)
	go small.Write([]byte("x"))
	waiting(writers + 1)
	raw := make([]byte, headSize)
	for frames := 0; ; {
		_, err := io.ReadFull(far, raw)
		require.NoError(t, err)
		h, err := parseHead(raw)
		require.NoError(t, err)
		if h.kind != typeData {
			continue
		}
		_, err = io.CopyN(io.Discard, far, int64(h.length))
		require.NoError(t, err)
		if h.stream == 101 {
			break
		}
		frames++
		require.LessOrEqual(t, frames, 2*(answersBuffer/pieceSize)+writers, "the small frame waits too long")
	}
}

func TestPingsAreAnsweredBehindBulk(t *testing.T) {
	server, far := bare(t, func(*Config) {})
	for n := range uint32(50_000) { // far more than the buffer takes
		if _, err := far.Write(head{kind: typePing, flags: flagSYN, length: n}.append(nil)); err != nil {
			t.Fatal(err)
		}
	}
	require.Nil(t, server.Err())
	server.out.mu.Lock()
	defer server.out.mu.Unlock()
	require.LessOrEqual(t, server.out.size(), answersBuffer)
}

func TestWrongFramesEndTheSession(t *testing.T) {
	syn := head{kind: typeWindow, flags: flagSYN, stream: 1}.append(nil)
	for name, frames := range map[string][]byte{
		"version":            {9, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0},
		"type":               {0, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0},
		"our own number":     head{kind: typeWindow, flags: flagSYN, stream: 2}.append(nil),
		"number 0":           head{kind: typeWindow, flags: flagSYN}.append(nil),
		"opened twice":       append(bytes.Clone(syn), syn...),
		"ended twice":        head{kind: typeWindow, flags: flagFIN, stream: 1}.append(head{kind: typeWindow, flags: flagFIN, stream: 1}.append(bytes.Clone(syn))),
		"beyond the window":  head{kind: typeData, stream: 1, length: firstWindow*4 + 1}.append(bytes.Clone(syn)),
		"a window of no end": head{kind: typeWindow, stream: 1, length: 1<<31 + 1}.append(bytes.Clone(syn)),
		"it leaves":          head{kind: typeGoAway, length: 1}.append(nil),
	} {
		t.Run(name, func(t *testing.T) {
			server, far := bare(t, func(*Config) {})
			_, err := far.Write(frames)
			require.NoError(t, err)
			select {
			case <-server.Done():
				require.ErrorIs(t, server.Err(), ErrClosed)
			case <-time.After(patience):
				t.Fatal("the session goes on")
			}
		})
	}
}

func TestFramesOfUnknownStreamsAreDropped(t *testing.T) {
	server, far := bare(t, func(*Config) {})
	b := append(head{kind: typeData, stream: 77, length: 5}.append(nil), "drop!"...)
	b = head{kind: typeWindow, stream: 78, length: 5}.append(b)
	b = head{kind: typeWindow, flags: flagSYN, stream: 1}.append(b)
	_, err := far.Write(b)
	require.NoError(t, err)
	_, err = server.Accept()
	require.NoError(t, err)
}

func TestSilentPeerIsNoticed(t *testing.T) {
	server, _ := bare(t, func(c *Config) { c.PingTimeout = 100 * time.Millisecond })
	st := make(chan error, 1)
	go func() { _, err := server.Accept(); st <- err }()
	select {
	case err := <-st:
		require.ErrorIs(t, err, ErrClosed)
		require.ErrorContains(t, err, "no sign of life")
	case <-time.After(patience):
		t.Fatal("nobody notices")
	}
}

func TestPeerThatAcceptsNothingIsNoticed(t *testing.T) {
	client, _ := sessions(t, func(c *Config) { c.KeepAlive, c.OpenTimeout, c.Backlog = 10*time.Millisecond, 50*time.Millisecond, 2 })
	for range 2 {
		_, err := client.Open(limited(t))
		require.NoError(t, err)
	}
	_, err := client.Open(limited(t)) // waits for a slot
	require.ErrorContains(t, err, "accepts no streams")
}

func TestOpenWaitsForASlotOrItsContext(t *testing.T) {
	client, server := sessions(t, func(c *Config) { c.Backlog = 1 })
	_, err := client.Open(limited(t))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err = client.Open(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = server.Accept()
	require.NoError(t, err)
	second, err := client.Open(limited(t))
	require.NoError(t, err)
	second.Reset() // gives its slot back
	_, err = client.Open(limited(t))
	require.NoError(t, err)
}

func TestMoreStreamsThanTheBacklogAreRefused(t *testing.T) {
	server, far := bare(t, func(c *Config) { c.Backlog = 2 })
	for i := range uint32(3) {
		_, err := far.Write(head{kind: typeWindow, flags: flagSYN, stream: 2*i + 1}.append(nil))
		require.NoError(t, err)
	}
	raw := make([]byte, headSize)
	for {
		_, err := io.ReadFull(far, raw)
		require.NoError(t, err)
		h, err := parseHead(raw)
		require.NoError(t, err)
		if h.flags&flagRST != 0 {
			require.Equal(t, uint32(5), h.stream)
			break
		}
	}
	require.Equal(t, 2, server.Streams())
}

func TestDeadlines(t *testing.T) {
	client, server := sessions(t, func(*Config) {})
	a, b := pair(t, client, server)
	failed := make(chan error, 2)
	go func() { _, err := a.Read(make([]byte, 1)); failed <- err }()
	go func() { _, err := a.Write(make([]byte, 8<<20)); failed <- err }()
	a.SetReadDeadline(time.Now().Add(10 * time.Millisecond)) // of those who wait already, or will
	a.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	require.ErrorIs(t, <-failed, os.ErrDeadlineExceeded)
	require.ErrorIs(t, <-failed, os.ErrDeadlineExceeded)
	b.Write([]byte("x"))
	require.True(t, waitFor(func() bool { return !a.Quiet() }))
	n, err := a.Read(make([]byte, 2)) // what has come needs no wait
	require.NoError(t, err)
	require.Equal(t, 1, n)
	a.SetReadDeadline(time.Time{})
	go b.Write([]byte("y"))
	_, err = a.Read(make([]byte, 1))
	require.NoError(t, err)
}

func TestResetReachesBothSides(t *testing.T) {
	client, server := sessions(t, func(*Config) {})
	a, b := pair(t, client, server)
	failed := make(chan error, 2)
	go func() { _, err := b.Read(make([]byte, 1)); failed <- err }()
	go func() { _, err := b.Write(make([]byte, 8<<20)); failed <- err }()
	a.Reset()
	require.ErrorIs(t, <-failed, ErrReset)
	require.ErrorIs(t, <-failed, ErrReset)
	_, err := a.Read(nil)
	require.ErrorIs(t, err, net.ErrClosed)
	require.ErrorIs(t, b.CloseWrite(), ErrReset)
}

func TestEndOfTheSessionIsNoEndOfAStream(t *testing.T) {
	client, server := sessions(t, func(*Config) {})
	a, b := pair(t, client, server)
	want := bytes.Repeat([]byte("y"), 200<<10)
	_, err := a.Write(want)
	require.NoError(t, err)
	require.NoError(t, client.Close())
	got, err := io.ReadAll(b)
	require.ErrorIs(t, err, ErrClosed)
	require.Equal(t, want, got)
	_, err = b.Write(want)
	require.ErrorIs(t, err, ErrClosed)
	_, err = client.Open(limited(t))
	require.ErrorIs(t, err, ErrClosed)
}

// TestNoFrameFollowsTheEnd lets writers and ends race.
func TestNoFrameFollowsTheEnd(t *testing.T) {
	client, server := sessions(t, func(*Config) {})
	for i := range 200 {
		a, b := pair(t, client, server)
		var all sync.WaitGroup
		all.Go(func() {
			_, err := a.Write(make([]byte, 100_000))
			if err != nil && !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		})
		all.Go(func() {
			if i%2 == 0 {
				a.CloseWrite()
			} else {
				a.Reset()
			}
		})
		all.Go(func() { io.Copy(io.Discard, onlyReads{b}) })
		all.Wait()
		a.Reset()
		b.Reset()
	}
	require.Nil(t, client.Err())
	require.Nil(t, server.Err())
}

func FuzzFrames(f *testing.F) {
	f.Add(head{kind: typeWindow, flags: flagSYN, stream: 1}.append(nil))
	f.Add(append(head{kind: typeData, flags: flagSYN | flagFIN, stream: 3, length: 2}.append(nil), "ab"...))
	f.Add(head{kind: typePing, flags: flagSYN, length: 3}.append(head{kind: typeGoAway}.append(nil)))
	f.Fuzz(func(t *testing.T, frames []byte) {
		near, far := net.Pipe()
		server := Server(near, testConfig())
		go io.Copy(io.Discard, far)
		go func() {
			for {
				st, err := server.Accept()
				if err != nil {
					return
				}
				go io.Copy(io.Discard, onlyReads{st})
			}
		}()
		far.SetWriteDeadline(time.Now().Add(time.Second))
		far.Write(frames)
		far.Close()
		<-server.Done()
		server.Close()
	})
}

// TestRoomIsPassedOnByAnEndedStream lets a stream end between the moment when its writer is given room and that when the
// writer takes it. Whoever waits behind it must get the room.
func TestRoomIsPassedOnByAnEndedStream(t *testing.T) {
	near, far := net.Pipe()
	server := Server(near, Config{Window: firstWindow, Backlog: 1, KeepAlive: time.Hour, PingTimeout: time.Hour, OpenTimeout: time.Hour, FlushTimeout: time.Millisecond})
	defer server.Close()
	defer far.Close()
	out := &server.out
	waiting := func(n int) {
		t.Helper()
		require.True(t, waitFor(func() bool {
			out.mu.Lock()
			defer out.mu.Unlock()
			return out.waiting == n
		}))
	}
	bulk, ended, next := newStream(server, 2), newStream(server, 4), newStream(server, 6)
	_, err := far.Read(make([]byte, 1)) // the first ping is on its way from here on, and nothing leaves after it
	require.NoError(t, err)
	go func() {
		for out.data(bulk, make([]byte, pieceSize)) == nil {
		}
	}()
	waiting(1)
	endedErr, nextErr := make(chan error, 1), make(chan error, 1)
	go func() { endedErr <- out.data(ended, []byte("x")) }()
	waiting(2)
	go func() { nextErr <- out.data(next, []byte("x")) }()
	waiting(3)

	out.mu.Lock()
	bulk.sentEnd, ended.sentEnd = true, true
	out.batch = nil // as if it had left
	out.passOn()
	out.mu.Unlock()
	for _, want := range []struct {
		got chan error
		err error
	}{{endedErr, net.ErrClosed}, {nextErr, nil}} {
		select {
		case err := <-want.got:
			require.ErrorIs(t, err, want.err)
		case <-time.After(patience):
			t.Fatal("the room is lost")
		}
	}
}

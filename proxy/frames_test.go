package proxy_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"kiosc/proxy"
)

// uses counts what the proxy tells of the use of apps.
type uses struct {
	mu   sync.Mutex
	told map[string]int
}

func (u *uses) tell(t proxy.Target) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.told == nil {
		u.told = map[string]int{}
	}
	u.told[t.Container+" "+t.User]++
}

func (u *uses) of(container string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.told[container+" alice"]
}

func TestRequestsAreUse(t *testing.T) {
	var used uses
	at := limited(t, proxy.Limits{}, used.tell)
	for range 3 {
		fetch(t, at+id+"/", "")
	}
	fetch(t, at+otherID+"/", "")
	require.Equal(t, 3, used.of(id))
	require.Equal(t, 1, used.of(otherID))
}

func TestMessagesAreUseAndPingsAreNot(t *testing.T) {
	var used uses
	at := serving(t, echo, proxy.Limits{}, used.tell)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, at+id+"/ws", nil)
	require.NoError(t, err)
	c.SetReadLimit(-1)
	for n, message := range []string{"", "x", strings.Repeat("y", 125), strings.Repeat("y", 126), strings.Repeat("z", 1<<16), strings.Repeat("z", 1<<20)} {
		before := used.of(id)
		require.Equal(t, 1+n, before, "the handshake, and each message")
		require.NoError(t, c.Write(ctx, websocket.MessageText, []byte(message)))
		_, got, err := c.Read(ctx)
		require.NoError(t, err)
		require.Equal(t, len(message), len(got))
	}
	before := used.of(id)
	c.CloseRead(ctx)
	for range 3 {
		require.NoError(t, c.Ping(ctx))
	}
	require.Equal(t, before, used.of(id))
}

// TestUseOfFramesInPieces sends each byte by itself.
func TestUseOfFramesInPieces(t *testing.T) {
	frames := []struct {
		bytes string
		uses  int
	}{
		{"\x89\x80\x00\x00\x00\x00", 0},                                       // a ping
		{"\x8a\x83\x00\x00\x00\x00abc", 0},                                    // a pong with a payload
		{"\x81\x81\x00\x00\x00\x00a", 1},                                      // a text
		{"\x01\x80\x00\x00\x00\x00", 1},                                       // the beginning of one
		{"\x89\x80\x00\x00\x00\x00", 0},                                       // a ping within
		{"\x80\xfe\x00\x7e\x00\x00\x00\x00" + strings.Repeat("\x89", 126), 1}, // its end
		{"\x82\xff\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x81\x81\x81", 1},
		{"\x82\x02ab", 1}, // without a mask, which is for the app to refuse
		{"\x88\x80\x00\x00\x00\x00", 0},
	}
	var used uses
	passed := make(chan string, 1)
	app := func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n")
		all, _ := io.ReadAll(rw)
		passed <- string(all)
	}
	at := serving(t, app, proxy.Limits{}, used.tell)
	c := dial(t, strings.TrimPrefix(strings.TrimSuffix(at, proxy.Prefix), "http://"))
	c.send(get(base+"/", "Connection: Upgrade", "Upgrade: websocket"))
	_, err := http.ReadResponse(c.br, nil)
	require.NoError(t, err)
	var sent strings.Builder
	want := 1
	for _, f := range frames {
		for _, b := range []byte(f.bytes) {
			c.send(string([]byte{b}))
		}
		sent.WriteString(f.bytes)
		want += f.uses
	}
	require.NoError(t, c.Conn.(*net.TCPConn).CloseWrite())
	require.Equal(t, sent.String(), <-passed)
	require.Equal(t, want, used.of(id))
}

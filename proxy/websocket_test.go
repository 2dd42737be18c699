package proxy_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"kiosc/proxy"
)

// gorillaEcho is echo by another library.
func gorillaEcho(w http.ResponseWriter, r *http.Request) {
	up := gorilla.Upgrader{EnableCompression: true, Subprotocols: []string{"b", "a"}}
	c, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		kind, message, err := c.ReadMessage()
		if err != nil || c.WriteMessage(kind, message) != nil {
			return
		}
	}
}

// socketOf is the address of an app, as that of a WebSocket.
func socketOf(t *testing.T, app http.HandlerFunc) string {
	t.Helper()
	return "ws://" + withBackend(t, app) + proxy.Prefix + id + "/"
}

// sizes are of messages, around those at which the form of a frame changes.
var sizes = []int{0, 1, 125, 126, 65535, 65536, 1 << 20, 16 << 20}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestClientOfCoderAtGorilla(t *testing.T) {
	url, ctx := socketOf(t, gorillaEcho), within(t)
	for name, mode := range map[string]websocket.CompressionMode{"plain": websocket.CompressionDisabled,
		"taken over": websocket.CompressionContextTakeover, "not taken over": websocket.CompressionNoContextTakeover} {
		t.Run(name, func(t *testing.T) {
			c, answer, err := websocket.Dial(ctx, url, &websocket.DialOptions{CompressionMode: mode, Subprotocols: []string{"x", "a"}})
			require.NoError(t, err)
			require.Equal(t, "a", c.Subprotocol())
			require.Equal(t, name != "plain", answer.Header.Get("Sec-WebSocket-Extensions") != "")
			c.SetReadLimit(-1)
			for _, n := range sizes {
				message := bytes.Repeat([]byte("kiosc"), n/5+1)[:n]
				require.NoError(t, c.Write(ctx, websocket.MessageBinary, message))
				kind, got, err := c.Read(ctx)
				require.NoError(t, err)
				require.Equal(t, websocket.MessageBinary, kind)
				require.True(t, bytes.Equal(message, got), n)
			}
			require.NoError(t, c.Close(websocket.StatusNormalClosure, "done"))
		})
	}
}

func TestClientOfGorillaAtCoder(t *testing.T) {
	url := socketOf(t, echo)
	for _, packed := range []bool{false, true} {
		t.Run(fmt.Sprint("compression ", packed), func(t *testing.T) {
			d := gorilla.Dialer{EnableCompression: packed, Subprotocols: []string{"b"}}
			c, _, err := d.Dial(url, nil)
			require.NoError(t, err)
			defer c.Close()
			require.NoError(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
			require.Equal(t, "b", c.Subprotocol())
			pongs := 0
			c.SetPongHandler(func(string) error { pongs++; return nil })
			for _, n := range sizes {
				message := strings.Repeat("kiosc", n/5+1)[:n]
				w, err := c.NextWriter(gorilla.TextMessage)
				require.NoError(t, err)
				half := n / 2 // in fragments, with a ping between
				_, err = io.WriteString(w, message[:half])
				require.NoError(t, err)
				require.NoError(t, c.WriteControl(gorilla.PingMessage, []byte("p"), time.Now().Add(10*time.Second)))
				_, err = io.WriteString(w, message[half:])
				require.NoError(t, err)
				require.NoError(t, w.Close())
				_, got, err := c.ReadMessage()
				require.NoError(t, err)
				require.True(t, message == string(got), n)
			}
			require.Equal(t, len(sizes), pongs)
		})
	}
}

// TestEndsOfWebSockets has each side end with a code and a reason, which the other one learns.
func TestEndsOfWebSockets(t *testing.T) {
	type end struct {
		code   websocket.StatusCode
		reason string
	}
	seen := make(chan error, 1)
	var ending end
	url, ctx := socketOf(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		if r.URL.Path == "/ends" {
			_ = c.Close(ending.code, ending.reason)
			return
		}
		_, _, err = c.Read(r.Context())
		seen <- err
	}), within(t)
	for _, code := range []websocket.StatusCode{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		ending = end{code, fmt.Sprint("because ", code)}
		c, _, err := websocket.Dial(ctx, url+"ends", nil)
		require.NoError(t, err)
		_, _, err = c.Read(ctx)
		var closed websocket.CloseError
		require.ErrorAs(t, err, &closed)
		require.Equal(t, ending, end{closed.Code, closed.Reason})

		c, _, err = websocket.Dial(ctx, url, nil)
		require.NoError(t, err)
		require.NoError(t, c.Close(ending.code, ending.reason))
		require.ErrorAs(t, <-seen, &closed)
		require.Equal(t, ending, end{closed.Code, closed.Reason})
	}

	// Without a word.
	c, _, err := websocket.Dial(ctx, url, nil)
	require.NoError(t, err)
	require.NoError(t, c.CloseNow())
	require.Equal(t, websocket.StatusCode(-1), websocket.CloseStatus(<-seen))
}

func TestRefusedHandshakes(t *testing.T) {
	url := socketOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/echo" {
			echo(w, r)
			return
		}
		http.Error(w, "not you", http.StatusForbidden)
	})
	_, answer, err := websocket.Dial(within(t), url, nil)
	require.Error(t, err)
	require.Equal(t, http.StatusForbidden, answer.StatusCode)

	for _, version := range []string{"12", "", "13, 12"} {
		r, err := http.NewRequest("GET", "http"+strings.TrimPrefix(url, "ws")+"echo", nil)
		require.NoError(t, err)
		r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {version}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer answer.Body.Close()
		require.Equal(t, http.StatusBadRequest, answer.StatusCode)
		require.Equal(t, "13", answer.Header.Get("Sec-Websocket-Version"))
	}
}

func TestManyWebSocketsAtOnce(t *testing.T) {
	url, ctx := socketOf(t, echo), within(t)
	var all sync.WaitGroup
	errs := make(chan error, 200)
	for i := range cap(errs) {
		all.Go(func() {
			errs <- func() error {
				c, _, err := websocket.Dial(ctx, url, nil)
				if err != nil {
					return err
				}
				defer c.CloseNow()
				for j := range 20 {
					message := fmt.Sprint(i, " ", j)
					if err := c.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
						return err
					}
					_, got, err := c.Read(ctx)
					if err != nil {
						return err
					}
					if string(got) != message {
						return errors.New("somebody else's message: " + string(got))
					}
				}
				return c.Close(websocket.StatusNormalClosure, "")
			}()
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
}

func acceptKey(r *http.Request) string {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// TestAnAppThatSpeaksFirst sends its first frame in the packet of its consent.
func TestAnAppThatSpeaksFirst(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Accept: "+acceptKey(r)+"\r\n\r\n\x81\x05hello\x81\x02yo")
		_, _ = io.Copy(io.Discard, rw)
	}))
	t.Cleanup(app.Close)
	through, _ := start(t, allow, dialTo(app.Listener.Addr().String()), nil)
	ctx := within(t)
	c, _, err := websocket.Dial(ctx, "ws://"+through+proxy.Prefix+id+"/", nil)
	require.NoError(t, err)
	defer c.CloseNow()
	for _, want := range []string{"hello", "yo"} {
		_, got, err := c.Read(ctx)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}

package proxy_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"kiosc/proxy"
)

// frame is one of a client's WebSocket frames: fin, rsv and opcode in the first byte, masked as it has to be.
func frame(first byte, payload string) string {
	b := []byte{first, 0x80}
	switch n := len(payload); {
	case n < 126:
		b[1] |= byte(n)
	case n < 1<<16:
		b[1] |= 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] |= 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	mask := [4]byte{0x12, 0x34, 0x56, 0x78}
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return string(b)
}

const (
	fin  = 0x80
	rsv1 = 0x40

	continuation = 0
	text         = 1
	binaryData   = 2
	closing      = 8
	ping         = 9
	pong         = 10
)

func closeFrame(code int, reason string) string {
	return frame(fin|closing, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+reason)
}

// exchangeOfFrames is what a client sends after its handshake. All of it ends the connection in the end.
type exchangeOfFrames struct {
	name       string
	extensions string // offered in the handshake
	sent       string
}

// autobahn has the groups of the Autobahn test suite, by its numbers.
func autobahn() (cases []exchangeOfFrames) {
	add := func(group string, name any, frames ...string) {
		cases = append(cases, exchangeOfFrames{name: fmt.Sprint(group, " ", name), sent: strings.Join(frames, "")})
	}
	bye := closeFrame(1000, "")
	for _, n := range []int{0, 1, 125, 126, 127, 128, 65535, 65536} {
		add("1.1 text of", n, frame(fin|text, strings.Repeat("*", n)), bye)
		add("1.2 binary of", n, frame(fin|binaryData, strings.Repeat("\xfe", n)), bye)
	}
	for name, frames := range map[string]string{
		"without payload": frame(fin|ping, ""), "with text": frame(fin|ping, "Hello"), "with bytes": frame(fin|ping, "\x00\xff\xfe"),
		"of 125": frame(fin|ping, strings.Repeat("p", 125)), "unasked pong": frame(fin|pong, "x") + frame(fin|ping, "y"),
		"ten": strings.Repeat(frame(fin|ping, "p"), 10),
	} {
		add("2 ping", name, frames, bye)
	}
	add("2 ping", "of 126", frame(fin|ping, strings.Repeat("p", 126)))
	for rsv := byte(0x10); rsv < 0x80; rsv += 0x10 {
		add("3 reserved bits", rsv, frame(fin|text, "a"), frame(fin|rsv|text, "b"))
		add("3 reserved bits in a ping", rsv, frame(fin|rsv|ping, "b"))
	}
	for _, opcode := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		add("4 opcode", opcode, frame(fin|text, "a"), frame(fin|opcode, "b"))
	}
	for name, frames := range map[string]string{
		"in two": frame(text, "frag") + frame(fin|continuation, "ment") + bye,
		"in three, with a ping": frame(text, "a") + frame(fin|ping, "p") + frame(continuation, "b") + frame(fin|ping, "q") +
			frame(fin|continuation, "c") + bye,
		"empty ones":              frame(text, "") + frame(continuation, "") + frame(fin|continuation, "") + bye,
		"of a ping":               frame(ping, "a") + frame(fin|continuation, "b"),
		"of a pong":               frame(pong, "a") + frame(fin|continuation, "b"),
		"without a beginning":     frame(fin|continuation, "b"),
		"without a beginning, on": frame(continuation, "b"),
		"a second beginning":      frame(text, "a") + frame(fin|text, "b"),
		"the end within":          frame(text, "a") + bye,
	} {
		add("5 fragments", name, frames)
	}
	for _, s := range []string{"κόσμε", "\u0000", "\U0010ffff", "\ufeff", "\xce\xba\xe1", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\xaf", "\xff"} {
		add("6 UTF-8", fmt.Sprintf("%q", s), frame(fin|text, s), bye)
		if len(s) > 1 {
			add("6 UTF-8 in two", fmt.Sprintf("%q", s), frame(text, s[:1]), frame(fin|continuation, s[1:]), bye)
		}
	}
	for _, code := range []int{0, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1015, 1016, 1100,
		2000, 2999, 3000, 3999, 4000, 4999, 5000, 65535} {
		add("7 close", code, frame(fin|text, "a"), closeFrame(code, "reason"))
	}
	add("7 close", "without code", frame(fin|closing, ""))
	add("7 close", "with half a code", frame(fin|closing, "\x03"))
	add("7 close", "with a long reason", closeFrame(1000, strings.Repeat("r", 123)))
	add("7 close", "with one too long", closeFrame(1000, strings.Repeat("r", 124)))
	add("7 close", "with a reason that is no UTF-8", closeFrame(1000, "\xce\xba\xe1"))
	add("9 limits", "4 MiB", frame(fin|binaryData, strings.Repeat("0123456789abcdef", 4<<20/16)), bye)
	add("9 limits", "2000 messages", strings.Repeat(frame(fin|text, "0123456789abcdef"), 2000), bye)
	pieces := frame(text, strings.Repeat("*", 1300))
	for range 49 {
		pieces += frame(continuation, strings.Repeat("*", 1300))
	}
	add("10 fragments", "of 1300", pieces, frame(fin|continuation, "."), bye)
	return append(cases, compressed()...)
}

// compressed has messages with permessage-deflate (RFC 7692), with and without a context that is taken over.
func compressed() (cases []exchangeOfFrames) {
	for _, extensions := range []string{"permessage-deflate", "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
		"permessage-deflate; server_max_window_bits=9, permessage-deflate"} {
		for _, n := range []int{0, 16, 1000, 1 << 16, 1 << 20} {
			var sent strings.Builder
			for i := range 5 {
				var packed bytes.Buffer
				w, _ := flate.NewWriter(&packed, flate.BestSpeed)
				fmt.Fprintf(w, "%s %d", strings.Repeat("kiosc ", n/6), i)
				_ = w.Flush()
				sent.WriteString(frame(fin|rsv1|text, strings.TrimSuffix(packed.String(), "\x00\x00\xff\xff")))
			}
			sent.WriteString(frame(fin|text, "plain"))
			cases = append(cases, exchangeOfFrames{name: fmt.Sprint("12 ", extensions, " of ", n), extensions: extensions,
				sent: sent.String() + closeFrame(1000, "")})
		}
	}
	return append(cases, exchangeOfFrames{name: "13 what is no deflate", extensions: "permessage-deflate",
		sent: frame(fin|rsv1|text, "\xff\xff\xff\xff\xff")})
}

// echo sends each message back.
func echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionContextTakeover,
		CompressionThreshold: 1, Subprotocols: []string{"b", "a"}, InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(-1)
	for {
		kind, message, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}

// transcript is all that a client gets after the head of the answer.
func transcript(t *testing.T, addr, path string, x exchangeOfFrames, piece int) string {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer raw.Close()
	require.NoError(t, raw.SetDeadline(time.Now().Add(20*time.Second)))
	fields := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	if x.extensions != "" {
		fields = append(fields, "Sec-WebSocket-Extensions: "+x.extensions)
	}
	head := "GET " + path + " HTTP/1.1\r\nHost: kiosc.test\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n"
	sending := make(chan struct{})
	go func() { // what is refused is not always read to its end
		defer close(sending)
		for rest := head + x.sent; rest != ""; {
			n := min(piece, len(rest))
			if _, err := io.WriteString(raw, rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
	}()
	br := bufio.NewReader(raw)
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	got, err := io.ReadAll(br)
	require.NoError(t, err)
	<-sending
	return resp.Header.Get("Sec-WebSocket-Extensions") + "\n" + string(got)
}

// TestAutobahn compares what a client of an echo gets through the proxy with what it gets without: in one piece with the
// handshake, and in many.
func TestAutobahn(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(app.Close)
	direct := app.Listener.Addr().String()
	through, _ := start(t, allow, dialTo(direct), nil)
	for _, x := range autobahn() {
		t.Run(x.name, func(t *testing.T) {
			want := transcript(t, direct, "/", x, len(x.sent)+1<<10)
			require.NotEmpty(t, want)
			for _, piece := range []int{1 << 30, max(1, len(x.sent)/1000)} {
				require.True(t, want == transcript(t, through, proxy.Prefix+id+"/", x, piece), "in pieces of %d", piece)
			}
		})
	}
}

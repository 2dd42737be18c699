package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// seen is what an app was asked.
type seen struct {
	Method, URI, Host, Body string
	Header, Trailer         http.Header
}

// got is what a client was answered.
type got struct {
	Interim  []string // status and headers of what came before
	Status   int
	Header   http.Header
	Trailer  http.Header
	Encoding []string
	Body     string
	Broken   bool // the body ended before its end
}

// TestOracle compares with httputil.ReverseProxy: what an app is asked and what
// the client gets must be the same for exchanges that no rule of Kiosc changes.
// The client keeps its connections to both, and Kiosc those to the app. ORACLE_SEED and
// ORACLE_EXCHANGES choose others, and more.
func TestOracle(t *testing.T) {
	t.Run("straight", func(t *testing.T) {
		compare(t, func(app string) dialer {
			return func(ctx context.Context) (net.Conn, error) {
				c, err := dialTo(app)(ctx)
				if err != nil {
					return nil, err
				}
				return rash(restingConn{c, bufio.NewReader(c)}), nil
			}
		})
	})
	t.Run("tunnel", func(t *testing.T) { compare(t, func(app string) dialer { return tunnel(t, app) }) })
}

func compare(t *testing.T, way func(app string) dialer) {
	asked := make(chan seen, 1)
	app := rawApp(t, func(c net.Conn, br *bufio.Reader) {
		for oddAnswer(c, br, asked) {
		}
	})
	to := &url.URL{Scheme: "http", Host: app}
	oracle := httptest.NewServer(http.StripPrefix(base, &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
		},
		ErrorLog: quiet,
		// It would send a POST over a connection that the app is ending, and answer 502.
		Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	}))
	oracle.Config.ErrorLog = quiet
	defer oracle.Close()
	kiosc, _ := start(t, allow, way(app), nil)
	seed := number("ORACLE_SEED", 1)
	random := rand.New(rand.NewSource(int64(seed)))
	clients := [2]asker{{addr: oracle.Listener.Addr().String()}, {addr: kiosc}}
	for n := range number("ORACLE_EXCHANGES", 1000) {
		method, request := anyRequest(random)
		wantGot := clients[0].ask(t, method, request)
		wantSeen := next(t, asked, wantGot)
		haveGot := clients[1].ask(t, method, request)
		haveSeen := next(t, asked, haveGot)
		for tries := 0; wantGot.Broken && !haveGot.Broken && tries < 3; tries++ {
			// Now and then net/http's client loses the end of a long answer when the machine is busy.
			wantGot = clients[0].ask(t, method, request)
			wantSeen = next(t, asked, wantGot)
		}
		if strings.HasSuffix(request, "\r\nX-Check: sum\r\n\r\n") {
			require.Equal(t, http.Header{"X-Check": {"sum"}}, haveSeen.Trailer)
		}
		require.Equal(t, sameSeen(wantSeen), sameSeen(haveSeen), "exchange %d of seed %d: %.1000q", n, seed, request)
		require.Equal(t, sameGot(wantGot), sameGot(haveGot), "exchange %d of seed %d: %.1000q", n, seed, request)
	}
}

var quiet = log.New(io.Discard, "", 0)

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// next is what the app was asked for an answer that has come.
func next(t *testing.T, asked <-chan seen, answer got) seen {
	t.Helper()
	select {
	case s := <-asked:
		return s
	default:
		t.Fatalf("this isn't the app's: %+v", answer)
		return seen{}
	}
}

// digest stands for a body, so that differences can be read.
func digest(body []byte) string {
	return fmt.Sprintf("%d bytes, %08x", len(body), crc32.ChecksumIEEE(body))
}

// sameSeen takes out what may differ: Kiosc tells apps who visits them, and net/http names itself and
// loses the values of a request's trailers.
func sameSeen(s seen) seen {
	for name := range s.Trailer {
		s.Trailer[name] = nil
	}
	for _, name := range []string{"User", "Prefix", "Proto", "Host", "For"} {
		s.Header.Del("X-Forwarded-" + name)
	}
	for _, name := range []string{"Connection", "User-Agent"} {
		s.Header.Del(name)
	}
	return s
}

// sameGot takes out what may differ: when a connection ends, how much of a broken body comes through, how it is
// told that a body is empty, that Kiosc doesn't
// announce trailers where a HEAD asks for no body, and that net/http doesn't pass on what kind and how long the body is that isn't sent with 304.
func sameGot(g got) got {
	g.Header.Del("Connection")
	g.Header.Del("Trailer")
	if g.Status == http.StatusNotModified {
		g.Header.Del("Content-Length")
		g.Header.Del("Content-Type")
	}
	switch {
	case g.Broken:
		g.Body = ""
	case g.Body == digest(nil): // in one empty chunk, or with a length of 0
		g.Header.Del("Content-Length")
		g.Encoding = nil
	}
	return g
}

// asker is a client that keeps its connection as long as it can.
type asker struct {
	addr string
	conn *conn
}

func (a *asker) ask(t *testing.T, method, request string) (g got) {
	if a.conn == nil {
		a.conn = dial(t, a.addr)
	}
	a.conn.send(request)
	for {
		resp, err := http.ReadResponse(a.conn.br, &http.Request{Method: method})
		require.NoError(t, err, "%.1000q", request)
		if resp.StatusCode < 200 {
			g.Interim = append(g.Interim, fmt.Sprint(resp.StatusCode, resp.Header))
			continue
		}
		body, err := io.ReadAll(resp.Body)
		g.Status, g.Header, g.Trailer, g.Encoding = resp.StatusCode, resp.Header, resp.Trailer, resp.TransferEncoding
		g.Body, g.Broken = digest(body), err != nil
		if g.Broken || resp.Close {
			_ = a.conn.Close()
			a.conn = nil
		}
		return g
	}
}

// anyRequest makes up a request that no rule of Kiosc changes. It asks the app for one of its answers.
func anyRequest(random *rand.Rand) (method, request string) {
	pick := func(of ...string) string { return of[random.Intn(len(of))] }
	method = pick("GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "REPORT", "x-odd!")
	head := method + " " + base + pick("/", "/a/b", "/a%20b", "/a?x=1&y=%20", "/%E2%82%AC", "/a//b", "/a+b?", "/%2e%2e/x", "/a;b=c", "/?"+strings.Repeat("q", 3000)) +
		" HTTP/1.1\r\nHost: kiosc.test:8080\r\n"
	head += pick("", "Cookie: a=1; b=\"2\"\r\n") + pick("", "Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\n") + pick("", "Te: trailers\r\n") +
		pick("", "Authorization: Basic eDp5\r\n", "Authorization: token abc\r\n") + pick("", "X-Two: 1\r\nx-two: 2\r\n") + pick("", "X-Empty:\r\n") +
		pick("", "X-Spaces: \t a  b \t\r\n") + pick("", "X-Bytes: \xe4\xf6\xfc\r\n") + pick("", "X-Long: "+strings.Repeat("l", 20_000)+"\r\n") +
		pick("", "Keep-Alive: 5\r\nProxy-Connection: close\r\n") + pick("", "Range: bytes=0-1\r\nIf-None-Match: \"x\"\r\n") +
		"X-Answer: " + strconv.Itoa(random.Intn(len(oddAnswers))) + "\r\n"
	switch length := []int{0, 1, 5, 70_000, 300_000}[random.Intn(5)]; {
	case method == "GET" || method == "HEAD" || method == "OPTIONS":
		head += "\r\n"
	case random.Intn(2) == 0:
		head += "Content-Length: " + strconv.Itoa(length) + "\r\n\r\n" + strings.Repeat("u", length)
	default:
		trailer := pick("", "X-Check: sum\r\n")
		if trailer != "" {
			head += "Trailer: X-Check\r\n"
		}
		head += "Transfer-Encoding: chunked\r\n\r\n" + chunks(random, strings.Repeat("c", length)) + "0\r\n" + trailer + "\r\n"
	}
	return method, head
}

// chunks is text in chunks of any size, without the last, empty one.
func chunks(random *rand.Rand, text string) string {
	var b strings.Builder
	for text != "" {
		n := min(1+random.Intn(40_000), len(text))
		fmt.Fprintf(&b, "%x%s\r\n%s\r\n", n, []string{"", ";x=y"}[random.Intn(2)], text[:n])
		text = text[n:]
	}
	return b.String()
}

const oddHead = "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/plain\r\nX-Kind: app\r\n"

var large = strings.Repeat("0123456789", 40_000)

// oddAnswers are what an app may say, without the body where a HEAD asks for it. An answer without a length ends the
// connection.
var oddAnswers = []struct{ head, body string }{
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "hello"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", ""},
	{"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n", large},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", chunks(rand.New(rand.NewSource(2)), large) + "0\r\n\r\n"},
	{"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n", "1;ext=\"x\"\r\na\r\n0\r\n\r\n"},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n", "3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n"},
	{"HTTP/1.1 200 OK\r\n", "until the end"},
	{"HTTP/1.0 200 OK\r\n", "until the end"},
	{"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n", "old"},
	{"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n", "old"},
	{"HTTP/1.1 204 No Content\r\n", ""},
	{"HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\nContent-Length: 7\r\n", ""},
	{"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/5\r\nContent-Length: 2\r\n", "he"},
	{"HTTP/1.1 404 \r\nContent-Length: 2\r\n", "no"},
	{"HTTP/1.1 418\r\nContent-Length: 2\r\n", "no"},
	{"HTTP/1.1 500 Very Wrong\r\nVary: a\r\nVary: b\r\nVARY: c\r\nContent-Length: 2\r\n", "no"},
	{"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.test/x?y#z\r\nContent-Length: 0\r\n", ""},
	{"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n", "ok"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Spaces: \t a  b \t\r\nX-Empty:\r\nX-Bytes: \xe4\r\n", "ok"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 400001\r\n", large},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", "61a81\r\n" + large},
	{"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n", "ok"},
}

// ends tells whether the app ends the connection after the answer.
func ends(n int) bool {
	return n == 7 || n == 8 || n == 9 || n == 20 || n == 21
}

// oddAnswer answers a request as it asks for, and tells whether the connection goes on.
func oddAnswer(c net.Conn, br *bufio.Reader, asked chan<- seen) (goOn bool) {
	r, err := http.ReadRequest(br)
	if err != nil {
		return false
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false
	}
	asked <- seen{r.Method, r.RequestURI, r.Host, digest(body), r.Header, r.Trailer}
	n, _ := strconv.Atoi(r.Header.Get("X-Answer"))
	answer := oddAnswers[n].head + oddHead + "\r\n"
	if r.Method != http.MethodHead {
		answer += oddAnswers[n].body
	}
	_, err = io.WriteString(c, answer)
	return err == nil && !ends(n)
}

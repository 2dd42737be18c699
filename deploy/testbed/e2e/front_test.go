//go:build e2e

package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
	"kiosc/manager/cli/demo"
)

// visitor is somebody with a browser in front of a reverse proxy, at an address that isn't trusted.
type visitor struct {
	testing.TB
	base   string
	client *http.Client // speaks HTTP/2
	one    *http.Client // speaks HTTP/1.1
}

const visitorAddr = "127.0.0.5"

func newVisitor(t testing.TB, front *testbed.Front) *visitor {
	_, port, err := net.SplitHostPort(front.Addr)
	require.NoError(t, err)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(visitorAddr)}}
	transport := func(h2 bool) *http.Transport {
		tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: h2,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, front.Addr)
			}}
		if !h2 {
			tr.TLSClientConfig.NextProtos = []string{"http/1.1"}
		}
		t.Cleanup(tr.CloseIdleConnections)
		return tr
	}
	follow := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &visitor{t, "https://" + net.JoinHostPort(testbed.SiteName, port),
		&http.Client{Transport: transport(true), Jar: jar, CheckRedirect: follow, Timeout: moment},
		&http.Client{Transport: transport(false), Jar: jar, CheckRedirect: follow}}
}

// send makes a request over HTTP/2.
func (v *visitor) send(method, path string, body io.Reader, fields ...string) *http.Response {
	v.Helper()
	r, err := http.NewRequest(method, v.base+path, body)
	require.NoError(v, err)
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	got, err := v.client.Do(r)
	require.NoError(v, err)
	v.Cleanup(func() { got.Body.Close() })
	require.Equal(v, 2, got.ProtoMajor)
	return got
}

func (v *visitor) logIn() {
	v.Helper()
	form := url.Values{"username": {"admin"}, "password": {testbed.Password}, "next": {"/"}}
	got := v.send("POST", "/login/", strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded", "Origin", v.base)
	require.Equal(v, http.StatusFound, got.StatusCode)
	location, err := got.Location()
	require.NoError(v, err)
	require.Equal(v, v.base+"/", location.String())
	cookies := got.Cookies()
	require.Len(v, cookies, 1)
	require.True(v, cookies[0].Secure && cookies[0].HttpOnly)
}

// request is what the demo app says of a request to it.
func (v *visitor) request(app, method string, body io.Reader, fields ...string) (r demo.Request) {
	v.Helper()
	got := v.send(method, app+"request?a=%2F", body, fields...)
	require.Equal(v, http.StatusOK, got.StatusCode)
	require.NoError(v, json.NewDecoder(got.Body).Decode(&r))
	return r
}

func TestDocumentedReverseProxies(t *testing.T) {
	k := testbed.Start(t, "KIOSC_TRUSTED_PROXIES=127.0.0.1")
	id := k.List()[0].UUID
	k.Act("start", id)
	k.WaitState(moment, id, "running")
	app := "/containers/proxy/" + id + "/"
	for _, program := range testbed.Fronts() {
		t.Run(program, func(t *testing.T) {
			front := testbed.StartFront(t, program, testbed.FrontAddr(t), k.Addr)
			v := newVisitor(t, front)
			v.redirects(front, app)
			v.logIn()
			k.Wait(moment, "the app answers", func() bool { return v.send("GET", app, nil).StatusCode == http.StatusOK })
			v.headers(app)
			v.streams(app)
		})
	}
}

// redirects lead to the login under https.
func (v *visitor) redirects(front *testbed.Front, app string) {
	v.Helper()
	got := v.send("GET", app+"x?y", nil, "Accept", "text/html")
	location, err := got.Location()
	require.NoError(v, err)
	require.Equal(v, v.base+"/login/?next="+url.QueryEscape(app+"x?y"), location.String())
	if front.PlainAddr == "" {
		return
	}
	r, err := http.NewRequest("GET", "http://"+front.PlainAddr+"/x", nil)
	require.NoError(v, err)
	r.Host = testbed.SiteName
	plain, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(v, err)
	defer plain.Body.Close()
	location, err = plain.Location()
	require.NoError(v, err)
	require.Equal(v, "https", location.Scheme)
	require.Equal(v, testbed.SiteName, location.Hostname())
}

// headers tell the app the truth whatever the visitor sends.
func (v *visitor) headers(app string) {
	v.Helper()
	const size = 20 << 20
	host := strings.TrimPrefix(v.base, "https://")
	got := v.request(app, "POST", bytes.NewReader(make([]byte, size)),
		"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "http", "X-Forwarded-Host", "evil.test", "X-Forwarded-User", "root")
	require.EqualValues(v, size, got.BodyBytes)
	require.Equal(v, "/request?a=%2F", got.URI)
	require.Equal(v, host, got.Host)
	for name, want := range map[string]string{"For": visitorAddr, "Proto": "https", "Host": host, "User": "admin"} {
		require.Equal(v, []string{want}, got.Header["X-Forwarded-"+name], name)
	}
	require.NotContains(v, got.Header, "Cookie")
}

// streams come as they are written, and a WebSocket works.
func (v *visitor) streams(app string) {
	v.Helper()
	got := v.send("GET", app+"events", nil)
	lines := bufio.NewScanner(got.Body)
	first := time.Now()
	for n := 0; n < 3; {
		require.True(v, lines.Scan(), "events come: %v", lines.Err())
		if strings.HasPrefix(lines.Text(), "data:") {
			n++
		}
	}
	require.Less(v, time.Since(first), 5*time.Second, "events are not held back")

	ctx, cancel := context.WithTimeout(context.Background(), moment)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, v.base+app+"ws", &websocket.DialOptions{HTTPClient: v.one, HTTPHeader: http.Header{"Origin": {v.base}}})
	require.NoError(v, err)
	defer socket.CloseNow()
	require.NoError(v, socket.Write(ctx, websocket.MessageText, []byte("hello")))
	_, message, err := socket.Read(ctx)
	require.NoError(v, err)
	require.Equal(v, "hello", string(message))
	_, _, err = websocket.Dial(ctx, v.base+app+"ws", &websocket.DialOptions{HTTPClient: v.one, HTTPHeader: http.Header{"Origin": {"https://evil.test"}}})
	require.ErrorContains(v, err, "403")
}

package managertest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"

	"kiosc/manager/incoming"
)

// MaxBody is how long the body of a request may be, in bytes, as a manager has it.
const MaxBody = 16 << 20

// AtOnce is how many connections are kept for requests that are sent at the same time.
const AtOnce = 32

// server is where a site is served.
type server struct {
	// Addr is where all is served, Uploads where requests go to whose path begins with /files/.
	Addr, Uploads string
	client        *http.Client
}

// NewApp makes an app with a manager's settings.
func NewApp(fail fiber.ErrorHandler) *fiber.App {
	return fiber.New(fiber.Config{DisableStartupMessage: true, BodyLimit: MaxBody, Immutable: true, ErrorHandler: fail})
}

// Serve serves an app, whose routes are complete, until the end of the test. stop ends what its handlers do for longer.
func (s *Site) Serve(app *fiber.App, stop func()) {
	s.T.Helper()
	app.Handler() // which completes it, for both servers
	uploads := incoming.Server(app)
	all, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.T, err)
	forUploads, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.T, err)
	ended := make(chan error, 2)
	go func() { ended <- app.Listener(all) }()
	go func() { ended <- uploads.Serve(forUploads) }()
	transport := &http.Transport{MaxIdleConnsPerHost: AtOnce}
	s.server = &server{Addr: all.Addr().String(), Uploads: forUploads.Addr().String(), client: &http.Client{Timeout: Patience,
		Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	s.T.Cleanup(func() {
		stop()
		transport.CloseIdleConnections() // for which the shutdown would wait
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		require.NoError(s.T, errors.Join(app.ShutdownWithContext(ctx), uploads.ShutdownWithContext(ctx)))
		require.NoError(s.T, errors.Join(<-ended, <-ended))
	})
}

// Send sends a request and reads the answer, of an event stream the head only. A redirect is an answer as any other.
func (s *server) Send(method, path string, body io.Reader, header http.Header) (*http.Response, string, error) {
	addr := s.Addr
	if strings.HasPrefix(path, "/files/") {
		addr = s.Uploads
	}
	r, err := http.NewRequest(method, "http://"+addr+path, body)
	if err != nil {
		return nil, "", err
	}
	r.Header = header
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	if answer.Header.Get("Content-Type") == "text/event-stream" {
		return answer, "", nil
	}
	text, err := io.ReadAll(answer.Body)
	return answer, string(text), err
}

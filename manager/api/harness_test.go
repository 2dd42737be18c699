package api_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/api"
	"kiosc/manager/managertest"
	"kiosc/manager/service"
)

const cookie = "kiosc_session"

// site is a Kiosc with its API.
type site struct {
	*managertest.Site
	api   *api.API
	token map[string]string // user name → API token
}

func newSite(t *testing.T) *site {
	s := newEmptySite(t)
	s.Fill()
	for name, id := range s.Users {
		s.token[name] = s.Token(id, state.ScopeAll, "")
	}
	return s
}

// newEmptySite has no cluster in its state.
func newEmptySite(t *testing.T) *site {
	t.Parallel()
	s := &site{Site: managertest.New(t, service.Settings{}), token: make(map[string]string)}
	s.api = api.New(s.Service, api.Options{Version: "1.2.3", Logger: slog.New(slog.DiscardHandler), SessionCookie: cookie})
	pages := func(c *fiber.Ctx, err error) error { return c.Status(fiber.StatusTeapot).SendString("a page") }
	app := managertest.NewApp(s.api.ErrorHandler(pages))
	s.api.Register(app)
	app.Get("/containers/:project", func(c *fiber.Ctx) error { return c.SendString("the page of " + c.Params("project")) })
	s.Serve(app, s.api.Close)
	return s
}

// count is how many containers the project has.
func (s *site) count() int {
	s.T.Helper()
	var page struct{ Count int }
	s.as("owner").get("/containers/api/"+s.Project, &page)
	return page.Count
}

// caller sends requests with somebody's credentials.
type caller struct {
	s      *site
	header http.Header
}

// as calls with the user's API token, by calls with the user's session, and with calls with these headers.
func (s *site) as(user string) caller { return s.with("Authorization", "token "+s.token[user]) }
func (s *site) by(user string) caller { return s.with("Cookie", cookie+"="+s.Sessions[user]) }

func (s *site) with(headers ...string) caller {
	c := caller{s: s, header: make(http.Header)}
	for i := 0; i < len(headers); i += 2 {
		c.header.Add(headers[i], headers[i+1])
	}
	return c
}

func (c caller) and(name, value string) caller {
	c.header = c.header.Clone()
	c.header.Set(name, value)
	return c
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (c caller) send(method, path, body string) answer {
	got, err := c.try(method, path, body)
	require.NoError(c.s.T, err, "%s %s", method, path)
	return got
}

// try is send for other goroutines than the test's.
func (c caller) try(method, path, body string) (answer, error) {
	header := c.header.Clone()
	if body != "" && header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json")
	}
	got, text, err := c.s.Send(method, path, strings.NewReader(body), header)
	if err != nil {
		return answer{}, err
	}
	return answer{got.StatusCode, got.Header, text}, nil
}

// get decodes an answer that must be good.
func (c caller) get(path string, into any) {
	c.s.T.Helper()
	got := c.send("GET", path, "")
	require.Equal(c.s.T, 200, got.status, got.body)
	require.NoError(c.s.T, json.Unmarshal([]byte(got.body), into), got.body)
}

// each runs f for 0 to n-1, some at a time, and fails with the first error.
func each(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	var all sync.WaitGroup
	some := make(chan struct{}, managertest.AtOnce)
	failed := make(chan error, n)
	for i := range n {
		all.Add(1)
		some <- struct{}{}
		go func() {
			defer all.Done()
			if err := f(i); err != nil {
				failed <- fmt.Errorf("%d: %w", i, err)
			}
			<-some
		}()
	}
	all.Wait()
	close(failed)
	require.NoError(t, <-failed)
}

// newPerson makes a user without any role, and calls with the user's API token.
func newPerson(s *site, name string) caller {
	s.T.Helper()
	return s.with("Authorization", "token "+s.Token(s.User(name, false).ID, state.ScopeAll, ""))
}

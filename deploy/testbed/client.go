package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	pollEvery = 50 * time.Millisecond
	// requestLimit is generous, for the largest body on a busy machine. A request that only polls is given up early, so
	// that one which hangs doesn't use up the time of the whole wait.
	requestLimit = time.Minute
	pollLimit    = 5 * time.Second
)

// Client talks to a manager as the admin does.
type Client struct {
	testing.TB
	Addr  string
	Token string

	choose func() string // the address instead of Addr, for each request anew
}

// Each request has a connection of its own: one that was kept would hang on in silence after a partition.
var httpClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// wait polls until ok, and fails after limit.
func wait(t testing.TB, limit time.Duration, what func() string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(pollEvery) {
		if time.Now().After(deadline) {
			require.FailNow(t, "waited in vain", "%s: not within %s", what(), limit)
		}
	}
}

// Wait polls until ok, and fails after limit.
func (c *Client) Wait(limit time.Duration, what string, ok func() bool) {
	c.Helper()
	wait(c.TB, limit, func() string { return what }, ok)
}

// Try sends one request and returns the status and the body, or an error if there is no whole answer in time.
func (c *Client) Try(limit time.Duration, method, path string, body any) (int, []byte, error) {
	c.Helper()
	var in io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		require.NoError(c, err)
		in = bytes.NewReader(raw)
	}
	addr := c.Addr
	if c.choose != nil {
		addr = c.choose()
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, in)
	require.NoError(c, err)
	request.Header.Set("Authorization", "token "+c.Token)
	request.Header.Set("Content-Type", "application/json")
	answer, err := httpClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	return answer.StatusCode, raw, err
}

// Ready tells whether the manager can serve.
func (c *Client) Ready() bool {
	status, _, err := c.Try(pollLimit, http.MethodGet, "/readyz", nil)
	return err == nil && status == http.StatusOK
}

// Request sends one request, which must be answered, and returns the status and the body.
func (c *Client) Request(method, path string, body any) (int, []byte) {
	c.Helper()
	status, raw, err := c.Try(requestLimit, method, path, body)
	require.NoError(c, err)
	return status, raw
}

// Get decodes the JSON answer of a request that must succeed.
func (c *Client) Get(path string, into any) {
	c.Helper()
	status, body := c.Request(http.MethodGet, path, nil)
	require.Equal(c, http.StatusOK, status, string(body))
	require.NoError(c, json.Unmarshal(body, into), string(body))
}

// Project is the id of the demo project.
func (c *Client) Project() string {
	c.Helper()
	var projects []struct {
		UUID string `json:"sodar_uuid"`
	}
	c.Get("/project/api/list", &projects)
	require.Len(c, projects, 1)
	return projects[0].UUID
}

// Container is what the API tells of one.
type Container struct {
	UUID        string `json:"sodar_uuid"`
	Title       string `json:"title"`
	State       string `json:"state"`
	ContainerID string `json:"container_id"`
}

// List returns the containers of the demo project.
func (c *Client) List() []Container {
	c.Helper()
	var page struct{ Results []Container }
	c.Get("/containers/api/"+c.Project(), &page)
	return page.Results
}

// Create makes a container of the demo image that runs with a command.
func (c *Client) Create(title string, fields map[string]any) string {
	c.Helper()
	body := map[string]any{"title": title, "repository": "kiosc/demo", "tag": "1", "container_port": 8080}
	for name, value := range fields {
		body[name] = value
	}
	status, raw := c.Request(http.MethodPost, "/containers/api/create/"+c.Project(), body)
	require.Equal(c, http.StatusCreated, status, string(raw))
	var made Container
	require.NoError(c, json.Unmarshal(raw, &made))
	return made.UUID
}

// Act asks for start or stop.
func (c *Client) Act(action, id string) {
	c.Helper()
	status, raw := c.Request(http.MethodPost, "/containers/api/"+action+"/"+id, nil)
	require.Equal(c, http.StatusOK, status, string(raw))
}

// State is a container's state.
func (c *Client) State(id string) string {
	c.Helper()
	var got Container
	c.Get("/containers/api/detail/"+id, &got)
	return got.State
}

// WaitState waits until the container has the state. Until then the manager may fail to answer.
func (c *Client) WaitState(limit time.Duration, id, state string) {
	c.Helper()
	var last string
	wait(c.TB, limit, func() string { return fmt.Sprintf("the container is %s (last: %s)", state, last) }, func() bool {
		status, raw, err := c.Try(pollLimit, http.MethodGet, "/containers/api/detail/"+id, nil)
		var got Container
		switch {
		case err != nil:
			last = err.Error()
		case status != http.StatusOK || json.Unmarshal(raw, &got) != nil:
			last = fmt.Sprintf("status %d: %.200s", status, raw)
		default:
			last = got.State
		}
		return err == nil && got.State == state
	})
}

// Log is a container's whole log.
func (c *Client) Log(id string) (lines []string) {
	c.Helper()
	var page struct {
		Next  uint64
		Lines []string
	}
	for {
		c.Get(fmt.Sprintf("/containers/api/logs/%s?after=%d", id, page.Next), &page)
		if len(page.Lines) == 0 {
			return lines
		}
		lines = append(lines, page.Lines...)
	}
}

// LogHas tells whether a line of a container's log has the text.
func (c *Client) LogHas(id, text string) bool {
	c.Helper()
	for _, line := range c.Log(id) {
		if strings.Contains(line, text) {
			return true
		}
	}
	return false
}

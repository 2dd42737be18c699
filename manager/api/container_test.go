package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/managertest"
)

// TestGolden compares a container that has every field with the form that clients of the original know, to the letter.
func TestGolden(t *testing.T) {
	s := newSite(t)
	c := state.Container{ID: "0b4cb5d2-6f0e-4d4f-9d6e-0f0a3c1b7a55", Project: s.Project, Spec: state.Spec{
		Title: "Shiny <1>", Description: "An app", Repository: "registry.example.org/lab/shiny", Tag: "1.2", Port: 3838,
		Path: "app/", HeartbeatURL: "http://x/?a=1&b=2", Timeout: 61,
		Environment: []byte(`{"B":"<masked>","A":"__KIOSC_URL_PREFIX__/x?a=1\u0026b","N":1.50,"L":[1,null]}`),
		SecretKeys:  []string{"B"}, Command: "R -e 'run()'", MaxRetries: 4, InactivityDays: 8, PullPolicy: state.PullAlways,
		SharedMemory: 1 << 30, GPUs: state.AllGPUs, Volumes: []state.Volume{{Name: "data", Path: "/data"}}, Lifetime: 3600, ReadOnlyRoot: true,
	}, Secrets: map[string][]byte{"B": []byte("sealed")}, CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
		ModifiedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))}
	s.Do(&state.ContainerCreated{Container: c, User: "owner"})
	s.Do(&state.ActionRequested{Container: c.ID, Action: state.Start, User: "owner", Time: time.Now().UTC()})
	s.Report(c.ID, state.Running)
	golden(t, "container.json", s, s.as("guest").send("GET", "/containers/api/detail/"+c.ID, "").body)
}

// TestGoldenEmpty is the same for a container that has nothing it needn't have.
func TestGoldenEmpty(t *testing.T) {
	s := newSite(t)
	c := state.Container{ID: "0b4cb5d2-6f0e-4d4f-9d6e-0f0a3c1b7a55", Project: s.Project, Spec: state.Spec{
		Title: "Plain", Repository: "nginx", Port: 80, Timeout: 60, InactivityDays: 7,
	}, CreatedAt: time.Unix(0, 0), ModifiedAt: time.Unix(0, 0)}
	s.Do(&state.ContainerCreated{Container: c, User: "owner"})
	golden(t, "container-empty.json", s, s.as("guest").send("GET", "/containers/api/"+s.Project, "").body)
}

// golden compares with a file in testdata, in which the project's random uuid reads PROJECT and the server HOST.
func golden(t *testing.T, file string, s *site, body string) {
	t.Helper()
	var indented bytes.Buffer
	require.NoError(t, json.Indent(&indented, []byte(body), "", "  "), body)
	got := strings.NewReplacer(s.Project, "PROJECT", s.Addr, "HOST").Replace(indented.String())
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile("testdata/"+file, []byte(got), 0o644))
	}
	want, err := os.ReadFile("testdata/" + file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestCreate(t *testing.T) {
	s := newSite(t)
	got := s.as("contributor").send("POST", "/containers/api/create/"+s.Project, `{
		"title": "App", "repository": "nginx", "tag": "1.27", "container_port": 8080, "description": null, "command": null,
		"environment": {"PASSWORD": "hunter2", "N": 1}, "environment_secret_keys": "PASSWORD", "timeout": 5,
		"state": "running", "container_id": "f00", "container_ip": "10.0.0.1", "image_id": "sha256:f00", "host_port": 22,
		"sodar_uuid": "0b4cb5d2-6f0e-4d4f-9d6e-0f0a3c1b7a55", "project": "p", "date_created": 1, "TITLE": "Other", "new": []}`)
	require.Equal(t, 201, got.status, got.body)
	require.NotContains(t, got.body, "hunter2")
	require.Contains(t, got.body, `"PASSWORD":"<masked>"`)
	var made map[string]any
	require.NoError(t, json.Unmarshal([]byte(got.body), &made))
	for field, want := range map[string]any{"title": "App", "tag": "1.27", "container_port": 8080.0, "timeout": 5.0,
		"state": "initial", "container_id": nil, "container_ip": nil, "image_id": nil, "host_port": nil, "project": s.Project,
		"max_retries": 5.0, "inactivity_threshold": 7.0} {
		require.Equal(t, want, made[field], field)
	}
	id := made["sodar_uuid"].(string)
	require.NotEqual(t, "0b4cb5d2-6f0e-4d4f-9d6e-0f0a3c1b7a55", id)
	require.JSONEq(t, got.body, s.as("guest").send("GET", "/containers/api/detail/"+id, "").body)
	require.Equal(t, 200, s.as("guest").send("GET", "/containers/api/detail/"+strings.ToUpper(id), "").status)
	lines := s.as("owner").send("GET", "/containers/api/logs/"+id, "").body
	require.Contains(t, lines, "Created [API]")
	require.NotContains(t, lines, "hunter2")
}

func TestBadInputs(t *testing.T) {
	s := newSite(t)
	s.Container("Taken")
	owner, path := s.as("owner"), "/containers/api/create/"+s.Project
	field := func(name, value string) string {
		return fmt.Sprintf(`{"title":"App","repository":"nginx",%q:%s}`, name, value)
	}
	const notDict = `{"environment":["Environment must be a dictionary!"]}`
	const notInt = `{"container_port":["A valid integer is required."]}`
	for _, row := range []struct{ what, body, answer string }{
		{"not JSON", `{"title":`, "JSON parse error - "},
		{"text behind", `{} {}`, "JSON parse error - "},
		{"empty", ` `, "JSON parse error - "},
		{"a list", `[]`, `{"non_field_errors":["Invalid data. Expected a dictionary."]}`},
		{"null", `null`, `{"non_field_errors":["Invalid data. Expected a dictionary."]}`},
		{"a text", `"x"`, `{"non_field_errors":["Invalid data. Expected a dictionary."]}`},
		{"invalid UTF-8", field("description", "\"a\xff\""), "JSON parse error - the text is not valid UTF-8."},
		{"deeply nested", field("environment", strings.Repeat("[", 200000)), "JSON parse error - objects and lists are nested"},
		{"deeply nested object", field("environment", strings.Repeat(`{"a":`, 200)+"1"+strings.Repeat("}", 200)), "JSON parse error - objects"},
		{"missing", `{}`, `{"repository":["This field is required."],"title":["This field is required."]}`},
		{"blank", `{"title":" ","repository":""}`, `{"repository":["This field may not be blank."],"title":["This field may not be blank."]}`},
		{"null title", `{"title":null,"repository":"nginx"}`, `{"title":["This field may not be null."]}`},
		{"number as title", `{"title":7,"repository":"nginx"}`, `{"title":["Not a valid string."]}`},
		{"several", `{"title":[],"container_port":"x","environment_secret_keys":{},"repository":"nginx"}`,
			`{"container_port":["A valid integer is required."],"environment_secret_keys":["Not a valid string."],"title":["Not a valid string."]}`},
		{"long title", `{"repository":"nginx","title":"` + strings.Repeat("x", 513) + `"}`, `{"title":["Ensure this field has no more than 512 characters."]}`},
		{"title of 10 MB", `{"repository":"nginx","title":"` + strings.Repeat("x", 10<<20) + `"}`, `{"title":["Ensure this field has no more than 512 characters."]}`},
		{"duplicate", `{"title":"Taken","repository":"nginx"}`, `{"title":["Container with this Project and Title already exists."]}`},
		{"port 0", field("container_port", `0`), `{"container_port":["Ensure this value is between 1 and 65535."]}`},
		{"port 70000", field("container_port", `70000`), `{"container_port":["Ensure this value is between 1 and 65535."]}`},
		{"port 1.5", field("container_port", `1.5`), notInt},
		{"port text", field("container_port", `"80"`), notInt},
		{"port true", field("container_port", `true`), notInt},
		{"port huge", field("container_port", `1e30`), notInt},
		{"port null", field("container_port", `null`), `{"container_port":["This field may not be null."]}`},
		{"timeout", field("timeout", `-1`), `{"timeout":["Ensure this value is between 1 and 3600."]}`},
		{"environment text", field("environment", `"A=1"`), notDict},
		{"environment JSON in a text", field("environment", `"{\"A\":1}"`), notDict},
		{"environment list", field("environment", `[1]`), notDict},
		{"environment number", field("environment", `1`), notDict},
		{"environment false", field("environment", `false`), notDict},
		{"unknown secret key", `{"title":"App","repository":"nginx","environment":{"A":1},"environment_secret_keys":"A,B"}`,
			`{"environment_secret_keys":["Secret key \"B\" is not in environment!"]}`},
		{"zero byte", field("description", `"a\u0000"`), `{"description":["This field must be valid text."]}`},
		{"image", `{"title":"App","repository":"No Such Image"}`, `{"repository":[`},
	} {
		got := owner.send("POST", path, row.body)
		require.Equal(t, 400, got.status, "%s: %s", row.what, got.body)
		if strings.HasSuffix(row.answer, "]}") {
			require.JSONEq(t, row.answer, got.body, row.what)
		} else {
			require.Contains(t, got.body, row.answer, row.what)
		}
		for _, inside := range []string{"json:", "Go ", "struct", "unmarshal", "api."} {
			require.NotContains(t, got.body, inside, row.what)
		}
	}
	require.Equal(t, 1, s.count(), "nothing is half created")
}

func TestBodiesThatAreNotRead(t *testing.T) {
	s := newSite(t)
	owner, path := s.as("owner"), "/containers/api/create/"+s.Project
	long := func(n int) string { return `{"repository":"nginx","title":"` + strings.Repeat("x", n) + `"}` }
	// Fiber answers and hangs up before it has read a body beyond its limit, which Go's client may take for an error.
	conn, err := net.Dial("tcp", s.Addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(managertest.Patience)))
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: token %s\r\nContent-Length: %d\r\n\r\n", path, s.token["owner"], managertest.MaxBody+1)
	head := make([]byte, 4096)
	n, err := conn.Read(head)
	require.NoError(t, err)
	require.Contains(t, string(head[:n]), "HTTP/1.1 413")
	require.Contains(t, string(head[:n]), `{"detail":"The request is too large."}`)

	var bomb bytes.Buffer
	packer := gzip.NewWriter(&bomb)
	_, err = packer.Write([]byte(long(100)))
	require.NoError(t, err)
	require.NoError(t, packer.Close())
	require.Equal(t, 415, owner.and("Content-Encoding", "gzip").send("POST", path, bomb.String()).status)
	form := "--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nApp\r\n--x--\r\n"
	require.Equal(t, 415, owner.and("Content-Type", "multipart/form-data; boundary=x").send("POST", path, form).status)
	for _, kind := range []string{"application/x-www-form-urlencoded", "text/plain", "garbage"} {
		require.Equal(t, 415, owner.and("Content-Type", kind).send("POST", path, long(10)).status, kind)
	}
	require.Zero(t, s.count())
	require.Equal(t, 201, owner.and("Content-Type", "application/json; charset=utf-8").send("POST", path, long(10)).status)
}

func TestUnknownAddresses(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{"/containers/api", "/containers/api/", "/containers/api/nonsense", "/containers/api/detail",
		"/containers/api/detail/x", "/containers/api/detail/" + s.Project + "x", "/containers/api/none/" + s.Project,
		"/containers/api/detail/" + s.Project + "/more", "/containers/api/detail/%00", "/project/api/settings"} {
		for _, method := range []string{"GET", "POST", "PATCH"} {
			got := s.as("root").send(method, path, "")
			require.Equal(t, 404, got.status, "%s %s", method, path)
			require.JSONEq(t, `{"detail":"Not found."}`, got.body, path)
			require.Equal(t, "application/json", got.header.Get("Content-Type"), path)
		}
	}
	require.Equal(t, "the page of "+s.Project, s.with().send("GET", "/containers/"+s.Project, "").body)
	require.Equal(t, "the page of apiary", s.with().send("GET", "/containers/apiary", "").body)
	require.Equal(t, 418, s.with().send("GET", "/elsewhere", "").status, "other errors are the pages'")
}

func TestPages(t *testing.T) {
	s := newSite(t)
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	each(t, 250, func(i int) error {
		at := base.Add(time.Duration(i) * time.Second)
		_, err := s.Propose(context.Background(), &state.ContainerCreated{Container: state.Container{ID: uuid.NewString(),
			Project: s.Project, Spec: state.Spec{
				Title: fmt.Sprint("App ", i), Repository: "nginx", Port: 80, Timeout: 60, InactivityDays: 7,
			}, CreatedAt: at, ModifiedAt: at}})
		return err
	})
	type page struct {
		Count          int
		Next, Previous *string
		Results        []struct{ Title string }
	}
	guest, list := s.as("guest"), "/containers/api/"+s.Project
	address := func(query string) *string {
		text := "http://" + s.Addr + list + query
		return &text
	}
	next := 249 // the newest comes first
	for _, row := range []struct {
		query          string
		next, previous *string
		results        int
	}{
		{"", address("?page=2"), nil, 100},
		{"?page=2", address("?page=3"), address(""), 100},
		{"?page=3", nil, address("?page=2"), 50},
	} {
		var got page
		guest.get(list+row.query, &got)
		require.Equal(t, 250, got.Count)
		require.Equal(t, row.next, got.Next, row.query)
		require.Equal(t, row.previous, got.Previous, row.query)
		require.Len(t, got.Results, row.results)
		for _, c := range got.Results {
			require.Equal(t, fmt.Sprint("App ", next), c.Title)
			next--
		}
	}
	var last page
	guest.get(list+"?page=last", &last)
	require.Len(t, last.Results, 50)
	for _, query := range []string{"0", "-1", "4", "x", "1.0", "99999999999999999999"} {
		got := guest.send("GET", list+"?page="+query, "")
		require.Equal(t, 404, got.status, query)
		require.JSONEq(t, `{"detail":"Invalid page."}`, got.body, query)
	}
}

func TestActions(t *testing.T) {
	s := newSite(t)
	owner, id := s.as("owner"), s.Container("App")
	require.JSONEq(t, `{"message":"container starting job submitted"}`, owner.send("GET", "/containers/api/start/"+id, "").body)
	got := owner.send("POST", "/containers/api/start/"+id, "")
	require.Equal(t, 409, got.status)
	require.JSONEq(t, `{"detail":"Action start not allowed in state starting"}`, got.body)
	s.Report(id, state.Running)
	require.JSONEq(t, `{"message":"container stopping job submitted"}`, owner.send("POST", "/containers/api/stop/"+id, "").body)
	s.Report(id, state.Exited)
	require.Equal(t, 409, owner.send("GET", "/containers/api/stop/"+id, "").status)
	c, _ := s.Read(id)
	require.Equal(t, state.Exited, c.State, "a refused action leaves the container alone")
}

// TestStartsAreBounded starts more containers than may wait while there is no Docker host to start them on.
func TestStartsAreBounded(t *testing.T) {
	s := newSite(t)
	owner, ids := s.as("owner"), make([]string, state.MaxPending+1)
	each(t, len(ids), func(i int) error {
		ids[i] = uuid.NewString()
		_, err := s.Propose(context.Background(), &state.ContainerCreated{Container: state.Container{ID: ids[i],
			Project: s.Project, Spec: state.Spec{
				Title: fmt.Sprint("App ", i), Repository: "nginx", Port: 80, Timeout: 60, InactivityDays: 7,
			}}})
		return err
	})
	var accepted, busy atomic.Int32
	each(t, len(ids), func(i int) error {
		got, err := owner.try("POST", "/containers/api/start/"+ids[i], "")
		switch {
		case err != nil:
			return err
		case got.status == 200:
			accepted.Add(1)
		case got.status == 429 && got.header.Get("Retry-After") != "" && strings.Contains(got.body, `"detail":`):
			busy.Add(1)
		default:
			return fmt.Errorf("%d %s", got.status, got.body)
		}
		return nil
	})
	require.EqualValues(t, state.MaxPending, accepted.Load())
	require.EqualValues(t, 1, busy.Load())
}

func TestDelete(t *testing.T) {
	s := newSite(t)
	owner := s.as("owner")
	gone := owner.send("DELETE", "/containers/api/delete/"+s.Container("Never started"), "")
	require.Equal(t, 204, gone.status)
	require.Empty(t, gone.body)
	require.Zero(t, s.count())

	id := s.Running("App")
	failed := s.whileDeleting(id, func() { s.Report(id, state.Failed) })
	require.Equal(t, 400, failed.status)
	require.JSONEq(t, `{"message":"Failed deleting container App"}`, failed.body)

	removed := s.whileDeleting(id, func() { s.Report(id, state.Deleted) })
	require.Equal(t, 204, removed.status)
	require.Equal(t, 404, owner.send("DELETE", "/containers/api/delete/"+id, "").status)

	slow := s.create(`{"title":"Slow","repository":"nginx","timeout":1}`).UUID
	s.Report(slow, state.Running)
	waiting := s.whileDeleting(slow, func() {})
	require.Equal(t, 202, waiting.status)
	require.Contains(t, waiting.body, `{"message":"The container is still being deleted`)
}

// TestCloseEndsWaiting closes the API while a deletion waits, or while its wish is still being confirmed.
func TestCloseEndsWaiting(t *testing.T) {
	s := newSite(t)
	id := s.Running("App")
	got := s.whileDeleting(id, s.api.Close)
	require.Contains(t, []int{202, 503}, got.status, got.body)
	c, ok := s.Read(id)
	require.True(t, ok && c.Pending(), "the deletion goes on without anybody waiting")
}

// whileDeleting sends a deletion, does something once it is under way, and returns the answer.
func (s *site) whileDeleting(id string, do func()) answer {
	s.T.Helper()
	changed, stop := s.Service.Watch(id)
	defer stop()
	type result struct {
		answer
		err error
	}
	done := make(chan result, 1)
	go func() {
		got, err := s.as("owner").try("DELETE", "/containers/api/delete/"+id, "")
		done <- result{got, err}
	}()
	for {
		if c, _ := s.Read(id); c.Pending() && c.Action == state.Delete {
			break
		}
		<-changed
	}
	do()
	got := <-done
	require.NoError(s.T, got.err)
	return got.answer
}

// TestWithoutALeader asks a manager whose Raft has ended, which is how one without a quorum answers.
func TestWithoutALeader(t *testing.T) {
	s := newSite(t)
	id := s.Container("App")
	require.NoError(t, s.Close())
	got := s.as("owner").send("POST", "/containers/api/start/"+id, "")
	require.Equal(t, 503, got.status, got.body)
	require.NotEmpty(t, got.header.Get("Retry-After"))
	require.Equal(t, 200, s.as("owner").send("GET", "/containers/api/detail/"+id, "").status, "reads go on")
}

package testbed_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

func TestBadInputIsRefusedWhole(t *testing.T) {
	t.Parallel()
	k := testbed.StartManager(t)
	create := "/containers/api/create/" + k.Project()
	for name, c := range map[string]struct {
		body   string
		status int
		want   string
	}{
		"not JSON":             {`{"title"`, 400, `{"detail":"JSON parse error`},
		"a list":               {`[1]`, 400, `Invalid data. Expected a dictionary`},
		"nothing":              {`{}`, 400, `"repository":["This field is required."]`},
		"environment no JSON":  {`{"title":"x","repository":"nginx","tag":"1","environment":"{"}`, 400, `"environment":["Environment must be a dictionary!"]`},
		"environment a list":   {`{"title":"x","repository":"nginx","tag":"1","environment":[1]}`, 400, `"environment":["Environment must be a dictionary!"]`},
		"secret key not there": {`{"title":"x","repository":"nginx","environment":{"A":1},"environment_secret_keys":"B"}`, 400, `Secret key \"B\" is not in environment!`},
		"port 0":               {`{"title":"x","repository":"nginx","container_port":0}`, 400, `"container_port":["Ensure this value is between 1 and 65535."]`},
		"port 70000":           {`{"title":"x","repository":"nginx","container_port":70000}`, 400, `"container_port"`},
		"port as text":         {`{"title":"x","repository":"nginx","container_port":"80"}`, 400, `"container_port":["A valid integer is required."]`},
		"port 1.5":             {`{"title":"x","repository":"nginx","container_port":1.5}`, 400, `"container_port":["A valid integer is required."]`},
		"a bad image":          {`{"title":"x","repository":"NGINX !"}`, 400, `"repository"`},
		"an open quote":        {`{"title":"x","repository":"nginx","command":"sh -c \"x"}`, 400, `"command"`},
		"the title of another": {`{"title":"Demo app","repository":"nginx"}`, 400, `"title":["Container with this Project and Title already exists."]`},
		"a title of 10 MB":     {`{"title":"` + strings.Repeat("x", 10<<20) + `","repository":"nginx"}`, 400, `"title":["Ensure this field has no more than 512 characters."]`},
		"a body of 20 MB":      {`{"title":"` + strings.Repeat("x", 20<<20) + `","repository":"nginx"}`, 413, ``},
		"deeply nested":        {`{"title":"x","repository":"nginx","environment":` + strings.Repeat(`{"a":`, 20000) + `1` + strings.Repeat(`}`, 20000) + `}`, 400, ``},
	} {
		status, body := send(t, k, http.MethodPost, create, c.body, nil)
		require.Equal(t, c.status, status, "%s: %.200s", name, body)
		require.Contains(t, body, c.want, name)
	}
	require.Len(t, k.List(), 1, "nothing was made")
}

// send sends a request as it is, with the admin's token unless head has other credentials.
func send(t *testing.T, k *testbed.Kiosc, method, path, body string, head http.Header) (int, string) {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+k.Addr+path, strings.NewReader(body))
	require.NoError(t, err)
	request.Header = http.Header{"Authorization": {"token " + k.Token}, "Content-Type": {"application/json"}}
	for name, values := range head {
		request.Header[name] = values
	}
	answer, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	raw := new(bytes.Buffer)
	_, err = raw.ReadFrom(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, raw.String()
}

func TestWhoMayCallTheAPI(t *testing.T) {
	t.Parallel()
	k := testbed.StartManager(t)
	id := k.List()[0].UUID
	session := http.Header{"Authorization": nil, "Cookie": {login(t, k)}}
	other := "00000000-0000-4000-8000-000000000000"
	for _, c := range []struct {
		method, path string
		head         http.Header
		status       int
	}{
		{"GET", "/containers/api/detail/" + id, nil, 200},
		{"GET", "/containers/api/detail/" + id, http.Header{"Authorization": {"Bearer " + k.Token}}, 200},
		{"GET", "/containers/api/detail/" + id, http.Header{"Authorization": {"ToKeN " + k.Token}}, 200},
		{"GET", "/containers/api/detail/" + id, http.Header{"Authorization": {"token kiosc_wrong"}}, 401},
		{"GET", "/containers/api/detail/" + id, http.Header{"Authorization": {"Basic YWRtaW46YWRtaW4="}}, 401},
		{"GET", "/containers/api/detail/" + id, http.Header{"Authorization": nil}, 401},
		{"GET", "/containers/api/detail/" + id, session, 200},
		{"GET", "/containers/api/start/" + id, session, 405},
		{"POST", "/containers/api/start/" + id, session, 403},
		{"DELETE", "/containers/api/delete/" + id, session, 403},
		{"GET", "/containers/api/detail/" + other, nil, 404},
		{"GET", "/containers/api/" + other, nil, 404},
		{"GET", "/containers/api/detail/garbage", nil, 404},
		{"GET", "/containers/api/logs/" + id + "?after=x", nil, 400},
		{"GET", "/containers/api/no/such/path", nil, 404},
		{"POST", "/containers/api/stop/" + id, nil, 409},
		{"GET", "/project/api/list", http.Header{"Accept": {"application/vnd.bihealth.sodar-core.projectroles+json; version=9.0"}}, 406},
		{"GET", "/project/api/list", http.Header{"Accept": {"application/vnd.bihealth.sodar-core.projectroles+json; version=1.1"}}, 200},
		{"POST", "/admin/api/token", http.Header{"Authorization": nil}, 401},
		{"GET", "/healthz", http.Header{"Authorization": nil}, 200},
	} {
		status, body := send(t, k, c.method, c.path, "", c.head)
		require.Equal(t, c.status, status, "%s %s %v: %.200s", c.method, c.path, c.head, body)
	}
	require.Equal(t, "initial", k.State(id), "nothing was started")
}

// login logs in as a browser does and returns the cookie.
func login(t *testing.T, k *testbed.Kiosc) string {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, "http://"+k.Addr+"/login/", strings.NewReader("username=admin&password="+testbed.Password))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := http.DefaultTransport.RoundTrip(request)
	require.NoError(t, err)
	answer.Body.Close()
	require.Equal(t, http.StatusFound, answer.StatusCode)
	for _, c := range answer.Cookies() {
		if c.Name == "kiosc_session" {
			require.True(t, c.HttpOnly)
			return c.Name + "=" + c.Value
		}
	}
	require.FailNow(t, "no session")
	return ""
}

func TestAContainerInJSON(t *testing.T) {
	t.Parallel()
	k := testbed.StartManager(t)
	id := k.Create("All fields", map[string]any{"description": "d", "environment": map[string]any{"A": 1, "PASSWORD": "s3cret"},
		"environment_secret_keys": "PASSWORD", "command": "x", "container_path": "/start", "keep_prefix": true, "state": "running", "container_id": "stolen"})
	var got map[string]any
	k.Get("/containers/api/detail/"+id, &got)
	for _, field := range []string{"date_created", "date_modified"} {
		require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`, got[field])
	}
	require.Subset(t, got, map[string]any{
		"constraints": []any{}, "cpu_reservation": 0.0, "cpu_limit": 0.0, "memory_reservation": 0.0, "memory_limit": 0.0,
		"sodar_uuid": id, "project": k.Project(), "date_last_status_update": nil, "title": "All fields", "description": "d",
		"repository": "kiosc/demo", "tag": "1", "image_id": nil, "container_id": nil, "container_ip": nil, "container_port": 8080.0,
		"container_path": "start", "keep_prefix": true, "heartbeat_url": nil, "host_port": nil, "timeout": 60.0, "state": "initial",
		"environment": map[string]any{"A": 1.0, "PASSWORD": "<masked>"}, "environment_secret_keys": "PASSWORD", "command": "x",
		"containertemplatesite": nil, "containertemplateproject": nil, "max_retries": 5.0, "inactivity_threshold": 7.0,
	})
	out, err := exec.Command("grep", "-rlaF", "s3cret", k.Dir).Output()
	require.Error(t, err, "grep finds the secret in %s", out)
}

func TestPagesAndAFullQueue(t *testing.T) {
	t.Parallel()
	k := testbed.StartManager(t)
	const more = 257
	ids := make([]string, more)
	for i := range ids {
		ids[i] = k.Create(fmt.Sprint("app ", i), nil)
	}
	var page struct {
		Count          int
		Next, Previous *string
		Results        []testbed.Container
	}
	k.Get("/containers/api/"+k.Project()+"?page=3", &page)
	require.Equal(t, more+1, page.Count)
	require.Len(t, page.Results, more+1-200)
	require.Nil(t, page.Next)
	require.Contains(t, *page.Previous, "page=2")
	status, _ := k.Request(http.MethodGet, "/containers/api/"+k.Project()+"?page=4", nil)
	require.Equal(t, http.StatusNotFound, status)

	for i, id := range ids {
		status, body := k.Request(http.MethodPost, "/containers/api/start/"+id, nil)
		if i < 256 {
			require.Equal(t, http.StatusOK, status, string(body))
		} else {
			require.Equal(t, http.StatusTooManyRequests, status)
			require.Contains(t, string(body), "Too many actions are waiting")
		}
	}
}

func TestAnAgentJoinsAManager(t *testing.T) {
	t.Parallel()
	k := testbed.StartManager(t)
	id := k.List()[0].UUID
	k.Act("start", id) // waits for a Docker host
	older := strings.TrimSpace(k.CLI("join-token", "agent"))
	token := strings.TrimSpace(k.CLI("join-token", "agent", "--rotate"))

	refused := exec.Command(k.Binary, "agent", "--join", k.ClusterAddr(), "--token", older, "--data-dir", t.TempDir())
	out, err := refused.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "The join token is not valid")

	agent := k.Agent(token)
	k.WaitState(soon, id, "running")
	agent.Stop()
	k.Wait(soon, "an app on a Docker host that is away can't be opened", func() bool {
		status, _ := k.Request(http.MethodGet, "/containers/proxy/"+id+"/", nil)
		return status == http.StatusBadGateway
	})
	agent = k.Agent("") // its certificate is enough now
	defer agent.Stop()
	k.Wait(soon, "the app is back", func() bool {
		status, _ := k.Request(http.MethodGet, "/containers/proxy/"+id+"/", nil)
		return status == http.StatusOK
	})
}

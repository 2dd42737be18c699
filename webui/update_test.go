package webui_test

import (
	"html"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

var (
	inputs    = regexp.MustCompile(`<input [^>]*name="(\w+)"[^>]*?value="([^"]*)"`)
	unchecked = regexp.MustCompile(`<input [^>]*type="checkbox"[^>]*>`)
	areas     = regexp.MustCompile(`(?s)<textarea [^>]*name="(\w+)"[^>]*>\n(.*?)</textarea>`)
	selects   = regexp.MustCompile(`(?s)<select [^>]*name="(\w+)"[^>]*>.*?<option value="([^"]*)" selected>`)
)

// form reads the fields of the form on a page as a browser would send them, with changes in pairs of name and value.
func form(t *testing.T, page string, changes ...string) (pairs []string) {
	t.Helper()
	values := map[string]string{}
	page = unchecked.ReplaceAllStringFunc(page, func(box string) string {
		if regexp.MustCompile(` checked`).MatchString(box) {
			return box
		}
		return ""
	})
	for _, kind := range []*regexp.Regexp{inputs, areas, selects} {
		for _, found := range kind.FindAllStringSubmatch(page, -1) {
			values[found[1]] = html.UnescapeString(found[2])
		}
	}
	require.Contains(t, values, "title", page)
	for i := 0; i < len(changes); i += 2 {
		values[changes[i]] = changes[i+1]
	}
	for name, value := range values {
		pairs = append(pairs, name, value)
	}
	return pairs
}

// TestUpdateFormGivesBackWhatItShows sends the form as it came, after a container was made with every field.
func TestUpdateFormGivesBackWhatItShows(t *testing.T) {
	s := newSite(t)
	entered := []string{"title", "Full <app>", "description", "line one\nline two", "repository", "nginx", "tag", "1", "container_port", "8080",
		"container_path", "start/", "keep_prefix", "true", "heartbeat_url", "health", "timeout", "30",
		"environment", `{"K":"s3cret","L":[1,2.50]}`, "environment_secret_keys", "K", "max_retries", "2", "inactivity_threshold", "3",
		"command", "run 'two words'", "constraints", "node.name == a\nnode.labels.b != c", "cpu_reservation", "0.5", "cpu_limit", "2",
		"memory_reservation", "100 MiB", "memory_limit", "1.5 GiB", "shared_memory", "1 GiB", "gpus", "all", "pull_policy", "always",
		"volumes", "b:/b\na:/a/x", "max_lifetime", "1h30m", "read_only_root", "true"}
	made := s.post("contributor", "/containers/create/"+s.Project, entered...)
	require.Equal(t, 302, made.status, made.body)
	id := made.header.Get("Location")[len("/containers/detail/"):]
	before, _ := s.Read(id)
	require.Equal(t, []state.Volume{{Name: "a", Path: "/a/x"}, {Name: "b", Path: "/b"}}, before.Volumes)
	require.Equal(t, []any{state.AllGPUs, 5400, true, int64(1536 << 20), state.PullAlways, "health", 3},
		[]any{before.GPUs, before.Lifetime, before.ReadOnlyRoot, before.LimitMemory, before.PullPolicy, before.HeartbeatURL, before.InactivityDays})

	page := s.get("contributor", "/containers/update/"+id)
	require.Equal(t, 200, page.status)
	require.NotContains(t, page.body, "s3cret")
	require.Contains(t, page.body, "&lt;masked&gt;")
	got := s.post("contributor", "/containers/update/"+id, form(t, page.body)...)
	require.Equal(t, 302, got.status, got.body)
	after, _ := s.Read(id)
	require.Equal(t, before.Spec, after.Spec)
	require.Equal(t, before.Secrets, after.Secrets)

	again := s.post("contributor", "/containers/update/"+id, form(t, page.body, "tag", "2")...)
	require.Equal(t, 409, again.status, "the form is of an older version")
	require.Contains(t, again.body, "Somebody else has changed this container")
	require.Contains(t, s.get("contributor", "/containers/detail/"+id).body, "1h30m")
}

func TestUpdateTellsWhatIsWrong(t *testing.T) {
	s := newSite(t)
	id := s.Container("App")
	page := s.get("owner", "/containers/update/"+id).body
	for field, row := range map[string][2]string{
		"environment_secret_keys": {"", "The value of &#34;B&#34; is hidden."},
		"gpus":                    {"many", "Enter a number of GPUs, or all."},
		"volumes":                 {"/var/run/docker.sock", "Write each volume as name:path"},
		"max_lifetime":            {"forever", "Enter a time such as 8h"},
		"shared_memory":           {"a lot", "Enter a size such as 512 MiB"},
		"inactivity_threshold":    {"8", "may be unused for 7 days at most"},
		"pull_policy":             {"sometimes", "A pull policy is missing, always or never."},
	} {
		got := s.post("owner", "/containers/update/"+id, form(t, page, field, row[0])...)
		require.Equal(t, 400, got.status, field)
		require.Contains(t, got.body, row[1], field)
		require.Contains(t, got.body, `<details class="mb-3 more"`, field)
	}
	c, _ := s.Read(id)
	require.Equal(t, "latest", c.Tag)
}

func TestUpdateOfARunningContainerRestartsIt(t *testing.T) {
	s := newSite(t)
	id := s.Container("App")
	s.Report(id, state.Running)
	page := s.get("owner", "/containers/update/"+id)
	require.Contains(t, page.body, "The app is restarted with what you change here.")
	got := s.post("owner", "/containers/update/"+id, form(t, page.body, "environment", `{"B":"new","A":2}`)...)
	require.Equal(t, 302, got.status, got.body)
	c, _ := s.Read(id)
	require.Equal(t, state.Restart, c.Action)
	require.JSONEq(t, `{"B":"<masked>","A":2}`, string(c.Environment))
	require.Contains(t, s.get("owner", "/containers/detail/"+id, "Cookie", got.header.Get("Set-Cookie")).body, "Container updated and restarted.")
	require.Contains(t, s.get("owner", "/containers/detail/"+id).body, `href="/containers/update/`+id)
	require.NotContains(t, s.get("guest", "/containers/detail/"+id).body, "/containers/update/")
}

package testbed_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

func uuidOf(t *testing.T, body []byte) string {
	t.Helper()
	var made struct {
		UUID string `json:"sodar_uuid"`
	}
	require.NoError(t, json.Unmarshal(body, &made), string(body))
	return made.UUID
}

// TestContainersFetchSmallFiles has the whole way: an upload, a link in the command, the agent, and who gets nothing.
func TestContainersFetchSmallFiles(t *testing.T) {
	t.Parallel()
	const image = "kiosc-test/bytes:files"
	testbed.Image(t, image, "kiosc/deploy/testbed/bytesapp")
	k := testbed.Start(t)
	project := k.Project()
	file := k.Upload(project, "my data.csv", []byte("a,b\n1,2\n"))
	link := "http://kiosc-web:8080/containers/file/serve/" + file + "/my%20data.csv"
	container := func(project, title string) string {
		t.Helper()
		status, body := k.Request(http.MethodPost, "/containers/api/create/"+project, map[string]any{"title": title,
			"repository": "kiosc-test/bytes", "tag": "files", "container_port": 8080, "command": link})
		require.Equal(t, http.StatusCreated, status, string(body))
		return uuidOf(t, body)
	}
	start := func(id string) {
		t.Helper()
		k.Act("start", id)
		k.WaitState(soon, id, "running")
	}
	ask := func(id, query string) string {
		t.Helper()
		var text string
		k.Wait(soon, "the app answers", func() bool {
			status, body := k.Request(http.MethodGet, "/containers/proxy/"+id+"/fetch?url="+url.QueryEscape(query), nil)
			text = string(body)
			return status == http.StatusOK
		})
		return text
	}
	mine := container(project, "Mine")
	start(mine)
	k.Wait(soon, "the command has fetched the file", func() bool { return k.LogHas(mine, link+": 200 a,b") })
	require.Equal(t, "200 a,b\n1,2\n", ask(mine, link))

	status, body := k.Request(http.MethodPost, "/project/api/create", map[string]any{"title": "Category", "type": "CATEGORY"})
	require.Equal(t, http.StatusCreated, status, string(body))
	status, body = k.Request(http.MethodPost, "/project/api/create", map[string]any{"title": "Other", "type": "PROJECT", "parent": uuidOf(t, body)})
	require.Equal(t, http.StatusCreated, status, string(body))
	other := container(uuidOf(t, body), "Other")
	start(other)
	k.Wait(soon, "the other project's container gets nothing", func() bool { return k.LogHas(other, link+": 404") })
	gateway := k.Docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}", k.Containers(mine)[0])[0]
	require.NotContains(t, ask(other, strings.Replace(link, "kiosc-web", gateway, 1)), "a,b")

	large := bytes.Repeat([]byte("0123456789"), 300_000)
	k.Replace(file, "my data.csv", large)
	require.Equal(t, "200 "+string(large), ask(mine, link), "what is there now, not what the agent has kept")

	k.Kill()
	k.Run()
	k.Wait(soon, "the file after a crash of the manager and the agent", func() bool { return ask(mine, link) == "200 "+string(large) })
	status, _ = k.Request(http.MethodDelete, "/files/api/file/retrieve-update-destroy/"+file, nil)
	require.Equal(t, http.StatusNoContent, status)
	require.Contains(t, ask(mine, link), "404 ")
}

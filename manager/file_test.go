package manager_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
	"kiosc/deploy/testbed/simhost"
)

// upload sends a file, whose content pause may interrupt: it is called after the first half.
func (n *node) upload(token, project, name string, content []byte, pause func()) (id string, err error) {
	body, to := io.Pipe()
	form := multipart.NewWriter(to)
	go func() {
		form.WriteField("name", name)
		part, err := form.CreateFormFile("file", name)
		if err != nil {
			return // it was answered already, and nobody reads on
		}
		part.Write(content[:len(content)/2])
		pause()
		part.Write(content[len(content)/2:])
		to.CloseWithError(form.Close())
	}()
	r, err := http.NewRequest(http.MethodPost, "http://"+n.m.Addr()+"/files/api/file/list-create/"+project, body)
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "token "+token)
	r.Header.Set("Content-Type", form.FormDataContentType())
	client := http.Client{Timeout: 2 * soon}
	defer client.CloseIdleConnections()
	answer, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("%d: %s (%w)", answer.StatusCode, text, err)
	}
	var made described
	return made.UUID, json.Unmarshal(text, &made)
}

func (n *node) serve(token, file string) ([]byte, error) {
	r, err := http.NewRequest(http.MethodGet, "http://"+n.m.Addr()+"/files/api/file/serve/"+file, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "token "+token)
	client := http.Client{Timeout: soon}
	defer client.CloseIdleConnections()
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return io.ReadAll(answer.Body)
}

// severalChunks is the size of a file that goes in as five entries of the log.
const severalChunks = 1 << 20

// contentOf is not the same for different n.
func contentOf(n, size int) []byte {
	seed := sha256.Sum256(fmt.Append(nil, n))
	return bytes.Repeat(seed[:], size/len(seed))
}

// TestUploadsThroughThreeManagers sends files through all managers at once and reads each from all. Then the leader ends
// during the upload of one that is as large as it may be.
func TestUploadsThroughThreeManagers(t *testing.T) {
	all := three(t)
	first, _ := leader(all)
	token := first.token()
	var projects []described
	first.api(token, http.MethodGet, "/project/api/list", nil, &projects)
	project, term := projects[0].UUID, first.status().Term
	for _, n := range all {
		require.Eventually(t, func() bool { return n.try(token, http.MethodGet, "/project/api/list") == http.StatusOK }, soon, 10*time.Millisecond,
			"the token is known here, too")
	}
	ids, errs := make([]string, 6), make([]error, 6)
	var uploads sync.WaitGroup
	for i := range ids {
		uploads.Go(func() {
			errs[i] = errors.New("503") // as a client that is told to try again
			for end := time.Now().Add(2 * soon); errs[i] != nil && strings.HasPrefix(errs[i].Error(), "503") && time.Now().Before(end); {
				ids[i], errs[i] = all[i%3].upload(token, project, fmt.Sprint("file", i), contentOf(i, severalChunks), func() {})
			}
		})
	}
	uploads.Wait()
	for i, id := range ids {
		require.NoError(t, errs[i])
		for _, n := range all {
			require.Eventually(t, func() bool { // a manager that took no part may be a moment behind
				got, err := n.serve(token, id)
				return err == nil && bytes.Equal(contentOf(i, severalChunks), got)
			}, soon, 10*time.Millisecond)
		}
	}
	t.Logf("%d elections during the uploads", first.status().Term-term) // none on a machine that isn't overloaded

	last, others := leader(all)
	late, err := others[0].upload(token, project, "late", contentOf(7, state.DefaultFileSize), func() { last.end() })
	require.NoError(t, err, "the death of a leader is a delay")
	got, err := others[0].serve(token, late)
	require.NoError(t, err)
	require.True(t, bytes.Equal(contentOf(7, state.DefaultFileSize), got))
}

// TestAgentsGetFilesForTheirContainersOnly asks each manager, of which two follow.
func TestAgentsGetFilesForTheirContainersOnly(t *testing.T) {
	all := three(t)
	first, _ := leader(all)
	token := first.token()
	hosts, ordered := []*simhost.Host{{Name: "one"}, {Name: "two"}}, make(chan int, 100)
	for i, h := range hosts {
		h.Ordered = func(*wire.Order) { ordered <- i }
		first.host(h)
	}
	id := first.started(token)
	var projects []described
	var made described
	first.api(token, http.MethodGet, "/project/api/list", nil, &projects)
	content := contentOf(1, 100_000)
	mine, err := first.upload(token, projects[0].UUID, "mine", content, func() {})
	require.NoError(t, err)
	first.api(token, http.MethodPost, "/project/api/create", map[string]any{"title": "Category", "type": "CATEGORY"}, &made)
	first.api(token, http.MethodPost, "/project/api/create", map[string]any{"title": "Other", "type": "PROJECT", "parent": made.UUID}, &made)
	theirs, err := first.upload(token, made.UUID, "theirs", content, func() {})
	require.NoError(t, err)
	at := <-ordered
	home, other := hosts[at], hosts[1-at]
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	for _, n := range all {
		ask := func(h *simhost.Host, file, container string) (bool, []byte) {
			t.Helper()
			answer, got, err := h.File(ctx, n.cfg.ClusterListen, wire.FileHeader{File: file, Container: container})
			require.NoError(t, err)
			return answer.Missing, got
		}
		missing, got := ask(home, mine, id)
		require.False(t, missing)
		require.True(t, bytes.Equal(content, got))
		for _, c := range []struct {
			host            *simhost.Host
			file, container string
		}{{other, mine, id}, {home, theirs, id}, {home, mine, "unknown"}, {home, "unknown", id}} {
			missing, got := ask(c.host, c.file, c.container)
			require.True(t, missing)
			require.Empty(t, got)
		}
	}
	first.api(token, http.MethodPost, "/containers/api/stop/"+id, nil, &struct{}{})
	require.Eventually(t, func() bool {
		var now described
		first.api(token, http.MethodGet, "/containers/api/detail/"+id, nil, &now)
		return now.State == "exited"
	}, soon, 20*time.Millisecond)
	answer, _, err := home.File(ctx, first.cfg.ClusterListen, wire.FileHeader{File: mine, Container: id})
	require.NoError(t, err)
	require.True(t, answer.Missing, "it no longer runs")
}

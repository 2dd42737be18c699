//go:build e2e

package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestLargeBodies sends and fetches many GiB: through the front door, the tunnel and the agent, which are one process here.
func TestLargeBodies(t *testing.T) {
	const (
		size   = 4 << 30
		growth = 64 << 20
		image  = "kiosc-e2e/bytes:1"
	)
	testbed.Image(t, image, "kiosc/deploy/testbed/bytesapp")
	k := testbed.Start(t)
	id := k.Create("Bytes", map[string]any{"repository": "kiosc-e2e/bytes", "tag": "1"})
	k.Act("start", id)
	k.WaitState(moment, id, "running")
	app := "/containers/proxy/" + id + "/"
	k.Wait(moment, "the app answers", func() bool {
		status, _ := k.Request(http.MethodGet, app+"?n=1", nil)
		return status == http.StatusOK
	})
	before := k.PeakMemory()
	client := http.Client{Timeout: 5 * time.Minute}
	ask := func(method, query string, length int64) *http.Response {
		var body io.Reader
		if method == http.MethodPost {
			body = io.LimitReader(zeros{}, size)
		}
		r, err := http.NewRequest(method, "http://"+k.Addr+app+query, body)
		require.NoError(t, err)
		r.Header.Set("Authorization", "token "+k.Token)
		r.ContentLength = length
		answer, err := client.Do(r)
		require.NoError(t, err)
		t.Cleanup(func() { answer.Body.Close() })
		require.Equal(t, http.StatusOK, answer.StatusCode)
		return answer
	}
	for _, length := range []int64{size, -1} {
		began := time.Now()
		taken, err := io.ReadAll(ask(http.MethodPost, "", length).Body)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(int64(size)), string(taken))
		t.Logf("up, length %d: %s", length, time.Since(began))
	}
	for _, query := range []string{"?n=%d", "?n=%d&chunked=1"} {
		began := time.Now()
		n, err := io.Copy(io.Discard, ask(http.MethodGet, fmt.Sprintf(query, int64(size)), 0).Body)
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		t.Logf("down, %s: %s", query, time.Since(began))
	}
	require.Less(t, k.PeakMemory()-before, int64(growth))
}

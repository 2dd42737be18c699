package fleet_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

const (
	floodMB     = 50 // per second
	visitsEvery = 5 * time.Millisecond
	visitsFor   = 8 * time.Second
	floodRounds = 3
	floodLimit  = time.Minute
)

// BenchmarkFlood has visitors of one app while another container of the same host floods its log. It compares with the
// same flood of a container that Docker alone runs, because Docker's own work takes its part of the machine, too.
func BenchmarkFlood(b *testing.B) {
	c := testbed.StartCluster(b, testbed.Options{Managers: 1, Agents: 1, Shared: true})
	app := c.Create("app", nil)
	flood := c.Create("flood", map[string]any{"command": fmt.Sprint("--flood ", floodMB)})
	c.Act("start", app)
	c.WaitState(floodLimit, app, "running")
	url := fmt.Sprint("http://", c.Manager(1).Addr, "/containers/proxy/", app, "/")
	c.Wait(floodLimit, "the app answers", func() bool {
		status, _, err := c.Try(floodLimit, http.MethodGet, "/containers/proxy/"+app+"/", nil)
		return err == nil && status == http.StatusOK
	})
	var quiet, docker, kiosc []time.Duration
	for range floodRounds {
		quiet = append(quiet, visits(b, url, c.Token, visitsFor)...)

		id := run(b, "docker", "run", "--detach", "--log-opt", "max-size=64m", "--log-opt", "max-file=2", "kiosc/demo:1", "--flood", fmt.Sprint(floodMB))
		docker = append(docker, visits(b, url, c.Token, visitsFor)...)
		run(b, "docker", "rm", "--force", id)

		c.Act("start", flood)
		c.WaitState(floodLimit, flood, "running")
		kiosc = append(kiosc, visits(b, url, c.Token, visitsFor)...)
		c.Act("stop", flood)
		c.WaitState(floodLimit, flood, "exited")
	}
	require.True(b, c.LogHas(flood, "left out"), "the log tells of lines that were left out")
	p95 := func(all []time.Duration) float64 {
		slices.Sort(all)
		return float64(all[len(all)*95/100].Microseconds()) / 1000
	}
	b.ReportMetric(p95(quiet), "ms-p95-quiet")
	b.ReportMetric(p95(docker), "ms-p95-flood-docker")
	b.ReportMetric(p95(kiosc), "ms-p95-flood-kiosc")
	b.ReportMetric(0, "ns/op")
}

func run(b *testing.B, name string, args ...string) string {
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(b, err, string(out))
	return strings.TrimSpace(string(out))
}

// visits asks for a page at a steady pace, whatever the answers take, and returns how long each took.
func visits(b *testing.B, url, token string, d time.Duration) (took []time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	client := &http.Client{Timeout: floodLimit, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(visitsEvery)
	defer tick.Stop()
	var mu sync.Mutex
	var running sync.WaitGroup
	defer running.Wait()
	for {
		select {
		case <-ctx.Done():
			running.Wait()
			return took
		case <-tick.C:
		}
		running.Add(1)
		go func() {
			defer running.Done()
			began := time.Now()
			request, err := http.NewRequest(http.MethodGet, url, nil)
			if err != nil {
				b.Error(err)
				return
			}
			request.Header.Set("Authorization", "Bearer "+token)
			answer, err := client.Do(request)
			if err != nil {
				b.Error(err)
				return
			}
			defer answer.Body.Close()
			_, err = io.Copy(io.Discard, answer.Body)
			if err != nil || answer.StatusCode != http.StatusOK {
				b.Error(answer.Status, err)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(began))
		}()
	}
}

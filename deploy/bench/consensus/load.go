package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"kiosc/cluster/consensus"
	"kiosc/cluster/state"
)

const (
	warmUp        = time.Second
	linesPerBatch = 100
	lineBytes     = 120
	// fillBatch is how many bytes go into one command when a state is filled, and fillEach how many into one container.
	fillBatch = 96 << 10
	fillEach  = 4 << 20
)

// puts makes commands of 256 bytes that change one of a thousand small records.
func puts(name string) func(writer, i int) state.Command {
	value := strings.Repeat("x", 100)
	return func(writer, i int) state.Command {
		id := fmt.Sprint(name, "-", writer, "-", i%16)
		return &state.NodeRegistered{Node: state.Node{ID: id, Name: id, Role: state.AgentNode, Labels: map[string]string{"v": value}}}
	}
}

const host = "host"

// containers makes a container for each writer, on a host.
func containers(node *consensus.Node, name string, n int) error {
	setup := []state.Command{
		&state.UserCreated{User: state.User{ID: "u-" + name, Name: "u-" + name, Active: true}},
		&state.ProjectCreated{Project: state.Project{ID: "p-" + name, Title: "p-" + name, Type: state.TypeProject}, Owner: "u-" + name},
		&state.NodeRegistered{Node: state.Node{ID: host, Name: host, Role: state.AgentNode}},
	}
	for i := range n {
		id := container(name, i)
		setup = append(setup, &state.ContainerCreated{Container: state.Container{ID: id, Project: "p-" + name, Spec: state.Spec{
			Title: id, Repository: "nginx", Tag: "1", Port: 80, Timeout: 60, MaxRetries: 1, InactivityDays: 7,
		}, CreatedAt: time.Now()}},
			&state.ActionRequested{Container: id, Action: state.Start, Time: time.Now()},
			&state.ContainerPlaced{Container: id, Generation: 1, Node: host},
			&state.ContainerReported{Container: id, Node: host, Generation: 1, Seq: 1, Done: true, State: state.Running, DockerID: id, Time: time.Now()})
	}
	for _, c := range setup {
		if _, err := node.Propose(context.Background(), c); err != nil && state.CodeOf(err) != state.Conflict && state.CodeOf(err) != state.Invalid {
			return fmt.Errorf("%T: %w", c, err)
		}
	}
	return nil
}

func container(name string, writer int) string { return fmt.Sprint("c-", name, "-", writer) }

// lines makes commands that store 100 lines of 120 bytes in a container's log.
func lines(name string) func(writer, i int) state.Command {
	var entries []state.LogEntry
	for i := range linesPerBatch {
		entries = append(entries, state.LogEntry{Time: time.Unix(int64(i), 0), Process: state.ProcessDocker, Text: fmt.Sprintf("%0*d", lineBytes, i*7919)})
	}
	run := fmt.Sprint(time.Now().UnixNano())
	return func(writer, i int) state.Command {
		chunk, err := state.PackLog(entries)
		if err != nil {
			panic(err)
		}
		return appended(container(name, writer), run, i, chunk)
	}
}

// appended is the i-th batch of a Docker container's log.
func appended(container, dockerID string, i int, chunk state.LogChunk) *state.LogAppended {
	place := func(n int) state.Cursor { return state.Cursor{Stdout: state.Place{Time: int64(n), Count: 1}} }
	from := place(i)
	if i == 0 {
		from = state.Cursor{}
	}
	return &state.LogAppended{Container: container, Node: host, DockerID: dockerID, From: from, To: place(i + 1), Chunk: chunk}
}

// fill makes the state so many MiB large, with logs that can't be compressed.
func fill(node *consensus.Node, name string, mib int) error {
	n := mib << 20 / fillEach
	if err := containers(node, name, n); err != nil {
		return err
	}
	for c := range n {
		for i := range fillEach / fillBatch {
			raw := make([]byte, fillBatch*3/4)
			rand.Read(raw)
			chunk, err := state.PackLog([]state.LogEntry{{Text: base64.StdEncoding.EncodeToString(raw)}})
			if err != nil {
				return err
			}
			got, err := node.Propose(context.Background(), appended(container(name, c), "fill", i, chunk))
			if err != nil || !got.(state.LogOutcome).Stored {
				return fmt.Errorf("%v %w", got, err)
			}
		}
	}
	return nil
}

// load has n writers write one after the other for some seconds, after a moment to warm up. It returns how many were
// confirmed in a second, and the median, the 99th percentile and the most of the time that one took, in milliseconds.
func load(node *consensus.Node, n, seconds int, command func(writer, i int) state.Command) string {
	var mu sync.Mutex
	var took []time.Duration
	begin := time.Now().Add(warmUp)
	end := begin.Add(time.Duration(seconds) * time.Second)
	var running sync.WaitGroup
	for w := range n {
		running.Add(1)
		go func() {
			defer running.Done()
			var mine []time.Duration
			for i := 0; time.Now().Before(end); i++ {
				at := time.Now()
				got, err := node.Propose(context.Background(), command(w, i))
				if outcome, is := got.(state.LogOutcome); err != nil || is && !outcome.Stored {
					fmt.Fprintln(os.Stderr, "not written:", got, err)
					return
				}
				if at.After(begin) {
					mine = append(mine, time.Since(at))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		}()
	}
	running.Wait()
	slices.Sort(took)
	if len(took) == 0 {
		return "0 0 0 0"
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("%.0f %.1f %.1f %.1f", float64(len(took))/float64(seconds), ms(took[len(took)/2]), ms(took[len(took)*99/100]), ms(took[len(took)-1]))
}

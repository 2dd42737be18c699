package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// large is the size of a body that would show if it were held in memory.
const large = 512 << 20

// printMemory shows what idle WebSockets cost, and whether large bodies do. It comes before all load, after which a
// process keeps memory for other reasons.
func printMemory(ctx context.Context, targets []*target) error {
	fmt.Printf("\n### Memory\n\n| | at rest, MiB | %d idle WebSockets, MiB | KiB each | highest after %d MiB down and up, MiB |\n|---|--:|--:|--:|--:|\n",
		idleSockets, large>>20)
	for _, t := range targets {
		if len(t.processes) == 0 {
			continue
		}
		if _, err := echoes(ctx, t, 100*time.Millisecond); err != nil { // wakes what sleeps
			return err
		}
		before := memories(t, false)
		conns, err := t.sockets(ctx, idleSockets)
		if err != nil {
			return fmt.Errorf("opening %d WebSockets through %s: %w", idleSockets, t.name, err)
		}
		if err := pingEach(conns); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		with := memories(t, false)
		closeAll(conns)
		for _, upload := range []bool{false, true} {
			if err := pass(ctx, t, large, upload); err != nil {
				return fmt.Errorf("passing a large body through %s: %w", t.name, err)
			}
		}
		peak := memories(t, true)
		for i, p := range t.processes {
			fmt.Printf("| %s | %.1f | %.1f | %.1f | %.1f |\n", t.label(p), mib(before[i]), mib(with[i]),
				float64(with[i]-before[i])/idleSockets, mib(peak[i]))
		}
	}
	return nil
}

// printPeaks shows what all the load has taken.
func printPeaks(targets []*target) {
	fmt.Print("\n### Memory after the load\n\n| | now, MiB | highest, MiB |\n|---|--:|--:|\n")
	for _, t := range targets {
		now, peak := memories(t, false), memories(t, true)
		for i, p := range t.processes {
			fmt.Printf("| %s | %.1f | %.1f |\n", t.label(p), mib(now[i]), mib(peak[i]))
		}
	}
}

// label names one of a target's processes.
func (t *target) label(p *process) string {
	if p.name == t.name {
		return t.name
	}
	return t.name + " " + p.name
}

func mib(kib int) float64 { return float64(kib) / 1024 }

func memories(t *target, peak bool) (kib []int) {
	for _, p := range t.processes {
		kib = append(kib, p.memory(peak))
	}
	return kib
}

// pingEach sends one frame on each WebSocket and waits for it to come back, so that all of them are up.
func pingEach(conns []net.Conn) error {
	for _, conn := range conns {
		if _, err := roundTrips(conn, time.Now()); err != nil {
			return err
		}
		conn.SetDeadline(time.Time{})
	}
	return nil
}

// profiles writes profiles of both nodes under each workload.
func profiles(ctx context.Context, k *kiosc, o options) error {
	if err := os.MkdirAll(o.profile, 0o755); err != nil {
		return err
	}
	o.duration = max(o.duration, 5*time.Second) // longer than a profile
	for i, w := range workloads(o) {
		if _, err := w.run(ctx, k.target()); err != nil { // warm
			return err
		}
		ended := make(chan error, 2)
		for _, node := range []string{"manager", "agent"} {
			go func() {
				ended <- save(ctx, k.pprof(node), "profile?seconds=4", filepath.Join(o.profile, fmt.Sprintf("%d-%s.cpu", i, node)))
			}()
		}
		r, err := k.target().load(ctx, w.run)
		if err != nil {
			return err
		}
		fmt.Printf("%d: %s: %.0f %s, p50 %.2f ms, p99 %.2f ms, CPU %.1f µs each\n", i, w.title, r.rate, w.unit, r.p50, r.p99, r.cpu)
		for range 2 {
			if err := <-ended; err != nil {
				return err
			}
		}
	}
	for _, node := range []string{"manager", "agent"} {
		for _, kind := range []string{"allocs", "heap"} {
			if err := save(ctx, k.pprof(node), kind, filepath.Join(o.profile, node+"."+kind)); err != nil {
				return err
			}
		}
	}
	return nil
}

// save fetches a profile from a node's socket.
func save(ctx context.Context, socket, profile, file string) error {
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node/debug/pprof/"+profile, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, answer.Body)
	return err
}

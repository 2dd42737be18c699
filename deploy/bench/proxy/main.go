// Command proxy measures what Kiosc's proxy costs, next to nginx, HAProxy and Caddy as plain reverse proxies before the
// same backend, on the same machine, in the same minutes. It prints figures and asserts nothing.
//
// Kiosc is a real manager process and a real agent process; the backend is a container that Kiosc has started, so a
// request goes through the front door with a session's cookie, is authorised, and goes over TLS to the agent. All
// others dial the container's address themselves.
//
// Everything runs on one machine, so a ratio is about the whole of the CPU's work for a request and not about latency
// alone. Targets are measured in turn, in reversed order every other round; ratios are those of the same round.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof" // for the nodes, which this program also is
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"kiosc/manager/cli"
)

// self is this program's file.
var self, _ = os.Executable()

func main() {
	if len(os.Args) > 1 && os.Args[1] == "backend" {
		fmt.Fprintln(os.Stderr, serveBackend())
		os.Exit(1)
	}
	if len(os.Args) > 1 && os.Args[1] == "kiosc" {
		if l, err := net.Listen("unix", os.Getenv("KIOSC_BENCH_PPROF")); err == nil {
			go http.Serve(l, nil)
		}
		os.Exit(cli.Main(os.Args[2:], os.Stdout, os.Stderr))
	}
	o := options{}
	flag.IntVar(&o.rounds, "rounds", 4, "how often each target is measured")
	flag.DurationVar(&o.duration, "duration", time.Second, "how long each time, in whole seconds")
	flag.StringVar(&o.only, "only", "", "targets to measure, such as direct,kiosc; all if empty")
	flag.StringVar(&o.workload, "workload", "", "measure only workloads with this in their title, such as 32; all if empty")
	flag.StringVar(&o.profile, "profile", "", "write CPU and allocation profiles of manager and agent to this directory, and measure Kiosc alone")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	rounds                  int
	duration                time.Duration
	only, workload, profile string
}

// workload is one thing to measure.
type workload struct {
	title, unit string
	run         func(context.Context, *target) (result, error)
}

func workloads(o options) []workload {
	var all []workload
	for _, size := range []int{1 << 10, 1 << 20} {
		for _, conns := range []int{32, 256} {
			name := map[int]string{1 << 10: "1 KiB", 1 << 20: "1 MiB"}[size]
			d := o.duration
			if size*conns >= 256<<20 {
				// Many large answers advance together and none is complete for a while, which a short run would mistake.
				d *= 3
			}
			all = append(all, workload{fmt.Sprintf("%s, %d connections", name, conns), "requests/s",
				func(ctx context.Context, t *target) (result, error) { return wrk(ctx, t, size, conns, d) }})
		}
	}
	all = append(all,
		workload{fmt.Sprintf("WebSocket echo of %d bytes, %d connections", echoSize, echoConns), "round trips/s",
			func(ctx context.Context, t *target) (result, error) { return echoes(ctx, t, o.duration) }},
		workload{"First byte of a fresh connection", "connections/s", firstBytes})
	return slices.DeleteFunc(all, func(w workload) bool { return !strings.Contains(w.title, o.workload) })
}

func bench(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "kiosc-bench")
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	k, err := startKiosc(ctx, dir)
	defer func() {
		stop()
		for _, p := range running {
			<-p.ended
		}
		k.remove()
		os.RemoveAll(dir)
	}()
	if err != nil {
		return err
	}
	if o.profile != "" {
		return profiles(ctx, k, o)
	}
	targets, err := startTargets(ctx, k, dir, o.only)
	if err != nil {
		return err
	}
	if o.workload == "" {
		if err := printMemory(ctx, targets); err != nil {
			return err
		}
	}
	return measure(ctx, targets, o)
}

func startTargets(ctx context.Context, k *kiosc, dir, only string) ([]*target, error) {
	backend, err := k.backend(ctx)
	if err != nil {
		return nil, err
	}
	wanted := func(name string) bool { return only == "" || slices.Contains(strings.Split(only, ","), name) }
	var targets []*target
	if wanted("direct") {
		targets = append(targets, &target{name: "direct", addr: backend})
	}
	for _, a := range anchors {
		if !wanted(a.name) {
			continue
		}
		t, err := a.start(ctx, dir, backend)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	if wanted("kiosc") {
		targets = append(targets, k.target())
	}
	return targets, nil
}

func measure(ctx context.Context, targets []*target, o options) error {
	var names []string
	for _, t := range targets {
		names = append(names, t.name)
	}
	order := slices.Clone(targets)
	var tables []*table
	for range o.rounds {
		for i, w := range workloads(o) {
			if i == len(tables) {
				tables = append(tables, &table{title: w.title, unit: w.unit, of: map[string][]result{}})
			}
			for _, t := range order {
				r, err := t.load(ctx, w.run)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", w.title, t.name, err)
				}
				tables[i].of[t.name] = append(tables[i].of[t.name], r)
			}
		}
		slices.Reverse(order)
	}
	fmt.Printf("\n%d rounds of %s; medians, and ratios of the same round with their median (min–max).\n", o.rounds, o.duration)
	for _, t := range tables {
		t.print(names)
	}
	printPeaks(targets)
	return nil
}

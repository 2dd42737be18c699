// Command bench measures a cluster of three managers' Raft nodes in processes of their own, over TLS and with Kiosc's own
// forwarding, as the managers have them. It prints figures and asserts nothing.
//
//	bench writes     256-byte commands, 64 writers at the two managers that don't lead
//	bench logs       log lines stored, in batches of 100 lines of 120 bytes
//	bench failover   time without a confirmed write after kill -9 of the leader, ten times
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"time"

	"kiosc/cluster/consensus"
	"kiosc/cluster/pki"
	"kiosc/cluster/state"
	"kiosc/cluster/wire"
	"kiosc/manager/nodes"
	"kiosc/manager/peers"
)

const (
	writers   = 64
	warmUp    = time.Second
	measure   = 3 * time.Second
	rounds    = 3
	failovers = 10
	clusterID = "bench"
)

func main() {
	if os.Getenv("KIOSC_BENCH_NODE") != "" {
		if err := serve(); err != nil {
			fmt.Fprintln(os.Stderr, "bench node:", err)
			os.Exit(1)
		}
		return
	}
	kind := flag.String("log", "boltdb", "the kind of Raft log, boltdb or wal")
	flag.Parse()
	run, ok := map[string]func(*cluster) error{"writes": writes, "logs": logs, "failover": failover}[flag.Arg(0)]
	if !ok {
		fmt.Fprintln(os.Stderr, "usage: bench [--log wal] writes|logs|failover")
		os.Exit(2)
	}
	if err := withCluster(*kind, run); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings go to a node's process in its environment.
type settings struct {
	Name, Dir, Address, Log string
	Others                  map[string]string // name → address
	First                   bool
}

// serve is a node's process. It does what it is told on standard input, and answers on standard output, in lines.
func serve() error {
	var s settings
	if err := json.Unmarshal([]byte(os.Getenv("KIOSC_BENCH_NODE")), &s); err != nil {
		return err
	}
	identity, err := pki.LoadIdentity(s.Dir)
	if err != nil {
		return err
	}
	credentials := pki.NewCredentials(identity)
	quiet := slog.New(slog.DiscardHandler)
	listener, err := wire.Listen(s.Address, credentials, quiet)
	if err != nil {
		return err
	}
	store, err := state.Open(filepath.Join(s.Dir, fmt.Sprint("state-", time.Now().UnixNano())))
	if err != nil {
		return err
	}
	var node *consensus.Node
	mesh := peers.New(peers.Config{Credentials: credentials, Managers: func() []wire.ManagerAddress { return nodes.Addresses(node) },
		First: func() []any { return nil }, Logger: quiet})
	node, err = consensus.Open(consensus.Config{Dir: filepath.Join(s.Dir, "raft"), NodeID: s.Name, Store: store,
		Layer: wire.NewRaftLayer(listener, credentials, s.Address), Logger: quiet, Bootstrap: s.First, Join: !s.First,
		Log: consensus.LogKind(s.Log), Forward: mesh})
	if err != nil {
		return err
	}
	mesh.Handle(peers.Handlers{Take: node.Take, Told: func(string, any) {}, Left: func(string) {}})
	listener.Handle(wire.ALPNPeer, mesh.Serve)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go listener.Serve(ctx)
	go mesh.Run(ctx)
	go node.Lead(ctx, func(ctx context.Context) { <-ctx.Done() })
	if dir := os.Getenv("KIOSC_BENCH_PROFILE"); dir != "" {
		f, err := os.Create(filepath.Join(dir, s.Name+".prof"))
		if err != nil {
			return err
		}
		pprof.StartCPUProfile(f)
		defer pprof.StopCPUProfile()
	}
	return obey(node, s)
}

func obey(node *consensus.Node, s settings) error {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch word, rest, _ := strings.Cut(in.Text(), " "); word {
		case "leader":
			fmt.Println(node.Leader())
		case "add":
			err := node.AddMember(rest, s.Others[rest])
			if err == nil {
				err = node.SetVoter(rest, s.Others[rest])
			}
			fmt.Println("added", err)
		case "write":
			_, err := node.Propose(context.Background(), &state.Synced{})
			fmt.Println("written", err == nil)
		case "load":
			var n int
			fmt.Sscan(rest, &n)
			fmt.Println(load(node, n, puts(s.Name)))
		case "lines":
			var n int
			fmt.Sscan(rest, &n)
			fmt.Println(load(node, n, lines(s.Name)))
		}
	}
	return in.Err()
}

// puts makes commands of 256 bytes that change one of a thousand small records.
func puts(name string) func(writer, i int) state.Command {
	value := strings.Repeat("x", 200)
	return func(writer, i int) state.Command {
		id := fmt.Sprint(name, "-", writer, "-", i%16)
		return &state.NodeRegistered{Node: state.Node{ID: id, Name: id, Role: state.AgentNode, Labels: map[string]string{"v": value}}}
	}
}

// lines makes commands that store 100 lines of 120 bytes in a container's log.
func lines(string) func(writer, i int) state.Command {
	var entries []state.LogEntry
	for i := range 100 {
		entries = append(entries, state.LogEntry{Time: time.Unix(int64(i), 0), Process: state.ProcessDocker, Text: fmt.Sprintf("%0120d", i*7919)})
	}
	return func(writer, i int) state.Command {
		chunk, err := state.PackLog(entries)
		if err != nil {
			panic(err)
		}
		place := func(n int) state.Cursor { return state.Cursor{Stdout: state.Place{Time: int64(n), Count: 1}} }
		from := place(i)
		if i == 0 {
			from = state.Cursor{}
		}
		return &state.LogAppended{Container: container(writer), Node: "host", DockerID: fmt.Sprint("d", os.Getpid()), From: from, To: place(i + 1), Chunk: chunk}
	}
}

func container(writer int) string { return fmt.Sprint("c", writer) }

// load has n writers write one after the other and returns how many were confirmed in a second, and the median and
// 99th percentile of the time that one took, in milliseconds.
func load(node *consensus.Node, n int, command func(writer, i int) state.Command) string {
	var mu sync.Mutex
	var took []time.Duration
	begin := time.Now().Add(warmUp)
	end := begin.Add(measure)
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
		return "0 0 0"
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("%.0f %.1f %.1f", float64(len(took))/measure.Seconds(), ms(took[len(took)/2]), ms(took[len(took)*99/100]))
}

// process is a node's process as the measuring one sees it.
type process struct {
	settings settings
	cmd      *exec.Cmd
	in       io.WriteCloser
	out      *bufio.Scanner
}

func (p *process) start() (err error) {
	raw, err := json.Marshal(p.settings)
	if err != nil {
		return err
	}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), "KIOSC_BENCH_NODE="+string(raw))
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	p.out = bufio.NewScanner(out)
	return p.cmd.Start()
}

func (p *process) ask(question string) string {
	fmt.Fprintln(p.in, question)
	if !p.out.Scan() {
		return ""
	}
	return p.out.Text()
}

type cluster struct{ all []*process }

func withCluster(kind string, f func(*cluster) error) error {
	dir, err := os.MkdirTemp("", "kiosc-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ca, err := pki.NewCA(clusterID, time.Now())
	if err != nil {
		return err
	}
	c := &cluster{}
	addresses := map[string]string{}
	for i := range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		name := fmt.Sprint("m", i+1)
		addresses[name] = l.Addr().String()
		l.Close()
		identity, err := pki.NewIdentity(ca, pki.RoleManager, name, clusterID, time.Now(), 0)
		if err != nil {
			return err
		}
		s := settings{Name: name, Dir: filepath.Join(dir, name), Address: addresses[name], Log: kind, Others: addresses, First: i == 0}
		if err := identity.Save(s.Dir); err != nil {
			return err
		}
		c.all = append(c.all, &process{settings: s})
	}
	defer func() {
		for _, p := range c.all {
			if p.cmd != nil {
				p.in.Close()
				p.cmd.Wait()
			}
		}
	}()
	for _, p := range c.all {
		if err := p.start(); err != nil {
			return err
		}
	}
	c.leader()
	for _, name := range []string{"m2", "m3"} {
		if got := c.all[0].ask("add " + name); got != "added <nil>" {
			return fmt.Errorf("adding %s: %s", name, got)
		}
	}
	for _, p := range c.all {
		for p.ask("write") != "written true" {
		}
	}
	return f(c)
}

// leader waits for one that all running processes agree on.
func (c *cluster) leader() *process {
	for {
		for _, p := range c.all {
			if p.ask("leader") == p.settings.Name {
				return p
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (c *cluster) followers() (list []*process) {
	leader := c.leader()
	for _, p := range c.all {
		if p != leader {
			list = append(list, p)
		}
	}
	return list
}

// together asks all of them at once and returns the sum of their rates, and their worst times.
func together(list []*process, question string) (rate, p50, p99 float64) {
	var mu sync.Mutex
	var running sync.WaitGroup
	for _, p := range list {
		running.Add(1)
		go func() {
			defer running.Done()
			var r, m, w float64
			fmt.Sscan(p.ask(question), &r, &m, &w)
			mu.Lock()
			defer mu.Unlock()
			rate, p50, p99 = rate+r, max(p50, m), max(p99, w)
		}()
	}
	running.Wait()
	return rate, p50, p99
}

func writes(c *cluster) error {
	for range rounds {
		rate, p50, p99 := together(c.followers(), fmt.Sprint("load ", writers/2))
		fmt.Printf("writes %.0f/s  p50 %.1f ms  p99 %.1f ms\n", rate, p50, p99)
	}
	return nil
}

func logs(c *cluster) error {
	return fmt.Errorf("not part of this build")
}

func failover(c *cluster) error {
	var took []time.Duration
	for range failovers {
		leader := c.leader()
		others := c.followers()
		leader.cmd.Process.Kill()
		began := time.Now()
		for others[0].ask("write") != "written true" {
		}
		took = append(took, time.Since(began))
		leader.cmd.Wait()
		leader.settings.First = false
		if err := leader.start(); err != nil {
			return err
		}
		for leader.ask("write") != "written true" {
		}
	}
	slices.Sort(took)
	fmt.Printf("time without writes: median %s, max %s, all %v\n", took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond), took)
	return nil
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"time"

	"kiosc/cluster/consensus"
	"kiosc/cluster/pki"
	"kiosc/cluster/state"
	"kiosc/cluster/wire"
	"kiosc/manager"
	"kiosc/manager/nodes"
	"kiosc/manager/peers"
)

const (
	// nodeEnv has a node's settings, and makes a process one.
	nodeEnv = "KIOSC_BENCH_NODE"
	// profileEnv is a directory for the nodes' CPU profiles.
	profileEnv = "KIOSC_BENCH_PROFILE"
)

// settings go to a node's process in its environment.
type settings struct {
	Name, Dir, Address, Log string
	Others                  map[string]string // name → address
	First                   bool
}

// serve is a node's process. It does what it is told on standard input, and answers on standard output, in lines.
func serve() error {
	debug.SetGCPercent(manager.GCPercent)
	var s settings
	if err := json.Unmarshal([]byte(os.Getenv(nodeEnv)), &s); err != nil {
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
	if dir := os.Getenv(profileEnv); dir != "" {
		f, err := os.Create(filepath.Join(dir, s.Name+".prof"))
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	return obey(node, s)
}

func obey(node *consensus.Node, s settings) error {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		word, rest, _ := strings.Cut(in.Text(), " ")
		fmt.Println(do(node, s, word, rest))
	}
	return in.Err()
}

func do(node *consensus.Node, s settings, word, rest string) any {
	ctx := context.Background()
	var n, seconds int
	fmt.Sscan(rest, &n, &seconds)
	switch word {
	case "leader":
		return node.Leader()
	case "add":
		err := node.AddMember(rest, s.Others[rest])
		if err == nil {
			err = node.SetVoter(rest, s.Others[rest])
		}
		return fmt.Sprint("added ", err)
	case "write":
		_, err := node.Propose(ctx, &state.Synced{})
		return fmt.Sprint("written ", err == nil)
	case "applied":
		return node.Status().Applied
	case "puts":
		return load(node, n, seconds, puts(s.Name))
	case "lines":
		if err := containers(node, s.Name, n); err != nil {
			return err
		}
		return load(node, n, seconds, lines(s.Name))
	case "fill":
		if err := fill(node, s.Name, n); err != nil {
			return err
		}
		return "filled"
	case "snapshot":
		began := time.Now()
		err := node.Snapshot()
		return fmt.Sprintf("%.1f s, error: %v", time.Since(began).Seconds(), err)
	}
	return "unknown: " + word
}

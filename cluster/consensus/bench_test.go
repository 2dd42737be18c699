package consensus_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"

	"kiosc/cluster/consensus"
	"kiosc/cluster/state"
)

// BenchmarkPropose measures durable writes by 64 callers at once.
func BenchmarkPropose(b *testing.B) {
	store, err := state.Open(filepath.Join(b.TempDir(), "state.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	n, err := consensus.Open(consensus.Config{Dir: b.TempDir(), NodeID: "one", Store: store, Layer: layer{l},
		Logger: slog.New(slog.DiscardHandler), Bootstrap: true})
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	ctx := context.Background()
	if err := n.WaitLeader(ctx); err != nil {
		b.Fatal(err)
	}
	var next atomic.Int64
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id := fmt.Sprint("n", next.Add(1))
			if _, err := n.Propose(ctx, &state.NodeRegistered{Node: state.Node{ID: id, Name: id, Role: state.AgentNode}}); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
}

// Command consensus measures a cluster of three managers' Raft nodes, each a process of its own, over TLS and with
// Kiosc's own forwarding, as the managers have them. It prints figures and asserts nothing.
//
//	writes     commands of 256 bytes, by 64 writers at the two managers that don't lead; beside it, in turns, etcd's puts
//	logs       log lines stored, in batches of 100 lines of 120 bytes
//	failover   time without a confirmed write after kill -9 of the leader, ten times
//	snapshot   a state of 1 GiB is written as a snapshot, and restored on an empty node, while writes go on
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	writers   = 64
	rounds    = 3
	failovers = 10
	stateMiB  = 1024
)

var benches = map[string]func(*cluster) error{"writes": writes, "logs": logs, "failover": failover, "snapshot": snapshot}

func main() {
	if os.Getenv(nodeEnv) != "" {
		if err := serve(); err != nil {
			fmt.Fprintln(os.Stderr, "bench node:", err)
			os.Exit(1)
		}
		return
	}
	kind := flag.String("log", "boltdb", "the kind of Raft log, boltdb or wal")
	flag.Parse()
	for _, name := range flag.Args() {
		run, ok := benches[name]
		if !ok {
			fmt.Fprintln(os.Stderr, "usage: consensus [--log wal] writes|logs|failover|snapshot …")
			os.Exit(2)
		}
		if err := withCluster(*kind, run); err != nil {
			fmt.Fprintln(os.Stderr, name+":", err)
			os.Exit(1)
		}
	}
}

// writes takes turns with etcd, so that both have the same machine.
func writes(c *cluster) error {
	other, err := startEtcd()
	if err != nil {
		fmt.Println("without etcd beside it:", err)
	} else {
		defer other.stop()
	}
	for range rounds {
		own := together(c.followers(), fmt.Sprint("puts ", writers/2, " 3"))
		fmt.Printf("writes, %s: %s\n", c.kind, own)
		if other == nil {
			continue
		}
		its, err := other.puts()
		if err != nil {
			return err
		}
		fmt.Printf("etcd's puts: %s; writes are %.2f times as many\n", its, own.rate/its.rate)
	}
	return nil
}

func logs(c *cluster) error {
	for range rounds {
		r := together(c.followers(), fmt.Sprint("lines ", writers/2, " 3"))
		fmt.Printf("log lines, %s: %.0f lines/s  batches: %s\n", c.kind, r.rate*linesPerBatch, r)
	}
	return nil
}

func failover(c *cluster) error {
	var took []time.Duration
	for range failovers {
		leader := c.leader()
		others := c.followers()
		leader.kill()
		began := time.Now()
		for others[0].ask("write") != "written true" {
		}
		took = append(took, time.Since(began).Round(time.Millisecond))
		leader.settings.First = false
		if err := leader.start(); err != nil {
			return err
		}
		for leader.ask("write") != "written true" {
		}
	}
	slices.Sort(took)
	fmt.Printf("time without writes, %s: median %s, max %s, all %v\n", c.kind, took[len(took)/2], took[len(took)-1], took)
	return nil
}

func snapshot(c *cluster) error {
	leader, writer, other := c.leader(), c.followers()[0], c.followers()[1]
	began := time.Now()
	if got := leader.ask(fmt.Sprint("fill ", stateMiB)); got != "filled" {
		return fmt.Errorf("filling the state: %s", got)
	}
	fmt.Printf("state of %d MiB written in %.1f s\n", stateMiB, time.Since(began).Seconds())
	c.settle()
	fmt.Println("writes at rest:", together([]*process{writer}, "puts 32 3"))

	during := make(chan result)
	go func() { during <- together([]*process{writer}, "puts 32 5") }()
	fmt.Println("snapshot:", leader.ask("snapshot"))
	fmt.Println("writes meanwhile:", <-during)

	other.kill()
	if err := other.wipe(); err != nil {
		return err
	}
	go func() { during <- together([]*process{writer}, "puts 32 10") }()
	began = time.Now()
	other.settings.First = false
	if err := other.start(); err != nil {
		return err
	}
	for other.ask("write") != "written true" {
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Printf("an empty node has the state after %.1f s\n", time.Since(began).Seconds())
	fmt.Println("writes meanwhile:", <-during)
	for _, p := range c.all {
		fmt.Println("files of "+p.settings.Name+":", strings.Join(p.files(), ", "))
	}
	return nil
}

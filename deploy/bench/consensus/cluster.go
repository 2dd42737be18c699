package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"kiosc/cluster/pki"
)

const clusterID = "bench"

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
	p.cmd.Env = append(os.Environ(), nodeEnv+"="+string(raw))
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

// ask has the process do something, and returns its answer.
func (p *process) ask(question string) string {
	fmt.Fprintln(p.in, question)
	if !p.out.Scan() {
		return ""
	}
	return p.out.Text()
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// wipe removes the log and the state of a process that doesn't run.
func (p *process) wipe() error {
	states, err := filepath.Glob(filepath.Join(p.settings.Dir, "state-*"))
	if err != nil {
		return err
	}
	for _, path := range append(states, filepath.Join(p.settings.Dir, "raft")) {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// files lists the process's files with their sizes.
func (p *process) files() (list []string) {
	filepath.WalkDir(p.settings.Dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil && info.Size() > 1<<20 {
				list = append(list, fmt.Sprintf("%s %d MiB", d.Name(), info.Size()>>20))
			}
		}
		return nil
	})
	return list
}

// cluster is three processes.
type cluster struct {
	kind string // of Raft log
	all  []*process
}

func withCluster(kind string, f func(*cluster) error) error {
	dir, err := os.MkdirTemp("", "kiosc-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c := &cluster{kind: kind}
	if err := c.prepare(dir); err != nil {
		return err
	}
	defer func() {
		for _, p := range c.all {
			if p.cmd != nil {
				p.in.Close() // it ends by itself, and writes its profile
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
	for _, p := range c.all[1:] {
		if got := c.all[0].ask("add " + p.settings.Name); got != "added <nil>" {
			return fmt.Errorf("adding %s: %s", p.settings.Name, got)
		}
	}
	for _, p := range c.all {
		for p.ask("write") != "written true" {
		}
	}
	return f(c)
}

// prepare gives each node a certificate and an address.
func (c *cluster) prepare(dir string) error {
	ca, err := pki.NewCA(clusterID, time.Now())
	if err != nil {
		return err
	}
	addresses := make(map[string]string)
	for i := range 3 {
		name := fmt.Sprint("m", i+1)
		if addresses[name], err = freeAddress(); err != nil {
			return err
		}
		identity, err := pki.NewIdentity(ca, pki.RoleManager, name, clusterID, time.Now(), 0)
		if err != nil {
			return err
		}
		s := settings{Name: name, Dir: filepath.Join(dir, name), Address: addresses[name], Log: c.kind, Others: addresses, First: i == 0}
		if err := identity.Save(s.Dir); err != nil {
			return err
		}
		c.all = append(c.all, &process{settings: s})
	}
	return nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// leader waits for one.
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

// settle waits until all have applied what the leader has.
func (c *cluster) settle() {
	at := c.leader().ask("applied")
	for _, p := range c.all {
		for p.ask("applied") < at && len(p.ask("applied")) <= len(at) {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// result is what a load has come to: operations per second, and times in milliseconds.
type result struct{ rate, p50, p99, most float64 }

func (r result) String() string {
	return fmt.Sprintf("%.0f/s  p50 %.1f ms  p99 %.1f ms  max %.0f ms", r.rate, r.p50, r.p99, r.most)
}

// together asks all of them at once and returns the sum of their rates, and their worst times.
func together(list []*process, question string) (sum result) {
	var mu sync.Mutex
	var running sync.WaitGroup
	for _, p := range list {
		running.Add(1)
		go func() {
			defer running.Done()
			var r result
			answer := p.ask(question)
			if _, err := fmt.Sscan(answer, &r.rate, &r.p50, &r.p99, &r.most); err != nil {
				fmt.Fprintln(os.Stderr, p.settings.Name+":", answer)
			}
			mu.Lock()
			defer mu.Unlock()
			sum.rate += r.rate
			sum.p50, sum.p99, sum.most = max(sum.p50, r.p50), max(sum.p99, r.p99), max(sum.most, r.most)
		}()
	}
	running.Wait()
	return sum
}

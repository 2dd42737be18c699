package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// etcdStart is how long three etcd processes may take to agree on a leader.
const etcdStart = 20 * time.Second

// etcd is a cluster of three of etcd's own processes, each with its data on the same disk as ours.
type etcd struct {
	dir, client string
	endpoints   []string
	all         []*exec.Cmd
}

// startEtcd needs the etcd program, of the Debian package etcd-server for example.
func startEtcd() (e *etcd, err error) {
	program, err := exec.LookPath("etcd")
	if err != nil {
		return nil, errors.New("the program etcd is not installed")
	}
	dir, err := os.MkdirTemp("", "kiosc-bench-etcd")
	if err != nil {
		return nil, err
	}
	e = &etcd{dir: dir, client: filepath.Join(dir, "client")}
	defer func() {
		if err != nil {
			e.stop()
		}
	}()
	build := exec.Command("go", "build", "-o", e.client, ".")
	build.Dir = "deploy/bench/consensus/etcd"
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building etcd's client (run the benchmark in the project's directory): %w\n%s", err, out)
	}
	var peers, members []string
	for i := range 3 {
		peer, err := freeAddress()
		if err != nil {
			return nil, err
		}
		endpoint, err := freeAddress()
		if err != nil {
			return nil, err
		}
		peers, e.endpoints = append(peers, "http://"+peer), append(e.endpoints, "http://"+endpoint)
		members = append(members, fmt.Sprintf("e%d=http://%s", i, peer))
	}
	for i := range 3 {
		cmd := exec.Command(program, "--name", fmt.Sprint("e", i), "--data-dir", filepath.Join(dir, fmt.Sprint(i)), "--log-level", "error",
			"--listen-client-urls", e.endpoints[i], "--advertise-client-urls", e.endpoints[i], "--listen-peer-urls", peers[i],
			"--initial-advertise-peer-urls", peers[i], "--initial-cluster", strings.Join(members, ","), "--initial-cluster-state", "new")
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		e.all = append(e.all, cmd)
	}
	for deadline := time.Now().Add(etcdStart); ; {
		if _, err = e.puts(); err == nil || time.Now().After(deadline) {
			return e, err
		}
	}
}

// puts measures once.
func (e *etcd) puts() (r result, err error) {
	out, err := exec.Command(e.client, strings.Join(e.endpoints, ",")).Output()
	if err == nil {
		_, err = fmt.Sscan(string(out), &r.rate, &r.p50, &r.p99, &r.most)
	}
	if err != nil {
		return r, fmt.Errorf("etcd's client: %w", err)
	}
	return r, nil
}

func (e *etcd) stop() {
	for _, cmd := range e.all {
		cmd.Process.Kill()
		cmd.Wait()
	}
	os.RemoveAll(e.dir)
}

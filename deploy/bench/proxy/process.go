package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
)

// process is one that the bench has started. It is ended when the context ends with which its command was made.
type process struct {
	name, out string
	pid       int
	ended     chan struct{}
}

func start(name string, cmd *exec.Cmd, dir string) (*process, error) {
	p := &process{name: name, out: filepath.Join(dir, name+".out"), ended: make(chan struct{})}
	out, err := os.Create(p.out)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p.pid = cmd.Process.Pid
	go func() {
		cmd.Wait()
		close(p.ended)
	}()
	running = append(running, p)
	return p, nil
}

// running are all processes that were started, for the end of the bench to wait for.
var running []*process

// waitFor polls until the process can do its work.
func (p *process) waitFor(ctx context.Context, ready func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for !ready(ctx) {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s: %w; it wrote: %s", p.name, ctx.Err(), p.tail())
		case <-p.ended:
			return fmt.Errorf("%s has ended; it wrote: %s", p.name, p.tail())
		}
	}
	return nil
}

func (p *process) tail() string {
	out, _ := os.ReadFile(p.out)
	return string(out[max(0, len(out)-2000):])
}

func listens(addr string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// memory is the resident memory of a process and its children in KiB: now, or the highest it has ever been.
func (p *process) memory(peak bool) (kib int) {
	field := "VmRSS:"
	if peak {
		field = "VmHWM:"
	}
	for _, pid := range append(children(p.pid), fmt.Sprint(p.pid)) {
		status, _ := os.ReadFile("/proc/" + pid + "/status")
		for line := range strings.Lines(string(status)) {
			if value, ok := strings.CutPrefix(line, field); ok {
				var n int
				fmt.Sscan(value, &n)
				kib += n
			}
		}
	}
	return kib
}

// tick is the unit of times in /proc, the same on all of Linux's architectures.
const tick = time.Second / 100

// cpu is the time that a process and its children have used.
func (p *process) cpu() (sum time.Duration) {
	for _, pid := range append(children(p.pid), fmt.Sprint(p.pid)) {
		stat, _ := os.ReadFile("/proc/" + pid + "/stat")
		// The name in the second field may have spaces.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, at := range []int{11, 12} { // in user mode and in the kernel
			if len(fields) > at {
				n, _ := strconv.Atoi(fields[at])
				sum += time.Duration(n) * tick
			}
		}
	}
	return sum
}

func children(pid int) []string {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	return strings.Fields(string(raw))
}

package testbed

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 20 * time.Second
	tailSize     = 8000
)

// process is a program that a test starts, ends in any way, and starts again. It writes to a file, so that what it wrote
// can be read at any time and nothing waits for its pipes.
type process struct {
	t    testing.TB
	name string
	out  string // the file

	mu  sync.Mutex
	now *run // nil before the first start
}

// run is from one start to the end after it.
type run struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // once ended is closed
}

func (p *process) start(cmd *exec.Cmd) {
	p.t.Helper()
	require.False(p.t, p.running(), "%s is running", p.name)
	out, err := os.OpenFile(p.out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(p.t, err)
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(p.t, cmd.Start())
	r := &run{cmd: cmd, ended: make(chan struct{})}
	go func() {
		r.err = cmd.Wait()
		close(r.ended)
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = r
}

// current is the run that began last, and whether it has not ended.
func (p *process) current() (r *run, running bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now == nil {
		return nil, false
	}
	select {
	case <-p.now.ended:
		return p.now, false
	default:
		return p.now, true
	}
}

func (p *process) running() bool {
	_, running := p.current()
	return running
}

// stop asks the program to end and returns once it has.
func (p *process) stop(signal os.Signal) {
	p.t.Helper()
	r, running := p.current()
	require.True(p.t, running, "%s is not running", p.name)
	require.NoError(p.t, r.cmd.Process.Signal(signal))
	select {
	case <-r.ended:
		require.NoError(p.t, r.err, "%s: %s", p.name, p.tail())
	case <-time.After(stopTimeout):
		p.kill()
		require.FailNow(p.t, fmt.Sprintf("%s did not stop within %s", p.name, stopTimeout), p.tail())
	}
}

// kill ends the program as a power failure would. It may have ended already.
func (p *process) kill() {
	if r, running := p.current(); running {
		r.cmd.Process.Kill()
		<-r.ended
	}
}

// waitFor waits until the program can do its work, and fails if it ends instead.
func (p *process) waitFor(ready func() bool) {
	p.t.Helper()
	wait(p.t, startTimeout, func() string { return p.name + " is ready" }, func() bool {
		if r, running := p.current(); !running {
			require.FailNow(p.t, fmt.Sprintf("%s ended: %v", p.name, r.err), p.tail())
		}
		return ready()
	})
}

// memory is what a line of the kernel's account of the program says, in bytes.
func (p *process) memory(line string) int64 {
	p.t.Helper()
	r, running := p.current()
	require.True(p.t, running, "%s is not running", p.name)
	status, err := os.ReadFile("/proc/" + strconv.Itoa(r.cmd.Process.Pid) + "/status")
	require.NoError(p.t, err)
	_, rest, _ := strings.Cut(string(status), line)
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	require.NoError(p.t, err)
	return kib << 10
}

// output is all that it has written since its first start.
func (p *process) output() string {
	raw, err := os.ReadFile(p.out)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

func (p *process) tail() string {
	out := p.output()
	return out[max(0, len(out)-tailSize):]
}

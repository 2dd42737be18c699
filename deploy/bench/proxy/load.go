package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	echoConns   = 64
	echoSize    = 64 // bytes of a frame
	firstTries  = 200
	idleSockets = 2000
	patience    = 10 * time.Second
)

// load runs a workload and finds what it costs.
func (t *target) load(ctx context.Context, run func(context.Context, *target) (result, error)) (result, error) {
	before := t.cpu()
	r, err := run(ctx, t)
	if r.count > 0 {
		r.cpu = float64((t.cpu() - before).Microseconds()) / r.count
	}
	return r, err
}

func (t *target) cpu() (sum time.Duration) {
	for _, p := range t.processes {
		sum += p.cpu()
	}
	return sum
}

// target is one way to the backend.
type target struct {
	name, addr string
	path       string // before the backend's own; without a slash at the end
	headers    []string
	processes  []*process
}

// result is one measurement: how many there were and the rate, times in milliseconds, and the CPU time that the target's
// processes took for each, in microseconds.
type result struct{ count, rate, p50, p99, cpu float64 }

// wrk loads a target with requests for size bytes.
func wrk(ctx context.Context, t *target, size, conns int, d time.Duration) (result, error) {
	args := []string{"-t1", fmt.Sprint("-c", conns), fmt.Sprintf("-d%ds", int(d.Seconds())), "--timeout", "10s", "--latency"}
	for _, h := range t.headers {
		args = append(args, "-H", h)
	}
	out, err := exec.CommandContext(ctx, "wrk", append(args, fmt.Sprintf("http://%s%s/%d", t.addr, t.path, size))...).CombinedOutput()
	if err != nil {
		return result{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	var r result
	for line := range strings.Lines(string(out)) {
		switch f := strings.Fields(line); {
		case len(f) == 2 && f[0] == "50%":
			r.p50 = milliseconds(f[1])
		case len(f) == 2 && f[0] == "99%":
			r.p99 = milliseconds(f[1])
		case len(f) > 2 && f[1] == "requests" && f[2] == "in":
			r.count, _ = strconv.ParseFloat(f[0], 64)
		case len(f) == 2 && f[0] == "Requests/sec:":
			r.rate, _ = strconv.ParseFloat(f[1], 64)
		case strings.HasPrefix(strings.TrimSpace(line), "Non-2xx"), strings.HasPrefix(strings.TrimSpace(line), "Socket errors") && !noErrors.MatchString(line):
			return r, fmt.Errorf("%s: %s", t.name, strings.TrimSpace(line))
		}
	}
	return r, nil
}

var noErrors = regexp.MustCompile(`connect 0, read 0, write 0, timeout 0`)

// milliseconds reads a time as wrk writes it, such as 417.00us.
func milliseconds(s string) float64 {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0
	}
	return float64(d.Microseconds()) / 1000
}

// open connects and sends a request's head.
func (t *target) open(ctx context.Context, path string, more ...string) (net.Conn, error) {
	d := net.Dialer{Timeout: patience}
	conn, err := d.DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	method := http.MethodGet
	if slices.ContainsFunc(more, func(h string) bool { return strings.HasPrefix(h, "Content-Length") }) {
		method = http.MethodPost
	}
	head := fmt.Sprintf("%s %s%s HTTP/1.1\r\nHost: %s\r\n", method, t.path, path, t.addr)
	for _, h := range slices.Concat(t.headers, more) {
		head += h + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// upgrade opens a WebSocket.
func (t *target) upgrade(ctx context.Context) (net.Conn, error) {
	conn, err := t.open(ctx, "/ws", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: "+wsKey)
	if err != nil {
		return nil, err
	}
	// Nothing may follow the head before the client has sent something, so no byte is lost in the reader.
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil && answer.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("%s answers %s to a WebSocket", t.name, answer.Status)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// sockets opens n WebSockets.
func (t *target) sockets(ctx context.Context, n int) (conns []net.Conn, err error) {
	for range n {
		conn, err := t.upgrade(ctx)
		if err != nil {
			closeAll(conns)
			return nil, err
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

func closeAll(conns []net.Conn) {
	for _, conn := range conns {
		conn.Close()
	}
}

// echoes counts round trips of one frame on each of some WebSockets.
func echoes(ctx context.Context, t *target, d time.Duration) (result, error) {
	conns, err := t.sockets(ctx, echoConns)
	if err != nil {
		return result{}, err
	}
	defer closeAll(conns)
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	var wg sync.WaitGroup
	end := time.Now().Add(d)
	for _, conn := range conns {
		wg.Go(func() {
			took, err := roundTrips(conn, end)
			mu.Lock()
			defer mu.Unlock()
			all, failed = append(all, took...), errors.Join(failed, err)
		})
	}
	wg.Wait()
	return summary(all, d), failed
}

// roundTrips makes at least one.
func roundTrips(conn net.Conn, end time.Time) (took []time.Duration, err error) {
	conn.SetDeadline(end.Add(patience))
	frame := make([]byte, echoSize)
	frame[0], frame[1] = 0x82, 0x80|(echoSize-6) // binary, masked with zeroes
	for now := time.Now(); len(took) == 0 || now.Before(end); {
		if _, err := conn.Write(frame); err != nil {
			return took, err
		}
		if _, err := io.ReadFull(conn, frame); err != nil {
			return took, err
		}
		next := time.Now()
		took = append(took, next.Sub(now))
		now = next
	}
	return took, nil
}

// firstBytes measures from the start of a fresh connection to the first byte of its answer.
func firstBytes(ctx context.Context, t *target) (result, error) {
	var took []time.Duration
	began := time.Now()
	for range firstTries {
		at := time.Now()
		conn, err := t.open(ctx, "/1024", "Connection: close")
		if err != nil {
			return result{}, err
		}
		_, err = conn.Read(make([]byte, 1))
		took = append(took, time.Since(at))
		conn.Close()
		if err != nil {
			return result{}, err
		}
	}
	return summary(took, time.Since(began)), nil
}

func summary(took []time.Duration, d time.Duration) result {
	if len(took) == 0 {
		return result{}
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	n := float64(len(took))
	return result{count: n, rate: n / d.Seconds(), p50: ms(took[len(took)/2]), p99: ms(took[len(took)*99/100])}
}

// pass sends or fetches one large body and returns what came back.
func pass(ctx context.Context, t *target, size int64, upload bool) error {
	path, more := fmt.Sprint("/", size), "Accept: */*"
	if upload {
		path, more = "/upload", fmt.Sprint("Content-Length: ", size)
	}
	conn, err := t.open(ctx, path, more, "Connection: close")
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	if upload {
		for left := size; left > 0; {
			n, err := conn.Write(body[:min(left, int64(len(body)))])
			if err != nil {
				return err
			}
			left -= int64(n)
		}
		size = 2
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	if n, err := io.Copy(io.Discard, answer.Body); err != nil || n != size {
		return fmt.Errorf("%s: %s with %d bytes: %v", t.name, answer.Status, n, err)
	}
	return nil
}

// Command app is what the tests run in Docker containers. Its first argument says what it does.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	signal.Ignore(syscall.SIGPIPE)
	switch os.Args[1] {
	case "site":
		site(os.Args[2:])
	case "serve":
		serve(os.Args[2])
	case "health":
		health(os.Args[2])
	case "fetch":
		fetch(os.Args[2])
	case "burn":
		go func() {
			for {
			}
		}()
		serve(os.Args[2])
	case "wait":
		wait()
	case "exit":
		code, _ := strconv.Atoi(os.Args[2])
		os.Exit(code)
	case "lines":
		n, _ := strconv.Atoi(os.Args[2])
		lines(n)
	case "flood":
		n, _ := strconv.Atoi(os.Args[2])
		flood(n)
	case "long":
		fmt.Println(strings.Repeat("ü", 150<<10))
		fmt.Fprintln(os.Stderr, strings.Repeat("ü", 30<<10))
		fmt.Println("last")
	case "odd":
		odd()
	case "look":
		look()
	case "whoami":
		fmt.Println("setuid", os.Geteuid())
	case "bomb":
		bomb()
	case "write":
		report("write", os.WriteFile(os.Args[2], []byte(os.Args[3]), 0o644))
	case "read":
		text, err := os.ReadFile(os.Args[2])
		report(string(text), err)
	}
}

func wait() {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	fmt.Println("waiting")
	<-term
}

// flood prints so many lines of 8 KiB at once, and then one each tenth of a second.
func flood(lines int) {
	rest := strings.Repeat("f", 8<<10)
	for n := range lines {
		fmt.Println("flood", n, rest)
	}
	for n := 1; ; n++ {
		fmt.Println("over", n)
		time.Sleep(100 * time.Millisecond)
	}
}

// site serves a page, once it has printed numbered lines; or it fails.
func site(args []string) {
	flags := flag.NewFlagSet("site", flag.ExitOnError)
	lines, fail := flags.Int("lines", 0, "how many"), flags.Bool("fail", false, "end with exit code 1")
	flags.Parse(args)
	if *fail {
		os.Exit(1)
	}
	w := bufio.NewWriter(os.Stdout)
	for n := range *lines {
		fmt.Fprintln(w, "line", n+1)
	}
	fmt.Fprintln(w, "serving")
	w.Flush()
	go func() {
		wait()
		os.Exit(0)
	}()
	http.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "the page") })
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":8080", nil))
	os.Exit(1)
}

// serve echoes until the client has said all.
func serve(port string) {
	go func() {
		wait()
		os.Exit(0)
	}()
	l, err := net.Listen("tcp", ":"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			continue
		}
		go func() {
			defer conn.Close()
			io.Copy(conn, conn)
		}()
	}
}

// health fails three times, answers once, by leading elsewhere, and fails from then on.
func health(port string) {
	go func() {
		wait()
		os.Exit(0)
	}()
	var asked atomic.Int32
	http.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("full") == "1" && asked.Add(1) == 4 {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":"+port, nil))
	os.Exit(1)
}

// asked is a request that a client wants fetch to make, got what it came to.
type asked struct {
	Method, URL string
	Header      http.Header
}

type got struct {
	Error  string
	Status int
	Header http.Header
	Body   []byte
}

// fetch makes the HTTP requests that clients ask it for, one a connection, and tells them the answers.
func fetch(port string) {
	go func() {
		wait()
		os.Exit(0)
	}()
	l, err := net.Listen("tcp", ":"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			continue
		}
		go func() {
			defer conn.Close()
			var a asked
			if json.NewDecoder(conn).Decode(&a) == nil {
				json.NewEncoder(conn).Encode(ask(a))
			}
		}()
	}
}

func ask(a asked) got {
	if a.Method == "DIAL" {
		conn, err := net.DialTimeout("tcp", a.URL, 2*time.Second)
		if err != nil {
			return got{Error: err.Error()}
		}
		conn.Close()
		return got{Status: http.StatusOK}
	}
	r, err := http.NewRequest(a.Method, a.URL, nil)
	if err != nil {
		return got{Error: err.Error()}
	}
	r.Header = a.Header
	client := &http.Client{Timeout: 30 * time.Second}
	answer, err := client.Do(r)
	if err != nil {
		return got{Error: err.Error()}
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return got{Error: err.Error()}
	}
	return got{Status: answer.StatusCode, Header: answer.Header, Body: body}
}

// lines writes n lines to each output, both at the same time.
func lines(n int) {
	var both sync.WaitGroup
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		both.Go(func() {
			w := bufio.NewWriterSize(f, 4096)
			defer w.Flush()
			for i := range n {
				fmt.Fprintf(w, "%d\n", i)
			}
		})
	}
	both.Wait()
}

// odd writes what is hard to send: a long line, bytes that are no UTF-8 and become longer, a CRLF and an empty line.
func odd() {
	fmt.Println(string(bytes.Repeat([]byte("é"), 20<<10)))
	os.Stdout.Write(append(bytes.Repeat([]byte("\xffa"), 8<<9), '\n'))
	os.Stdout.Write(append(bytes.Repeat([]byte("\xfeb"), 15<<9), '\n'))
	fmt.Print("dos\r\n\nlast\n")
}

// look tells what the process may do, one fact a line.
func look() {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if name, value, _ := strings.Cut(line, ":"); name == "CapEff" || name == "CapBnd" || name == "NoNewPrivs" || name == "Seccomp" {
			fmt.Println(name, strings.TrimSpace(value))
		}
	}
	pids, err := os.ReadFile("/sys/fs/cgroup/pids.max")
	if err != nil {
		pids, _ = os.ReadFile("/sys/fs/cgroup/pids/pids.max")
	}
	fmt.Println("pids", strings.TrimSpace(string(pids)))
	var files syscall.Rlimit
	syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files)
	fmt.Println("files", files.Max) // Go raises the soft limit by itself
	var shm syscall.Statfs_t
	syscall.Statfs("/dev/shm", &shm)
	fmt.Println("shm", int64(shm.Blocks)*shm.Bsize)
	_, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_ICMP)
	report("raw socket", err)
	report("mount", syscall.Mount("none", "/tmp", "tmpfs", 0, ""))
	report("device", syscall.Mknod("/disk", syscall.S_IFBLK|0o600, 8<<8))
	_, err = os.Stat("/var/run/docker.sock")
	report("docker socket", err)
	report("root", os.WriteFile("/written", nil, 0o600))
	report("tmp", os.WriteFile("/tmp/written", nil, 0o600))
	report("sysctl", os.WriteFile("/proc/sys/kernel/hostname", []byte("x"), 0))
	setuid()
	surroundings()
}

// setuid tells as whom a program of root's with the setuid bit runs that somebody else starts.
func setuid() {
	program, _ := os.ReadFile("/proc/self/exe")
	if err := os.WriteFile("/setuid", program, 0o755); err != nil {
		return // read-only
	}
	os.Chmod("/setuid", 0o755|os.ModeSetuid)
	cmd := exec.Command("/setuid", "whoami")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	report("setuid program", cmd.Run())
}

// surroundings tells what the process sees of the machine.
func surroundings() {
	fmt.Println("pid", os.Getpid())
	for _, ns := range []string{"net", "pid", "ipc", "mnt", "uts"} {
		id, _ := os.Readlink("/proc/self/ns/" + ns)
		fmt.Println("namespace", id)
	}
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		fmt.Println("interface", i.Name)
	}
	inet6, _ := os.ReadFile("/proc/net/if_inet6")
	fmt.Println("ipv6 addresses", bytes.Count(inet6, []byte("\n")))
	devices, _ := os.ReadDir("/dev")
	for _, d := range devices {
		if d.Type()&os.ModeDevice != 0 {
			fmt.Println("device node", d.Name())
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		before, after, _ := strings.Cut(line, " - ")
		fmt.Println("mounted", strings.Fields(before)[4], strings.Fields(after)[0])
	}
}

// bomb makes processes for as long as it can, and keeps them. It goes around Go's runtime, which can't go on where there is no
// thread for it.
func bomb() {
	n := 0
	for ; n < 100_000; n++ {
		pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			break
		}
		if pid == 0 {
			for {
				syscall.RawSyscall6(syscall.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
			}
		}
	}
	text := []byte("stopped after " + strconv.Itoa(n) + "\n")
	syscall.RawSyscall(syscall.SYS_WRITE, 1, uintptr(unsafe.Pointer(&text[0])), uintptr(len(text)))
	for {
		syscall.RawSyscall6(syscall.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

func report(what string, err error) {
	if err != nil {
		fmt.Println(what, "fails:", err)
		return
	}
	fmt.Println(what, "works")
}

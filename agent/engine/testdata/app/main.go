// Command app is what the tests run in Docker containers. Its first argument says what it does.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
)

func main() {
	signal.Ignore(syscall.SIGPIPE)
	switch os.Args[1] {
	case "serve":
		serve(os.Args[2])
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
	case "odd":
		odd()
	}
}

func wait() {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	fmt.Println("waiting")
	<-term
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

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// backendPort is where the backend listens in its container.
const backendPort = 8080

// The key that clients of the bench send, and the answer to it, which HAProxy checks. Both are RFC 6455's example.
const (
	wsKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	wsAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// body is what answers are cut from.
var body = bytes.Repeat([]byte("0123456789abcde\n"), 64<<10)

// serveBackend is the app that everything is measured against. It knows just enough of HTTP for that, so that it is not
// what limits the figures:
//
//	GET /<n>            n bytes
//	POST anything       reads the body and answers with 2 bytes
//	Upgrade: websocket  sends back every byte
func serveBackend() error {
	l, err := net.Listen("tcp", fmt.Sprint(":", backendPort))
	if err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			r := bufio.NewReader(conn)
			for serveRequest(conn, r) {
			}
		}()
	}
}

// serveRequest answers one request and tells whether another one may follow.
func serveRequest(conn net.Conn, r *bufio.Reader) bool {
	var path string
	var length int64
	keep, upgrade := true, false
	for first := true; ; first = false {
		raw, err := r.ReadSlice('\n')
		if err != nil {
			return false
		}
		line := strings.TrimSuffix(string(raw), "\r\n")
		if line == "" {
			break
		}
		if first {
			_, rest, _ := strings.Cut(line, " ")
			path, _, _ = strings.Cut(rest, " ")
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case strings.EqualFold(name, "Content-Length"):
			length, _ = strconv.ParseInt(value, 10, 64)
		case strings.EqualFold(name, "Connection"):
			keep = !strings.EqualFold(value, "close")
		case strings.EqualFold(name, "Upgrade"):
			upgrade = true
		}
	}
	if upgrade {
		echo(conn, r)
		return false
	}
	if _, err := io.CopyN(io.Discard, r, length); err != nil {
		return false
	}
	size, err := strconv.ParseInt(path[strings.LastIndexByte(path, '/')+1:], 10, 64)
	if err != nil {
		size = 2
	}
	return respond(conn, size, keep) == nil && keep
}

func respond(conn net.Conn, size int64, keep bool) error {
	connection := "keep-alive"
	if !keep {
		connection = "close"
	}
	head := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n", size, connection)
	if size <= 4<<10 {
		_, err := conn.Write(append(head, body[:size]...))
		return err
	}
	if _, err := conn.Write(head); err != nil {
		return err
	}
	for size > 0 {
		n, err := conn.Write(body[:min(size, int64(len(body)))])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}

// echo needs no understanding of frames, and the clients of the bench expect back what they sent.
func echo(conn net.Conn, r *bufio.Reader) {
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Accept: "+wsAccept+"\r\n\r\n"); err != nil {
		return
	}
	buf := make([]byte, 1<<10)
	for {
		n, err := r.Read(buf)
		if err != nil {
			return
		}
		if _, err := conn.Write(buf[:n]); err != nil {
			return
		}
	}
}

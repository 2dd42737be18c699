// Package demo is the app in Kiosc's demo container: one page with live data over server-sent events and a WebSocket
// echo, to see that both pass the proxy. It knows nothing of Kiosc but the headers that every app gets.
package demo

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/coder/websocket"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

const (
	tick         = 500 * time.Millisecond
	shutdownTime = 3 * time.Second
	headTimeout  = 10 * time.Second
	maxMessage   = 64 << 10
)

// Serve answers on addr until ctx ends. It writes a line to log for each WebSocket that opens and closes.
func Serve(ctx context.Context, addr string, log io.Writer) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("serving the demo: %w", err)
	}
	app := &app{log: log, started: time.Now(), ctx: ctx}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", app.page)
	mux.HandleFunc("GET /events", app.events)
	mux.HandleFunc("GET /ws", app.echo)
	mux.HandleFunc("/request", app.request)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: headTimeout}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serving the demo: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := server.Shutdown(stop); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stopping the demo: %w", err)
	}
	<-ended
	return nil
}

type app struct {
	log     io.Writer
	started time.Time
	ctx     context.Context // ends with the server, and with it every stream
}

func (a *app) page(w http.ResponseWriter, r *http.Request) {
	host, _ := os.Hostname()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	data := struct{ Title, User, Host string }{os.Getenv("TITLE"), r.Header.Get("X-Forwarded-User"), host}
	if err := page.Execute(w, data); err != nil {
		fmt.Fprintln(a.log, "demo: the page was not taken:", err)
	}
}

// request tells how a request came here.
func (a *app) request(w http.ResponseWriter, r *http.Request) {
	size, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return // the client has gone
	}
	w.Header().Set("Content-Type", "application/json")
	answer := Request{Method: r.Method, Host: r.Host, URI: r.RequestURI, Header: r.Header, BodyBytes: size}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		fmt.Fprintln(a.log, "demo: the answer was not taken:", err)
	}
}

// Request is what the demo tells of a request to its address /request.
type Request struct {
	Method, Host, URI string
	Header            http.Header
	BodyBytes         int64
}

// events sends one value each tick, two waves that are pleasant to look at.
func (a *app) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		t := time.Since(a.started).Seconds()
		value := 50 + 30*math.Sin(t/3) + 12*math.Sin(t*1.7)
		if _, err := fmt.Fprintf(w, "data: {\"seconds\":%.0f,\"value\":%.2f}\n\n", t, value); err != nil {
			return
		}
		if err := flush.Flush(); err != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		case <-a.ctx.Done():
			return
		}
	}
}

// echo sends every message back. The browser's origin is checked by Kiosc before a request comes here.
func (a *app) echo(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxMessage)
	fmt.Fprintln(a.log, "demo: WebSocket opened by", r.Header.Get("X-Forwarded-User"))
	defer fmt.Fprintln(a.log, "demo: WebSocket closed")
	for {
		kind, message, err := conn.Read(a.ctx)
		if err != nil {
			return
		}
		if err := conn.Write(a.ctx, kind, message); err != nil {
			return
		}
	}
}

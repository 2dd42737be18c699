package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// answer is a response of the proxy itself.
type answer struct {
	status int
	header http.Header
	body   []byte
	close  bool
}

func newAnswer(status int) *answer { return &answer{status: status, header: http.Header{}} }

func (a *answer) json(detail string) {
	a.body, _ = json.Marshal(map[string]string{"detail": detail})
	a.header.Set("Content-Type", "application/json")
}

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto 0;padding:0 1rem;color:#222;background:#fff}
a{color:#0b57d0}@media(prefers-color-scheme:dark){body{color:#eee;background:#1b1b1b}a{color:#8ab4f8}}</style>
</head><body><h1>{{.Title}}</h1><p>{{.Text}}</p>{{if .Retry}}<p><a href="{{.Retry}}">Retry</a></p>{{end}}</body></html>
`))

func (a *answer) page(title, text, retry string) {
	var b bytes.Buffer
	_ = pageTemplate.Execute(&b, struct{ Title, Text, Retry string }{title, text, retry})
	a.body = b.Bytes()
	a.header.Set("Content-Type", "text/html; charset=utf-8")
}

// write sends the answer; its caller closes the connection if a.close is set.
func (a *answer) write(c *client, method string) error {
	a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
	a.header.Set("Cache-Control", "no-store")
	a.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if a.close {
		a.header.Set("Connection", "close")
	}
	b := appendHead(appendStatus(nil, a.status, ""), a.header)
	if method != http.MethodHead {
		b = append(b, a.body...)
	}
	_, err := c.Write(b)
	return err
}

func appendStatus(b []byte, status int, reason string) []byte {
	if reason == "" {
		reason = http.StatusText(status)
	}
	b = strconv.AppendInt(append(b, "HTTP/1.1 "...), int64(status), 10)
	return append(append(append(b, ' '), reason...), "\r\n"...)
}

// appendHead adds fields and the empty line.
func appendHead(b []byte, h http.Header) []byte {
	for name, values := range h {
		for _, v := range values {
			b = appendField(b, name, v)
		}
	}
	return append(b, "\r\n"...)
}

func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	start := len(b)
	b = append(b, value...)
	for i, c := range b[start:] {
		if c == '\r' || c == '\n' || c == 0 { // would end the field early for a lenient reader
			b[start+i] = ' '
		}
	}
	return append(b, "\r\n"...)
}

// isNavigation tells whether a person waits for a page.
func (r *request) isNavigation() bool {
	if r.method != http.MethodGet && r.method != http.MethodHead || r.header.Get("Upgrade") != "" {
		return false
	}
	if mode := r.header.Get("Sec-Fetch-Mode"); mode != "" && mode != "navigate" {
		return false
	}
	return strings.Contains(strings.ToLower(strings.Join(r.header["Accept"], ",")), "text/html")
}

// denied is the answer to what the Gate said.
func (s *Server) denied(req *request, at place, err error) *answer {
	var d *Denial
	if !errors.As(err, &d) {
		s.log.Error("deciding on a request failed", "container", at.id, "error", err)
		return failure(req, http.StatusInternalServerError, "Something went wrong in Kiosc. Please try again later.")
	}
	switch {
	case d.Kind == NotLoggedIn && req.isNavigation() && at.prefix == "":
		return s.beginHandOver(req, at.id)
	case d.Kind == NotLoggedIn && req.isNavigation():
		return redirect(http.StatusFound, "/login/?next="+url.QueryEscape(req.target))
	case d.Kind == NotRunning && req.isNavigation():
		lobby := Prefix + "lobby/" + at.id + "?next=" + url.QueryEscape(Prefix+at.id+at.rest)
		if at.prefix == "" {
			lobby = s.cfg.Apps.site + lobby
		}
		return redirect(http.StatusFound, lobby)
	case d.Kind == NotLoggedIn:
		a := failure(req, http.StatusUnauthorized, d.Message)
		a.header.Set("Www-Authenticate", "Token")
		return a
	case d.Kind == NotRunning || d.Kind == Unavailable:
		a := failure(req, http.StatusServiceUnavailable, d.Message)
		a.header.Set("Retry-After", "5")
		return a
	}
	// One text for both, or it would tell that a hidden app exists.
	return failure(req, http.StatusNotFound, "There is no such app, or you have no access to it.")
}

func redirect(status int, location string) *answer {
	a := newAnswer(status)
	a.header.Set("Location", location)
	return a
}

// foreign is the answer to what another origin's page makes a browser send.
func foreign(req *request) *answer {
	return failure(req, http.StatusForbidden, "This request was sent by a page of another site.")
}

// unreachable is the answer when the app cannot be talked to.
func unreachable(req *request, t Target, status int) *answer {
	title := oneLine(t.Title)
	if title == "" {
		title = "The app"
	}
	a := failure(req, status, title+" does not answer at the moment. It may still be starting.")
	if status == http.StatusBadGateway {
		a.header.Set("Retry-After", "2")
	}
	return a
}

// isEventSource tells whether a page waits for server-sent events.
func (r *request) isEventSource() bool {
	return r.method == http.MethodGet && r.header.Get("Accept") == "text/event-stream"
}

// eventRetry is when a page tries again to get its events, in milliseconds.
const eventRetry = "2000"

// noEvents is an event stream that ends before its first event. Browsers give
// an EventSource up for good at any status but 200, and open one that has
// ended again: so a page whose app is restarted or moved goes on by itself.
func noEvents(text string) *answer {
	a := newAnswer(http.StatusOK)
	a.header.Set("Content-Type", "text/event-stream")
	a.body = []byte("retry: " + eventRetry + "\n: " + oneLine(text) + "\n\n")
	return a
}

// failure says in plain words what went wrong, as a page or as JSON. An event
// stream that may come later ends instead.
func failure(req *request, status int, text string) *answer {
	if req.isEventSource() && (status == http.StatusTooManyRequests || status > http.StatusInternalServerError) {
		return noEvents(text)
	}
	a := newAnswer(status)
	if !req.isNavigation() {
		a.json(text)
		return a
	}
	switch status {
	case http.StatusNotFound:
		a.page("Not found", text, "")
	case http.StatusForbidden:
		a.page("Not allowed", text, "")
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		a.page("Not available right now", text, req.target)
	case http.StatusInternalServerError:
		a.page("Something went wrong", text, req.target)
	default:
		a.page("The app does not answer", text, req.target)
	}
	return a
}

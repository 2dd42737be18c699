package webui

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

const (
	// heartbeat is how often an idle stream sends a comment, so that proxies keep it and a client that has gone is
	// noticed.
	heartbeat = 15 * time.Second
	// recheck is how often at most a stream looks whether its session still stands.
	recheck = 5 * time.Second
	// pollProgress is how often the step of an action is looked at; it isn't in the state, so nothing wakes for it.
	pollProgress = 500 * time.Millisecond
	// gather bounds how often a stream sends, so that a chatty app's lines go out in few pieces.
	gather = 50 * time.Millisecond
	// writeWait bounds how long a client may not read. It is longer than heartbeat, before which it is renewed.
	writeWait = 40 * time.Second

	// An event has at most so many log lines, and ends after the line that reaches so many bytes.
	pieceLines = 500
	pieceBytes = 64 << 10

	// maxStreams bounds the event streams of this process, and of one user in it: each costs two goroutines.
	maxStreams     = 2000
	maxUserStreams = 100
)

// pace has the intervals of event streams, which tests shorten.
type pace struct{ heartbeat, recheck time.Duration }

// streams counts what is open.
type streams struct {
	limit int
	mu    sync.Mutex
	total int
	users map[string]int
}

func (s *streams) enter(user string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= s.limit {
		return state.Errorf(state.Unavailable, "Too many pages are open on this Kiosc at the moment. Try again later.")
	}
	if s.users[user] >= maxUserStreams {
		return state.Errorf(state.TooMany, "You have too many pages of Kiosc open. Close some first.")
	}
	s.total++
	s.users[user]++
	return nil
}

func (s *streams) leave(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.users[user]--; s.users[user] == 0 {
		delete(s.users, user)
	}
}

func (ui *UI) registerEvents(app *fiber.App) {
	app.Get("/containers/ajax/events/:container", ui.data(ui.events))
}

// place is how far a stream has sent a container's log: all before a place of the store, and some lines after it.
type place struct {
	at   uint64
	sent int
}

// parsePlace reads "at" or "at.sent", as the page and Last-Event-ID have it.
func parsePlace(text string) (p place, ok bool) {
	at, sent, _ := strings.Cut(text, ".")
	n, err := strconv.ParseUint(at, 10, 64)
	if err != nil {
		return p, false
	}
	p.at = n
	if m, err := strconv.Atoi(sent); err == nil && m > 0 {
		p.sent = m
	}
	return p, true
}

func (ui *UI) events(v *visit) error {
	if v.Method() != fiber.MethodGet {
		return fiber.ErrMethodNotAllowed
	}
	view, err := ui.container(v)
	if err != nil {
		return err
	}
	filter := logFilter(v.Ctx)
	if err := filter.Validate(); err != nil {
		return err
	}
	if err := ui.streams.enter(v.Actor.User.ID); err != nil {
		return err
	}
	s := &stream{ui: ui, actor: v.Actor, session: v.Session, container: view.ID, project: view.Project, filter: filter,
		checked: time.Now(), conn: v.Context().Conn()}
	var known bool
	if s.place, known = parsePlace(v.Get("Last-Event-ID")); !known {
		s.place, known = parsePlace(v.Query("place"))
	}
	if !known && view.Rights[auth.ViewLogs] {
		if _, s.place.at, err = ui.svc.Logs(v.Actor, view.ID, service.LogFilter{}, 0); err != nil {
			ui.streams.leave(v.Actor.User.ID)
			return err
		}
	}
	v.Set(fiber.HeaderContentType, "text/event-stream")
	v.Set("X-Accel-Buffering", "no") // nginx would gather events
	v.Context().SetBodyStreamWriter(s.run)
	return nil
}

// stream is one event stream. It lives longer than its handler and keeps nothing of the request but the connection.
type stream struct {
	ui        *UI
	actor     service.Actor
	session   string
	container string
	project   string
	filter    service.LogFilter
	conn      net.Conn

	out     *bufio.Writer
	place   place
	state   []byte // the last sent one
	checked time.Time
	sentAt  time.Time
}

// run sends until the client goes, the session or the role ends, or the container is deleted.
func (s *stream) run(out *bufio.Writer) {
	defer s.ui.streams.leave(s.actor.User.ID)
	defer s.conn.SetWriteDeadline(time.Time{}) // the connection may serve another request
	s.out = out
	changed, stop := s.ui.svc.Watch(s.container)
	defer stop()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	if s.comment("hello") != nil {
		return
	}
	for {
		pending, more, err := s.turn()
		if err != nil {
			s.end(err)
			return
		}
		wait := s.ui.pace.heartbeat - time.Since(s.sentAt)
		if pending {
			wait = min(wait, pollProgress)
		}
		if more {
			wait = 0
		}
		timer.Reset(max(wait, 0))
		select {
		case <-changed:
			// Waiting a moment gathers what comes at once.
			timer.Reset(gather)
			select {
			case <-timer.C:
			case <-s.ui.done.Done():
				return
			}
		case <-timer.C:
		case <-s.ui.done.Done():
			return
		}
	}
}

// turn sends what is new. pending says that an action is under way, more that there are further log lines already.
func (s *stream) turn() (pending, more bool, err error) {
	if time.Since(s.checked) >= s.ui.pace.recheck {
		if s.actor, err = s.ui.svc.BySession(s.session); err != nil {
			return false, false, err
		}
		s.checked = time.Now()
	}
	view, err := s.ui.svc.Container(s.actor, s.container)
	if err != nil {
		return false, false, err
	}
	if view.Rights[auth.ViewLogs] {
		if more, err = s.sendLog(); err != nil {
			return false, false, err
		}
	}
	now, err := json.Marshal(s.ui.liveState(view))
	if err != nil {
		return false, false, fmt.Errorf("encoding a state: %w", err)
	}
	if !bytes.Equal(now, s.state) {
		s.state = now
		if err := s.event("state", "", now); err != nil {
			return false, false, err
		}
	}
	if time.Since(s.sentAt) >= s.ui.pace.heartbeat {
		err = s.comment("still here")
	}
	return view.Pending(), more, err
}

// sendLog sends the log lines after the place, in pieces.
func (s *stream) sendLog() (more bool, err error) {
	entries, next, more, err := s.ui.svc.LogsSince(s.actor, s.container, s.filter, s.place.at)
	if err != nil {
		return false, err
	}
	total := len(entries)
	entries = entries[min(s.place.sent, total):]
	for len(entries) > 0 {
		n, size := 0, 0
		for n < len(entries) && n < pieceLines && size < pieceBytes {
			size += len(entries[n].Text)
			n++
		}
		piece, err := json.Marshal(s.ui.format(entries[:n]))
		if err != nil {
			return false, fmt.Errorf("encoding log lines: %w", err)
		}
		entries = entries[n:]
		s.place.sent = total - len(entries)
		id := fmt.Sprintf("%d.%d", s.place.at, s.place.sent)
		if len(entries) == 0 {
			id = strconv.FormatUint(next, 10)
		}
		if err := s.event("log", id, piece); err != nil {
			return false, err
		}
	}
	s.place = place{at: next}
	return more, nil
}

// end tells the client that the container is gone, if that is why. NotFound alone may also mean that the role is lost.
func (s *stream) end(err error) {
	if state.CodeOf(err) != state.NotFound {
		return
	}
	if _, err := s.ui.svc.Project(s.actor, s.project); err == nil {
		_ = s.event("deleted", "", []byte("{}")) // the stream ends in either case
	}
}

func (s *stream) event(name, id string, data []byte) error {
	if id != "" {
		fmt.Fprintf(s.out, "id: %s\n", id)
	}
	fmt.Fprintf(s.out, "event: %s\ndata: %s\n\n", name, data)
	return s.flush()
}

func (s *stream) comment(text string) error {
	fmt.Fprintf(s.out, ": %s\n\n", text)
	return s.flush()
}

// flush fails once the client has gone or hasn't read for writeWait.
func (s *stream) flush() error {
	s.sentAt = time.Now()
	if err := s.conn.SetWriteDeadline(s.sentAt.Add(writeWait)); err != nil {
		return fmt.Errorf("setting a deadline: %w", err)
	}
	if err := s.out.Flush(); err != nil {
		return fmt.Errorf("sending events: %w", err)
	}
	return nil
}

package proxy

import (
	"net/http"
	"sync"
	"time"
)

// Limits bound what one app gets through this server, so that a flood to one
// leaves the others and its host alone.
type Limits struct {
	// Requests is how many a second, in the long run; as many again may come
	// at once after a quiet second. 0 for no limit.
	Requests int
	// Streams is how many exchanges may be open at a time: requests that are
	// being answered, event streams, WebSockets. 0 for no limit.
	Streams int
}

// loads are what all apps have to do at the moment.
type loads struct {
	mu sync.Mutex
	of map[string]*load
}

// load is what one app has to do.
type load struct {
	streams int
	tokens  float64 // requests that may come at once
	at      time.Time
}

// enter counts an exchange in, unless it is one too many: then it returns the
// status that says so, else 0.
func (l *loads) enter(container string, max Limits, now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	app := l.of[container]
	if app == nil {
		if l.of == nil {
			l.of = map[string]*load{}
		}
		app = &load{tokens: float64(max.burst()), at: now}
		l.of[container] = app
	}
	if max.Streams > 0 && app.streams >= max.Streams {
		return http.StatusServiceUnavailable
	}
	if max.Requests > 0 {
		app.tokens = min(app.tokens+now.Sub(app.at).Seconds()*float64(max.Requests), float64(max.burst()))
		app.at = now
		if app.tokens < 1 {
			return http.StatusTooManyRequests
		}
		app.tokens--
	}
	app.streams++
	return 0
}

// refill is after how long a quiet app may be forgotten.
const refill = 2 * time.Second

func (m Limits) burst() int { return 2 * m.Requests }

func (l *loads) leave(container string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of[container].streams--
}

// forget drops the apps that nobody uses.
func (l *loads) forget(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for container, app := range l.of {
		if app.streams == 0 && now.Sub(app.at) >= refill {
			delete(l.of, container)
		}
	}
}

// busyApp is the answer to a request that is one too many.
func busyApp(req *request, t Target, status int) *answer {
	title := oneLine(t.Title)
	if title == "" {
		title = "The app"
	}
	if status == http.StatusTooManyRequests {
		a := failure(req, status, title+" gets more requests than it is allowed to. Please try again in a moment.")
		a.header.Set("Retry-After", "1")
		return a
	}
	a := failure(req, status, title+" has as many open connections as it is allowed to. Please try again in a moment, or close other windows of it.")
	a.header.Set("Retry-After", "5")
	return a
}

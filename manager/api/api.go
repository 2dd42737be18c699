// Package api is the REST API, at the original Kiosc's paths and with its field names and statuses.
//
// It owns how requests are read and answers look, and who is calling. It decides nothing: each handler decodes, calls
// manager/service, maps the error and renders. It never opens a session and keeps no state of its own.
//
// What must always hold:
//   - A request that changes anything carries an API token, or a browser session together with its CSRF token.
//   - No answer has more of an error than its code and its sentence for people.
//   - Every answer below the API's addresses is JSON, is kept by no cache and has its type taken literally.
package api

import (
	"context"
	"log/slog"

	"github.com/gofiber/fiber/v2"

	"kiosc/manager/service"
)

// Options are what the API needs to know besides the service.
type Options struct {
	// Version is this program's, for those who have logged in; it tells which manager answered during an update.
	Version string
	Logger  *slog.Logger
	// SessionCookie is the name of the cookie that has a browser session's secret.
	SessionCookie string
	// Site is the address at which people open Kiosc, without a slash at its end; empty for that of each request.
	Site string
}

// API answers programs. Its methods may be called from any goroutine.
type API struct {
	service *service.Service
	opts    Options

	routes      []string // method and path of each
	described   []described
	description []byte

	downloads chan struct{} // one taken for each download of a log

	closing context.Context
	close   context.CancelFunc
}

// New makes an API on top of the service.
func New(svc *service.Service, opts Options) *API {
	a := &API{service: svc, opts: opts, downloads: make(chan struct{}, maxDownloads)}
	a.closing, a.close = context.WithCancel(context.Background())
	return a
}

// Close ends the requests that wait for a container to be deleted; the deletions themselves go on. Call it before the
// server's shutdown, which waits for open answers.
func (a *API) Close() { a.close() }

// Register adds the routes. Call it before anything adds routes that match below /containers/api/, /files/api/ or /project/api/.
func (a *API) Register(app *fiber.App) {
	a.registerHealth(app)
	a.registerRemote(app)
	a.registerProjects(app)
	a.registerTimeline(app)
	a.registerFiles(app)
	a.registerContainers(app)
	a.registerTemplates(app)
	a.registerDescription(app)
}

// unasked are headers of every answer: what is shown belongs to one caller, and is never anything but what it says.
func unasked(c *fiber.Ctx) {
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
}

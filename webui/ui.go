// Package webui is what people see of Kiosc in a browser: the pages on Fiber, their templates, their assets and the
// parts that live, which are the details page and the lobby.
//
// It owns HTML, forms, cookies and event streams. It decides nothing: manager/service says who may see and do what, and
// every handler reads as decode, call the service, map the error, render. It never talks to Docker, to agents or to an
// app; opening an app is the proxy's, on the addresses below /containers/proxy/<uuid>/.
//
// What must always hold:
//   - A POST changes something only with the session's CSRF token, and never when a browser says that it comes from
//     another site. No GET changes anything, but the one with which somebody comes back from an OpenID provider.
//   - Apps run in the same browser origin, unless they have hosts of their own. So a page is given only to a navigation and never to a script (see
//     refuseScripts), because whoever reads a page can read its CSRF token.
//   - A page is a typed struct with a Render method, and offers nothing that its visitor may not do.
//   - Nothing comes from another host, and there is no inline script or style: the pages' CSP forbids both.
package webui

import (
	"context"
	"log/slog"
	"time"

	"github.com/gofiber/fiber/v2"

	"kiosc/manager/service"
)

// Options are the settings of the UI. The zero value is usable.
type Options struct {
	// Version is shown at the foot of each page; empty for none.
	Version string
	// Logger gets the causes of internal errors; nil for slog.Default().
	Logger *slog.Logger
	// Secure tells whether a request came over TLS, so that its cookies are marked for TLS only. Who trusts a proxy's
	// X-Forwarded-Proto says so here. Nil for never.
	Secure func(*fiber.Ctx) bool
	// CookiePrefix begins the names of cookies: __Host- where all visitors come over TLS, else nothing.
	CookiePrefix string
	// Site is the address at which people open Kiosc, without a slash at its end; empty for that of each request.
	Site string
	// AppHosts says where apps have hosts of their own; nil where they have none.
	AppHosts AppHosts
	// OpenAPI gives the description of the REST API as JSON, once its routes are there; nil for no page about it.
	OpenAPI func() []byte
	// Zone is in which times are shown; nil for time.Local.
	Zone *time.Location
}

// AppHosts are the apps' own hosts.
type AppHosts interface {
	// HandOverURL is where an app takes a code, to go on to next, a path with its query.
	HandOverURL(container, code, next string) string
	// Sources are all these hosts, as a Content-Security-Policy names them.
	Sources() string
}

// UI serves the pages. It is safe for use by many goroutines.
type UI struct {
	svc    *service.Service
	opts   Options
	assets *assets

	streams streams
	pace    pace
	// done ends with Close, so that no event stream keeps a shutdown waiting.
	done   context.Context
	finish context.CancelFunc
}

// New makes the UI. Assets that were not built are no error: the pages then say how to build them.
func New(svc *service.Service, opts Options) (*UI, error) {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Secure == nil {
		opts.Secure = func(*fiber.Ctx) bool { return false }
	}
	if opts.Zone == nil {
		opts.Zone = time.Local
	}
	built, err := loadAssets(embedded)
	if err != nil {
		return nil, err
	}
	if !built.Built {
		opts.Logger.Warn("the web UI's assets were not built, so its pages are plain; run: make assets")
	}
	ui := &UI{svc: svc, opts: opts, assets: built, pace: pace{heartbeat: heartbeat, recheck: recheck},
		streams: streams{limit: maxStreams, users: make(map[string]int)}}
	ui.done, ui.finish = context.WithCancel(context.Background())
	return ui, nil
}

// Close ends all event streams. Call it before the server's shutdown, which waits for open answers.
func (ui *UI) Close() { ui.finish() }

// Register adds the pages' routes. It adds no route that catches everything; see ErrorHandler for unknown addresses.
func (ui *UI) Register(app *fiber.App) {
	ui.registerStatic(app)
	ui.registerLogin(app)
	ui.registerAccount(app)
	ui.registerProjects(app)
	ui.registerTokens(app)
	ui.registerAPIDocs(app)
	ui.registerAdmin(app)
	ui.registerLobby(app)
	ui.registerHandOver(app)
	ui.registerEvents(app)
	ui.registerFigures(app)
	ui.registerCreate(app)
	ui.registerTemplates(app)
	ui.registerRegistries(app)
	ui.registerActions(app)
	ui.registerBulk(app)
	ui.registerList(app)
	ui.registerFiles(app)
	ui.registerContainers(app) // last: /containers/:project fits much
}

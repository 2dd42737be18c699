package manager

import (
	"crypto/tls"
	"net"
	"net/netip"
	"net/url"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/wire"
	"kiosc/manager/api"
	"kiosc/manager/incoming"
	"kiosc/proxy"
	"kiosc/webui"
)

// WebConfig is what an operator decides of the web port.
type WebConfig struct {
	// CertFile and KeyFile are PEM files for TLS; both empty for plain HTTP.
	CertFile, KeyFile string
	// TrustedProxies are where proxies in front connect from.
	TrustedProxies []netip.Prefix
	// Site is the address of Kiosc's own pages; nil where nobody has said. Apps gives apps hosts of their own; nil for
	// none.
	Site *url.URL
	Apps *proxy.AppHosts
	// Limits hold for each app, on each manager by itself.
	Limits proxy.Limits
}

// filesPrefix is where bodies are read as they come, because they may have files.
const filesPrefix = "/files/"

// listenWeb opens the web port.
func (m *Manager) listenWeb() (err error) {
	web := m.cfg.Web
	if web.CertFile != "" {
		if m.certificate, err = proxy.LoadCertificate(web.CertFile, web.KeyFile, m.cfg.Logger); err != nil {
			return err
		}
	}
	if m.web, err = listenShared(m.cfg.Listen); err != nil {
		return listenError(m.cfg.Listen, err)
	}
	if m.certificate != nil {
		m.web = tls.NewListener(m.web, m.certificate.TLSConfig())
	}
	return nil
}

// listenShared listens so that an agent on this machine can have the same port in the projects' networks, where containers
// fetch their files.
func listenShared(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if ip, ipErr := netip.ParseAddr(host); err == nil && (host == "" || ipErr == nil && ip.IsUnspecified()) {
		return wire.ListenShared(address)
	}
	return net.Listen("tcp", address)
}

// URL is where people reach Kiosc, as far as this manager knows.
func (m *Manager) URL() string {
	if m.cfg.Web.Site != nil {
		return m.cfg.Web.Site.String()
	}
	scheme := "http://"
	if m.certificate != nil {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(m.Addr())
	if err != nil {
		return scheme + m.Addr()
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + net.JoinHostPort(host, port)
}

// front is what browsers meet: the proxy, and behind it pages and API.
func (m *Manager) front() (*fiber.App, *proxy.Server, error) {
	web := m.cfg.Web
	prefix := proxy.CookiePrefix(web.Site)
	options := webui.Options{Version: m.cfg.Version, Logger: m.cfg.Logger, CookiePrefix: prefix,
		Secure: func(c *fiber.Ctx) bool { return prefix != "" || secure(c) }}
	if web.Apps != nil {
		options.AppHosts = web.Apps
	}
	if web.Site != nil {
		options.Site = web.Site.String()
	}
	rest := api.New(m.service, api.Options{Version: m.cfg.Version, Logger: m.cfg.Logger, SessionCookie: prefix + webui.SessionCookie, Site: options.Site})
	options.OpenAPI = rest.Description
	ui, err := webui.New(m.service, options)
	if err != nil {
		return nil, nil, err
	}
	app := fiber.New(fiber.Config{
		AppName: "Kiosc", DisableStartupMessage: true, BodyLimit: maxBody, ReadBufferSize: 64 << 10, Immutable: true,
		ErrorHandler: rest.ErrorHandler(ui.ErrorHandler),
	})
	rest.Register(app)
	m.registerAdmin(app)
	ui.Register(app)
	app.Handler() // builds the routes, which Server alone would not
	m.waiting = []interface{ Close() }{ui, rest}
	return app, proxy.New(proxy.Config{
		Gate: gate{m.service}, Dialer: dialer{m.hub}, App: app.Server(), Uploads: incoming.Server(app), UploadPrefix: filesPrefix, SessionCookie: prefix + webui.SessionCookie,
		TrustedProxies: web.TrustedProxies, Apps: web.Apps, Redeemer: gate{m.service}, Logger: m.cfg.Logger,
		Limits: web.Limits, Accessed: func(t proxy.Target) { m.accesses.Note(t.Container, t.User) }, Failed: m.noteFailure,
	}), nil
}

// secure tells whether a request came over TLS. The front door says so, and lets nobody else say it.
func secure(c *fiber.Ctx) bool { return c.Get(fiber.HeaderXForwardedProto) == "https" }

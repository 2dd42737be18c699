package manager

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
	"kiosc/manager/access"
	"kiosc/manager/dispatch"
	"kiosc/manager/service"
	"kiosc/proxy"
)

// gate lets the proxy ask service who may see which app.
type gate struct{ service *service.Service }

// denials maps what service says to what the proxy answers.
var denials = map[state.Code]proxy.DenialKind{
	state.Unauthenticated: proxy.NotLoggedIn,
	state.Forbidden:       proxy.NoAccess,
	state.NotFound:        proxy.NoAccess,
	state.Conflict:        proxy.NotRunning,
	state.Unavailable:     proxy.Unavailable,
	state.TooMany:         proxy.Unavailable,
}

func (g gate) Authorize(_ context.Context, who proxy.Credentials, container string) (proxy.Target, error) {
	var app service.App
	var err error
	if who.App != "" && who.Token == "" {
		app, err = g.service.OpenAppByCookie(who.App, container)
	} else {
		app, err = g.service.OpenApp(who.Session, who.Token, container)
	}
	if err == nil {
		return proxy.Target{Container: app.Container, DockerID: app.DockerID, Node: app.Node, Port: app.Port,
			User: app.User, Title: app.Title, KeepPrefix: app.KeepPrefix}, nil
	}
	return proxy.Target{}, denial(err)
}

func (g gate) Redeem(ctx context.Context, code, container, browser string) (cookie string, life time.Duration, err error) {
	cookie, life, err = g.service.UseAppCode(ctx, code, container, browser)
	return cookie, life, denial(err)
}

// denial is an error of service as the proxy knows it.
func denial(err error) error {
	var refused *state.Error
	if kind, known := denials[state.CodeOf(err)]; known && errors.As(err, &refused) {
		return &proxy.Denial{Kind: kind, Message: refused.Message}
	}
	return err
}

// dialer lets the proxy reach containers through the agents' sessions.
type dialer struct{ hub *dispatch.Hub }

func (d dialer) Dial(ctx context.Context, t proxy.Target) (net.Conn, error) {
	conn, err := d.hub.Dial(ctx, t.Node, wire.ProxyHeader{Container: t.Container, DockerID: t.DockerID, Port: t.Port})
	switch {
	case errors.Is(err, dispatch.ErrRefused):
		return nil, proxy.ErrRefused
	case err != nil && !dispatch.IsAnswer(err):
		return nil, fmt.Errorf("%w: %w", proxy.ErrUnreachable, err)
	}
	return conn, err
}

// failures maps what the proxy finds out to what the logs of containers tell.
var failures = map[proxy.FailureKind]state.AccessFailure{
	proxy.Refused:     state.AppRefused,
	proxy.Late:        state.AppLate,
	proxy.NoAnswer:    state.AppNoAnswer,
	proxy.Unconnected: state.AppUnconnected,
	proxy.Unreachable: state.HostUnreachable,
}

// noteFailure has the log of a container tell that somebody got no answer of its app. What is refused needs no cause.
func (m *Manager) noteFailure(t proxy.Target, f proxy.Failure) {
	cause := f.Cause
	if f.Kind == proxy.Refused {
		cause = nil
	}
	m.accesses.Failed(access.Failure{Container: t.Container, User: t.User, Reason: failures[f.Kind], Cause: cause, Waiting: f.Waiting})
}

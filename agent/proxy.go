package agent

import (
	"context"
	"errors"
	"net"
	"time"

	"kiosc/agent/engine"
	"kiosc/cluster/wire"
)

const (
	// proxyDialTimeout bounds the connection to a container's port.
	proxyDialTimeout = 10 * time.Second
	// maxProxied bounds the proxied connections of one session; more are refused.
	maxProxied = 16384
)

// unconfirmed is what visitors' managers hear while the host may not serve.
const unconfirmed = "This Docker host was cut off and waits for the leader to confirm what it has."

// serveProxy connects a visitor with a container.
func (a *Agent) serveProxy(ctx context.Context, stream *wire.Stream, to wire.ProxyHeader) {
	serving, ok := a.lease.hold()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(serving, cancel)
	defer stop()
	var conn net.Conn
	answer := &wire.ProxyAnswer{Error: unconfirmed}
	if ok {
		conn, answer = a.dialContainer(ctx, to)
	}
	stream.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err := wire.Write(stream, answer); err != nil || conn == nil {
		if conn != nil {
			conn.Close()
		}
		stream.Close()
		return
	}
	stream.SetWriteDeadline(time.Time{})
	wire.Splice(ctx, stream, conn)
}

func (a *Agent) dialContainer(ctx context.Context, to wire.ProxyHeader) (net.Conn, *wire.ProxyAnswer) {
	ctx, cancel := context.WithTimeout(ctx, proxyDialTimeout)
	defer cancel()
	conn, err := a.engine.Dial(ctx, to.DockerID, to.Port)
	if err != nil {
		return nil, &wire.ProxyAnswer{Error: err.Error(), Refused: errors.Is(err, engine.ErrRefused)}
	}
	return conn, &wire.ProxyAnswer{}
}

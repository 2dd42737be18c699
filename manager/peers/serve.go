package peers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"kiosc/cluster/pki"
	"kiosc/cluster/wire"
)

const (
	// maxStreams bounds what one peer has under way here, which is mostly relayed connections of visitors.
	maxStreams = 16384
	// relayTimeout bounds the opening of a stream to an agent for a peer.
	relayTimeout = 10 * time.Second
)

// Serve serves the session of a manager that has dialled this one, until either side ends it.
func (p *Peers) Serve(ctx context.Context, conn *tls.Conn, from pki.Peer) {
	link, err := wire.NewServerSession(conn)
	if err != nil {
		p.cfg.Logger.Warn("another manager's session could not begin", "manager", from.NodeID, "error", err)
		return
	}
	defer link.Close()
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { link.Close() })
	defer stop()
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	room := make(chan struct{}, maxStreams)
	for {
		kind, header, stream, err := link.Accept(ctx)
		if err != nil {
			p.cfg.Logger.Debug("another manager's session ended", "manager", from.NodeID, "reason", err)
			return
		}
		select {
		case room <- struct{}{}:
		default:
			stream.Kill()
			continue
		}
		running.Add(1)
		go func() {
			defer running.Done()
			defer func() { <-room }()
			if err := p.serveStream(ctx, from.NodeID, kind, header, stream); err != nil {
				p.cfg.Logger.Debug("a stream of another manager ended", "manager", from.NodeID, "kind", kind, "reason", err)
			}
		}()
	}
}

func (p *Peers) serveStream(ctx context.Context, from string, kind wire.Kind, header []byte, stream *wire.Stream) error {
	defer stream.Close()
	switch kind {
	case wire.Control:
		return p.listen(from, stream)
	case wire.Forward:
		return p.serveForward(ctx, stream)
	case wire.Call:
		return p.serveCall(ctx, from, stream)
	case wire.Relay:
		return p.serveRelay(ctx, header, stream)
	}
	stream.Kill()
	return fmt.Errorf("a stream of kind %d is not for managers", kind)
}

// listen hears what the other manager tells of itself.
func (p *Peers) listen(from string, stream *wire.Stream) error {
	stream.SetReadDeadline(time.Now().Add(helloTimeout))
	hello, err := wire.ReadAs[*wire.PeerHello](stream)
	if err != nil {
		return err
	}
	version, ok := wire.Negotiate(hello.Versions)
	if !ok {
		reason := fmt.Sprintf("This manager speaks protocol version %d and the other %v; bring both to neighbouring kiosc versions.", wire.Version, hello.Versions)
		return errors.Join(errors.New(reason), write(stream, &wire.Refusal{Reason: reason}))
	}
	own := p.cfg.Credentials.Peer()
	if err := write(stream, &wire.Welcome{Version: version, ClusterID: own.ClusterID, NodeID: own.NodeID}); err != nil {
		return err
	}
	stream.SetReadDeadline(time.Time{})
	p.mu.Lock()
	p.heard[from] = stream
	p.mu.Unlock()
	defer p.left(from, stream)
	for {
		msg, err := wire.Read(stream)
		if err != nil {
			return err
		}
		p.handlers.Told(from, msg)
	}
}

// left forgets a peer whose newest session this was.
func (p *Peers) left(from string, stream *wire.Stream) {
	p.mu.Lock()
	newest := p.heard[from] == stream
	if newest {
		delete(p.heard, from)
	}
	p.mu.Unlock()
	if newest {
		p.handlers.Left(from)
	}
}

// serveRelay connects a peer with an agent that has a session here.
func (p *Peers) serveRelay(ctx context.Context, raw []byte, stream *wire.Stream) error {
	var to wire.RelayHeader
	if err := wire.DecodeHeader(raw, &to); err != nil {
		stream.Kill()
		return err
	}
	opening, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	agent, err := p.handlers.Open(opening, to.Node, to.Kind, wire.RawHeader(to.Header))
	answer := &wire.RelayAnswer{}
	if err != nil {
		answer.Error = err.Error()
	}
	if err := errors.Join(err, write(stream, answer)); err != nil {
		if agent != nil {
			agent.Kill()
		}
		return err
	}
	stream.SetWriteDeadline(time.Time{})
	wire.Splice(ctx, stream, agent)
	return nil
}

// Relay opens a stream to an agent through another manager.
func (p *Peers) Relay(ctx context.Context, through, node string, kind wire.Kind, header any) (_ *wire.Stream, err error) {
	raw, ok := header.(wire.RawHeader)
	if !ok {
		if raw, err = wire.EncodeHeader(header); err != nil {
			return nil, err
		}
	}
	stream, err := p.Open(ctx, through, wire.Relay, wire.RelayHeader{Node: node, Kind: kind, Header: raw})
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		stream.SetReadDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { stream.SetReadDeadline(time.Unix(1, 0)) })
	msg, err := wire.Read(stream)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		answer, ok := msg.(*wire.RelayAnswer)
		switch {
		case !ok:
			err = fmt.Errorf("a relayed stream was answered with %T", msg)
		case answer.Error != "":
			err = errors.New(answer.Error)
		}
	}
	if err != nil {
		stream.Kill()
		return nil, fmt.Errorf("reaching the Docker host through another manager: %w", err)
	}
	stream.SetReadDeadline(time.Time{})
	return stream, nil
}

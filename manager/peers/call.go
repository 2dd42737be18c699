package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
)

// callTimeout bounds a call where its caller's context doesn't.
const callTimeout = 30 * time.Second

// Call asks another manager for something and waits for the answer. The error is a *state.Error where the other manager
// has refused; with code Unavailable where it can't be reached.
func (p *Peers) Call(ctx context.Context, id, method string, in, out any) error {
	link, _ := p.peer(id).session()
	if link == nil {
		return errUnreachable
	}
	return CallOn(ctx, link, method, in, out)
}

var errUnreachable = state.Errorf(state.Unavailable, "The manager that must do this can't be reached at the moment. Try again in a few seconds.")

// CallOn is Call on a session that the caller has.
func CallOn(ctx context.Context, link *wire.Session, method string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encoding a call: %w", err)
	}
	stream, err := link.Open(ctx, wire.Call, nil)
	if err != nil {
		return errUnreachable
	}
	defer stream.Kill()
	deadline, _ := ctx.Deadline()
	stream.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { stream.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := wire.Write(stream, &wire.CallRequest{Method: method, Body: body}); err != nil {
		return errUnreachable
	}
	msg, err := wire.Read(stream)
	if err != nil {
		return errUnreachable
	}
	answer, ok := msg.(*wire.CallAnswer)
	if !ok {
		return fmt.Errorf("a call was answered with %T", msg)
	}
	if answer.Code != "" {
		return state.Errorf(state.Code(answer.Code), answer.Message)
	}
	if err := json.Unmarshal(answer.Body, out); err != nil {
		return fmt.Errorf("decoding the answer to a call: %w", err)
	}
	return nil
}

func (p *Peers) serveCall(ctx context.Context, from string, stream *wire.Stream) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stream.SetDeadline(time.Now().Add(callTimeout))
	request, err := wire.ReadAs[*wire.CallRequest](stream)
	if err != nil {
		return err
	}
	answer := &wire.CallAnswer{}
	answer.Body, err = p.handlers.Call(ctx, from, request.Method, request.Body)
	if err != nil {
		answer.Code, answer.Message = string(state.CodeOf(err)), "The manager that was asked could not do this. Its log says why."
		var refused *state.Error
		if errors.As(err, &refused) {
			answer.Message = refused.Message
		} else {
			p.cfg.Logger.Error("a call of another manager failed", "method", request.Method, "error", err)
		}
	}
	return wire.Write(stream, answer)
}

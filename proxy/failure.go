package proxy

import (
	"context"
	"errors"
	"os"
)

var (
	// ErrRefused says that nothing listens on the app's port (yet).
	ErrRefused = errors.New("proxy: the app does not accept connections")
	// ErrUnreachable says that the container's node can't be reached.
	ErrUnreachable = errors.New("the container's node can't be reached")
)

// FailureKind says why an app gave no answer.
type FailureKind int

// The reasons why there is no answer.
const (
	Refused     FailureKind = iota + 1 // nothing listens on its port
	Late                               // nothing came in time
	NoAnswer                           // it ended the request without an answer, or with one that is no HTTP
	Unconnected                        // its node could not connect to it
	Unreachable                        // its node could not be reached
)

// Failure is one request that an app gave no answer to.
type Failure struct {
	Kind FailureKind
	// Cause is for operators. It may quote what the app has sent.
	Cause error
	// Waiting says that a page of Kiosc's own asks whether the app answers, as
	// it does while the app starts.
	Waiting bool
}

// dialError is that of a connection that could not be made.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

// failed tells of an app that gave no answer. Whoever may not open it any more
// is no visitor: the access was taken away, or the container is being stopped,
// and that has ended the request. The same goes for the server itself.
func (s *Server) failed(c *client, t Target, v visit, err error, waiting bool) {
	if s.cfg.Failed == nil || c.run.ctx.Err() != nil {
		return
	}
	if _, denied := s.cfg.Gate.Authorize(c.run.ctx, v.who, v.container); denied == nil {
		s.cfg.Failed(t, Failure{kindOf(err), err, waiting})
	}
}

func kindOf(err error) FailureKind {
	var dialing dialError
	switch {
	case errors.Is(err, ErrRefused):
		return Refused
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return Late
	case errors.Is(err, ErrUnreachable):
		return Unreachable
	case errors.As(err, &dialing):
		return Unconnected
	}
	return NoAnswer
}

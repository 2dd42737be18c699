package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"kiosc/cluster/pki"
)

// joinTimeout bounds one try to join by one address.
const joinTimeout = 20 * time.Second

// AskToJoin asks one manager after the other for a certificate, until one answers. The error says in a sentence what an
// operator can do about it.
func AskToJoin(ctx context.Context, addresses []string, token pki.JoinToken, request *JoinRequest) (*JoinAnswer, error) {
	err := errors.New("give the address of a manager with --join, such as --join manager.example.org:7443")
	for _, address := range addresses {
		var answer *JoinAnswer
		if answer, err = askToJoin(ctx, address, token, request); err == nil {
			return answer, nil
		}
		var refused *refusedError
		if errors.As(err, &refused) || ctx.Err() != nil {
			break // another manager would say the same
		}
	}
	return nil, err
}

// refusedError is what a manager has said.
type refusedError struct{ reason string }

func (e *refusedError) Error() string { return "the cluster refuses this node: " + e.reason }

func askToJoin(ctx context.Context, address string, token pki.JoinToken, request *JoinRequest) (*JoinAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting to the manager %s: %w", address, err)
	}
	secure := tls.Client(conn, pki.JoinConfig(ALPNJoin, token.Fingerprint))
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("%s is no manager of the cluster that the join token is for; is it the cluster port? (%w)", address, err)
	}
	if err := Write(secure, request); err != nil {
		return nil, fmt.Errorf("asking the manager %s to join: %w", address, err)
	}
	msg, err := Read(secure)
	if err != nil {
		return nil, fmt.Errorf("waiting for the manager %s to answer: %w", address, err)
	}
	answer, ok := msg.(*JoinAnswer)
	switch {
	case !ok:
		return nil, fmt.Errorf("the manager %s answered with %T", address, msg)
	case answer.Refused != "":
		return nil, &refusedError{answer.Refused}
	}
	return answer, nil
}

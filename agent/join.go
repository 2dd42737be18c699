package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"kiosc/cluster/pki"
	"kiosc/cluster/wire"
)

// joinTimeout bounds the whole of Join.
const joinTimeout = 20 * time.Second

// Join makes this machine a node of the cluster that the token is for: the manager at address issues a certificate,
// which is saved in dir.
func Join(ctx context.Context, address, token, name, dir string) (pki.Identity, error) {
	join, err := pki.ParseJoinToken(token)
	if err != nil {
		return pki.Identity{}, err
	}
	if join.Role != pki.RoleAgent {
		return pki.Identity{}, errors.New("this join token is not for agents; print one with: kiosc join-token agent")
	}
	key, csr, err := pki.NewKey()
	if err != nil {
		return pki.Identity{}, err
	}
	answer, err := askToJoin(ctx, address, join, &wire.JoinRequest{Secret: join.Secret, CSR: csr, Name: name})
	if err != nil {
		return pki.Identity{}, err
	}
	identity, err := pki.JoinIdentity(key, answer.Certificate, answer.CA)
	if err != nil {
		return pki.Identity{}, err
	}
	return identity, identity.Save(dir)
}

func askToJoin(ctx context.Context, address string, join pki.JoinToken, request *wire.JoinRequest) (*wire.JoinAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	dialer := &tls.Dialer{Config: pki.JoinConfig(wire.ALPNJoin, join.Fingerprint)}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting to the manager %s: %w", address, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := wire.Write(conn, request); err != nil {
		return nil, fmt.Errorf("asking the manager to join: %w", err)
	}
	msg, err := wire.Read(conn)
	if err != nil {
		return nil, fmt.Errorf("waiting for the manager's answer: %w", err)
	}
	answer, ok := msg.(*wire.JoinAnswer)
	switch {
	case !ok:
		return nil, fmt.Errorf("the manager answered with %T", msg)
	case answer.Refused != "":
		return nil, errors.New(answer.Refused)
	}
	return answer, nil
}

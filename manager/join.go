package manager

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/google/uuid"

	"kiosc/cluster/pki"
	"kiosc/cluster/state"
	"kiosc/cluster/wire"
)

// joinTimeout bounds the whole of one join.
const joinTimeout = 15 * time.Second

// maxJoining bounds the nodes that join at the same time. They have shown nothing yet, so they get little room.
const maxJoining = 16

// refusedJoin is the one answer to every wrong token, so that it tells nothing about the right one.
const refusedJoin = "The join token is not valid for this cluster. Print a new one with: kiosc join-token agent"

// serveJoin gives a certificate to a node that shows the secret of a join token.
func (m *Manager) serveJoin(ctx context.Context, conn *tls.Conn, _ pki.Peer) {
	defer conn.Close()
	select {
	case m.joining <- struct{}{}:
		defer func() { <-m.joining }()
	default:
		return // more strangers than there is room for
	}
	conn.SetDeadline(time.Now().Add(joinTimeout))
	msg, err := wire.Read(conn)
	if err != nil {
		return
	}
	request, ok := msg.(*wire.JoinRequest)
	if !ok {
		return
	}
	answer, err := m.join(request)
	if err != nil {
		m.cfg.Logger.Error("a node could not join", "name", request.Name, "error", err)
		answer = &wire.JoinAnswer{Refused: "The manager could not issue a certificate. Its log says why."}
	}
	if answer.Refused != "" {
		m.cfg.Logger.Warn("a node was not let in", "name", request.Name, "from", conn.RemoteAddr().String())
	} else {
		m.cfg.Logger.Info("a node has joined", "name", request.Name, "node", answer.NodeID)
	}
	wire.Write(conn, answer)
}

func (m *Manager) join(request *wire.JoinRequest) (*wire.JoinAnswer, error) {
	var want []byte
	err := m.store.View(func(tx *state.Tx) error {
		want = tx.JoinTokenHash(string(pki.RoleAgent))
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(want) == 0 || subtle.ConstantTimeCompare(want, pki.HashSecret(request.Secret)) != 1 {
		return &wire.JoinAnswer{Refused: refusedJoin}, nil
	}
	ca, err := m.ca()
	if err != nil {
		return nil, err
	}
	id := uuid.NewString()
	certificate, err := ca.Issue(request.CSR, pki.RoleAgent, id, m.identity.ClusterID, time.Now())
	if err != nil {
		return nil, err
	}
	return &wire.JoinAnswer{NodeID: id, ClusterID: m.identity.ClusterID, Certificate: certificate, CA: ca.Certificate.Raw}, nil
}

// NewJoinToken replaces the token with which agents join, and returns it. Older tokens no longer work; nodes that have
// joined stay.
func (m *Manager) NewJoinToken(ctx context.Context) (string, error) {
	ca, err := m.ca()
	if err != nil {
		return "", err
	}
	token := pki.NewJoinToken(pki.RoleAgent, ca.Certificate)
	_, err = m.node.Propose(ctx, &state.JoinTokenSet{Role: string(token.Role), Hash: pki.HashSecret(token.Secret)})
	if err != nil {
		return "", fmt.Errorf("storing the join token: %w", err)
	}
	return token.String(), nil
}

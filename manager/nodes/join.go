package nodes

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"errors"
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
const refusedJoin = "The join token is not valid for this cluster. Print the present one with: kiosc join-token "

// ErrRemoved says that a node is no longer part of the cluster.
var ErrRemoved = errors.New("this node was removed from the cluster; give it an empty data directory to join again")

// ServeJoin gives a certificate to a node that shows the secret of a join token.
func (n *Nodes) ServeJoin(ctx context.Context, conn *tls.Conn, _ pki.Peer) {
	defer conn.Close()
	select {
	case n.joining <- struct{}{}:
		defer func() { <-n.joining }()
	default:
		return // more strangers than there is room for
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	conn.SetDeadline(time.Now().Add(joinTimeout))
	request, err := wire.ReadAs[*wire.JoinRequest](conn)
	if err != nil {
		return
	}
	logger := n.logger.With("name", request.Name, "role", request.Role, "from", conn.RemoteAddr().String())
	answer, err := n.join(ctx, request)
	var refused *state.Error
	switch {
	case errors.As(err, &refused):
		answer = &wire.JoinAnswer{Refused: refused.Message}
		logger.Warn("a node was not let in", "reason", refused.Message)
	case err != nil:
		answer = &wire.JoinAnswer{Refused: "The manager could not issue a certificate. Its log says why."}
		logger.Error("a node could not join", "error", err)
	default:
		logger.Info("a node has joined", "node", answer.NodeID)
	}
	wire.Write(conn, answer)
}

func (n *Nodes) join(ctx context.Context, request *wire.JoinRequest) (*wire.JoinAnswer, error) {
	if _, ok := wire.Negotiate(request.Versions); !ok {
		return nil, state.Errorf(state.Conflict, fmt.Sprintf("This manager speaks protocol version %d and the node %v; bring both to neighbouring kiosc versions.", wire.Version, request.Versions))
	}
	role := pki.Role(request.Role)
	if role != pki.RoleAgent && role != pki.RoleManager {
		return nil, state.Errorf(state.Invalid, "A node joins as manager or as agent.")
	}
	var want []byte
	err := n.store.View(func(tx *state.Tx) error {
		want = tx.JoinTokenHash(request.Role)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(want) == 0 || subtle.ConstantTimeCompare(want, pki.HashSecret(request.Secret)) != 1 {
		return nil, state.Errorf(state.Forbidden, refusedJoin+request.Role)
	}
	ca, err := n.cfg.CA()
	if err != nil {
		return nil, err
	}
	own := n.cfg.Credentials.Peer()
	peer := pki.Peer{Role: role, NodeID: uuid.NewString(), ClusterID: own.ClusterID}
	if len(request.Former) > 0 {
		former, err := ca.Former(request.Former, request.CSR)
		if err != nil || former.Role != role || former.ClusterID != own.ClusterID {
			return nil, state.Errorf(state.Forbidden, "The certificate in the node's data directory is not of this cluster. Give it an empty data directory to join.")
		}
		peer = former
	}
	certificate, err := ca.Issue(request.CSR, peer.Role, peer.NodeID, peer.ClusterID, time.Now(), n.cfg.CertLife)
	if err != nil {
		return nil, err
	}
	_, err = n.node.Propose(ctx, &state.NodeRegistered{Node: state.Node{
		ID: peer.NodeID, Name: request.Name, Role: state.NodeRole(role), JoinedAt: time.Now().UTC(), Address: request.Address,
	}})
	if err != nil {
		return nil, err
	}
	return &wire.JoinAnswer{NodeID: peer.NodeID, ClusterID: peer.ClusterID, Certificate: certificate, CA: ca.Certificate.Raw,
		Managers: Addresses(n.node)}, nil
}

// Renew makes a new certificate for a node that has shown its present one.
func (n *Nodes) Renew(peer pki.Peer, csr []byte) ([]byte, error) {
	if err := n.Refuse(peer); err != nil {
		return nil, err
	}
	ca, err := n.cfg.CA()
	if err != nil {
		return nil, err
	}
	return ca.Issue(csr, peer.Role, peer.NodeID, peer.ClusterID, time.Now(), n.cfg.CertLife)
}

func tokenContext(role string) string { return "join-token\x00" + role }

// JoinToken returns the join token for a role, which is made when it is first asked for. rotate makes a new one, and
// ends the one before.
func (n *Nodes) JoinToken(ctx context.Context, role string, rotate bool) (string, error) {
	if role != string(pki.RoleAgent) && role != string(pki.RoleManager) {
		return "", state.Errorf(state.Invalid, "Join tokens are for managers or agents.")
	}
	ca, err := n.cfg.CA()
	if err != nil {
		return "", err
	}
	token := pki.NewJoinToken(pki.Role(role), ca.Certificate)
	if !rotate {
		known, err := n.knownSecret(role)
		if err != nil {
			return "", err
		}
		if known != "" {
			token.Secret = known
			return token.String(), nil
		}
	}
	sealed, err := n.cfg.Sealer.Seal([]byte(token.Secret), tokenContext(role))
	if err != nil {
		return "", err
	}
	_, err = n.node.Propose(ctx, &state.JoinTokenSet{Role: role, Hash: pki.HashSecret(token.Secret), Sealed: sealed, IfNone: !rotate})
	if state.CodeOf(err) == state.Conflict { // made through another manager, which this one knows by now
		token.Secret, err = n.knownSecret(role)
	}
	if err != nil {
		return "", err
	}
	return token.String(), nil
}

func (n *Nodes) knownSecret(role string) (string, error) {
	var sealed []byte
	err := n.store.View(func(tx *state.Tx) error {
		sealed = tx.SealedJoinToken(role)
		return nil
	})
	if err != nil || len(sealed) == 0 {
		return "", err
	}
	secret, err := n.cfg.Sealer.Open(sealed, tokenContext(role))
	return string(secret), err
}

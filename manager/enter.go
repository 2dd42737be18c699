package manager

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"
	"time"

	"kiosc/cluster/pki"
	"kiosc/cluster/state"
	"kiosc/cluster/wire"
	"kiosc/manager/nodes"
	"kiosc/manager/peers"
)

const (
	// joinTimeout bounds one try to get a certificate, or to be admitted.
	joinTimeout = 20 * time.Second
	// admitPatience is how long a joining manager tries to be admitted; a cluster that elects a leader needs seconds.
	admitPatience = time.Minute
	admitPause    = 500 * time.Millisecond
)

// enter makes this manager part of a cluster that exists: it gets a certificate for the join token, then over the
// session that the certificate allows the cluster key and a place in Raft. One that is cut off goes on at the next start.
func (m *Manager) enter(ctx context.Context) error {
	identity, err := pki.LoadIdentity(m.path(nodeDir))
	addresses := m.cfg.Join
	if errors.Is(err, os.ErrNotExist) {
		var answer *wire.JoinAnswer
		if identity, answer, err = m.askToJoin(ctx); err == nil {
			err = identity.Save(m.path(nodeDir))
			for _, other := range answer.Managers {
				addresses = append(addresses, other.Address)
			}
		}
	}
	if err != nil {
		return err
	}
	m.credentials = pki.NewCredentials(identity)
	return m.askToBeAdmitted(ctx, addresses)
}

func (m *Manager) askToJoin(ctx context.Context) (identity pki.Identity, answer *wire.JoinAnswer, err error) {
	token, err := pki.ParseJoinToken(m.cfg.Token)
	if err != nil {
		return identity, nil, err
	}
	if token.Role != pki.RoleManager {
		return identity, nil, errors.New("this join token is not for managers; print one with: kiosc join-token manager")
	}
	key, csr, err := pki.NewKey()
	if err != nil {
		return identity, nil, err
	}
	request := &wire.JoinRequest{Versions: []uint16{wire.Version}, Secret: token.Secret, Role: string(pki.RoleManager), CSR: csr,
		Name: m.cfg.Name, Address: m.advertised()}
	answer, err = wire.AskToJoin(ctx, m.cfg.Join, token, request)
	if err != nil {
		return identity, nil, err
	}
	identity, err = joined(key, answer)
	return identity, answer, err
}

func joined(key crypto.Signer, answer *wire.JoinAnswer) (pki.Identity, error) {
	return pki.JoinIdentity(key, answer.Certificate, answer.CA)
}

// askToBeAdmitted tries one manager after the other until one has made this one a member.
func (m *Manager) askToBeAdmitted(ctx context.Context, addresses []string) error {
	if len(addresses) == 0 {
		return errors.New("this manager has not completed joining; give the address of another manager with --join")
	}
	ctx, cancel := context.WithTimeout(ctx, admitPatience)
	defer cancel()
	for i := 0; ; i++ {
		answer, err := m.admitted(ctx, addresses[i%len(addresses)])
		if err == nil {
			return errors.Join(pki.SaveCA(m.cfg.DataDir, answer.CA, answer.SealedCAKey), pki.SaveKey(m.path(keyFile), answer.Key))
		}
		if code := state.CodeOf(err); code != state.Unavailable && code != state.Internal && code != state.NotFound {
			return err
		}
		m.cfg.Logger.Warn("the cluster has not admitted this manager yet; trying again", "address", addresses[i%len(addresses)], "error", err)
		select {
		case <-time.After(admitPause):
		case <-ctx.Done():
			return fmt.Errorf("the cluster did not admit this manager: %w", err)
		}
	}
}

func (m *Manager) admitted(ctx context.Context, address string) (answer nodes.AdmitAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	link, err := peers.Dial(ctx, m.credentials, address)
	if err != nil {
		return answer, err
	}
	defer link.Close()
	if _, err := peers.Greet(ctx, link, m.cfg.Version); err != nil {
		return answer, err
	}
	err = peers.CallOn(ctx, link, nodes.MethodAdmit, nodes.AdmitRequest{Address: m.advertised()}, &answer)
	return answer, err
}

// certificates keeps this manager's certificate young. A manager has the means to issue its own.
func (m *Manager) certificates(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		wait := time.Until(m.credentials.Identity().RenewAt())
		if wait <= 0 {
			wait = renewRetry
			if err := m.renew(); err != nil {
				m.cfg.Logger.Error("this manager's certificate could not be renewed; trying again", "error", err)
			} else {
				m.cfg.Logger.Info("renewed this manager's certificate")
			}
		}
		timer.Reset(min(wait, renewLook))
	}
}

const (
	// renewRetry is the wait after a renewal, or after one that failed.
	renewRetry = time.Second
	// renewLook bounds the wait, because a machine that slept wakes up with old timers.
	renewLook = time.Hour
)

// renew issues a new certificate for this manager, with what lies in the data directory: it works without the others,
// and when the old one has expired.
func (m *Manager) renew() error {
	certificate, sealed, err := pki.LoadCA(m.cfg.DataDir)
	if err != nil {
		return fmt.Errorf("reading the certificate authority: %w", err)
	}
	key, err := m.key.Open(sealed, caContext)
	if err != nil {
		return err
	}
	ca, err := pki.ParseCA(certificate, key)
	if err != nil {
		return err
	}
	old := m.credentials.Identity()
	csr, err := old.Request()
	if err != nil {
		return err
	}
	renewed, err := ca.Issue(csr, old.Role, old.NodeID, old.ClusterID, time.Now(), m.cfg.CertLife)
	if err != nil {
		return err
	}
	identity, err := old.Renewed(renewed)
	if err != nil {
		return err
	}
	return errors.Join(identity.Save(m.path(nodeDir)), m.credentials.Replace(identity))
}

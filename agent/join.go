package agent

import (
	"context"
	"crypto"
	"errors"
	"os"

	"kiosc/cluster/pki"
	"kiosc/cluster/wire"
)

// Join makes this machine a node of the cluster that the token is for: a manager at one of the addresses issues a
// certificate, which is saved in dir. A node that has one there, such as an expired one, keeps its id.
func Join(ctx context.Context, addresses []string, token, name, dir string) (pki.Identity, error) {
	join, err := pki.ParseJoinToken(token)
	if err != nil {
		return pki.Identity{}, err
	}
	if join.Role != pki.RoleAgent {
		return pki.Identity{}, errors.New("this join token is not for agents; print one with: kiosc join-token agent")
	}
	request := &wire.JoinRequest{Versions: []uint16{wire.Version}, Secret: join.Secret, Role: string(pki.RoleAgent), Name: name}
	var key crypto.Signer
	former, err := pki.LoadIdentity(dir)
	switch {
	case err == nil:
		key, _ = former.Certificate.PrivateKey.(crypto.Signer)
		request.Former = former.Certificate.Certificate[0]
		request.CSR, err = former.Request()
	case errors.Is(err, os.ErrNotExist):
		key, request.CSR, err = pki.NewKey()
	}
	if err != nil {
		return pki.Identity{}, err
	}
	answer, err := wire.AskToJoin(ctx, addresses, join, request)
	if err != nil {
		return pki.Identity{}, err
	}
	identity, err := pki.JoinIdentity(key, answer.Certificate, answer.CA)
	if err != nil {
		return pki.Identity{}, err
	}
	if err := identity.Save(dir); err != nil {
		return pki.Identity{}, err
	}
	return identity, saveManagers(dir, answer.Managers)
}

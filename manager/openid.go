package manager

import (
	"kiosc/manager/oidc"
	"kiosc/manager/service"
)

// OpenIDConfig is the OpenID provider at which people can log in, and what its groups give.
type OpenIDConfig struct {
	Provider oidc.Config
	Rules    service.GroupRules
}

// openOpenID checks the settings of the provider. It asks it nothing: one that is down keeps no manager from starting.
func (m *Manager) openOpenID() (err error) {
	if m.cfg.OpenID == nil {
		return nil
	}
	provider := m.cfg.OpenID.Provider
	provider.Logger = m.cfg.Logger
	m.openID, err = oidc.New(provider)
	return err
}

package service

import (
	"context"
	"fmt"
	"strings"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// RegistryInput is a login for a registry as somebody enters it.
type RegistryInput struct {
	Host, User, Password string
}

// Registries lists the registries that a project has a login for, without the passwords.
func (s *Service) Registries(a Actor, project string) (list []state.Registry, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		if err := may(tx, a, project, auth.ManageCredentials); err != nil {
			return err
		}
		list, err = tx.RegistriesOf(project)
		for i := range list {
			list[i].Sealed = nil
		}
		return err
	})
	return list, err
}

// SetRegistry gives a project a login for a registry, in place of the one that it has. The password can't be had back.
func (s *Service) SetRegistry(ctx context.Context, a Actor, project string, in RegistryInput) (r state.Registry, err error) {
	if err := s.may(a, project, auth.ManageCredentials); err != nil {
		return r, err
	}
	r = state.Registry{Project: project, Host: state.RegistryHost(in.Host), User: strings.TrimSpace(in.User), SetBy: a.User.Name, SetAt: now()}
	switch {
	case len(in.Password) > state.MaxRegistryPassword:
		return r, wrongField("password", fmt.Sprintf("Ensure this field has no more than %d characters.", state.MaxRegistryPassword))
	case in.Password != "":
		if r.Sealed, err = s.sealer.Seal([]byte(in.Password), RegistryContext(project, r.Host)); err != nil {
			return r, fmt.Errorf("sealing a registry's password: %w", err)
		}
	}
	if err := r.Validate(); err != nil {
		return r, err
	}
	e := event(a, appContainers, project, "registry_set", "set the login for the registry {registry}", registryObject(r.Host))
	set, err := act[state.Registry](ctx, s, &state.RegistrySet{Registry: r}, e)
	set.Sealed = nil
	return set, err
}

// RemoveRegistry takes the login for a registry from a project.
func (s *Service) RemoveRegistry(ctx context.Context, a Actor, project, host string) error {
	if err := s.may(a, project, auth.ManageCredentials); err != nil {
		return err
	}
	e := event(a, appContainers, project, "registry_remove", "remove the login for the registry {registry}", registryObject(host))
	_, err := act[any](ctx, s, &state.RegistryRemoved{Project: project, Host: host}, e)
	return err
}

// RegistryContext binds the sealed password of a registry to its project and host.
func RegistryContext(project, host string) string {
	return "registry\x00" + project + "\x00" + host
}

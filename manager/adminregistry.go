package manager

import (
	"context"
	"time"

	"kiosc/cluster/state"
)

// RegistryRequest asks for the logins of a project, by its id or title, for registries, or for a change of one.
type RegistryRequest struct {
	Project  string `json:"project"`
	Host     string `json:"host,omitempty"`
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
}

// RegistryLogin is a login for a registry, without its password.
type RegistryLogin struct {
	Host  string    `json:"host"`
	User  string    `json:"user"`
	SetBy string    `json:"set_by"`
	SetAt time.Time `json:"date_set"`
}

// onRegistry does something with the logins of a project, and lists them.
func (m *Manager) onRegistry(ctx context.Context, in RegistryRequest, do func(project string) error) ([]RegistryLogin, error) {
	project, err := m.service.ProjectNamed(actorOf(ctx), in.Project)
	if err != nil {
		return nil, err
	}
	if project == "" {
		return nil, state.Errorf(state.Invalid, "Logins for registries are those of projects, not of the whole site.")
	}
	if err := do(project); err != nil {
		return nil, err
	}
	list, err := m.service.Registries(actorOf(ctx), project)
	logins := []RegistryLogin{}
	for _, r := range list {
		logins = append(logins, RegistryLogin{Host: r.Host, User: r.User, SetBy: r.SetBy, SetAt: r.SetAt})
	}
	return logins, err
}

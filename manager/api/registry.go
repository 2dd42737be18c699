package api

import (
	"net/url"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

// registryJSON is a login for a registry, without its password.
type registryJSON struct {
	Host  string `json:"host"`
	User  string `json:"user"`
	SetBy string `json:"set_by"`
	SetAt string `json:"date_set"`
}

// registryInput is what a request says of a login.
type registryInput struct {
	Host     string `json:"host"`
	User     string `json:"user"`
	Password string `json:"password"`
}

func asRegistry(r state.Registry) registryJSON {
	return registryJSON{Host: r.Host, User: r.User, SetBy: r.SetBy, SetAt: dateText(r.SetAt)}
}

func (a *API) listRegistries(c *fiber.Ctx, actor service.Actor) error {
	list, err := a.service.Registries(actor, id(c, "project"))
	if err != nil {
		return err
	}
	out := []registryJSON{}
	for _, r := range list {
		out = append(out, asRegistry(r))
	}
	return render(c, fiber.StatusOK, out)
}

// setRegistry adds a login, or replaces the one for the same registry.
func (a *API) setRegistry(c *fiber.Ctx, actor service.Actor) error {
	login, err := read(c, func(in *input) service.RegistryInput {
		return service.RegistryInput{Host: in.text("host"), User: in.text("user"), Password: in.text("password")}
	}, "host", "user", "password")
	if err != nil {
		return err
	}
	set, err := a.service.SetRegistry(c.UserContext(), actor, id(c, "project"), login)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, asRegistry(set))
}

func (a *API) removeRegistry(c *fiber.Ctx, actor service.Actor) error {
	host, err := url.PathUnescape(c.Params("host"))
	if err != nil {
		return state.Errorf(state.NotFound, notFoundText)
	}
	return gone(c, a.service.RemoveRegistry(c.UserContext(), actor, id(c, "project"), state.RegistryHost(host)))
}

package api

import (
	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

func (a *API) registerUsers(api fiber.Router) {
	a.route(api, "/users/list", projectMedia, reading(a.listUsers)).
		get(about{summary: "List the active users", right: auth.ListContainers, query: []query{pageQuery}, out: listOf[userJSON]()})
	a.route(api, "/users/current", projectMedia, reading(a.showSelf)).
		get(about{summary: "Show the caller", out: userJSON{}})
	a.route(api, "/users/:user<guid>", projectMedia, reading(a.showUser)).
		get(about{summary: "Show an active user", right: auth.ListContainers, out: userJSON{}})
}

// userJSON is a user in SODAR's form.
type userJSON struct {
	Username  string   `json:"username"`
	Name      string   `json:"name"`
	Email     string   `json:"email"`
	Emails    []string `json:"additional_emails"`
	Superuser bool     `json:"is_superuser"`
	AuthType  string   `json:"auth_type"`
	UUID      string   `json:"sodar_uuid"`
}

func userOf(u service.FoundUser) (userJSON, error) {
	return userJSON{Username: u.Name, Name: u.FullName, Email: u.Email, Emails: append([]string{}, u.AdditionalEmails...), Superuser: u.Superuser, AuthType: string(u.AuthType), UUID: u.ID}, nil
}

func (a *API) listUsers(c *fiber.Ctx, actor service.Actor) error {
	users, err := a.service.FindUsers(actor)
	if err != nil {
		return err
	}
	return list(c, users, userOf)
}

func (a *API) showSelf(c *fiber.Ctx, actor service.Actor) error {
	out, _ := userOf(service.Found(actor.User))
	return render(c, fiber.StatusOK, out)
}

func (a *API) showUser(c *fiber.Ctx, actor service.Actor) error {
	user := id(c, "user")
	users, err := a.service.FindUsers(actor)
	if err != nil {
		return err
	}
	for _, u := range users {
		if u.ID == user {
			out, _ := userOf(u)
			return render(c, fiber.StatusOK, out)
		}
	}
	return state.Errorf(state.NotFound, "There is no such user.")
}

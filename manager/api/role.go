package api

import (
	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

func (a *API) registerRoles(api fiber.Router) {
	a.route(api, "/roles/create/:project<guid>", projectMedia, methods{fiber.MethodPost: a.createRole}).
		post(about{summary: "Add a member; a delegate needs the right to choose delegates", right: auth.UpdateMembers, in: roleInput{},
			needs: []string{"role", "user"}, out: roleJSON{}, status: fiber.StatusCreated})
	a.route(api, "/roles/update/:assignment<guid>", projectMedia, methods{fiber.MethodPut: a.updateRole, fiber.MethodPatch: a.updateRole}).
		put(about{summary: "Give a member another role", right: auth.UpdateMembers, in: roleInput{}, needs: []string{"role"}, out: roleJSON{}}).
		patch(about{summary: "Give a member another role", right: auth.UpdateMembers, in: roleInput{}, needs: []string{"role"}, out: roleJSON{}})
	a.route(api, "/roles/destroy/:assignment<guid>", projectMedia, methods{fiber.MethodDelete: a.deleteRole}).
		del(about{summary: "Remove a member, or leave", right: auth.UpdateMembers, status: fiber.StatusNoContent})
	a.route(api, "/roles/owner-transfer/:project<guid>", projectMedia, methods{fiber.MethodPost: a.transferOwnership}).
		post(about{summary: "Hand over the ownership", right: auth.UpdateOwner, in: transferInput{}, needs: []string{"new_owner"}, out: messageJSON{}})
}

// roleInput is what a request says of a role.
type roleInput struct {
	Role string `json:"role"`
	User string `json:"user"` // id
}

// transferInput says who the owner will be, by the user name.
type transferInput struct {
	NewOwner string  `json:"new_owner"`
	OldRole  *string `json:"old_owner_role"`
}

func renderRole(c *fiber.Ctx, status int, r state.RoleAssignment) error {
	return render(c, status, roleJSON{Role: string(r.Role), User: r.User, Project: r.Project, UUID: r.ID})
}

func (a *API) createRole(c *fiber.Ctx, actor service.Actor) error {
	project := id(c, "project")
	in, err := decode(c)
	if err != nil {
		return err
	}
	in.require("role", "user")
	role, user := state.Role(in.text("role")), in.text("user")
	if err := in.err(); err != nil {
		return err
	}
	members, err := a.service.Members(actor, project)
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.User.ID == user && m.Own != nil {
			return invalid("user", "The user has a role in the project already. Update it instead.")
		}
	}
	made, err := a.service.SetRole(c.UserContext(), actor, project, user, role)
	if err != nil {
		return err
	}
	return renderRole(c, fiber.StatusCreated, made)
}

// assignment is the role assignment in the address.
func (a *API) assignment(c *fiber.Ctx, actor service.Actor) (r state.RoleAssignment, err error) {
	return a.service.Assignment(actor, id(c, "assignment"))
}

func (a *API) updateRole(c *fiber.Ctx, actor service.Actor) error {
	r, err := a.assignment(c, actor)
	if err != nil {
		return err
	}
	role, err := read(c, func(in *input) state.Role { return state.Role(in.text("role")) }, "role")
	if err != nil {
		return err
	}
	if r, err = a.service.SetRole(c.UserContext(), actor, r.Project, r.User, role); err != nil {
		return err
	}
	return renderRole(c, fiber.StatusOK, r)
}

func (a *API) deleteRole(c *fiber.Ctx, actor service.Actor) error {
	r, err := a.assignment(c, actor)
	if err != nil {
		return err
	}
	if r.User == actor.User.ID {
		err = a.service.LeaveProject(c.UserContext(), actor, r.Project)
	} else {
		err = a.service.RemoveRole(c.UserContext(), actor, r.Project, r.User)
	}
	return gone(c, err)
}

// transferOwnership takes the new owner's user name, as SODAR does.
func (a *API) transferOwnership(c *fiber.Ctx, actor service.Actor) error {
	in, err := decode(c)
	if err != nil {
		return err
	}
	in.require("new_owner")
	name, role := in.text("new_owner"), state.Role(in.nullableText("old_owner_role"))
	if err := in.err(); err != nil {
		return err
	}
	if err := a.service.TransferOwnershipTo(c.UserContext(), actor, id(c, "project"), name, role); err != nil {
		return err
	}
	return message(c, fiber.StatusOK, "Ownership transferred to "+name)
}

package webui

import (
	"io"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

func (ui *UI) registerMembers(app *fiber.App) {
	app.Get("/project/members/:project", ui.page(ui.members))
	for path, h := range map[string]handler{"create": ui.setRole, "update": ui.setRole, "delete": ui.removeRole, "leave": ui.leave} {
		app.Post("/project/members/"+path+"/:project", ui.page(h))
		app.Get("/project/members/"+path+"/:project", ui.page(ui.onlyPost))
	}
	app.Get("/project/members/transfer/:project", ui.page(ui.showTransfer))
	app.Post("/project/members/transfer/:project", ui.page(ui.transfer))
}

// memberRow is a member as the list shows one.
type memberRow struct {
	ID, Name, FullName, Email string
	Active, Self              bool
	Role                      state.Role
	// Why tells where the role is from, where it isn't given in the project itself.
	Why string
	// Choices are the roles that the visitor may give the member; none where that isn't possible.
	Choices   []roleChoice
	CanRemove bool
}

type roleChoice struct {
	Role state.Role
	Here bool
}

type membersPage struct {
	frame
	Project     projectHead
	Rows        []memberRow
	CanUpdate   bool
	CanTransfer bool
	CanInvite   bool
	CanLeave    bool
	User        field // of the form for a new member
	Role        field
	Invites     []inviteRow
	Error       string
}

var membersTemplate = parse("members.html")

// Render writes the page.
func (p membersPage) Render(w io.Writer) error { return membersTemplate.Execute(w, p) }

// givable are the roles that the visitor may give in a project.
func givable(view service.ProjectView) (roles []state.Role) {
	for _, r := range state.Roles {
		switch {
		case r == state.Owner, r == state.Delegate && !view.Rights[auth.UpdateDelegates], r == state.Finder && view.Type != state.TypeCategory:
		default:
			roles = append(roles, r)
		}
	}
	return roles
}

func (ui *UI) membersPage(v *visit) (p membersPage, view service.ProjectView, err error) {
	view, err = ui.viewedFor(v, auth.ViewMembers)
	if err != nil {
		return p, view, err
	}
	members, err := ui.svc.Members(v.Actor, view.ID)
	if err != nil {
		return p, view, err
	}
	p = membersPage{frame: ui.frame(v, "Members of "+view.Title), Project: headOf(view, "Members"), CanUpdate: view.Rights[auth.UpdateMembers],
		CanTransfer: view.Rights[auth.UpdateOwner], CanInvite: view.Rights[auth.Invite]}
	roles := givable(view)
	for _, m := range members {
		row := rowOfMember(m, v.Actor, p.CanUpdate, roles)
		p.CanLeave = p.CanLeave || row.Self && m.Own != nil && m.Own.Role != state.Owner && !view.Upstream
		p.Rows = append(p.Rows, row)
	}
	if p.CanUpdate {
		if p.User, p.Role, err = ui.newMember(v, members, roles); err != nil {
			return p, view, err
		}
	}
	if p.CanInvite {
		p.Invites, err = ui.inviteRows(v, view.ID)
	}
	return p, view, err
}

func rowOfMember(m state.Member, a service.Actor, canUpdate bool, roles []state.Role) memberRow {
	row := memberRow{ID: m.User.ID, Name: m.User.Name, FullName: m.User.FullName, Email: m.User.Email, Active: m.User.Active,
		Self: m.User.ID == a.User.ID, Role: m.Role}
	switch m.Role {
	case m.Inherited:
		row.Why = "from " + m.From.Title
	case m.ByGroup:
		row.Why = "by a group of the directory"
	}
	if m.Own == nil || m.Own.Role == m.Role {
		if m.Own != nil {
			row.Why = ""
		}
	}
	if canUpdate && m.Own != nil && m.Own.Role != state.Owner && (m.Own.Role != state.Delegate || roles[0] == state.Delegate) {
		row.CanRemove = true
		for _, r := range roles {
			row.Choices = append(row.Choices, roleChoice{r, r == m.Own.Role})
		}
	}
	return row
}

// newMember makes the fields with which somebody is added who has no role of their own yet.
func (ui *UI) newMember(v *visit, members []state.Member, roles []state.Role) (user, role field, err error) {
	had := make(map[string]bool)
	for _, m := range members {
		had[m.User.ID] = m.Own != nil
	}
	user = field{Name: "user", Label: "User", Kind: "select", Options: []option{{"", "choose a user"}}}
	role = field{Name: "role", Label: "Role", Kind: "select", Value: string(state.Contributor)}
	users, err := ui.svc.FindUsers(v.Actor)
	for _, u := range users {
		if !had[u.ID] {
			user.Options = append(user.Options, option{u.ID, nameOf(u)})
		}
	}
	for _, r := range roles {
		role.Options = append(role.Options, option{string(r), string(r)})
	}
	return user, role, err
}

func nameOf(u service.FoundUser) string {
	if u.FullName == "" {
		return u.Name
	}
	return u.FullName + " (" + u.Name + ")"
}

func (ui *UI) members(v *visit) error {
	p, _, err := ui.membersPage(v)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

// refusedMember shows the members with what was wrong.
func (ui *UI) refusedMember(v *visit, refused error) error {
	status, fields, message, show := formError(v.Ctx, refused)
	if !show {
		return refused
	}
	p, _, err := ui.membersPage(v)
	if err != nil {
		return err
	}
	for _, texts := range fields {
		message = texts[0]
	}
	p.Error = message
	return render(v.Ctx, status, p)
}

func (ui *UI) setRole(v *visit) error {
	project, err := id(v.Ctx, "project")
	if err != nil {
		return err
	}
	_, err = ui.svc.SetRole(v.UserContext(), v.Actor, project, v.FormValue("user"), state.Role(v.FormValue("role")))
	if err != nil {
		return ui.refusedMember(v, err)
	}
	ui.setFlash(v.Ctx, flash{Text: "Saved."})
	return v.Redirect("/project/members/" + project)
}

func (ui *UI) removeRole(v *visit) error {
	project, err := id(v.Ctx, "project")
	if err != nil {
		return err
	}
	if err := ui.svc.RemoveRole(v.UserContext(), v.Actor, project, v.FormValue("user")); err != nil {
		return ui.refusedMember(v, err)
	}
	ui.setFlash(v.Ctx, flash{Text: "Removed. What was open in apps of the project ends within seconds."})
	return v.Redirect("/project/members/" + project)
}

func (ui *UI) leave(v *visit) error {
	project, err := id(v.Ctx, "project")
	if err != nil {
		return err
	}
	if err := ui.svc.LeaveProject(v.UserContext(), v.Actor, project); err != nil {
		return ui.refusedMember(v, err)
	}
	ui.setFlash(v.Ctx, flash{Text: "You have left the project."})
	return v.Redirect("/")
}

func (ui *UI) transferPage(v *visit) (p formPage, view service.ProjectView, err error) {
	view, err = ui.viewedFor(v, auth.UpdateOwner)
	if err != nil {
		return p, view, err
	}
	users, err := ui.svc.FindUsers(v.Actor)
	if err != nil {
		return p, view, err
	}
	next := field{Name: "new_owner", Label: "New owner", Kind: "select", Options: []option{{"", "choose a user"}}}
	for _, u := range users {
		next.Options = append(next.Options, option{u.ID, nameOf(u)})
	}
	old := field{Name: "old_owner_role", Label: "Role of the present owner afterwards", Kind: "select", Value: string(state.Contributor),
		Options: []option{{"", "none"}, {string(state.Delegate), string(state.Delegate)}, {string(state.Contributor), string(state.Contributor)},
			{string(state.Guest), string(state.Guest)}}}
	members := "/project/members/" + view.ID
	p = formPage{frame: ui.frame(v, "Hand over the ownership"), Trail: append(trailOf(view), crumb{view.Title, "/project/" + view.ID}, crumb{"Members", members}),
		Fields: []field{next, old}, Action: "/project/members/transfer/" + view.ID, Submit: "Hand over", Cancel: members,
		Text: "A project has exactly one owner, who answers for it."}
	return p, view, nil
}

func (ui *UI) showTransfer(v *visit) error {
	p, _, err := ui.transferPage(v)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) transfer(v *visit) error {
	p, view, err := ui.transferPage(v)
	if err != nil {
		return err
	}
	p.read(v.Ctx)
	if err := ui.svc.TransferOwnership(v.UserContext(), v.Actor, view.ID, p.value("new_owner"), state.Role(p.value("old_owner_role"))); err != nil {
		return p.refused(v.Ctx, err)
	}
	ui.setFlash(v.Ctx, flash{Text: "The project has a new owner."})
	return v.Redirect("/project/" + view.ID)
}

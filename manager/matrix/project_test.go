package matrix_test

import (
	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

var projectOperations = []operation{
	{name: "find", right: auth.FindProject, in: both,
		call: func(c *cell, a service.Actor) error { _, err := c.Service.Project(a, c.place.id); return err },
		rest: []string{"GET /project/api/retrieve/{project}"}, pages: []string{"GET /project/{project}"}},
	{name: "create in a category", right: auth.CreateProject, in: categories,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.CreateProject(c.ctx, a, service.ProjectInput{Title: new(title()), Type: state.TypeProject, Parent: &c.place.id})
			return err
		},
		rest:  []string{`POST /project/api/create {"title":"{n}","type":"PROJECT","parent":"{project}"}`},
		pages: []string{"GET /project/create/{project}", "POST /project/create/{project} title={n}&type=PROJECT"}},
	{name: "change", right: auth.UpdateProject, in: both,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.UpdateProject(c.ctx, a, c.place.id, service.ProjectInput{Readme: new("Hello")})
			return err
		},
		rest: []string{`PATCH /project/api/update/{project} {"description":"Hello"}`, `PUT /project/api/update/{disposable} {"title":"{n}"}`},
		pages: []string{"GET /project/update/{project}",
			"POST /project/update/{disposable} title={n}&description=&readme=&public_access=&parent={above}"}},
	{name: "archive", right: auth.UpdateProject,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.UpdateProject(c.ctx, a, c.id("disposable"), service.ProjectInput{Archived: new(!c.place.archived)})
			return err
		},
		rest:  []string{`PATCH /project/api/update/{disposable} {"archive":true}`, `PATCH /project/api/update/{disposable} {"archive":false}`},
		pages: []string{"POST /project/archive/{disposable} archive=true", "POST /project/archive/{disposable} archive=false"}},
	{name: "delete", right: auth.DeleteProject, in: both,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.Deletion(a, c.id("disposable"))
			if err == nil {
				err = c.Service.DeleteProject(c.ctx, a, c.id("disposable"))
			}
			return err
		},
		rest:  []string{"DELETE /project/api/destroy/{disposable}"},
		pages: []string{"GET /project/delete/{project}", "POST /project/delete/{disposable} title={disposable title}"}},
}

var timelineOperations = []operation{
	{name: "see the timeline", right: auth.ViewTimeline, in: both,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.Timeline(a, c.place.id, service.EventFilter{})
			return err
		},
		rest: []string{"GET /timeline/api/list/{project}"}, pages: []string{"GET /timeline/{project}"}},
	{name: "see an event", right: auth.ViewTimeline, sees: auth.ViewTimeline,
		call: func(c *cell, a service.Actor) error { _, err := c.Service.Event(a, c.id("event")); return err },
		rest: []string{"GET /timeline/api/retrieve/{event}"}},
	{name: "see a classified event", right: auth.ViewClassified, sees: auth.ViewClassified, in: ownProjects,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.Event(a, c.id("classified event"))
			return err
		},
		rest: []string{"GET /timeline/api/retrieve/{classified event}"}},
	{name: "see the site's timeline", right: auth.Administer, in: once,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.Timeline(a, "", service.EventFilter{})
			if err == nil {
				_, err = c.Service.VerifyTimeline(a)
			}
			if err == nil {
				err = c.Service.ExportTimeline(a, func(state.Event) error { return nil })
			}
			return err
		},
		rest: []string{"GET /timeline/api/list/site"}, pages: []string{"GET /timeline/site"}},
}

var memberOperations = []operation{
	{name: "see the members", right: auth.ViewMembers, in: both,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.Members(a, c.place.id)
			if err == nil {
				_, err = c.Service.Assignments(a, c.place.id)
			}
			return err
		},
		pages: []string{"GET /project/members/{project}"}},
	{name: "see a role", right: auth.ViewMembers, sees: auth.ViewMembers, in: both,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.Assignment(a, c.id("membership"))
			return err
		}},
	{name: "add a member", right: auth.UpdateMembers, in: both, call: setRole("stranger", state.Guest),
		rest:  []string{`POST /project/api/roles/create/{project} {"role":"project guest","user":"{stranger}"}`},
		pages: []string{"POST /project/members/create/{project} role=project guest&user={stranger}"}},
	{name: "add a delegate", right: auth.UpdateDelegates, in: both, call: setRole("stranger", state.Delegate),
		rest:  []string{`POST /project/api/roles/create/{project} {"role":"project delegate","user":"{stranger}"}`},
		pages: []string{"POST /project/members/create/{project} role=project delegate&user={stranger}"}},
	{name: "change a role", right: auth.UpdateMembers, in: both,
		call: func(c *cell, a service.Actor) error {
			c.id("membership")
			return setRole("member", state.Guest)(c, a)
		},
		pages: []string{"POST /project/members/update/{project} role=project guest&assignment={membership}&user={member}"}},
	{name: "change a role by its id", right: auth.UpdateMembers, sees: auth.ViewMembers, in: both,
		rest: []string{`PUT /project/api/roles/update/{membership} {"role":"project guest"}`, `PATCH /project/api/roles/update/{membership} {"role":"project guest"}`}},
	{name: "demote a delegate", right: auth.UpdateDelegates, sees: auth.ViewMembers, in: both,
		rest: []string{`PATCH /project/api/roles/update/{delegation} {"role":"project guest"}`}},
	{name: "promote to delegate", right: auth.UpdateDelegates, sees: auth.ViewMembers, in: both,
		rest: []string{`PATCH /project/api/roles/update/{membership} {"role":"project delegate"}`}},
	{name: "remove a member", right: auth.UpdateMembers, in: both,
		call: func(c *cell, a service.Actor) error {
			c.id("membership")
			return c.Service.RemoveRole(c.ctx, a, c.place.id, c.id("member"))
		},
		pages: []string{"POST /project/members/delete/{project} assignment={membership}&user={member}"}},
	{name: "remove a role by its id", right: auth.UpdateMembers, sees: auth.ViewMembers, in: both,
		rest: []string{"DELETE /project/api/roles/destroy/{membership}"}},
	{name: "remove a delegate", right: auth.UpdateDelegates, in: both,
		call: func(c *cell, a service.Actor) error {
			c.id("delegation")
			return c.Service.RemoveRole(c.ctx, a, c.place.id, c.id("deputy"))
		},
		pages: []string{"POST /project/members/delete/{project} assignment={delegation}&user={deputy}"}},
	{name: "remove a delegate by the role's id", right: auth.UpdateDelegates, sees: auth.ViewMembers, in: both,
		rest: []string{"DELETE /project/api/roles/destroy/{delegation}"}},
	{name: "leave", right: auth.ViewProject, limits: auth.UpdateMembers, in: both, only: []string{"delegate", "contributor", "guest", "viewer"},
		call:  func(c *cell, a service.Actor) error { return c.Service.LeaveProject(c.ctx, a, c.id("disposable")) },
		pages: []string{"POST /project/members/leave/{disposable}"}},
	{name: "hand over the ownership", right: auth.UpdateOwner, in: both,
		call: func(c *cell, a service.Actor) error {
			return c.Service.TransferOwnership(c.ctx, a, c.id("disposable"), c.id("stranger"), state.Contributor)
		},
		rest: []string{`POST /project/api/roles/owner-transfer/{disposable} {"new_owner":"{stranger name}","old_owner_role":"project contributor"}`},
		pages: []string{"GET /project/members/transfer/{project}",
			"POST /project/members/transfer/{disposable} new_owner={stranger}&old_owner_role=project contributor"}},
	{name: "see the invites", right: auth.Invite, in: both,
		call: func(c *cell, a service.Actor) error { _, err := c.Service.Invites(a, c.place.id); return err },
		rest: []string{"GET /project/api/invites/list/{project}"}},
	{name: "invite", right: auth.Invite, in: both,
		call: func(c *cell, a service.Actor) error {
			_, _, err := c.Service.Invite(c.ctx, a, c.place.id, service.InviteInput{Email: "a@example.org", Role: state.Guest})
			return err
		},
		rest:  []string{`POST /project/api/invites/create/{project} {"email":"a@example.org","role":"project guest"}`},
		pages: []string{"GET /project/invites/create/{project}", "POST /project/invites/create/{project} email=a@example.org&role=project guest"}},
	{name: "invite a delegate", right: auth.UpdateDelegates, in: both,
		call: func(c *cell, a service.Actor) error {
			_, _, err := c.Service.Invite(c.ctx, a, c.place.id, service.InviteInput{Email: "a@example.org", Role: state.Delegate})
			return err
		},
		rest:  []string{`POST /project/api/invites/create/{project} {"email":"a@example.org","role":"project delegate"}`},
		pages: []string{"POST /project/invites/create/{project} email=a@example.org&role=project delegate"}},
	{name: "see an invite", right: auth.Invite, sees: auth.Invite, in: ownBoth,
		call: func(c *cell, a service.Actor) error { _, err := c.Service.InviteByID(a, c.id("invite")); return err },
		rest: []string{"GET /project/api/invites/retrieve/{invite}"}},
	{name: "send an invite again", right: auth.Invite, sees: auth.Invite, in: ownBoth,
		call: func(c *cell, a service.Actor) error {
			_, _, err := c.Service.ResendInvite(c.ctx, a, c.id("invite"))
			return err
		},
		rest: []string{"POST /project/api/invites/resend/{invite}"}, pages: []string{"POST /project/invites/resend/{invite}"}},
	{name: "revoke an invite", right: auth.Invite, sees: auth.Invite, in: ownBoth,
		call: func(c *cell, a service.Actor) error { return c.Service.RevokeInvite(c.ctx, a, c.id("invite")) },
		rest: []string{"POST /project/api/invites/revoke/{invite}"}, pages: []string{"POST /project/invites/revoke/{invite}"}},
}

func setRole(kind string, role state.Role) func(c *cell, a service.Actor) error {
	return func(c *cell, a service.Actor) error {
		_, err := c.Service.SetRole(c.ctx, a, c.place.id, c.id(kind), role)
		return err
	}
}

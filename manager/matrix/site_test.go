package matrix_test

import (
	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

var siteOperations = []operation{
	{name: "find users", right: auth.ListContainers, in: once,
		call: func(c *cell, a service.Actor) error { _, err := c.Service.FindUsers(a); return err },
		rest: []string{"GET /project/api/users/list", "GET /project/api/users/{root}"}},
	{name: "make a token", right: auth.ManageTokens, in: once,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.CreateToken(c.ctx, a, service.TokenInput{})
			return err
		},
		pages: []string{"GET /tokens/", "GET /tokens/create", "POST /tokens/create label=x&ttl=1&scope=read"}},
	{name: "create at the top", right: auth.Administer, in: once,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.CreateProject(c.ctx, a, service.ProjectInput{Title: new(title()), Type: state.TypeProject})
			return err
		},
		rest:  []string{`POST /project/api/create {"title":"{n}","type":"CATEGORY"}`},
		pages: []string{"GET /project/create", "POST /project/create title={n}&type=CATEGORY"}},
	{name: "see all users", right: auth.Administer, in: once,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.Users(a)
			if err == nil {
				_, err = c.Service.UserByID(a, c.id("root"))
			}
			return err
		},
		pages: []string{"GET /kioscadmin/overview/users"}},
	{name: "create a user", right: auth.Administer, in: once,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.CreateUser(c.ctx, a, service.UserInput{Name: title()})
			return err
		},
		pages: []string{"GET /kioscadmin/users/create", "POST /kioscadmin/users/create username={n}&is_active=true"}},
	{name: "change a user", right: auth.Administer, in: once,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.ChangeUser(c.ctx, a, service.UserInput{Name: c.id("stranger name"), FullName: new("New Name")})
			return err
		},
		pages: []string{"GET /kioscadmin/users/update/{stranger}", "POST /kioscadmin/users/update/{stranger} name=x&is_active=true",
			"POST /kioscadmin/users/password/{stranger}"}},
	{name: "see all quotas", right: auth.Administer, in: once,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.Quotas(a)
			if err == nil {
				_, err = c.Service.SiteQuota(a)
			}
			return err
		},
		rest: []string{"GET /containers/api/quota/site"}, pages: []string{"GET /kioscadmin/overview/quotas", "GET /kioscadmin/quota/site", "GET /kioscadmin/quota/{project}"}},
	{name: "set a quota", right: auth.Administer, in: once,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.SetQuota(c.ctx, a, c.place.id, service.QuotaChange{})
			return err
		},
		rest:  []string{`PATCH /containers/api/quota/site {"running":null}`, `PATCH /containers/api/quota/{project} {"running":null}`},
		pages: []string{"POST /kioscadmin/quota/site running=", "POST /kioscadmin/quota/{project} running="}},
	{name: "see which images are allowed", right: auth.Administer, in: once,
		call: func(c *cell, a service.Actor) error { _, err := c.Service.ImageAllowList(a); return err },
		rest: []string{"GET /containers/api/image-allow-list"}, pages: []string{"GET /kioscadmin/overview/images"}},
	{name: "set which images are allowed", right: auth.Administer, in: once,
		call:  func(c *cell, a service.Actor) error { _, err := c.Service.SetImageAllowList(c.ctx, a, nil); return err },
		rest:  []string{`PUT /containers/api/image-allow-list {"patterns":[]}`},
		pages: []string{"POST /kioscadmin/image-allow-list patterns="}},
	{name: "see periodic tasks", right: auth.Administer, in: once,
		call:  func(c *cell, a service.Actor) error { _, err := c.Service.PeriodicTasks(c.ctx, a); return err },
		pages: []string{"GET /kioscadmin/overview/tasks"}},
	{name: "run a task", right: auth.Administer, in: once,
		call:  func(c *cell, a service.Actor) error { _, err := c.Service.RunTask(c.ctx, a, "check"); return err },
		pages: []string{"POST /kioscadmin/task/check"}},
	{name: "see the containers of one's projects", right: auth.ListContainers, in: once, pages: []string{"GET /containerlist/"}},
	{name: "see all containers and nodes", right: auth.Administer, in: once,
		call:  func(c *cell, a service.Actor) error { _, err := c.Service.ClusterStatus(a); return err },
		pages: []string{"GET /kioscadmin/overview/containers", "GET /kioscadmin/overview/nodes", "GET /kioscadmin/overview/docker", "GET /kioscadmin/overview/not-in-kiosc"}},
	{name: "see what Docker hosts have", right: auth.Administer, in: once,
		call: func(c *cell, a service.Actor) error { _, err := c.Service.Docker(c.ctx, a, true); return err },
		rest: []string{"GET /containers/api/docker"}},
	{name: "remove from a Docker host", right: auth.Administer, in: once,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.RemoveFromDocker(c.ctx, a, c.id("node"), service.DockerThings{Volumes: []string{"gone"}}, true)
			return err
		},
		rest:  []string{`POST /containers/api/docker/{node}/remove {"volumes":["gone"]}`},
		pages: []string{"GET /kioscadmin/docker/remove/{node}?volume=gone", "POST /kioscadmin/docker/remove/{node} volume=gone"}},
	{name: "drain and activate a Docker host", right: auth.Administer, in: once,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.DrainNode(c.ctx, a, c.id("node"), 0)
			if err == nil {
				_, err = c.Service.ActivateNode(c.ctx, a, c.id("node"))
			}
			return err
		},
		pages: []string{"POST /kioscadmin/node/drain/{node}", "POST /kioscadmin/node/activate/{node}"}},
	{name: "see what a Docker host's containers use", right: auth.Administer, sees: auth.Administer, in: once,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.NodeFigures(c.ctx, a, c.id("node"))
			return err
		},
		rest: []string{"GET /containers/api/stats/node/{node}"}, pages: []string{"GET /containers/ajax/figures/node/{node}"}},
}

// remoteOperations are those on remote sites.
var remoteOperations = []operation{
	{name: "see remote sites", right: auth.Administer, in: once,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.RemoteSites(a)
			if err == nil {
				_, _, err = c.Service.RemoteSite(a, c.id("site"))
			}
			if err == nil {
				_, err = c.Service.Upstream(c.ctx, a)
			}
			return err
		},
		pages: []string{"GET /kioscadmin/overview/remote", "GET /kioscadmin/remote/site/{site}"}},
	{name: "change remote sites", right: auth.Administer, in: once,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.GiveProjects(c.ctx, a, service.GiveInput{Site: c.id("site"), All: new(false)})
			return err
		},
		pages: []string{"POST /kioscadmin/remote/add name={n}&url=https://kiosc.example.org", "POST /kioscadmin/remote/site/{site}",
			"POST /kioscadmin/remote/upstream name={n}&url=https://sodar.example.org&secret=s", "POST /kioscadmin/remote/upstream/remove",
			"POST /kioscadmin/remote/sync"}},
	{name: "remove a remote site", right: auth.Administer, in: once,
		call:  func(c *cell, a service.Actor) error { return c.Service.RemoveRemoteSite(c.ctx, a, c.id("site")) },
		pages: []string{"POST /kioscadmin/remote/remove/{site}"}},
}

package webui

import (
	"fmt"
	"io"
	"strings"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

// remotePath is the tab of remote sites.
const remotePath = "/kioscadmin/overview/remote"

func (ui *UI) registerRemote(app *fiber.App) {
	app.Get(remotePath, ui.page(ui.remoteSites))
	app.Post("/kioscadmin/remote/add", ui.page(ui.addRemoteSite))
	app.Post("/kioscadmin/remote/sync", ui.page(ui.syncUpstream))
	app.Post("/kioscadmin/remote/upstream", ui.page(ui.setUpstream))
	app.Post("/kioscadmin/remote/upstream/remove", ui.page(ui.removeUpstream))
	app.Post("/kioscadmin/remote/remove/:site", ui.page(ui.removeRemoteSite))
	app.Get("/kioscadmin/remote/site/:site", ui.page(ui.remoteSite))
	app.Post("/kioscadmin/remote/site/:site", ui.page(ui.giveProjects))
	app.Get("/kioscadmin/remote/*", ui.page(ui.onlyPost))
}

// remoteRow is a target site in the list.
type remoteRow struct {
	ID, Name, URL, Description, Created string
	Given                               string // what it is given, in words
}

// skipRow is something that could not be taken over.
type skipRow struct{ Kind, Name, Reason string }

// upstreamPart is how this site stands to the upstream one.
type upstreamPart struct {
	Name, URL  string
	BySettings bool
	Syncs      string // when, in words
	Has        string // what has come from there, in words
	Options    []string
	// Running is since when a sync is under way; empty for not. Last is when the last began.
	Running, Last, Took, Who, Result string
	Failed                           bool
	Changed, Changes                 string // when something was changed last, and what
	Skips                            []skipRow
	Skipped, MoreSkipped             int
}

type remotePage struct {
	adminFrame
	// Upstream is nil where this site takes nothing over; else Sites are not shown.
	Upstream          *upstreamPart
	Sites             []remoteRow
	Name, URL, Secret field
	All               field
	Error             string
}

// levelRow is a project in the list of what a target site is given.
type levelRow struct {
	ID, Title string
	Levels    []levelChoice
}

type levelChoice struct {
	Value, Label string
	Chosen       bool
}

type remoteSitePage struct {
	adminFrame
	Site     remoteRow
	All      field
	Projects []levelRow
	Error    string
}

// remoteSecretPage is the only page that ever has a target site's secret.
type remoteSecretPage struct {
	adminFrame
	Name, Secret string
}

var (
	remoteTemplate       = parse("admin_remote.html", "admin.html")
	remoteSiteTemplate   = parse("admin_remote_site.html", "admin.html")
	remoteSecretTemplate = parse("admin_remote_secret.html", "admin.html")
)

// Render writes the page.
func (p remotePage) Render(w io.Writer) error { return remoteTemplate.Execute(w, p) }

// Render writes the page.
func (p remoteSitePage) Render(w io.Writer) error { return remoteSiteTemplate.Execute(w, p) }

// Render writes the page.
func (p remoteSecretPage) Render(w io.Writer) error { return remoteSecretTemplate.Execute(w, p) }

// remotePage has what is known, and what was entered into its form.
func (ui *UI) remotePage(v *visit, entered func(name, otherwise string) string) (remotePage, error) {
	up, err := ui.svc.Upstream(v.UserContext(), v.Actor)
	if err != nil {
		return remotePage{}, err
	}
	p := remotePage{adminFrame: ui.adminFrame(v, "remote"),
		Name: field{Name: "name", Label: "Name", Required: true, Max: 255},
		URL:  field{Name: "url", Label: "Address", Required: true, Max: 2000, Help: "Such as https://sodar.example.org."}}
	if up.Target {
		p.Upstream = ui.upstreamPart(up)
		secret := ""
		if up.URL != "" {
			secret = state.Masked
		}
		p.Secret = field{Name: "secret", Label: "Secret", Kind: "password", Required: true, Value: secret,
			Help: "The one that the upstream site has made for this site. It is stored encrypted, and not shown again."}
		p.Name.Value, p.URL.Value = entered("name", up.Name), entered("url", up.URL)
		return p, nil
	}
	p.Name.Value, p.URL.Value = entered("name", ""), entered("url", "")
	p.URL.Help = "Where people open that site, such as https://kiosc.example.org."
	p.All = field{Name: "all", Label: "Give it all projects, those of later, too", Kind: "check", Value: entered("all", "")}
	sites, err := ui.svc.RemoteSites(v.Actor)
	for _, s := range sites {
		p.Sites = append(p.Sites, ui.remoteRow(s))
	}
	return p, err
}

func (ui *UI) remoteRow(s service.RemoteSiteView) remoteRow {
	given := counted(s.Given, "project")
	if s.All {
		given = "all projects, at present " + fmt.Sprint(s.Given)
	}
	if s.Revoked > 0 {
		given += fmt.Sprintf(", %d revoked", s.Revoked)
	}
	return remoteRow{ID: s.ID, Name: s.Name, URL: s.URL, Description: s.Description, Created: ui.date(s.CreatedAt), Given: given}
}

// counted is a number of things in words.
func counted(n int, thing string) string { return fmt.Sprint(n, " ", plural(n, thing, thing+"s")) }

func (ui *UI) upstreamPart(up service.UpstreamView) *upstreamPart {
	p := &upstreamPart{Name: up.Name, URL: up.URL, BySettings: up.BySettings, Syncs: "only when somebody asks for it",
		Has: fmt.Sprintf("%s, %d %s and %s", counted(up.Projects, "project"), up.Categories, plural(up.Categories, "category", "categories"),
			counted(up.Users, "user"))}
	if up.Enabled {
		p.Syncs = "every " + strings.TrimSuffix(up.Interval.String(), "m0s") + " min"
	}
	p.Options = []string{"Users with a password of the upstream site's own are not taken over.", "People create no projects here.",
		"What can't keep its owner belongs to the user " + up.DefaultAdmin + "."}
	if up.LocalUsers {
		p.Options[0] = "Users with a password of the upstream site's own are taken over who are here already."
	}
	if up.CreatesHere {
		p.Options[1] = "People may create projects here, too, outside of the categories of the upstream site."
	}
	if up.Task != nil {
		row := ui.taskRow(*up.Task)
		p.Running, p.Last, p.Took, p.Who, p.Result, p.Failed = row.Running, row.Last, row.Took, row.Who, row.Result, row.Failed
	}
	if up.Result == nil {
		return p
	}
	r := up.Result
	if !r.ChangedAt.IsZero() {
		p.Changed = ui.moment(r.ChangedAt)
		p.Changes = fmt.Sprintf("users: %d created, %d changed; projects: %d created, %d changed; roles: %d created, %d changed, %d removed",
			r.Users.Created, r.Users.Changed, r.Projects.Created, r.Projects.Changed, r.Roles.Created, r.Roles.Changed, r.Roles.Removed)
	}
	for _, s := range r.Skips {
		p.Skips = append(p.Skips, skipRow{s.Kind, s.Name, s.Reason})
	}
	p.Skipped, p.MoreSkipped = r.Skipped, r.Skipped-len(r.Skips)
	return p
}

func asIs(_, otherwise string) string { return otherwise }

func (ui *UI) remoteSites(v *visit) error {
	p, err := ui.remotePage(v, asIs)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

// formOf gives what was entered.
func formOf(v *visit) func(name, _ string) string {
	return func(name, _ string) string { return strings.TrimSpace(v.FormValue(name)) }
}

// remoteForm shows the form again with what is wrong in it.
func (ui *UI) remoteForm(v *visit, err error) error {
	status, fields, message, show := formError(v.Ctx, err)
	if !show {
		return err
	}
	p, err := ui.remotePage(v, formOf(v))
	if err != nil {
		return err
	}
	p.Name.Errors, p.URL.Errors, p.Secret.Errors, p.Error = fields["name"], fields["url"], fields["secret"], message
	return render(v.Ctx, status, p)
}

func (ui *UI) addRemoteSite(v *visit) error {
	made, err := ui.svc.AddRemoteSite(v.UserContext(), v.Actor, service.RemoteSiteInput{Name: v.FormValue("name"), URL: v.FormValue("url"),
		All: v.FormValue("all") != ""})
	if err != nil {
		return ui.remoteForm(v, err)
	}
	return render(v.Ctx, fiber.StatusOK, remoteSecretPage{ui.adminFrame(v, "remote"), made.Name, made.Secret})
}

func (ui *UI) setUpstream(v *visit) error {
	err := ui.svc.SetUpstream(v.UserContext(), v.Actor, service.UpstreamInput{Name: v.FormValue("name"), URL: v.FormValue("url"), Secret: v.FormValue("secret")})
	if err != nil {
		return ui.remoteForm(v, err)
	}
	ui.setFlash(v.Ctx, flash{Text: "The upstream site is set."})
	return v.Redirect(remotePath)
}

// remoteDone goes back to the tab with a message, or with the reason of a refusal.
func (ui *UI) remoteDone(v *visit, err error, text string) error {
	message := flash{Text: text}
	switch state.CodeOf(err) {
	case "":
	case state.Conflict, state.Unavailable, state.TooMany:
		_, reason := answer(err)
		message = flash{Bad: true, Text: reason}
	default:
		return err
	}
	ui.setFlash(v.Ctx, message)
	return v.Redirect(remotePath)
}

func (ui *UI) removeUpstream(v *visit) error {
	return ui.remoteDone(v, ui.svc.RemoveUpstream(v.UserContext(), v.Actor), "The upstream site is removed. What was taken over stays.")
}

func (ui *UI) removeRemoteSite(v *visit) error {
	return ui.remoteDone(v, ui.svc.RemoveRemoteSite(v.UserContext(), v.Actor, v.Params("site")), "The site is removed. Its secret counts no more.")
}

// syncUpstream has the leader sync and says how it went.
func (ui *UI) syncUpstream(v *visit) error {
	out, err := ui.svc.SyncUpstream(v.UserContext(), v.Actor)
	text := "The sync is under way. This page shows how it went once it has ended."
	if err == nil && out.Last != nil && out.Last.Error != "" {
		err = state.Errorf(state.Conflict, "The sync has failed: "+out.Last.Error)
	} else if err == nil && out.Last != nil {
		text = "The sync is done: " + out.Last.Summary
	}
	return ui.remoteDone(v, err, text)
}

// levelLabels are the choices of a project's level.
var levelLabels = []option{
	{string(state.LevelNone), "not given"},
	{string(state.LevelReadRoles), "given with its members"},
	{string(state.LevelRevoked), "revoked: roles there are taken away"},
}

func (ui *UI) remoteSitePage(v *visit) (p remoteSitePage, projects []service.RemoteProjectView, err error) {
	site, projects, err := ui.svc.RemoteSite(v.Actor, v.Params("site"))
	if err != nil {
		return p, nil, err
	}
	p = remoteSitePage{adminFrame: ui.adminFrame(v, "remote"), Site: ui.remoteRow(site),
		All: field{Name: "all", Label: "Give it all projects that nothing else is chosen for, those of later, too", Kind: "check"}}
	if site.All {
		p.All.Value = "true"
	}
	for _, project := range projects {
		row := levelRow{ID: project.ID, Title: project.FullTitle}
		for _, l := range levelLabels {
			row.Levels = append(row.Levels, levelChoice{l.Value, l.Label, l.Value == string(project.Level)})
		}
		p.Projects = append(p.Projects, row)
	}
	return p, projects, nil
}

func (ui *UI) remoteSite(v *visit) error {
	p, _, err := ui.remoteSitePage(v)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

// giveProjects sets the levels that differ from those shown.
func (ui *UI) giveProjects(v *visit) error {
	p, projects, err := ui.remoteSitePage(v)
	if err != nil {
		return err
	}
	all := v.FormValue("all") != ""
	changes := map[state.RemoteLevel][]string{}
	for _, project := range projects {
		if level := state.RemoteLevel(v.FormValue("level-" + project.ID)); level != "" && level != project.Level {
			changes[level] = append(changes[level], project.ID)
		}
	}
	gives := []service.GiveInput{{Site: p.Site.ID, All: &all}}
	for _, l := range levelLabels {
		level := state.RemoteLevel(l.Value)
		if len(changes[level]) > 0 {
			gives = append(gives, service.GiveInput{Site: p.Site.ID, Projects: changes[level], Level: level})
		}
		delete(changes, level)
	}
	if len(changes) > 0 {
		p.Error = "Choose one of the levels that are offered."
		return render(v.Ctx, fiber.StatusBadRequest, p)
	}
	for _, give := range gives {
		if _, err := ui.svc.GiveProjects(v.UserContext(), v.Actor, give); err != nil {
			status, _, message, show := formError(v.Ctx, err)
			if !show {
				return err
			}
			p.Error = message
			return render(v.Ctx, status, p)
		}
	}
	ui.setFlash(v.Ctx, flash{Text: "What " + p.Site.Name + " is given is changed. It learns of it at its next sync."})
	return v.Redirect("/kioscadmin/remote/site/" + p.Site.ID)
}

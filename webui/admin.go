package webui

import (
	"io"
	"time"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

func (ui *UI) registerAdmin(app *fiber.App) {
	app.Get("/kioscadmin/overview", ui.page(func(v *visit) error { return v.Redirect("/kioscadmin/overview/containers") }))
	app.Get("/kioscadmin/overview/tasks", ui.page(ui.adminTasks))
	app.Post("/kioscadmin/task/:task", ui.page(ui.runTask))
	ui.registerQuotas(app)
	ui.registerImageAllowList(app)
	ui.registerNodes(app)
	ui.registerDocker(app)
	ui.registerUsers(app)
	ui.registerRemote(app)
	ui.registerTimeline(app)
}

// adminTab is one of the admin page's tabs.
type adminTab struct {
	Path, Label, Href string
	Here              bool
}

// adminFrame is what all tabs of the admin page have around their content.
type adminFrame struct {
	frame
	Tabs []adminTab
}

// adminTabs are in the order in which they are shown.
var adminTabs = []adminTab{
	{Path: "users", Label: "Users"},
	{Path: "containers", Label: "Containers"},
	{Path: "not-in-kiosc", Label: "Not in Kiosc"},
	{Path: "docker", Label: "Other Docker entities"},
	{Path: "nodes", Label: "Nodes"},
	{Path: "quotas", Label: "Quotas"},
	{Path: "images", Label: "Images"},
	{Path: "tasks", Label: "Periodic tasks"},
	{Path: "remote", Label: "Remote sites"},
	{Path: "timeline", Label: "Timeline", Href: "/timeline/site"},
}

func (ui *UI) adminFrame(v *visit, tab string) adminFrame {
	f := adminFrame{frame: ui.frame(v, "Kiosc Administrator")}
	for _, t := range adminTabs {
		t.Here = t.Path == tab
		if t.Href == "" {
			t.Href = "/kioscadmin/overview/" + t.Path
		}
		f.Tabs = append(f.Tabs, t)
	}
	return f
}

// taskRow is a periodic task in the list.
type taskRow struct {
	Name, About, Schedule, Next string
	Running                     string // since when; empty for not
	Last, Took, Result          string
	Who                         string // manager, and who asked for it
	Failed                      bool
}

type adminTasksPage struct {
	adminFrame
	Rows []taskRow
}

var adminTasksTemplate = parse("admin_tasks.html", "admin.html")

// Render writes the page.
func (p adminTasksPage) Render(w io.Writer) error { return adminTasksTemplate.Execute(w, p) }

func (ui *UI) adminTasks(v *visit) error {
	all, err := ui.svc.PeriodicTasks(v.UserContext(), v.Actor)
	if err != nil {
		return err
	}
	p := adminTasksPage{adminFrame: ui.adminFrame(v, "tasks")}
	for _, t := range all {
		p.Rows = append(p.Rows, ui.taskRow(t))
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) taskRow(t service.TaskStatus) taskRow {
	row := taskRow{Name: t.Name, About: t.About, Schedule: t.Schedule, Last: "never"}
	if t.Next != nil {
		row.Next = ui.moment(*t.Next)
	}
	if t.RunningSince != nil {
		row.Running = ui.moment(*t.RunningSince)
	}
	if t.Last == nil {
		return row
	}
	row.Last, row.Took, row.Result, row.Who = ui.moment(t.Last.At), tookText(t.Last.Duration), t.Last.Summary, t.Last.Manager
	if t.Last.Error != "" {
		row.Result, row.Failed = t.Last.Error, true
	}
	if t.Last.User != "" {
		row.Who += ", for " + t.Last.User
	}
	return row
}

// moment is a time to the second, where that matters.
func (ui *UI) moment(t time.Time) string { return t.In(ui.opts.Zone).Format(time.DateTime) }

func tookText(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// runTask has the leader run a task and says how it went.
func (ui *UI) runTask(v *visit) error {
	name := v.Params("task")
	out, err := ui.svc.RunTask(v.UserContext(), v.Actor, name)
	message := flash{Text: "The task " + name + " is running. This page shows how it went once it has ended."}
	switch {
	case state.CodeOf(err) == state.Conflict || state.CodeOf(err) == state.Unavailable:
		_, text := answer(err)
		message = flash{Bad: true, Text: text}
	case err != nil:
		return err
	case out.Last != nil && out.Last.Error != "":
		message = flash{Bad: true, Text: "The task " + name + " has failed: " + out.Last.Error}
	case out.Last != nil:
		message.Text = "The task " + name + " has run: " + out.Last.Summary
	}
	ui.setFlash(v.Ctx, message)
	return v.Redirect("/kioscadmin/overview/tasks")
}

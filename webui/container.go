package webui

import (
	"io"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

func (ui *UI) registerContainers(app *fiber.App) {
	app.Get("/containers/detail/:container", ui.page(ui.detail))
	app.Get("/containers/ajax/get-dynamic-details/:container", ui.data(ui.dynamicDetails))
	app.Get("/containers/:project", ui.page(ui.containers))
}

// containerRow is a container in the list.
type containerRow struct {
	ID, Title, Image, Created string
	State                     liveState
	Controls                  controls
}

type containersPage struct {
	frame
	Head      projectHead
	Project   string
	CanCreate bool
	// Quota has what the project has a quota of.
	Quota []shareView
	// Bulk are the actions for a selection.
	Bulk    []control
	Pager   pager
	Rows    []containerRow
	Figures figuresPart
}

// detailRow is one line of the details. Key is set for what changes while somebody looks at it.
type detailRow struct {
	Label, Key, Value string
	Block             bool   // shown as it is typed, over several lines
	Href              string // where Value leads; empty for nowhere
}

type detailPage struct {
	frame
	ID, Name, Description, Project, ProjectTitle string
	// Notice tells of the Docker host: down, or drained; empty for nothing.
	Notice      string
	State       liveState
	Controls    controls
	Rows        []detailRow
	Figures     figuresPart
	CanViewLogs bool
	Log         string
	Search      logSearch
	// Place is where the log goes on after Log.
	Place   uint64
	Lines   int
	Choices []int
}

// controls are the buttons of a container. Only what the visitor has the right to is in it.
type controls struct {
	ID, Title, CSRF string
	CanOpen         bool
	Running         bool
	AppURL          string
	Actions         []control
	CanUpdate       bool
	CanDelete       bool
	DeleteAllowed   bool
}

// control is a button for an action that the visitor has the right to. It is hidden where the state doesn't allow it,
// so that a live page can show it once it does.
type control struct {
	Action      state.Action
	Label, Icon string
	Allowed     bool
}

var (
	containersTemplate = parse("containers.html", "figures.html")
	detailTemplate     = parse("detail.html", "figures.html")
)

// Render writes the page.
func (p containersPage) Render(w io.Writer) error { return containersTemplate.Execute(w, p) }

// Render writes the page.
func (p detailPage) Render(w io.Writer) error { return detailTemplate.Execute(w, p) }

func (ui *UI) containers(v *visit) error {
	project, err := id(v.Ctx, "project")
	if err != nil {
		return err
	}
	about, err := ui.svc.Project(v.Actor, project)
	if err != nil {
		return err
	}
	if about.Type == state.TypeCategory {
		return v.Redirect("/project/" + about.ID)
	}
	views, err := ui.svc.Containers(v.Actor, project)
	if err != nil {
		return err
	}
	quota, err := ui.svc.Quota(v.Actor, project)
	if err != nil {
		return err
	}
	p := containersPage{Quota: limited(quota), frame: ui.frame(v, about.Title), Head: headOf(about, "Containers"), Project: about.ID,
		CanCreate: about.Rights[auth.CreateContainer]}
	if len(views) > 0 {
		p.Figures = ui.figures(v, "project", about.ID, (*service.Service).ProjectFigures)
	}
	views, p.Pager = pageOf(v, "/containers/"+about.ID, views)
	p.Bulk = bulkFor(views)
	for _, view := range views {
		p.Rows = append(p.Rows, containerRow{ID: view.ID, Title: view.Title, Image: view.Image(),
			Created: ui.date(view.CreatedAt), State: ui.liveState(view), Controls: controlsOf(view, p.CSRF)})
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

// buttons are the controls in the order in which pages show them.
var buttons = []control{
	{Action: state.Start, Label: "Start", Icon: "play-fill"},
	{Action: state.Unpause, Label: "Unpause", Icon: "play-fill"},
	{Action: state.Pause, Label: "Pause", Icon: "pause-fill"},
	{Action: state.Restart, Label: "Restart", Icon: "arrow-clockwise"},
	{Action: state.Stop, Label: "Stop", Icon: "stop-fill"},
}

// Buttons are all that a container may have, for menus whose buttons come and go while somebody looks.
func (frame) Buttons() []control { return buttons }

func controlsOf(view service.ContainerView, csrf string) controls {
	c := controls{ID: view.ID, Title: view.Title, CSRF: csrf, CanOpen: view.Rights[auth.ProxyContainer],
		Running: view.State == state.Running && !view.Silent, AppURL: appURL(view.ID, view.Path),
		CanUpdate: view.Rights[auth.EditContainer], CanDelete: view.Rights[auth.DeleteContainer], DeleteAllowed: view.Allowed[state.Delete]}
	for _, b := range buttons {
		if view.Rights[auth.RightFor(b.Action)] {
			b.Allowed = view.Allowed[b.Action]
			c.Actions = append(c.Actions, b)
		}
	}
	return c
}

// lineChoices are how many log lines the details may show.
var lineChoices = []int{100, 500, service.DefaultShownLines, 5000, service.MaxShownLines}

func (ui *UI) detail(v *visit) error {
	view, err := ui.container(v)
	if err != nil {
		return err
	}
	p := detailPage{frame: ui.frame(v, view.Title), ID: view.ID, Name: view.Title, Description: view.Description,
		Project: view.Project, ProjectTitle: view.ProjectTitle, State: ui.liveState(view), Notice: view.Notice,
		CanViewLogs: view.Rights[auth.ViewLogs], Lines: shownLines(v.Ctx), Choices: lineChoices}
	p.Controls, p.Rows = controlsOf(view, p.CSRF), ui.detailRows(view)
	p.Figures = ui.figures(v, "container", view.ID, (*service.Service).ContainerFigures)
	if p.CanViewLogs {
		p.Search = searchOf(v, view)
		entries, place, err := ui.svc.Logs(v.Actor, view.ID, p.Search.filter, p.Lines)
		if err != nil {
			return err
		}
		p.Log, p.Place = strings.Join(ui.format(entries), "\n"), place
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) detailRows(view service.ContainerView) []detailRow {
	live := ui.liveState(view)
	rows := []detailRow{
		{Label: "SODAR UUID", Value: view.ID},
		{Label: "Date Created", Value: ui.date(view.CreatedAt)},
		{Label: "Date Modified", Value: ui.date(view.ModifiedAt)},
		{Label: "Image ID", Key: "image_id", Value: live.ImageID},
		{Label: "Container ID", Key: "container_id", Value: view.DockerID},
		{Label: "Repository:Tag", Value: view.Image()},
		{Label: "Node", Key: "node", Value: live.Node},
		{Label: "Host Port", Key: "host_port", Value: live.HostPort},
		{Label: "Container IP", Key: "container_ip", Value: view.IP},
	}
	rows = append(rows, specRows(&view.Spec)...)
	if t := view.From; t != nil {
		rows = append(rows, detailRow{Label: "Template", Value: t.Title, Href: templateURL(t, "detail")})
	}
	return append(rows, []detailRow{
		{Label: "State", Key: "state_shown", Value: live.Shown},
		{Label: "Last action", Key: "last_action", Value: live.LastAction},
		{Label: "Last access", Value: ui.date(view.LastAccess)},
		{Label: "Date of latest Docker log", Key: "date_last_docker_log", Value: ui.date(view.LastDockerLog)},
	}...)
}

// specRows are the rows of what people have entered.
func specRows(s *state.Spec) []detailRow {
	return []detailRow{
		{Label: "Container Port", Value: strconv.Itoa(s.Port)},
		{Label: "Container Path", Value: s.Path},
		{Label: "Path's prefix", Value: map[bool]string{true: "kept", false: "removed"}[s.KeepPrefix]},
		{Label: "Heartbeat URL", Value: s.HeartbeatURL},
		{Label: "Timeout [s]", Value: strconv.Itoa(s.Timeout)},
		{Label: "Command", Value: s.Command, Block: true},
		{Label: "Environment", Value: prettyJSON(s.Environment, "    "), Block: true},
		{Label: "Environment Secret Keys", Value: strings.Join(s.SecretKeys, ",")},
		{Label: "Max Retries", Value: strconv.Itoa(s.MaxRetries)},
		{Label: "Inactivity Threshold [days]", Value: strconv.Itoa(s.InactivityDays)},
		{Label: "Inactivity Threshold [minutes]", Value: unlessZero(int64(s.InactivityMinutes), func(n int64) string { return strconv.FormatInt(n, 10) })},
		{Label: "Docker host conditions", Value: strings.Join(s.Constraints, "\n"), Block: len(s.Constraints) > 0},
		{Label: "CPUs reserved, limit", Value: amounts(s.ReservedMilliCPUs, s.LimitMilliCPUs, cpuText)},
		{Label: "Memory reserved, limit", Value: amounts(s.ReservedMemory, s.LimitMemory, memoryText)},
		{Label: "Shared memory", Value: unlessZero(s.SharedMemory, sizeText)},
		{Label: "GPUs", Value: gpusText(s)},
		{Label: "Pull the image", Value: pullText(s.PullPolicy)},
		{Label: "Volumes", Value: volumesText(s), Block: len(s.Volumes) > 0},
		{Label: "Maximum lifetime", Value: lifetimeText(s)},
		{Label: "File system", Value: map[bool]string{true: "read-only", false: "writable"}[s.ReadOnlyRoot]},
	}
}

// amounts is what is reserved and the limit; empty where there is neither.
func amounts(reserved, limit int64, text func(int64) string) string {
	if reserved == 0 && limit == 0 {
		return ""
	}
	return text(reserved) + ", " + text(limit)
}

func cpuText(milli int64) string {
	if milli == 0 {
		return "none"
	}
	return strconv.FormatFloat(float64(milli)/1000, 'f', -1, 64)
}

func memoryText(bytes int64) string {
	if bytes == 0 {
		return "none"
	}
	return units.BytesSize(float64(bytes))
}

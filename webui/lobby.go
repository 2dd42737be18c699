package webui

import (
	"io"
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

func (ui *UI) registerLobby(app *fiber.App) {
	app.Get("/containers/proxy/lobby/:container", ui.page(ui.lobby))
	app.Post("/containers/proxy/lobby/:container", ui.page(ui.openApp))
}

// lobbyLines is how many log lines the lobby shows of an app that failed to start.
const lobbyLines = 20

// lobbyPage is shown while an app starts.
type lobbyPage struct {
	frame
	ID, Name, Project, ProjectTitle string
	State                           liveState
	// Next is where the app is opened, below AppPrefix.
	Next      string
	AppPrefix string
	Failed    bool
	CanLogs   bool
	Log       string
}

var lobbyTemplate = parse("lobby.html")

// Render writes the page.
func (p lobbyPage) Render(w io.Writer) error { return lobbyTemplate.Execute(w, p) }

func (ui *UI) lobby(v *visit) error {
	view, err := ui.container(v)
	if err != nil {
		return err
	}
	if !view.Rights[auth.ProxyContainer] {
		return errNotAllowed
	}
	next := nextInApp(view, v.Query("next"))
	if view.State == state.Running && !view.Pending() && !view.Silent {
		return v.Redirect(next)
	}
	p := lobbyPage{frame: ui.frame(v, view.Title), ID: view.ID, Name: view.Title, Project: view.Project,
		ProjectTitle: view.ProjectTitle, State: ui.liveState(view), Next: next, AppPrefix: appURL(view.ID, ""),
		Failed: view.State == state.Failed && !view.Pending(), CanLogs: view.Rights[auth.ViewLogs]}
	if view.State == state.Running && view.Silent && !view.Pending() {
		p.State.Ongoing, p.State.Step = true, "waiting for the app to answer"
	}
	if p.Failed && p.CanLogs {
		entries, _, err := ui.svc.Logs(v.Actor, view.ID, service.LogFilter{}, lobbyLines)
		if err != nil {
			return err
		}
		p.Log = strings.Join(ui.format(entries), "\n")
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) openApp(v *visit) error {
	container, err := id(v.Ctx, "container")
	if err != nil {
		return err
	}
	_, err = ui.svc.Open(v.UserContext(), v.Actor, container)
	if wantsJSON(v.Ctx) {
		return ui.sendState(v, container, err)
	}
	if err != nil {
		return err
	}
	return v.Redirect("/containers/proxy/lobby/" + container + "?next=" + url.QueryEscape(v.FormValue("next")))
}

// nextInApp is where an app is opened: at next if that is an address of this very app, else at the container's path.
func nextInApp(view service.ContainerView, next string) string {
	prefix := appURL(view.ID, "")
	local := localPath(next, "")
	inApp, within := strings.CutPrefix(local, prefix)
	if !within {
		return appURL(view.ID, view.Path)
	}
	path, query, asked := strings.Cut(inApp, "?")
	if path != "" && escapePath(path) == "" {
		return appURL(view.ID, view.Path)
	}
	if asked {
		return prefix + escapePath(path) + "?" + query
	}
	return prefix + escapePath(path)
}

package webui

import (
	"context"
	"io"
	"time"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

func (ui *UI) registerActions(app *fiber.App) {
	for _, action := range []state.Action{state.Start, state.Stop, state.Pause, state.Unpause, state.Restart} {
		app.Post("/containers/"+string(action)+"/:container", ui.page(ui.act(action)))
		app.Get("/containers/"+string(action)+"/:container", ui.page(ui.onlyPost))
	}
	app.Get("/containers/delete/:container", ui.page(ui.showDelete))
	app.Post("/containers/delete/:container", ui.page(ui.delete))
}

type deletePage struct {
	frame
	ID, Name, Project, ProjectTitle string
	// Volumes are the names of the container's volumes, with commas between; empty for none.
	Volumes string
	// Running says that the app is in use, perhaps.
	Running bool
}

var deleteTemplate = parse("delete.html")

// Render writes the page.
func (p deletePage) Render(w io.Writer) error { return deleteTemplate.Execute(w, p) }

// onlyPost answers an address that was typed in or linked to but changes something.
func (ui *UI) onlyPost(v *visit) error {
	v.Set(fiber.HeaderAllow, fiber.MethodPost)
	return fiber.NewError(fiber.StatusMethodNotAllowed, "Opening an address changes nothing in Kiosc. Use the button on the page instead.")
}

func (ui *UI) act(action state.Action) handler {
	return func(v *visit) error {
		container, err := id(v.Ctx, "container")
		if err != nil {
			return err
		}
		_, err = ui.svc.Act(v.UserContext(), v.Actor, container, action)
		if wantsJSON(v.Ctx) {
			return ui.sendState(v, container, err)
		}
		if code := state.CodeOf(err); code == state.Conflict || code == state.TooMany {
			// Most often another person was faster: the details show how it is now.
			_, message := answer(err)
			ui.setFlash(v.Ctx, flash{Bad: true, Text: message})
			err = nil
		}
		if err != nil {
			return err
		}
		return v.Redirect("/containers/detail/" + container)
	}
}

// sendState answers a script with the container as it is after an action, or with the action's error.
func (ui *UI) sendState(v *visit, container string, err error) error {
	if err != nil {
		return err
	}
	view, err := ui.svc.Container(v.Actor, container)
	if err != nil {
		return err
	}
	return v.JSON(ui.liveState(view))
}

func (ui *UI) showDelete(v *visit) error {
	view, err := ui.container(v)
	if err != nil {
		return err
	}
	if !view.Rights[auth.DeleteContainer] {
		return errNotAllowed
	}
	return render(v.Ctx, fiber.StatusOK, deletePage{frame: ui.frame(v, "Delete container"), ID: view.ID, Name: view.Title,
		Project: view.Project, ProjectTitle: view.ProjectTitle, Running: view.State == state.Running, Volumes: volumeNames(&view.Spec)})
}

// deleteWait bounds how long a page waits for a container to be gone; the deletion itself goes on.
const deleteWait = 30 * time.Second

func (ui *UI) delete(v *visit) error {
	view, err := ui.container(v)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(v.UserContext(), deleteWait)
	defer cancel()
	err = ui.svc.Delete(ctx, v.Actor, view.ID)
	_, message := answer(err)
	switch state.CodeOf(err) {
	case "":
		ui.setFlash(v.Ctx, flash{Text: "Container deleted."})
	case state.Conflict:
		ui.setFlash(v.Ctx, flash{Bad: true, Text: message})
		return v.Redirect("/containers/detail/" + view.ID)
	case state.Unavailable:
		ui.setFlash(v.Ctx, flash{Bad: true, Text: message})
	default:
		return err
	}
	return v.Redirect("/containers/" + view.Project)
}

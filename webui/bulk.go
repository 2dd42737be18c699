package webui

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

func (ui *UI) registerBulk(app *fiber.App) {
	app.Post("/containers/bulk", ui.page(ui.bulk))
	app.Get("/containers/bulk", ui.page(ui.onlyPost))
}

// bulkButtons are the actions on a selection, in the order in which pages show them.
var bulkButtons = []control{
	{Action: state.Start, Label: "Start", Icon: "play-fill"},
	{Action: state.Restart, Label: "Restart", Icon: "arrow-clockwise"},
	{Action: state.Stop, Label: "Stop", Icon: "stop-fill"},
	{Action: state.Delete, Label: "Delete", Icon: "trash"},
}

// bulkFor are the actions that the visitor may do with at least one of the containers.
func bulkFor(views []service.ContainerView) (some []control) {
	for _, b := range bulkButtons {
		if slices.ContainsFunc(views, func(v service.ContainerView) bool { return v.Rights[auth.RightFor(b.Action)] }) {
			some = append(some, b)
		}
	}
	return some
}

// bulkRow is a container that is about to be deleted.
type bulkRow struct {
	ID, Title string
	Running   bool
}

type bulkDeletePage struct {
	frame
	Rows []bulkRow
	Back string
}

var bulkDeleteTemplate = parse("bulk_delete.html")

// Render writes the page.
func (p bulkDeletePage) Render(w io.Writer) error { return bulkDeleteTemplate.Execute(w, p) }

// bulk asks for an action on the selected containers and says what came of it. A deletion is asked for twice.
func (ui *UI) bulk(v *visit) error {
	action := state.Action(v.FormValue("action"))
	back := localPath(v.FormValue("back"), "/")
	var ids []string
	for _, raw := range v.Request().PostArgs().PeekMulti("container") {
		if parsed, err := uuid.ParseBytes(raw); err == nil {
			ids = append(ids, parsed.String())
		}
	}
	if action == state.Delete && v.FormValue("sure") == "" && len(ids) > 0 && len(ids) <= service.MaxSelection {
		return ui.showBulkDelete(v, ids, back)
	}
	outcomes, err := ui.svc.ActAll(v.UserContext(), v.Actor, ids, action)
	switch {
	case state.CodeOf(err) == state.Invalid:
		ui.setFlash(v.Ctx, flash{Bad: true, Text: err.Error()})
	case err != nil:
		return err
	default:
		ui.setFlash(v.Ctx, bulkFlash(action, outcomes))
	}
	return v.Redirect(back)
}

func (ui *UI) showBulkDelete(v *visit, ids []string, back string) error {
	p := bulkDeletePage{frame: ui.frame(v, "Delete containers"), Back: back}
	for _, id := range ids {
		view, err := ui.svc.Container(v.Actor, id)
		if state.CodeOf(err) == state.NotFound {
			continue // somebody was faster
		}
		if err != nil {
			return err
		}
		if view.Rights[auth.DeleteContainer] {
			p.Rows = append(p.Rows, bulkRow{ID: view.ID, Title: view.Title, Running: view.State == state.Running})
		}
	}
	if len(p.Rows) == 0 {
		return errNotAllowed
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

// shownRefusals is how many refusals a message names.
const shownRefusals = 3

func bulkFlash(action state.Action, outcomes []service.Outcome) flash {
	var refused []string
	for _, o := range outcomes {
		if o.Err != nil {
			_, text := answer(o.Err)
			if o.Title != "" {
				text = o.Title + ": " + text
			}
			refused = append(refused, text)
		}
	}
	done := len(outcomes) - len(refused)
	text := fmt.Sprintf("%s of %d %s was submitted.", strings.ToUpper(string(action[:1]))+string(action[1:]), done, plural(done, "container", "containers"))
	if len(refused) == 0 {
		return flash{Text: text}
	}
	text += fmt.Sprintf(" %d refused: %s", len(refused), strings.Join(refused[:min(len(refused), shownRefusals)], " "))
	if len(refused) > shownRefusals {
		text += " …"
	}
	return flash{Bad: true, Text: text}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

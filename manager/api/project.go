package api

import (
	"github.com/gofiber/fiber/v2"

	"kiosc/manager/service"
)

var projectMedia = media{"application/vnd.bihealth.sodar-core.projectroles+json", []string{"1.0", "1.1", "2.0"}}

func (a *API) registerProjects(app *fiber.App) {
	api := app.Group("/project/api")
	a.route(api, "/list", projectMedia, reading(a.listProjects))
	api.All("/*", notFound)
}

// projectJSON is a project in SODAR's form.
type projectJSON struct {
	Title       string  `json:"title"`
	Type        string  `json:"type"`
	Parent      *string `json:"parent"`
	Description string  `json:"description"`
	FullTitle   string  `json:"full_title"`
	UUID        string  `json:"sodar_uuid"`
}

func (a *API) listProjects(c *fiber.Ctx, actor service.Actor) error {
	views, err := a.service.Projects(actor)
	if err != nil {
		return err
	}
	visible := make(map[string]service.ProjectView, len(views))
	for _, v := range views {
		visible[v.ID] = v
	}
	list := make([]projectJSON, len(views))
	for i, v := range views {
		list[i] = projectJSON{Title: v.Title, Type: string(v.Type), Parent: orNull(v.Parent), Description: v.Description,
			FullTitle: fullTitle(v, visible), UUID: v.ID}
	}
	return render(c, fiber.StatusOK, list)
}

// fullTitle is a project's title behind those of the categories that it is in, as far as the caller may see them.
func fullTitle(v service.ProjectView, visible map[string]service.ProjectView) string {
	title := v.Title
	for range visible { // no chain of parents is longer, even if it were a ring
		parent, ok := visible[v.Parent]
		if !ok {
			break
		}
		title = parent.Title + " / " + title
		v = parent
	}
	return title
}

// orNull is nil for an empty text.
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

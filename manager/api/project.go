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
	list := make([]projectJSON, len(views))
	for i, v := range views {
		list[i] = projectJSON{Title: v.Title, Type: string(v.Type), Parent: orNull(v.Parent), Description: v.Description,
			FullTitle: v.FullTitle, UUID: v.ID}
	}
	return render(c, fiber.StatusOK, list)
}

// orNull is nil for an empty text.
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

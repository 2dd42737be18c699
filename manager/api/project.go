package api

import (
	"github.com/gofiber/fiber/v2"

	"kiosc/manager/service"
)

var projectMedia = media{"application/vnd.bihealth.sodar-core.projectroles+json", []string{"1.0", "1.1", "2.0"}}

func (a *API) registerProjects(app *fiber.App) {
	app.Get("/project/api/list", a.with(projectMedia, a.listProjects))
}

// project is a project in SODAR's form.
type project struct {
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
	list := make([]project, len(views))
	for i, v := range views {
		list[i] = project{Title: v.Title, Type: string(v.Type), Parent: orNull(v.Parent), Description: v.Description,
			FullTitle: v.Title, UUID: v.ID}
	}
	return c.JSON(list)
}

// orNull is nil for an empty text.
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

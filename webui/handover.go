package webui

import (
	"encoding/base64"
	"strings"

	"github.com/gofiber/fiber/v2"
)

func (ui *UI) registerHandOver(app *fiber.App) {
	if ui.opts.AppHosts != nil {
		app.Get("/containers/proxy/open/:container", ui.page(ui.handOver))
	}
}

// handOver sends a visitor who came from an app's own host back there with a code, because that host knows nobody. It
// changes nothing here. It is given to navigations only, so no page can make a browser collect access to other apps
// unseen.
func (ui *UI) handOver(v *visit) error {
	container, err := id(v.Ctx, "container")
	if err != nil {
		return err
	}
	browser, next := v.Query("browser"), v.Query("next")
	if raw, err := base64.RawURLEncoding.DecodeString(browser); err != nil || len(raw) != 32 {
		return errNoPage
	}
	if !strings.HasPrefix(next, "/") {
		next = "/"
	}
	code, err := ui.svc.AppCode(v.Session, container, browser)
	if err != nil {
		return err
	}
	return v.Redirect(ui.opts.AppHosts.HandOverURL(container, code, next))
}

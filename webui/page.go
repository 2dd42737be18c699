package webui

import (
	"bytes"
	"embed"
	"encoding/base64"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"kiosc/manager/auth"
	"kiosc/manager/service"
)

//go:embed templates
var templateFiles embed.FS

// A page is a typed thing that knows its template, so that a value which is missing can't go unnoticed.
type page interface {
	Render(w io.Writer) error
}

// parse reads a page's templates with the frame around them. A fault in one ends the program at its start.
func parse(names ...string) *template.Template {
	files := []string{"templates/frame.html", "templates/parts.html"}
	for _, name := range names {
		files = append(files, "templates/"+name)
	}
	return template.Must(template.New("frame.html").Funcs(template.FuncMap{"icon": icon, "part": part}).ParseFS(templateFiles, files...))
}

// icon is the address of a picture; empty, and then nothing is shown, where the assets were not built.
func icon(a *assets, name string) string {
	if !a.Built {
		return ""
	}
	return a.Icons + "#" + name
}

// controlsPart is a container's buttons as one place of a page shows them.
type controlsPart struct {
	Controls           controls
	Assets             *assets
	Class, DeleteClass string
}

func part(c controls, a *assets, class string) controlsPart {
	danger := "text-danger"
	if strings.HasPrefix(class, "btn ") {
		return controlsPart{c, a, class, strings.ReplaceAll(class, "secondary", "danger")}
	}
	return controlsPart{c, a, class, class + " " + danger}
}

// frame is what every page has around its content.
type frame struct {
	Title string
	// UserName and CSRF are empty where nobody is logged in.
	UserName, CSRF string
	// Admin says that the visitor may see the admin page.
	Admin   bool
	Version string
	// Flash is a message that an earlier page left; nil for none.
	Flash  *flash
	Assets *assets
	// Stale says that this manager is in touch with no leader.
	Stale bool
}

func (ui *UI) frame(v *visit, title string) frame {
	return frame{Title: title, UserName: v.Actor.User.Name, CSRF: auth.CSRFToken(v.Session), Version: ui.opts.Version,
		Admin: v.Actor.Administers(), Flash: ui.takeFlash(v.Ctx), Assets: ui.assets, Stale: ui.stale(v.Ctx)}
}

// stale tells whether this manager is in touch with no leader, and marks the answer if so.
func (ui *UI) stale(c *fiber.Ctx) bool {
	stale := ui.svc.Stale()
	if stale {
		c.Set(service.StaleHeader, "true")
	}
	return stale
}

// plainFrame is the frame where nobody is logged in.
func (ui *UI) plainFrame(title string) frame {
	return frame{Title: title, Version: ui.opts.Version, Assets: ui.assets}
}

// render sends a page. It is made whole first, so that a fault in it becomes an error page.
func render(c *fiber.Ctx, status int, p page) error {
	var out bytes.Buffer
	if err := p.Render(&out); err != nil {
		return err
	}
	c.Status(status).Type("html", "utf-8")
	return c.Send(out.Bytes())
}

// flash is a message for the next page that somebody sees.
type flash struct {
	Bad  bool
	Text string
}

// The cookie with the flash message: it is gone once shown, and after a minute in any case.
const (
	flashCookie  = "kiosc_flash"
	flashSeconds = 60
	maxFlash     = 1000 // bytes
)

func (ui *UI) setFlash(c *fiber.Ctx, f flash) {
	kind := "+"
	if f.Bad {
		kind = "-"
	}
	text := strings.ToValidUTF8(f.Text[:min(len(f.Text), maxFlash)], "")
	ui.setCookie(c, flashCookie, base64.RawURLEncoding.EncodeToString([]byte(kind+text)), flashSeconds)
}

func (ui *UI) takeFlash(c *fiber.Ctx) *flash {
	value := ui.cookie(c, flashCookie)
	if value == "" {
		return nil
	}
	ui.setCookie(c, flashCookie, "", -1)
	raw, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || len(raw) < 2 || len(raw) > maxFlash+1 {
		return nil
	}
	return &flash{Bad: raw[0] == '-', Text: strings.ToValidUTF8(string(raw[1:]), "")}
}

// date is a time as pages show it; "" for none.
func (ui *UI) date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(ui.opts.Zone).Format("2006-01-02 15:04")
}

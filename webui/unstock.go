package webui

import (
	"io"
	"strings"

	"github.com/docker/go-units"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

const dockerTab = "/kioscadmin/overview/docker"

// things reads which images and volumes are named.
func things(args *fasthttp.Args) (t service.DockerThings) {
	for _, raw := range args.PeekMulti(service.KindImage) {
		t.Images = append(t.Images, string(raw))
	}
	for _, raw := range args.PeekMulti(service.KindVolume) {
		t.Volumes = append(t.Volumes, string(raw))
	}
	return t
}

// showUnstock asks whether what the address names is to be removed, or all unused images or volumes.
func (ui *UI) showUnstock(v *visit) error {
	node, err := id(v.Ctx, "node")
	if err != nil {
		return err
	}
	named := things(v.Request().URI().QueryArgs())
	named.UnusedImages, named.UnusedVolumes = v.Query("unused") == "images", v.Query("unused") == "volumes"
	plan, err := ui.svc.RemoveFromDocker(v.UserContext(), v.Actor, node, named, false)
	if err != nil {
		return ui.backToDocker(v, err)
	}
	p := formPage{frame: ui.frame(v, "Remove from "+plan.Name), Trail: []crumb{{"Administration", "/kioscadmin/overview"}, {"Other Docker entities", dockerTab}},
		Action: "/kioscadmin/docker/remove/" + plan.Node, Submit: "Remove", Danger: true, Cancel: dockerTab}
	var notes, refused []string
	var going []service.DockerRemoved
	for _, one := range plan.Results {
		name := "the " + one.Kind + " " + one.Name
		if one.Detail != "" {
			refused = append(refused, capital(name)+": "+one.Detail)
			continue
		}
		going = append(going, one)
		p.Lost = append(p.Lost, name+" ("+service.SizeText(one.Size)+")")
		p.Fields = append(p.Fields, field{Kind: "hidden", Name: one.Kind, Value: one.ID})
		if one.Note != "" {
			notes = append(notes, capital(name)+": "+one.Note)
		}
	}
	p.Error = strings.Join(refused, " ")
	if len(going) == 0 {
		p.Text, p.NoSubmit = "There is nothing to be removed.", true
		return render(v.Ctx, fiber.StatusOK, p)
	}
	p.Text = "This is removed from the Docker host " + plan.Name + ", " + freed(going) + ":"
	if len(notes) > 0 {
		p.Warning = strings.Join(notes, " ") + " What is removed can't be had back."
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

// freed tells how much room there will be. Images may share layers with others, which stay.
func freed(all []service.DockerRemoved) string {
	var sum int64
	images, unknown := false, false
	for _, one := range all {
		images = images || one.Kind == service.KindImage
		if one.Size == nil {
			unknown = true
			continue
		}
		sum += *one.Size
	}
	text := units.BytesSize(float64(sum))
	switch {
	case unknown && sum == 0:
		return "which frees an unknown size"
	case unknown:
		return "which frees " + text + " and what is not known"
	case images:
		return "which frees up to " + text
	}
	return "which frees " + text
}

func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// removedRow is what became of an image or a volume.
type removedRow struct {
	Kind, Name, Size, Result string
	Bad                      bool
}

type adminRemovedPage struct {
	adminFrame
	Node string
	Rows []removedRow
}

var adminRemovedTemplate = parse("admin_removed.html", "admin.html")

// Render writes the page.
func (p adminRemovedPage) Render(w io.Writer) error { return adminRemovedTemplate.Execute(w, p) }

// unstock removes what was confirmed. Where something is refused, it tells what became of each.
func (ui *UI) unstock(v *visit) error {
	node, err := id(v.Ctx, "node")
	if err != nil {
		return err
	}
	out, err := ui.svc.RemoveFromDocker(v.UserContext(), v.Actor, node, things(v.Request().PostArgs()), true)
	if err != nil {
		return ui.backToDocker(v, err)
	}
	p := adminRemovedPage{adminFrame: ui.adminFrame(v, "docker"), Node: out.Name}
	bad := false
	for _, one := range out.Results {
		row := removedRow{Kind: one.Kind, Name: one.Name, Size: service.SizeText(one.Size), Result: "Removed.", Bad: !one.Removed}
		if one.Detail != "" {
			row.Result = one.Detail
		}
		bad = bad || row.Bad
		p.Rows = append(p.Rows, row)
	}
	if bad {
		return render(v.Ctx, fiber.StatusOK, p)
	}
	text := out.Results[0].Kind + " " + out.Results[0].Name + " is"
	if n := len(out.Results); n > 1 {
		text = counted(n, "image or volume") + " are"
	}
	ui.setFlash(v.Ctx, flash{Text: "The " + text + " removed from " + out.Name + "."})
	return v.Redirect(dockerTab)
}

// backToDocker leads back to the list with what is wrong, where that is for people to read there.
func (ui *UI) backToDocker(v *visit, err error) error {
	switch state.CodeOf(err) {
	case state.Invalid, state.Unavailable:
		_, text := answer(err)
		ui.setFlash(v.Ctx, flash{Bad: true, Text: text})
		return v.Redirect(dockerTab)
	}
	return err
}

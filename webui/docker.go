package webui

import (
	"fmt"
	"io"
	"strings"

	"github.com/docker/go-units"
	"github.com/gofiber/fiber/v2"

	"kiosc/manager/service"
)

func (ui *UI) registerDocker(app *fiber.App) {
	app.Get("/kioscadmin/overview/not-in-kiosc", ui.page(ui.adminForeign))
	app.Get("/kioscadmin/overview/docker", ui.page(ui.adminDocker))
	app.Get("/kioscadmin/docker/remove/:node", ui.page(ui.showUnstock))
	app.Post("/kioscadmin/docker/remove/:node", ui.page(ui.unstock))
}

// foreignRow is a Docker container that isn't a container of Kiosc.
type foreignRow struct {
	ID, Name, Image, State, Note string
	Self                         bool // Kiosc itself
}

// hostPart is what one Docker host has; Error says why nothing is known of it.
type hostPart struct {
	ID, Node, Error string
	Foreign         []foreignRow
	Networks        []networkRow
	Images          []imageRow
	Volumes         []volumeRow
	// SweepImages and SweepVolumes say that there are unused ones to be removed at once.
	SweepImages, SweepVolumes bool
}

type networkRow struct {
	ID, Name, Driver, Subnet, Gateway, Containers string
	Ours                                          bool
}

// removableRow is of what can be removed; Users names the Docker containers that use it.
type removableRow struct {
	Users, Size, Note string
	CanRemove         bool
}

type imageRow struct {
	ID, FullID, Tags string
	removableRow
}

type volumeRow struct {
	Name, Mountpoint string
	Ours             bool
	removableRow
}

type adminDockerPage struct {
	adminFrame
	Hosts []hostPart
}

var (
	adminForeignTemplate = parse("admin_foreign.html", "admin.html")
	adminDockerTemplate  = parse("admin_docker.html", "admin.html")
)

type adminForeignPage adminDockerPage

// Render writes the page.
func (p adminForeignPage) Render(w io.Writer) error { return adminForeignTemplate.Execute(w, p) }

// Render writes the page.
func (p adminDockerPage) Render(w io.Writer) error { return adminDockerTemplate.Execute(w, p) }

// notes tell what a Docker container is that isn't a container of this Kiosc.
var notes = map[service.Kinship]string{
	service.Orphan:  "of this Kiosc, of no container any more: it is removed soon",
	service.Sibling: "of another Kiosc",
	service.Self:    "a manager or an agent runs in it",
}

// imageText is an image's name, or what Docker shows where its name has gone to another one.
func imageText(image string) string {
	if strings.HasPrefix(image, "sha256:") {
		return service.ShortDockerID(image)
	}
	return image
}

func (ui *UI) adminForeign(v *visit) error {
	all, err := ui.svc.Docker(v.UserContext(), v.Actor, false)
	if err != nil {
		return err
	}
	p := adminForeignPage{adminFrame: ui.adminFrame(v, "not-in-kiosc")}
	for _, host := range all {
		part := hostPart{Node: host.Name, Error: host.Error}
		for _, c := range host.Containers {
			if c.Kin != service.Known {
				part.Foreign = append(part.Foreign, foreignRow{ID: service.ShortDockerID(c.ID), Name: c.Name, Image: imageText(c.Image), State: c.State,
					Note: notes[c.Kin], Self: c.Kin == service.Self})
			}
		}
		p.Hosts = append(p.Hosts, part)
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) adminDocker(v *visit) error {
	all, err := ui.svc.Docker(v.UserContext(), v.Actor, true)
	if err != nil {
		return err
	}
	p := adminDockerPage{adminFrame: ui.adminFrame(v, "docker")}
	for _, host := range all {
		part := hostPart{ID: host.ID, Node: host.Name, Error: host.Error}
		for _, n := range host.Networks {
			row := networkRow{ID: service.ShortDockerID(n.ID), Name: n.Name, Driver: n.Driver, Subnet: n.Subnet, Gateway: n.Gateway,
				Containers: usersText(n.UsedBy, n.Used), Ours: n.Ours}
			part.Networks = append(part.Networks, row)
		}
		for _, i := range host.Images {
			part.Images = append(part.Images, imageRow{ID: service.ShortDockerID(i.ID), FullID: i.ID, Tags: strings.Join(i.Tags, ", "),
				removableRow: removable(i.UsedBy, i.Used, &i.Size, i.Removal)})
			part.SweepImages = part.SweepImages || i.Sweep
		}
		for _, w := range host.Volumes {
			part.Volumes = append(part.Volumes, volumeRow{Name: w.Name, Mountpoint: w.Mountpoint, Ours: w.Ours,
				removableRow: removable(w.UsedBy, w.Used, w.Size, w.Removal)})
			part.SweepVolumes = part.SweepVolumes || w.Sweep
		}
		p.Hosts = append(p.Hosts, part)
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func removable(users []string, n int, size *int64, r service.Removal) removableRow {
	row := removableRow{Users: usersText(users, n), Size: "unknown", Note: r.Note, CanRemove: r.Can}
	if size != nil {
		row.Size = units.BytesSize(float64(*size))
	}
	return row
}

// usersText names the first Docker containers that use something.
func usersText(names []string, n int) string {
	text := strings.Join(names, ", ")
	switch more := n - len(names); {
	case more > 0 && text == "":
		return counted(n, "Docker container")
	case more > 0:
		return fmt.Sprint(text, " and ", more, " more")
	}
	return text
}

package webui

import (
	"io"
	"strings"

	"github.com/docker/go-units"
	"github.com/gofiber/fiber/v2"

	"kiosc/manager/service"
)

func (ui *UI) registerDocker(app *fiber.App) {
	app.Get("/kioscadmin/overview/not-in-kiosc", ui.page(ui.adminForeign))
	app.Get("/kioscadmin/overview/docker", ui.page(ui.adminDocker))
}

// foreignRow is a Docker container that isn't a container of Kiosc.
type foreignRow struct {
	ID, Name, Image, State, Note string
}

// hostPart is what one Docker host has; Error says why nothing is known of it.
type hostPart struct {
	Node, Error string
	Foreign     []foreignRow
	Networks    []networkRow
	Images      []imageRow
	Volumes     []volumeRow
}

type networkRow struct {
	ID, Name, Driver, Subnet, Gateway, Containers string
	Ours                                          bool
}

type imageRow struct {
	ID, Tags, Size string
	Used           int
}

type volumeRow struct {
	Name, Mountpoint string
	Used             int
	Ours             bool
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
}

func (ui *UI) adminForeign(v *visit) error {
	all, err := ui.svc.Docker(v.UserContext(), v.Actor)
	if err != nil {
		return err
	}
	p := adminForeignPage{adminFrame: ui.adminFrame(v, "not-in-kiosc")}
	for _, host := range all {
		part := hostPart{Node: host.Node, Error: host.Error}
		for _, c := range host.Containers {
			kin, err := ui.svc.KinshipOf(c)
			if err != nil {
				return err
			}
			if kin != service.Known {
				part.Foreign = append(part.Foreign, foreignRow{ID: shortID(c.DockerID), Name: c.Name, Image: c.Image, State: c.State, Note: notes[kin]})
			}
		}
		p.Hosts = append(p.Hosts, part)
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) adminDocker(v *visit) error {
	all, err := ui.svc.Docker(v.UserContext(), v.Actor)
	if err != nil {
		return err
	}
	p := adminDockerPage{adminFrame: ui.adminFrame(v, "docker")}
	for _, host := range all {
		part := hostPart{Node: host.Node, Error: host.Error}
		for _, n := range host.Networks {
			row := networkRow{ID: shortID(n.ID), Name: n.Name, Driver: n.Driver, Subnet: n.Subnet, Gateway: n.Gateway, Containers: strings.Join(n.Containers, ", "), Ours: n.Ours}
			part.Networks = append(part.Networks, row)
		}
		for _, i := range host.Images {
			part.Images = append(part.Images, imageRow{ID: shortID(i.ID), Tags: strings.Join(i.Tags, ", "), Size: units.BytesSize(float64(i.Size)), Used: i.Used})
		}
		for _, w := range host.Volumes {
			part.Volumes = append(part.Volumes, volumeRow{Name: w.Name, Mountpoint: w.Mountpoint, Used: w.Used, Ours: w.Ours})
		}
		p.Hosts = append(p.Hosts, part)
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

// shortID is a Docker id as Docker shows it.
func shortID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(len(id), 12)]
}

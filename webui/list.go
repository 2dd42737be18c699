package webui

import (
	"cmp"
	"io"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"kiosc/manager/service"
)

func (ui *UI) registerList(app *fiber.App) {
	app.Get("/containerlist/", ui.page(ui.containerList))
	app.Get("/kioscadmin/overview/containers", ui.page(ui.adminContainers))
}

// column is a column of a list that can be sorted by it.
type column struct {
	Label, Href string
	// Sorted is ascending or descending, as aria-sort has it; empty for neither.
	Sorted string
}

// listRow is a container in a list of those of several projects.
type listRow struct {
	containerRow
	Project, ProjectTitle, Node, Modified string
}

// containerList is what the lists of containers of several projects have in common.
type containerList struct {
	Columns []column
	Rows    []listRow
	Bulk    []control
	Pager   pager
}

type containerListPage struct {
	frame
	containerList
}

type adminContainersPage struct {
	adminFrame
	containerList
}

var (
	containerListTemplate   = parse("containerlist.html")
	adminContainersTemplate = parse("admin_containers.html", "admin.html")
)

// Render writes the page.
func (p containerListPage) Render(w io.Writer) error { return containerListTemplate.Execute(w, p) }

// Render writes the page.
func (p adminContainersPage) Render(w io.Writer) error { return adminContainersTemplate.Execute(w, p) }

// orders are the ways to sort a list, by their names in the address, in the order of the columns.
var orders = []struct {
	name, label string
	compare     func(a, b *service.ContainerView) int
}{
	{"title", "Project / Title", func(a, b *service.ContainerView) int {
		return cmp.Or(compareText(a.ProjectTitle, b.ProjectTitle), compareText(a.Title, b.Title))
	}},
	{"image", "Repository:Tag", func(a, b *service.ContainerView) int { return compareText(a.Image(), b.Image()) }},
	{"node", "Node", func(a, b *service.ContainerView) int { return compareText(a.NodeName, b.NodeName) }},
	{"created", "Date created", func(a, b *service.ContainerView) int { return a.CreatedAt.Compare(b.CreatedAt) }},
	{"modified", "Last modified", func(a, b *service.ContainerView) int { return a.ModifiedAt.Compare(b.ModifiedAt) }},
	{"state", "State", func(a, b *service.ContainerView) int { return compareText(a.Shown(), b.Shown()) }},
}

func compareText(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }

// list makes the list at an address of all containers that the visitor may see, sorted as the address says: sort is a
// name of orders, with - in front for the other way round.
func (ui *UI) list(v *visit, address, csrf string) (l containerList, err error) {
	views, err := ui.svc.AllContainers(v.Actor)
	if err != nil {
		return l, err
	}
	by, backwards := strings.CutPrefix(v.Query("sort"), "-")
	for _, o := range orders {
		if o.name == by {
			slices.SortStableFunc(views, func(a, b service.ContainerView) int {
				if backwards {
					return o.compare(&b, &a)
				}
				return o.compare(&a, &b)
			})
		}
	}
	views, l.Pager = pageOf(v, address, views)
	l.Bulk = bulkFor(views)
	for _, o := range orders {
		c := column{Label: o.label, Href: l.Pager.address(o.name, 1)}
		if o.name == by {
			c.Sorted = "descending"
			if !backwards {
				c.Sorted, c.Href = "ascending", l.Pager.address("-"+o.name, 1)
			}
		}
		l.Columns = append(l.Columns, c)
	}
	for _, view := range views {
		l.Rows = append(l.Rows, listRow{containerRow: containerRow{ID: view.ID, Title: view.Title, Image: view.Image(), Created: ui.date(view.CreatedAt),
			State: ui.liveState(view), Controls: controlsOf(view, csrf)}, Project: view.Project, ProjectTitle: view.ProjectTitle,
			Node: view.NodeName, Modified: ui.date(view.ModifiedAt)})
	}
	return l, nil
}

func (ui *UI) containerList(v *visit) error {
	p := containerListPage{frame: ui.frame(v, "Containers")}
	var err error
	if p.containerList, err = ui.list(v, "/containerlist/", p.CSRF); err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) adminContainers(v *visit) error {
	if !v.Actor.Administers() {
		return service.ErrNotAdmin
	}
	p := adminContainersPage{adminFrame: ui.adminFrame(v, "containers")}
	var err error
	if p.containerList, err = ui.list(v, "/kioscadmin/overview/containers", p.CSRF); err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

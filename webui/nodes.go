package webui

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/docker/go-units"
	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

func (ui *UI) registerNodes(app *fiber.App) {
	app.Get("/kioscadmin/overview/nodes", ui.page(ui.adminNodes))
	app.Post("/kioscadmin/node/drain/:node", ui.page(ui.drainNode))
	app.Post("/kioscadmin/node/activate/:node", ui.page(ui.activateNode))
}

// nodeRow is a manager or a Docker host.
type nodeRow struct {
	ID, Name, Health, Version, Contact string
	Bad                                bool
	// Of managers.
	Role, Address, Lag string
	// Of Docker hosts.
	Availability, Docker, CPUs, Memory, Containers, Labels, Exposed string
	Draining, Shown                                                 bool
}

type adminNodesPage struct {
	adminFrame
	Quorum           bool
	Leader           string
	Managers, Agents []nodeRow
	// Shown is the Docker host whose figures are on the page: the one that was asked for, or else the first; empty where there is none.
	Shown   string
	Figures figuresPart
}

var adminNodesTemplate = parse("admin_nodes.html", "admin.html", "figures.html")

// Render writes the page.
func (p adminNodesPage) Render(w io.Writer) error { return adminNodesTemplate.Execute(w, p) }

func (ui *UI) adminNodes(v *visit) error {
	status, err := ui.svc.ClusterStatus(v.Actor)
	if err != nil {
		return err
	}
	p := adminNodesPage{adminFrame: ui.adminFrame(v, "nodes"), Quorum: status.Quorum}
	for _, n := range status.Nodes {
		row := ui.nodeRow(n)
		if n.Role == string(state.ManagerNode) {
			if n.Leader {
				p.Leader = n.Name
			}
			p.Managers = append(p.Managers, row)
		} else {
			p.Agents = append(p.Agents, row)
		}
	}
	if len(p.Agents) > 0 {
		at := max(0, slices.IndexFunc(p.Agents, func(n nodeRow) bool { return n.ID == v.Query("node") }))
		p.Agents[at].Shown = true
		p.Shown = p.Agents[at].Name
		p.Figures = ui.figures(v, "node", p.Agents[at].ID, (*service.Service).NodeFigures)
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) nodeRow(n service.NodeStatus) nodeRow {
	row := nodeRow{ID: n.ID, Name: n.Name, Health: n.Health, Version: n.Version, Contact: "never", Bad: n.Health != string(state.Ready),
		Address: n.Address, Lag: fmt.Sprint(n.Lag), Role: "no vote", Availability: n.Availability, Docker: n.DockerVersion, Exposed: n.Exposed,
		CPUs: fmt.Sprintf("%s of %d reserved", cpuNumber(n.ReservedCPUs), n.CPUs), Containers: fmt.Sprintf("%d of %d active", n.Active, n.Containers),
		Memory: units.BytesSize(float64(n.ReservedBytes)) + " of " + units.BytesSize(float64(n.MemoryBytes)) + " reserved"}
	if n.LastContact != nil {
		row.Contact = ui.moment(*n.LastContact)
	}
	switch {
	case n.Leader:
		row.Role = "leader"
	case n.Voter:
		row.Role = "votes"
	}
	if row.Draining = n.Availability == string(state.Draining); row.Draining && n.DrainBy != nil {
		row.Availability = "drains, with visitors until " + ui.moment(*n.DrainBy)
	}
	for _, k := range slices.Sorted(maps.Keys(n.Labels)) {
		row.Labels += k + "=" + n.Labels[k] + " "
	}
	return row
}

func cpuNumber(n float64) string { return fmt.Sprintf("%g", n) }

// drainVisitors is how long visitors of apps may stay on a host that is drained by the page; the command line has others.
const drainVisitors = time.Hour

func (ui *UI) drainNode(v *visit) error {
	return ui.changeNode(v, func(node string) (service.NodeStatus, error) {
		return ui.svc.DrainNode(v.UserContext(), v.Actor, node, drainVisitors)
	}, "is being drained.")
}

func (ui *UI) activateNode(v *visit) error {
	return ui.changeNode(v, func(node string) (service.NodeStatus, error) {
		return ui.svc.ActivateNode(v.UserContext(), v.Actor, node)
	}, "is in use again.")
}

func (ui *UI) changeNode(v *visit, change func(node string) (service.NodeStatus, error), done string) error {
	node, err := id(v.Ctx, "node")
	if err != nil {
		return err
	}
	out, err := change(node)
	switch code := state.CodeOf(err); {
	case err == nil:
		ui.setFlash(v.Ctx, flash{Text: "The Docker host " + out.Name + " " + done})
	case code == state.Conflict || code == state.Unavailable || code == state.NotFound:
		_, text := answer(err)
		ui.setFlash(v.Ctx, flash{Bad: true, Text: text})
	default:
		return err
	}
	return v.Redirect("/kioscadmin/overview/nodes")
}

package webui

import (
	"io"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

func (ui *UI) registerQuotas(app *fiber.App) {
	app.Get("/kioscadmin/overview/quotas", ui.page(ui.adminQuotas))
	app.Get("/kioscadmin/quota/:project", ui.page(ui.showQuota))
	app.Post("/kioscadmin/quota/:project", ui.page(ui.setQuota))
}

// shareView is how much of something is used, for people.
type shareView struct {
	Label, Used, Limit string // Limit is empty where there is none
	// Percent of the limit, 100 at most.
	Percent int
	Full    bool
}

func sharesOf(v service.QuotaView) []shareView {
	one := func(label string, s service.Share, text func(int64) string) shareView {
		out := shareView{Label: label, Used: text(s.Used)}
		if s.Limit == nil {
			return out
		}
		out.Limit, out.Full = text(*s.Limit), s.Used >= *s.Limit
		if out.Percent = 100; *s.Limit > 0 {
			out.Percent = int(min(100, s.Used*100 / *s.Limit))
		}
		return out
	}
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	cpus := func(n int64) string { return strconv.FormatFloat(float64(n)/1000, 'f', -1, 64) }
	size := func(n int64) string { return units.BytesSize(float64(n)) }
	return []shareView{one("Running containers", v.Running, count), one("CPUs", v.CPUs, cpus), one("Memory", v.Memory, size),
		one("Small files", v.Files, size)}
}

// limited are the shares that have a limit.
func limited(v service.QuotaView) (some []shareView) {
	for _, s := range sharesOf(v) {
		if s.Limit != "" {
			some = append(some, s)
		}
	}
	return some
}

// quotaRow is a project in the list of quotas.
type quotaRow struct {
	Name, Title string // Name is part of its address
	Shares      []shareView
}

type adminQuotasPage struct {
	adminFrame
	Rows []quotaRow
}

type quotaPage struct {
	adminFrame
	Name, Heading string
	Fields        []field
	Error         string
}

var (
	adminQuotasTemplate = parse("admin_quotas.html", "admin.html")
	quotaTemplate       = parse("quota.html", "admin.html")
)

// Render writes the page.
func (p adminQuotasPage) Render(w io.Writer) error { return adminQuotasTemplate.Execute(w, p) }

// Render writes the page.
func (p quotaPage) Render(w io.Writer) error { return quotaTemplate.Execute(w, p) }

func (ui *UI) adminQuotas(v *visit) error {
	all, err := ui.svc.Quotas(v.Actor)
	if err != nil {
		return err
	}
	p := adminQuotasPage{adminFrame: ui.adminFrame(v, "quotas")}
	for _, q := range all {
		row := quotaRow{Name: q.Project, Title: q.Title, Shares: sharesOf(q)}
		if q.Project == "" {
			row.Name = service.SiteName
		}
		p.Rows = append(p.Rows, row)
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

// quotaPage makes the form for the project, or site, of the address.
func (ui *UI) quotaPage(v *visit) (p quotaPage, project string, err error) {
	p = quotaPage{adminFrame: ui.adminFrame(v, "quotas"), Name: service.SiteName}
	var q service.QuotaView
	if v.Params("project") == service.SiteName {
		q, err = ui.svc.SiteQuota(v.Actor)
	} else if project, err = id(v.Ctx, "project"); err == nil {
		p.Name = project
		if _, err = ui.svc.SiteQuota(v.Actor); err == nil { // for administrators only
			q, err = ui.svc.Quota(v.Actor, project)
		}
	}
	if err != nil {
		return p, project, err
	}
	p.Heading = "Quota of " + q.Title
	if project == "" {
		p.Heading = "Quota of the whole site"
	}
	limit := func(name, label string, s shareView, help string) field {
		return field{Name: name, Label: label, Value: s.Limit, Max: 32, Help: help + " Used: " + s.Used + "."}
	}
	shares := sharesOf(q)
	p.Fields = []field{
		limit("running", "Running containers", shares[0], "Counted from the wish to start one until it is stopped. Empty for no quota."),
		limit("cpus", "CPUs", shares[1], "The sum of the CPU limits of these containers, or of the reservation of one without a limit. One that has neither can't be started then."),
		limit("memory", "Memory", shares[2], "Likewise for memory, such as 32 GiB."),
		limit("files", "Small files", shares[3], "All small files together, such as 100 MiB."),
	}
	return p, project, nil
}

func (ui *UI) showQuota(v *visit) error {
	p, _, err := ui.quotaPage(v)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) setQuota(v *visit) error {
	p, project, err := ui.quotaPage(v)
	if err != nil {
		return err
	}
	var texts [4]string
	for i := range p.Fields {
		p.Fields[i].Value = strings.Clone(v.FormValue(p.Fields[i].Name))
		if texts[i] = strings.TrimSpace(p.Fields[i].Value); texts[i] == "" {
			texts[i] = service.NoQuota
		}
	}
	change, err := service.QuotaText{Running: texts[0], CPUs: texts[1], Memory: texts[2], Files: texts[3]}.Parse()
	if err == nil {
		_, err = ui.svc.SetQuota(v.UserContext(), v.Actor, project, change)
	}
	if err != nil {
		status, fields, message, show := formError(v.Ctx, err)
		if !show || state.CodeOf(err) != state.Invalid && state.CodeOf(err) != state.Unavailable {
			return err
		}
		p.Error = message
		for i := range p.Fields {
			p.Fields[i].Errors = fields[p.Fields[i].Name]
		}
		return render(v.Ctx, status, p)
	}
	ui.setFlash(v.Ctx, flash{Text: "The quota was set."})
	return v.Redirect("/kioscadmin/overview/quotas")
}

package api

import (
	"encoding/json"
	"math"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

// registerQuotas adds the addresses of quotas. The original has none.
func (a *API) registerQuotas(api fiber.Router) {
	a.route(api, "/quota/site", containerMedia, methods{fiber.MethodGet: a.showSiteQuota, fiber.MethodPatch: a.changeSiteQuota}).
		get(about{summary: "Show the quota of the whole site", right: auth.Administer, out: quotaJSON{}}).
		patch(about{summary: "Change the quota of the whole site", right: auth.Administer, in: quotaInput{}, out: quotaJSON{}})
	a.route(api, "/quota/:project<guid>", containerMedia, methods{fiber.MethodGet: a.showQuota, fiber.MethodPatch: a.changeQuota}).
		get(about{summary: "Show a project's quota, and what is used of it", right: auth.ViewContainer, out: quotaJSON{}}).
		patch(about{summary: "Change a project's quota", right: auth.Administer, in: quotaInput{}, out: quotaJSON{}})
}

// quotaJSON is what a project, or the site, has and may have. CPUs are whole ones, sizes bytes; a limit of null bounds
// nothing.
type quotaJSON struct {
	Project *string   `json:"project"`
	Running shareJSON `json:"running"`
	CPUs    shareJSON `json:"cpus"`
	Memory  shareJSON `json:"memory"`
	Files   shareJSON `json:"files"`
}

type shareJSON struct {
	Used  float64  `json:"used"`
	Limit *float64 `json:"limit"`
}

// quotaInput is what a request may set; null ends a quota.
type quotaInput struct {
	Running *int64   `json:"running"`
	CPUs    *float64 `json:"cpus"`
	Memory  *int64   `json:"memory"`
	Files   *int64   `json:"files"`
}

func quotaAnswer(c *fiber.Ctx, v service.QuotaView) error {
	share := func(s service.Share, unit float64) shareJSON {
		out := shareJSON{Used: float64(s.Used) / unit}
		if s.Limit != nil {
			limit := float64(*s.Limit) / unit
			out.Limit = &limit
		}
		return out
	}
	return render(c, fiber.StatusOK, quotaJSON{Project: orNull(v.Project), Running: share(v.Running, 1), CPUs: share(v.CPUs, 1000),
		Memory: share(v.Memory, 1), Files: share(v.Files, 1)})
}

func (a *API) showSiteQuota(c *fiber.Ctx, actor service.Actor) error {
	v, err := a.service.SiteQuota(actor)
	if err != nil {
		return err
	}
	return quotaAnswer(c, v)
}

func (a *API) showQuota(c *fiber.Ctx, actor service.Actor) error {
	v, err := a.service.Quota(actor, id(c, "project"))
	if err != nil {
		return err
	}
	return quotaAnswer(c, v)
}

func (a *API) changeSiteQuota(c *fiber.Ctx, actor service.Actor) error {
	return a.setQuota(c, actor, "")
}

func (a *API) changeQuota(c *fiber.Ctx, actor service.Actor) error {
	return a.setQuota(c, actor, id(c, "project"))
}

func (a *API) setQuota(c *fiber.Ctx, actor service.Actor, project string) error {
	change, err := read(c, func(in *input) service.QuotaChange {
		return service.QuotaChange{Running: in.limit("running", 1), MilliCPUs: in.limit("cpus", 1000),
			MemoryBytes: in.limit("memory", 1), FileBytes: in.limit("files", 1)}
	})
	if err != nil {
		return err
	}
	v, err := a.service.SetQuota(c.UserContext(), actor, project, change)
	if err != nil {
		return err
	}
	return quotaAnswer(c, v)
}

// limit is nil for a missing field, and a pointer to nil for null.
func (in *input) limit(field string, unit float64) **int64 {
	raw, given := in.raw[field]
	if !given {
		return nil
	}
	var limit *int64
	if isNull(raw) {
		return &limit
	}
	var n float64
	if json.Unmarshal(raw, &n) != nil || n < 0 || n*unit > state.MaxQuota || unit == 1 && n != math.Trunc(n) {
		in.fault(field, "A number from 0 is required, or null for no quota.")
	}
	whole := int64(math.Round(n * unit))
	limit = &whole
	return &limit
}

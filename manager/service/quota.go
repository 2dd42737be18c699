package service

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// QuotaView is what a project, or the site, may have and has.
type QuotaView struct {
	Project string `json:"project"` // id; empty for the site
	Title   string `json:"title"`
	Running Share  `json:"running"` // containers
	CPUs    Share  `json:"cpus"`    // thousandths
	Memory  Share  `json:"memory"`  // bytes
	Files   Share  `json:"files"`   // bytes
}

// Share is how much of something is used, and how much there is: nil for no quota.
type Share struct {
	Used  int64  `json:"used"`
	Limit *int64 `json:"limit"`
}

// Any tells whether there is a quota of anything.
func (v QuotaView) Any() bool {
	return v.Running.Limit != nil || v.CPUs.Limit != nil || v.Memory.Limit != nil || v.Files.Limit != nil
}

// SiteTitle stands for the whole site where projects have their titles.
const SiteTitle = "Whole site"

func quotaView(tx *state.Tx, project, title string) (v QuotaView, err error) {
	v = QuotaView{Project: project, Title: title}
	var q state.Quota
	var used state.Used
	var files state.FileUsage
	if project == "" {
		if q, used, err = tx.SiteQuota(); err == nil {
			files, err = tx.FileUsage()
		}
	} else if q, used, err = tx.QuotaOf(project); err == nil {
		files, err = tx.FileUsageOf(project)
	}
	v.Running, v.CPUs = Share{used.Running, q.Running}, Share{used.MilliCPUs, q.MilliCPUs}
	v.Memory, v.Files = Share{used.MemoryBytes, q.MemoryBytes}, Share{files.Bytes, q.FileBytes}
	return v, err
}

// Quota tells what a project may have and has, to those who see its containers.
func (s *Service) Quota(a Actor, project string) (v QuotaView, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		if err := may(tx, a, project, auth.ViewContainer); err != nil {
			return err
		}
		p, _, err := tx.Project(project)
		if err != nil {
			return err
		}
		v, err = quotaView(tx, project, p.Title)
		return err
	})
	return v, err
}

// SiteQuota is Quota for the whole site, for administrators.
func (s *Service) SiteQuota(a Actor) (v QuotaView, err error) {
	if err := administer(a); err != nil {
		return v, err
	}
	err = s.store.View(func(tx *state.Tx) error {
		v, err = quotaView(tx, "", SiteTitle)
		return err
	})
	return v, err
}

// Quotas lists the site, then all projects by title, for administrators.
func (s *Service) Quotas(a Actor) (views []QuotaView, err error) {
	if err := administer(a); err != nil {
		return nil, err
	}
	err = s.store.View(func(tx *state.Tx) error {
		projects, err := tx.Projects()
		if err != nil {
			return err
		}
		for _, p := range projects {
			if p.Type != state.TypeProject {
				continue
			}
			v, err := quotaView(tx, p.ID, p.Title)
			if err != nil {
				return err
			}
			views = append(views, v)
		}
		slices.SortStableFunc(views, func(a, b QuotaView) int { return cmp.Compare(a.Title, b.Title) })
		site, err := quotaView(tx, "", SiteTitle)
		views = slices.Insert(views, 0, site)
		return err
	})
	return views, err
}

// QuotaChange says what becomes of a quota: nil leaves a number as it is, a pointer to nil ends that quota.
type QuotaChange struct {
	Running, MilliCPUs, MemoryBytes, FileBytes **int64
}

// SetQuota changes the quota of a project, or the site's where project is empty, for administrators.
func (s *Service) SetQuota(ctx context.Context, a Actor, project string, change QuotaChange) (v QuotaView, err error) {
	if err := administer(a); err != nil {
		return v, err
	}
	var q state.Quota
	err = s.store.View(func(tx *state.Tx) error {
		if project == "" {
			q, _, err = tx.SiteQuota()
		} else {
			q, _, err = tx.QuotaOf(project)
		}
		return err
	})
	if err != nil {
		return v, err
	}
	for _, one := range []struct {
		now *(*int64)
		to  **int64
	}{{&q.Running, change.Running}, {&q.MilliCPUs, change.MilliCPUs}, {&q.MemoryBytes, change.MemoryBytes}, {&q.FileBytes, change.FileBytes}} {
		if one.to != nil {
			*one.now = *one.to
		}
	}
	e := event(a, appAdmin, project, "quota_set", "set the quota of the "+quotaOf(project))
	if _, err = act[state.Quota](ctx, s, &state.QuotaSet{Project: project, Quota: q, User: a.User.Name, At: now()}, e); err != nil {
		return v, err
	}
	if project == "" {
		return s.SiteQuota(a)
	}
	return s.Quota(a, project)
}

// NoQuota is how people write that there is no quota.
const NoQuota = "none"

// QuotaText is a change of a quota as people write it. An empty text leaves a number as it is; NoQuota ends that quota.
type QuotaText struct {
	Running string `json:"running"`
	CPUs    string `json:"cpus"`   // such as 2.5
	Memory  string `json:"memory"` // such as 8 GiB
	Files   string `json:"files"`  // such as 100 MiB
}

// Parse reads the text. The error names the fields that are wrong.
func (t QuotaText) Parse() (change QuotaChange, err error) {
	wrong := make(map[string][]string)
	read := func(field, text, help string, number func(string) (int64, error)) **int64 {
		text = strings.TrimSpace(text)
		if text == "" {
			return nil
		}
		var limit *int64
		if text != NoQuota {
			n, err := number(text)
			if err != nil || n < 0 || n > state.MaxQuota {
				wrong[field] = []string{help}
			}
			limit = &n
		}
		return &limit
	}
	size := func(text string) (int64, error) { return units.RAMInBytes(text) }
	change.Running = read("running", t.Running, "Enter a whole number, or none.", func(text string) (int64, error) {
		return strconv.ParseInt(text, 10, 64)
	})
	change.MilliCPUs = read("cpus", t.CPUs, "Enter a number of CPUs such as 2 or 0.5, or none.", func(text string) (int64, error) {
		n, err := strconv.ParseFloat(text, 64)
		if err == nil && !(n >= 0 && n < 1e9) {
			err = strconv.ErrRange
		}
		return int64(math.Round(n * 1000)), err
	})
	change.MemoryBytes = read("memory", t.Memory, "Enter a size such as 8 GiB, or none.", size)
	change.FileBytes = read("files", t.Files, "Enter a size such as 100 MiB, or none.", size)
	if len(wrong) > 0 {
		err = &state.Error{Code: state.Invalid, Message: "Please correct the marked fields.", Fields: wrong}
	}
	return change, err
}

// ProjectNamed finds a project by its id or its title, for administrators. It is empty for the name of the site.
func (s *Service) ProjectNamed(a Actor, name string) (project string, err error) {
	if err := administer(a); err != nil || name == SiteName {
		return "", err
	}
	var found []string
	err = s.store.View(func(tx *state.Tx) error {
		projects, err := tx.Projects()
		for _, p := range projects {
			if p.Type == state.TypeProject && (p.ID == name || p.Title == name) {
				found = append(found, p.ID)
			}
		}
		return err
	})
	switch {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", state.Errorf(state.NotFound, "There is no project "+name+".")
	case len(found) > 1:
		return "", state.Errorf(state.Conflict, "Several projects are called "+name+". Give the UUID of one.")
	}
	return found[0], nil
}

// SiteName stands for the whole site where commands name a project.
const SiteName = "site"

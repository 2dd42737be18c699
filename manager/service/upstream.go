package service

import (
	"context"
	"crypto/x509"
	"strings"
	"time"

	"github.com/google/uuid"

	"kiosc/cluster/state"
	"kiosc/manager/upstream"
)

// UpstreamSettings are what the operator decides of the upstream site. They must be the same on all managers. The zero value is
// a site that stands alone, and may give projects to others.
type UpstreamSettings struct {
	// Target says that projects, users and roles are taken over from another site.
	Target bool
	// Enable lets the leader sync by itself, every Interval; without, only when it is asked to.
	Enable   bool
	Interval time.Duration // 0 for DefaultSyncInterval
	// NoCreate says that people create no projects here beside those that are taken over.
	NoCreate bool
	// DefaultAdmin is the name of the user who owns what somebody owns at the upstream site who can't be taken over; empty for
	// DefaultAdmin.
	DefaultAdmin string
	// URL and Secret are of the upstream site; both empty for one that is set on the admin page.
	URL, Secret string
	// CAs may have signed its certificate; nil for those of the system.
	CAs *x509.CertPool
	// AllowPlain lets the secret go over the network without TLS.
	AllowPlain bool
}

// What SODAR has by default.
const (
	DefaultSyncInterval = 5 * time.Minute
	DefaultAdmin        = "admin"
)

// UpstreamTask is the name of the periodic task that syncs with the upstream site.
const UpstreamTask = "upstream-sync"

var (
	errNoTarget = state.Errorf(state.Conflict, "This site takes nothing over from another one. Set PROJECTROLES_SITE_MODE=TARGET on all managers for that.")
	errNoSource = state.Errorf(state.Conflict, "No upstream site is set. Set its address and secret on the admin page, or by KIOSC_UPSTREAM_URL and KIOSC_UPSTREAM_SECRET.")
	errCreateUp = state.Errorf(state.Forbidden, "Projects are created at the upstream SODAR site, and not here.")
)

// createsHere tells whether people may create projects here at all.
func (s *Service) createsHere() bool {
	return !s.settings.Upstream.Target || !s.settings.Upstream.NoCreate
}

// UpstreamView is how this site stands to the upstream one, as admins see it.
type UpstreamView struct {
	Target       bool          `json:"target"`
	Enabled      bool          `json:"enabled"`
	Interval     time.Duration `json:"interval"` // nanoseconds
	CreatesHere  bool          `json:"creates_here"`
	LocalUsers   bool          `json:"local_users"`
	DefaultAdmin string        `json:"default_admin"`
	// Name and URL are empty where no upstream site is set.
	Name string `json:"name"`
	URL  string `json:"url"`
	// BySettings says that the operator's settings say which site it is, so that it can't be set on the admin page.
	BySettings bool `json:"by_settings"`
	// Projects, Categories and Users count what comes from the upstream site.
	Projects   int `json:"projects"`
	Categories int `json:"categories"`
	Users      int `json:"users"`
	// Result is null where no sync has had anything to tell.
	Result *state.UpstreamResult `json:"result"`
	// Task is null where this site takes nothing over.
	Task *TaskStatus `json:"task"`
}

// Upstream tells how this site stands to the upstream one, for superusers.
func (s *Service) Upstream(ctx context.Context, a Actor) (view UpstreamView, err error) {
	if err := administer(a); err != nil {
		return view, err
	}
	set := s.settings.Upstream
	view = UpstreamView{Target: set.Target, Enabled: set.Enable, Interval: s.SyncInterval(), CreatesHere: s.createsHere(),
		LocalUsers: s.settings.LocalUsers, DefaultAdmin: s.SyncOptions().DefaultAdmin, URL: set.URL, BySettings: set.URL != ""}
	err = s.store.View(func(tx *state.Tx) error {
		if err := view.count(tx); err != nil {
			return err
		}
		result, ok, err := tx.UpstreamResult()
		if ok {
			view.Result = &result
		}
		if err != nil || view.BySettings {
			return err
		}
		site, _, err := tx.UpstreamSite()
		view.Name, view.URL = site.Name, site.URL
		return err
	})
	if err != nil || !set.Target {
		return view, err
	}
	all, err := s.tasks.Tasks(ctx)
	for i := range all {
		if all[i].Name == UpstreamTask {
			view.Task = &all[i]
		}
	}
	return view, err
}

func (v *UpstreamView) count(tx *state.Tx) error {
	projects, err := tx.Projects()
	if err != nil {
		return err
	}
	for _, p := range projects {
		switch {
		case !p.Upstream:
		case p.Type == state.TypeCategory:
			v.Categories++
		default:
			v.Projects++
		}
	}
	users, err := tx.Users()
	for _, u := range users {
		if u.Upstream {
			v.Users++
		}
	}
	return err
}

// SyncInterval is how often the leader syncs.
func (s *Service) SyncInterval() time.Duration {
	if s.settings.Upstream.Interval > 0 {
		return s.settings.Upstream.Interval
	}
	return DefaultSyncInterval
}

// SyncOptions are what the settings say of the sync.
func (s *Service) SyncOptions() upstream.Options {
	o := upstream.Options{LocalUsers: s.settings.LocalUsers, DefaultAdmin: s.settings.Upstream.DefaultAdmin}
	if o.DefaultAdmin == "" {
		o.DefaultAdmin = DefaultAdmin
	}
	return o
}

// SyncSource is the upstream site with its secret. It is for the sync alone, and is never shown.
func (s *Service) SyncSource() (upstream.Source, error) {
	set := s.settings.Upstream
	source := upstream.Source{URL: set.URL, Secret: set.Secret, CAs: set.CAs, AllowPlain: set.AllowPlain}
	if set.URL != "" {
		return source, nil
	}
	err := s.store.View(func(tx *state.Tx) error {
		site, ok, err := tx.UpstreamSite()
		if err != nil {
			return err
		}
		if !ok {
			return errNoSource
		}
		secret, err := s.sealer.Open(site.Sealed, upstreamContext(site.ID))
		source.URL, source.Secret = site.URL, string(secret)
		return err
	})
	return source, err
}

// upstreamContext binds a sealed secret to its site.
func upstreamContext(site string) string { return "upstream site " + site }

// SyncUpstream syncs with the upstream site now, for superusers, and waits for the end as RunTask does.
func (s *Service) SyncUpstream(ctx context.Context, a Actor) (TaskStatus, error) {
	if err := administer(a); err != nil {
		return TaskStatus{}, err
	}
	if !s.settings.Upstream.Target {
		return TaskStatus{}, errNoTarget
	}
	return s.RunTask(ctx, a, UpstreamTask)
}

// UpstreamInput is what an admin enters for the upstream site.
type UpstreamInput struct {
	Name string `json:"name"`
	URL  string `json:"url"`
	// Secret is empty, or what a page shows in its place, to keep the one of before.
	Secret string `json:"secret"`
}

// maxSecret bounds the secret of a remote site, in bytes.
const maxSecret = 1024

// SetUpstream sets the upstream site. Only superusers may. A secret is kept only for the address that it was given for.
func (s *Service) SetUpstream(ctx context.Context, a Actor, in UpstreamInput) error {
	if err := administer(a); err != nil {
		return err
	}
	if s.settings.Upstream.URL != "" {
		return state.Errorf(state.Conflict, "The operator's settings say which site it is (KIOSC_UPSTREAM_URL).")
	}
	in.Name, in.URL, in.Secret = strings.TrimSpace(in.Name), strings.TrimRight(strings.TrimSpace(in.URL), "/"), strings.TrimSpace(in.Secret)
	if _, err := upstream.CheckURL(in.URL, s.settings.Upstream.AllowPlain); err != nil {
		return wrongField("url", err.Error())
	}
	var site state.RemoteSite
	var known bool
	err := s.store.View(func(tx *state.Tx) (err error) {
		site, known, err = tx.UpstreamSite()
		return err
	})
	if err != nil {
		return err
	}
	if !known {
		site = state.RemoteSite{ID: uuid.NewString(), Upstream: true, CreatedAt: now()}
	}
	switch keep := in.Secret == "" || in.Secret == state.Masked; {
	case len(in.Secret) > maxSecret:
		return wrongField("secret", "This is no secret of a remote site.")
	case keep && (!known || site.URL != in.URL):
		return wrongField("secret", "Enter the secret that the upstream site has for this one.")
	case !keep:
		if site.Sealed, err = s.sealer.Seal([]byte(in.Secret), upstreamContext(site.ID)); err != nil {
			return err
		}
	}
	site.Name, site.URL = in.Name, in.URL
	e := event(a, appProjects, "", "remote_site_update", "set the upstream site {site}", siteObject(site))
	_, err = act[state.RemoteSite](ctx, s, &state.RemoteSiteSet{Site: site}, e)
	return err
}

// RemoveUpstream forgets the upstream site and its secret. What was taken over stays as it is. Only superusers may.
func (s *Service) RemoveUpstream(ctx context.Context, a Actor) error {
	if err := administer(a); err != nil {
		return err
	}
	var site state.RemoteSite
	err := s.store.View(func(tx *state.Tx) (err error) {
		var ok bool
		if site, ok, err = tx.UpstreamSite(); err == nil && !ok {
			err = errNoSite
		}
		return err
	})
	if err != nil {
		return err
	}
	e := event(a, appProjects, "", "remote_site_delete", "remove the upstream site {site}", siteObject(site))
	_, err = act[state.RemoteSite](ctx, s, &state.RemoteSiteRemoved{ID: site.ID}, e)
	return err
}

// ReleaseInput says what is changed here from now on, and not at the upstream site.
type ReleaseInput struct {
	// Projects are ids or full titles of projects and categories; All is for all of them, and all users.
	Projects []string `json:"projects"`
	All      bool     `json:"all"`
}

// maxReleased is how many things are released by one command.
const maxReleased = 5000

// ReleaseUpstream makes projects that were taken over be changed here. What the upstream site still has is taken over again by
// the next sync. Only superusers may.
func (s *Service) ReleaseUpstream(ctx context.Context, a Actor, in ReleaseInput) (released state.UpstreamTally, err error) {
	if err := administer(a); err != nil {
		return released, err
	}
	var projects, users []string
	err = s.store.View(func(tx *state.Tx) error {
		projects, users, err = toRelease(tx, in)
		return err
	})
	for (len(projects) > 0 || len(users) > 0) && err == nil {
		c := &state.UpstreamTaken{ID: uuid.NewString(), At: now()}
		c.Released, projects = cutAt(projects, maxReleased)
		c.ReleasedUsers, users = cutAt(users, maxReleased)
		e := event(a, appProjects, "", "remote_release", "change projects from the upstream site here")
		e.Extra = map[string]string{"projects": cutList(c.Released)}
		var part state.UpstreamTally
		part, err = act[state.UpstreamTally](ctx, s, c, e)
		released.Projects.Changed += part.Projects.Changed
		released.Users.Changed += part.Users.Changed
	}
	return released, err
}

func cutAt(list []string, n int) (first, rest []string) {
	n = min(n, len(list))
	return list[:n], list[n:]
}

func toRelease(tx *state.Tx, in ReleaseInput) (projects, users []string, err error) {
	for _, name := range in.Projects {
		p, err := projectNamed(tx, name)
		if err != nil {
			return nil, nil, err
		}
		if !p.Upstream {
			return nil, nil, state.Errorf(state.Conflict, "\""+p.Title+"\" does not come from the upstream site.")
		}
		projects = append(projects, p.ID)
	}
	if !in.All {
		return projects, nil, nil
	}
	all, err := tx.Projects()
	if err != nil {
		return nil, nil, err
	}
	projects = nil
	for _, p := range all {
		if p.Upstream {
			projects = append(projects, p.ID)
		}
	}
	people, err := tx.Users()
	for _, u := range people {
		if u.Upstream {
			users = append(users, u.ID)
		}
	}
	return projects, users, err
}

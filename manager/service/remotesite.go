package service

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/upstream"
)

// RemoteSiteInput is what an admin enters for a target site, which asks this one for projects.
type RemoteSiteInput struct {
	Name        string `json:"name"`
	URL         string `json:"url"`
	Description string `json:"description,omitempty"`
	// All gives the site all projects, but for those with a level of their own.
	All bool `json:"all,omitempty"`
}

// RemoteSiteView is a target site as admins see it.
type RemoteSiteView struct {
	ID          string `json:"sodar_uuid"`
	Name        string `json:"name"`
	URL         string `json:"url"`
	Description string `json:"description"`
	All         bool   `json:"all"`
	// Given and Revoked count the projects of these levels.
	Given     int       `json:"given"`
	Revoked   int       `json:"revoked"`
	CreatedAt time.Time `json:"date_created"`
	// Secret is that of a new site, with which it asks. It can't be had again.
	Secret string `json:"secret,omitempty"`
}

// RemoteProjectView is how much of a project a target site is given.
type RemoteProjectView struct {
	ID        string            `json:"sodar_uuid"`
	FullTitle string            `json:"full_title"`
	Level     state.RemoteLevel `json:"level"`
}

var (
	errNoSite     = state.Errorf(state.NotFound, "There is no such remote site.")
	errTargetMode = state.Errorf(state.Conflict, "This site takes its projects over from another one (PROJECTROLES_SITE_MODE=TARGET), and gives none to others.")
)

// RemoteSites lists the target sites by name, for superusers.
func (s *Service) RemoteSites(a Actor) (views []RemoteSiteView, err error) {
	if err := administer(a); err != nil {
		return nil, err
	}
	err = s.store.View(func(tx *state.Tx) error {
		sites, err := tx.RemoteSites()
		if err != nil {
			return err
		}
		for _, site := range sites {
			if site.Upstream {
				continue
			}
			view, _, err := remoteSite(tx, site)
			if err != nil {
				return err
			}
			views = append(views, view)
		}
		return nil
	})
	return views, err
}

// RemoteSite returns a target site, by its id or name, and all projects with their levels, by title; for superusers.
func (s *Service) RemoteSite(a Actor, name string) (view RemoteSiteView, projects []RemoteProjectView, err error) {
	if err := administer(a); err != nil {
		return view, nil, err
	}
	err = s.store.View(func(tx *state.Tx) error {
		site, err := targetSite(tx, name)
		if err != nil {
			return err
		}
		view, projects, err = remoteSite(tx, site)
		return err
	})
	return view, projects, err
}

// targetSite finds a target site by its id or name.
func targetSite(tx *state.Tx, name string) (state.RemoteSite, error) {
	sites, err := tx.RemoteSites()
	if err != nil {
		return state.RemoteSite{}, err
	}
	i := slices.IndexFunc(sites, func(s state.RemoteSite) bool { return !s.Upstream && (s.ID == name || s.Name == name) })
	if i < 0 {
		return state.RemoteSite{}, errNoSite
	}
	return sites[i], nil
}

func remoteSite(tx *state.Tx, site state.RemoteSite) (view RemoteSiteView, projects []RemoteProjectView, err error) {
	view = RemoteSiteView{ID: site.ID, Name: site.Name, URL: site.URL, Description: site.Description, All: site.All, CreatedAt: site.CreatedAt}
	levels, err := upstream.LevelsFor(tx, site)
	if err != nil {
		return view, nil, err
	}
	all, err := tx.Projects()
	if err != nil {
		return view, nil, err
	}
	for _, p := range all {
		if p.Type != state.TypeProject || p.Deleting {
			continue
		}
		title, err := tx.FullTitle(p.ID)
		if err != nil {
			return view, nil, err
		}
		level := levels.Of(p.ID)
		switch level {
		case state.LevelReadRoles:
			view.Given++
		case state.LevelRevoked:
			view.Revoked++
		}
		projects = append(projects, RemoteProjectView{p.ID, title, level})
	}
	slices.SortFunc(projects, func(a, b RemoteProjectView) int { return strings.Compare(a.FullTitle, b.FullTitle) })
	return view, projects, nil
}

// siteObject is a remote site in an event, which its description names {site}.
func siteObject(s state.RemoteSite) state.EventObject {
	return state.EventObject{Label: "site", Name: s.Name, Model: "RemoteSite", ID: s.ID}
}

// AddRemoteSite adds a target site and makes its secret. Only superusers may.
func (s *Service) AddRemoteSite(ctx context.Context, a Actor, in RemoteSiteInput) (RemoteSiteView, error) {
	if err := administer(a); err != nil {
		return RemoteSiteView{}, err
	}
	if s.settings.Upstream.Target {
		return RemoteSiteView{}, errTargetMode
	}
	secret, hash := auth.NewSecret("")
	site := state.RemoteSite{ID: uuid.NewString(), Name: strings.TrimSpace(in.Name), URL: strings.TrimRight(strings.TrimSpace(in.URL), "/"),
		Description: in.Description, Hash: hash, All: in.All, CreatedAt: now()}
	e := event(a, appProjects, "", "remote_site_create", "add the target site {site}", siteObject(site))
	if _, err := act[state.RemoteSite](ctx, s, &state.RemoteSiteSet{Site: site}, e); err != nil {
		return RemoteSiteView{}, err
	}
	return RemoteSiteView{ID: site.ID, Name: site.Name, URL: site.URL, Description: site.Description, All: site.All, CreatedAt: site.CreatedAt, Secret: secret}, nil
}

// RemoveRemoteSite removes a target site, by its id or name, whose secret counts no more. What it has taken over stays there.
// Only superusers may.
func (s *Service) RemoveRemoteSite(ctx context.Context, a Actor, name string) error {
	if err := administer(a); err != nil {
		return err
	}
	var site state.RemoteSite
	err := s.store.View(func(tx *state.Tx) (err error) {
		site, err = targetSite(tx, name)
		return err
	})
	if err != nil {
		return err
	}
	e := event(a, appProjects, "", "remote_site_delete", "remove the target site {site}", siteObject(site))
	_, err = act[state.RemoteSite](ctx, s, &state.RemoteSiteRemoved{ID: site.ID}, e)
	return err
}

// GiveInput says how much of which projects a target site is given.
type GiveInput struct {
	Site string `json:"site"` // id or name
	// Projects are ids or full titles.
	Projects []string          `json:"projects"`
	Level    state.RemoteLevel `json:"level"`
	// All is nil to leave it as it is.
	All *bool `json:"all,omitempty"`
}

// GiveProjects sets how much of some projects a target site is given. Only superusers may.
func (s *Service) GiveProjects(ctx context.Context, a Actor, in GiveInput) (view RemoteSiteView, err error) {
	if err := administer(a); err != nil {
		return view, err
	}
	var site state.RemoteSite
	give := &state.RemoteProjectsGiven{All: in.All}
	err = s.store.View(func(tx *state.Tx) error {
		if site, err = targetSite(tx, in.Site); err != nil {
			return err
		}
		give.Site = site.ID
		for _, name := range in.Projects {
			p, err := projectNamed(tx, name)
			if err != nil {
				return err
			}
			give.Projects = append(give.Projects, state.RemoteProject{Project: p.ID, Level: in.Level})
		}
		return nil
	})
	if err != nil {
		return view, err
	}
	e := event(a, appProjects, "", "remote_access_update", "change which projects {site} is given", siteObject(site))
	e.Extra = map[string]string{"level": string(in.Level), "projects": cutList(in.Projects)}
	if _, err := act[any](ctx, s, give, e); err != nil {
		return view, err
	}
	view, _, err = s.RemoteSite(a, site.ID)
	return view, err
}

// cutList is a list for the timeline.
func cutList(list []string) string {
	const most = 20
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return strings.Join(list[:most], ", ") + " …"
}

// projectNamed finds a project by its id or its full title.
func projectNamed(tx *state.Tx, name string) (state.Project, error) {
	p, ok, err := tx.Project(name)
	if err == nil && !ok {
		p, ok, err = tx.ProjectByPath(name)
	}
	if err == nil && !ok {
		err = state.Errorf(state.NotFound, "There is no project \""+name+"\". Name it by its UUID, or by its titles such as \"Lab / Mice\".")
	}
	return p, err
}

// maxAnswers bounds the answers to target sites that are made at once; each takes some hundred MiB for a very large site.
const maxAnswers = 2

// answerPatience is how long a target site waits for its turn.
const answerPatience = 20 * time.Second

// ErrUnknownSite is what a target site hears whose secret isn't known.
var ErrUnknownSite = state.Errorf(state.Unauthenticated, "Remote site not found, unauthorized")

// RemoteAnswer is what a target site is given, which shows who it is by its secret. Whoever guesses has to wait, by the address
// from which the request comes.
func (s *Service) RemoteAnswer(ctx context.Context, secret, address string, wants upstream.Wants) (raw []byte, err error) {
	if !s.node.CaughtUp() {
		return nil, errStarting
	}
	if s.settings.Upstream.Target {
		return nil, ErrUnknownSite
	}
	var site state.RemoteSite
	known, err := s.attempt("remote site of "+address, address, func() (known bool, err error) {
		err = s.store.View(func(tx *state.Tx) error {
			site, known, err = tx.RemoteSiteByHash(auth.HashSecret(secret))
			return err
		})
		return known, err
	})
	if err == nil && !known {
		err = ErrUnknownSite
	}
	if err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	select {
	case s.answers <- struct{}{}:
		defer func() { <-s.answers }()
	case <-wait.Done():
		return nil, state.Errorf(state.TooMany, "Too many sites ask at the moment. Try again in a minute.")
	}
	err = s.store.View(func(tx *state.Tx) error {
		raw, err = upstream.Encode(tx, site, wants)
		return err
	})
	return raw, err
}

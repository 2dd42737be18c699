package upstream

import (
	"encoding/json"
	"slices"
	"strings"

	"kiosc/cluster/state"
)

// Wants is how a target site asks.
type Wants struct {
	Version string
	// PublicAccess says that the site understands the public access of projects, which SODAR's answers don't have.
	PublicAccess bool
}

// WantsOf reads the headers of a request; ok is false where it asks for no version of ours.
func WantsOf(accept, extended string) (w Wants, ok bool) {
	version, ok := Asked(accept)
	return Wants{version, extended == extensionValue}, ok
}

// Extension is the header whose value WantsOf reads besides Accept.
const Extension = extension

// answerer makes an answer.
type answerer struct {
	tx    *state.Tx
	wants Wants
	out   payload
	done  map[string]bool // users by id
}

// Encode makes the answer for a target site: the projects that it is given with the categories above them, and the users with
// a role in any of them. Neither passwords nor tokens, nor anything else that only this site knows, is in it.
func Encode(tx *state.Tx, site state.RemoteSite, w Wants) ([]byte, error) {
	a := &answerer{tx: tx, wants: w, done: make(map[string]bool), out: payload{Users: make(map[string]userJSON), Projects: make(map[string]projectJSON),
		PeerSites: make(map[string]peerJSON), AppSettings: make(map[string]json.RawMessage)}}
	given, err := LevelsFor(tx, site)
	if err != nil {
		return nil, err
	}
	peers, err := a.peers(site)
	if err != nil {
		return nil, err
	}
	projects, err := tx.Projects()
	if err != nil {
		return nil, err
	}
	for _, p := range projects {
		if p.Type != state.TypeProject || p.Deleting {
			continue
		}
		switch given.Of(p.ID) {
		case state.LevelRevoked:
			a.out.Projects[p.ID] = projectJSON{Title: p.Title, Type: string(p.Type), Level: levelRevoked, RemoteSites: []string{}}
		case state.LevelReadRoles:
			if err := a.add(p, peers); err != nil {
				return nil, err
			}
		}
	}
	return json.Marshal(a.out)
}

// Levels are what a target site is given of each project.
type Levels struct {
	all bool
	own map[string]state.RemoteLevel
}

// LevelsFor reads those of a target site.
func LevelsFor(tx *state.Tx, site state.RemoteSite) (Levels, error) {
	own, err := tx.RemoteProjects(site.ID)
	l := Levels{site.All, make(map[string]state.RemoteLevel, len(own))}
	for _, p := range own {
		l.own[p.Project] = p.Level
	}
	return l, err
}

// Of is the level of the project with this id.
func (l Levels) Of(project string) state.RemoteLevel {
	if level, own := l.own[project]; own {
		return level
	}
	if l.all {
		return state.LevelReadRoles
	}
	return state.LevelNone
}

// peer is another target site.
type peer struct {
	state.RemoteSite
	Levels
}

func (a *answerer) peers(site state.RemoteSite) (peers []peer, err error) {
	sites, err := a.tx.RemoteSites()
	for _, s := range sites {
		if s.Upstream || s.ID == site.ID {
			continue
		}
		g, err := LevelsFor(a.tx, s)
		if err != nil {
			return nil, err
		}
		peers = append(peers, peer{s, g})
	}
	return peers, err
}

// add adds a project with the categories above it and everybody who has a role there.
func (a *answerer) add(p state.Project, peers []peer) error {
	chain, err := a.tx.Ancestors(p.ID)
	if err != nil {
		return err
	}
	for _, node := range chain {
		if _, there := a.out.Projects[node.ID]; there {
			break // and so are those above
		}
		out, err := a.project(node)
		if err != nil {
			return err
		}
		if node.Type == state.TypeProject {
			out.RemoteSites = a.sharedWith(p, peers)
		}
		a.out.Projects[node.ID] = out
	}
	return nil
}

func (a *answerer) sharedWith(p state.Project, peers []peer) []string {
	ids := []string{}
	for _, s := range peers {
		if s.Of(p.ID) != state.LevelReadRoles {
			continue
		}
		ids = append(ids, s.ID)
		a.out.PeerSites[s.ID] = peerJSON{Name: s.Name, URL: s.URL, Description: s.Description, UserDisplay: true}
	}
	return ids
}

func (a *answerer) project(p state.Project) (projectJSON, error) {
	out := projectJSON{Title: p.Title, Type: string(p.Type), Level: levelReadRoles, Description: p.Description, Readme: p.Readme,
		Roles: make(map[string]roleJSON)}
	if p.Parent != "" {
		out.Parent = &p.Parent
	}
	if a.wants.PublicAccess && p.Type == state.TypeProject {
		out.PublicAccess = json.RawMessage("null")
		if p.PublicAccess != "" {
			out.PublicAccess, _ = json.Marshal(string(p.PublicAccess)) // a text never fails
		}
	}
	roles, err := a.tx.RolesOf(p.ID)
	if err != nil {
		return out, err
	}
	for _, r := range roles {
		if a.wants.Version == "1.0" && (r.Role == state.Viewer || r.Role == state.Finder) {
			continue // it has no such roles
		}
		u, ok, err := a.tx.User(r.User)
		if err != nil {
			return out, err
		}
		if !ok {
			continue
		}
		a.addUser(u)
		out.Roles[r.ID] = roleJSON{User: u.Name, Role: string(r.Role)}
	}
	return out, nil
}

func (a *answerer) addUser(u state.User) {
	if a.done[u.ID] {
		return
	}
	a.done[u.ID] = true
	out := userJSON{Username: u.Name, Name: u.FullName, FirstName: u.FirstName, LastName: u.LastName, Email: u.Email,
		AdditionalEmails: append([]string{}, u.AdditionalEmails...), Groups: groupsOf(u), UUID: u.ID}
	if a.wants.Version == Versions[0] {
		out.IsActive = &u.Active
	}
	a.out.Users[u.ID] = out
}

// groupsOf are a user's groups as SODAR has them.
func groupsOf(u state.User) []string {
	_, domain, found := strings.Cut(u.Name, "@")
	switch {
	case len(u.UpstreamGroups) > 0:
		return slices.Clone(u.UpstreamGroups)
	case u.Auth() == state.AuthOIDC:
		return []string{groupOIDC}
	case u.Auth() == state.AuthLDAP && found:
		return []string{strings.ToLower(domain)}
	case u.Auth() == state.AuthLDAP:
		return []string{"ldap"}
	}
	return []string{groupSystem}
}

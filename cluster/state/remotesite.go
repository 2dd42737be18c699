package state

import (
	"bytes"
	"cmp"
	"errors"
	"net/url"
	"slices"
	"time"
)

// RemoteSite is another site with which projects are shared: the upstream site, from which they come, or a target site, which
// asks for them.
type RemoteSite struct {
	ID                     string
	Name, URL, Description string
	// Upstream says that this site takes over what that one has. There is one such site at most.
	Upstream bool
	// Hash is of the secret with which a target site asks.
	Hash []byte
	// Sealed is the secret with which the upstream site is asked, sealed with the cluster key.
	Sealed []byte
	// All says that a target site is given all projects, but for those with a level of their own.
	All       bool
	CreatedAt time.Time
}

// RemoteLevel is how much of a project a target site is given, as SODAR names it.
type RemoteLevel string

// The levels.
const (
	LevelNone      RemoteLevel = "NONE"
	LevelReadRoles RemoteLevel = "READ_ROLES" // the project with its members
	// LevelRevoked tells the target site to take the roles away that it has from here, but for owners and delegates.
	LevelRevoked RemoteLevel = "REVOKED"
)

// RemoteProject is the level of one project.
type RemoteProject struct {
	Project string
	Level   RemoteLevel
}

// Limits of remote sites. Lengths are in bytes.
const (
	MaxRemoteSites    = 100
	maxRemoteName     = 255
	maxRemoteURL      = 2000
	maxRemoteText     = 4 << 10
	maxRemoteProjects = 5000 // in one command
)

var (
	bucketRemoteSites    = bucket("remote_sites")    // site id → RemoteSite
	bucketRemoteHashes   = bucket("remote_hashes")   // hash of a target site's secret → site id
	bucketRemoteProjects = bucket("remote_projects") // site id, project id → RemoteLevel
)

// Validate checks the rules that hold for every remote site.
func (s *RemoteSite) Validate() error {
	f := fieldErrors{}
	requireText(f, "name", s.Name, maxRemoteName)
	requireText(f, "url", s.URL, maxRemoteURL)
	checkText(f, "description", s.Description, maxRemoteText)
	if u, err := url.Parse(s.URL); len(f) == 0 && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		f.add("url", "This is an address such as https://sodar.example.org.")
	}
	return f.err()
}

// RemoteSiteSet adds a remote site, or changes the one of this id. Applied, it returns the RemoteSite.
type RemoteSiteSet struct {
	Site RemoteSite
}

func (c *RemoteSiteSet) apply(tx *Tx) (any, error) {
	s := c.Site
	if err := s.Validate(); err != nil {
		return nil, err
	}
	sites, err := tx.RemoteSites()
	if err != nil {
		return nil, err
	}
	var old RemoteSite
	for _, other := range sites {
		switch {
		case other.ID == s.ID:
			old = other
		case other.Name == s.Name:
			return nil, wrongField("name", "There is a remote site of this name already.")
		case other.Upstream && s.Upstream:
			return nil, Errorf(Conflict, "There is an upstream site already.")
		}
	}
	if old.ID == "" && len(sites) >= MaxRemoteSites {
		return nil, Errorf(TooMany, "There can be "+itoa(MaxRemoteSites)+" remote sites at most.")
	}
	if len(old.Hash) > 0 && !bytes.Equal(old.Hash, s.Hash) {
		if err := tx.delete(bucketRemoteHashes, old.Hash); err != nil {
			return nil, err
		}
	}
	if len(s.Hash) > 0 {
		if err := tx.putRaw(bucketRemoteHashes, s.Hash, []byte(s.ID)); err != nil {
			return nil, err
		}
	}
	tx.touch(TopicUpstream)
	return s, tx.put(bucketRemoteSites, []byte(s.ID), s)
}

// RemoteSiteRemoved removes a remote site. What came from it, or was given to it, stays. Applied, it returns the RemoteSite.
type RemoteSiteRemoved struct {
	ID string
}

func (c *RemoteSiteRemoved) apply(tx *Tx) (any, error) {
	s, ok, err := tx.RemoteSite(c.ID)
	if err != nil || !ok {
		return nil, orNotFound(err, "There is no such remote site.")
	}
	given, err := tx.RemoteProjects(s.ID)
	if err != nil {
		return nil, err
	}
	for _, p := range given {
		err = errors.Join(err, tx.delete(bucketRemoteProjects, key(s.ID, p.Project)))
	}
	if len(s.Hash) > 0 {
		err = errors.Join(err, tx.delete(bucketRemoteHashes, s.Hash))
	}
	tx.touch(TopicUpstream)
	return s, errors.Join(err, tx.delete(bucketRemoteSites, []byte(s.ID)))
}

// RemoteProjectsGiven sets how much of which projects a target site is given.
type RemoteProjectsGiven struct {
	Site     string
	Projects []RemoteProject
	// All is nil to leave it as it is.
	All *bool
}

func (c *RemoteProjectsGiven) apply(tx *Tx) (any, error) {
	s, ok, err := tx.RemoteSite(c.Site)
	if err != nil || !ok || s.Upstream {
		return nil, orNotFound(err, "There is no such target site.")
	}
	if len(c.Projects) > maxRemoteProjects {
		return nil, Errorf(Invalid, "Give "+itoa(maxRemoteProjects)+" projects at most at a time.")
	}
	for _, given := range c.Projects {
		p, ok, err := tx.Project(given.Project)
		switch {
		case err != nil:
			return nil, err
		case !ok:
			return nil, Errorf(NotFound, "There is no such project.")
		case p.Type != TypeProject:
			return nil, Errorf(Invalid, "\""+p.Title+"\" is a category. Categories are given along with the projects in them.")
		}
		switch given.Level {
		case LevelNone, LevelReadRoles, LevelRevoked:
		default:
			return nil, Errorf(Invalid, "A level is NONE, READ_ROLES or REVOKED.")
		}
	}
	for _, given := range c.Projects {
		if err := tx.put(bucketRemoteProjects, key(s.ID, given.Project), given.Level); err != nil {
			return nil, err
		}
	}
	set(&s.All, c.All)
	return nil, tx.put(bucketRemoteSites, []byte(s.ID), s)
}

// RemoteSites returns all remote sites by name.
func (tx *Tx) RemoteSites() (sites []RemoteSite, err error) {
	err = each(tx, bucketRemoteSites, nil, func(_ []byte, s RemoteSite) bool {
		sites = append(sites, s)
		return true
	})
	slices.SortFunc(sites, func(a, b RemoteSite) int { return cmp.Compare(a.Name, b.Name) })
	return sites, err
}

// RemoteSite returns a remote site by id.
func (tx *Tx) RemoteSite(id string) (s RemoteSite, ok bool, err error) {
	return get[RemoteSite](tx, bucketRemoteSites, []byte(id))
}

// RemoteSiteByHash returns the target site whose secret has this hash.
func (tx *Tx) RemoteSiteByHash(hash []byte) (s RemoteSite, ok bool, err error) {
	id := tx.btx.Bucket(bucketRemoteHashes).Get(hash)
	if id == nil {
		return s, false, nil
	}
	return get[RemoteSite](tx, bucketRemoteSites, id)
}

// UpstreamSite returns the site that projects come from, where one is in the state.
func (tx *Tx) UpstreamSite() (s RemoteSite, ok bool, err error) {
	sites, err := tx.RemoteSites()
	i := slices.IndexFunc(sites, func(s RemoteSite) bool { return s.Upstream })
	if i < 0 {
		return s, false, err
	}
	return sites[i], true, err
}

// RemoteProjects returns the projects that have a level of their own for a target site, in an order that stays the same.
func (tx *Tx) RemoteProjects(site string) (given []RemoteProject, err error) {
	prefix := key(site, "")
	err = each(tx, bucketRemoteProjects, prefix, func(k []byte, level RemoteLevel) bool {
		given = append(given, RemoteProject{string(k[len(prefix):]), level})
		return true
	})
	return given, err
}

// forgetGiven forgets which target sites a project is given to.
func (tx *Tx) forgetGiven(project string) error {
	sites, err := tx.RemoteSites()
	for _, s := range sites {
		if tx.btx.Bucket(bucketRemoteProjects).Get(key(s.ID, project)) != nil {
			err = errors.Join(err, tx.delete(bucketRemoteProjects, key(s.ID, project)))
		}
	}
	return err
}

package upstream

import (
	"errors"
	"reflect"
	"strings"

	"kiosc/cluster/state"
)

// Options are what the site decides of the sync.
type Options struct {
	// LocalUsers lets users be taken over who log in with a password of the upstream site's own; they are never created.
	LocalUsers bool
	// DefaultAdmin is the name of the user here who owns what such a user owns at the upstream site.
	DefaultAdmin string
}

// plan is what has to be changed so that the state is as an answer wants it.
type plan struct {
	users    []state.UpstreamUser
	projects []state.UpstreamProject
	roles    []state.UpstreamRole
	// tally has what is unchanged, and what can't be taken over.
	tally state.UpstreamTally
}

// planner compares an answer with a view of the state.
type planner struct {
	plan
	tx      *state.Tx
	answer  *Answer
	options Options
	ids     map[string]string // user name → id of those who are here, or will be
	admin   string            // user id
	nodes   map[string]state.Project
	titles  map[place]string // project ids, as the tree will be
	placed  map[string]bool
	skipped map[string]bool
	fresh   map[string]bool // projects that are new
}

// place is where a title is taken.
type place struct{ parent, title string }

// makePlan finds out what has to change. The error says why nothing at all may be changed.
func makePlan(tx *state.Tx, a *Answer, o Options) (plan, error) {
	p := &planner{tx: tx, answer: a, options: o, ids: make(map[string]string), nodes: make(map[string]state.Project),
		titles: make(map[place]string), placed: make(map[string]bool), skipped: make(map[string]bool), fresh: make(map[string]bool)}
	admin, ok, err := tx.UserByName(o.DefaultAdmin)
	if err == nil && !ok {
		err = state.Errorf(state.Conflict, "There is no user \""+o.DefaultAdmin+"\" here, who is to own what a user owns that can't be taken over. Create one, or set PROJECTROLES_DEFAULT_ADMIN to another.")
	}
	p.admin = admin.ID
	for _, step := range []func() error{p.load, p.foreignCategories, p.readUsers, p.placeProjects, p.readRoles, p.revoke} {
		if err != nil {
			return plan{}, err
		}
		err = step()
	}
	return p.plan, err
}

func (p *planner) load() error {
	all, err := p.tx.Projects()
	for _, project := range all {
		p.nodes[project.ID] = project
		p.titles[place{project.Parent, project.Title}] = project.ID
	}
	return err
}

// foreignCategories refuses the whole answer where a category of this site's own is at the place of one of it: somebody may
// have made it by mistake, and what is in the two would be mixed.
func (p *planner) foreignCategories() error {
	titles := make(map[string][]string)
	for _, c := range p.answer.projects {
		if c.Type != state.TypeCategory {
			continue
		}
		titles[c.ID] = append(titles[c.Parent][:len(titles[c.Parent]):len(titles[c.Parent])], c.Title)
		path := strings.Join(titles[c.ID], state.TitleSeparator)
		here, ok, err := p.tx.ProjectByPath(path)
		if err != nil {
			return err
		}
		if ok && here.Type == state.TypeCategory && !here.Upstream && here.ID != c.ID {
			return state.Errorf(state.Conflict, "There is a category of this site's own, \""+cut(path, 200)+"\", where the upstream site has one; nothing was changed. Rename or delete the one here.")
		}
	}
	return nil
}

func (p *planner) skip(kind, name string, err error) {
	reason := "A fault kept it from being taken over."
	var refused *state.Error
	if errors.As(err, &refused) {
		reason = refused.Sentence()
	}
	p.tally.Skipped = append(p.tally.Skipped, state.UpstreamSkip{Kind: kind, Name: cut(name, 300), Reason: reason})
}

var (
	errLocalUser = state.Errorf(state.Forbidden, "Users with a password of the upstream site's own are taken over only with PROJECTROLES_ALLOW_LOCAL_USERS.")
	errNoLocal   = state.Errorf(state.NotFound, "There is no such user here, and users with a password of the upstream site's own are not created.")
	errCategory  = state.Errorf(state.Conflict, "Its category could not be taken over.")
	errUnlisted  = state.Errorf(state.NotFound, "The upstream site does not tell who this user is.")
	errNoUser    = state.Errorf(state.Conflict, "The user could not be taken over.")
)

func (p *planner) readUsers() error {
	all, err := p.tx.Users()
	if err != nil {
		return err
	}
	byName, byID := make(map[string]*state.User, len(all)), make(map[string]*state.User, len(all))
	for i := range all {
		byName[all[i].Name], byID[all[i].ID] = &all[i], &all[i]
	}
	for i := range p.answer.users {
		u := &p.answer.users[i]
		old, err := p.match(u, byName[u.Name], byID[u.ID])
		if err != nil {
			p.skip("user", u.Name, err)
			continue
		}
		in := u.UpstreamUser
		fresh := old == nil
		if fresh {
			old = &state.User{ID: u.ID, Active: true}
		}
		in.ID = old.ID
		changes, err := in.UpstreamChanges(*old)
		if err != nil {
			p.skip("user", u.Name, err)
			continue
		}
		p.ids[u.Name] = in.ID
		if fresh || changes {
			p.users = append(p.users, in)
		} else {
			p.tally.Users.Unchanged++
		}
	}
	return nil
}

// match finds the user here that one of the answer is: the one of the same name; else the one of the same uuid who came from
// the upstream site, which has given them a new name. Nil is for a new one.
func (p *planner) match(u *user, named, same *state.User) (*state.User, error) {
	switch {
	case u.local && !p.options.LocalUsers:
		return nil, errLocalUser
	case named != nil:
		return named, nil
	case u.local:
		return nil, errNoLocal
	case same == nil:
		return nil, nil
	case same.Upstream && p.answer.byName[same.Name] == nil:
		return same, nil
	}
	return nil, state.Errorf(state.Conflict, "Another user here, "+same.Name+", has the same UUID.")
}

// placeProjects finds out which projects and categories are new or change, each behind its category, and behind those that make
// way for its title.
func (p *planner) placeProjects() error {
	pending := p.answer.projects
	waiting := make(map[string]bool, len(pending))
	for _, in := range pending {
		waiting[in.ID] = true
	}
	for moved := true; moved && len(pending) > 0; {
		var rest []*project
		moved = false
		for _, in := range pending {
			if !p.skipped[in.Parent] && (waiting[in.Parent] || waiting[p.holder(in)]) {
				rest = append(rest, in)
				continue
			}
			delete(waiting, in.ID)
			moved = true
			if err := p.place(in); err != nil {
				p.skipped[in.ID] = true
				p.skip("project", in.Title, err)
			}
		}
		pending = rest
	}
	for _, in := range pending {
		p.skipped[in.ID] = true
		p.skip("project", in.Title, state.Errorf(state.Conflict, "It and another one take each other's titles. Rename one of them at the upstream site to a third title first."))
	}
	return nil
}

// holder is the id of another project at the place that one is to have.
func (p *planner) holder(in *project) string {
	if id := p.titles[place{in.Parent, in.Title}]; id != in.ID {
		return id
	}
	return ""
}

// place puts one project where it belongs.
func (p *planner) place(in *project) error {
	if p.skipped[in.Parent] {
		return errCategory
	}
	if other, taken := p.nodes[p.holder(in)]; taken && other.Upstream {
		return state.Errorf(state.Conflict, "There is another one of this title here already, which the upstream site doesn't list any more. Release it with \"kiosc sync release\", then rename or delete it.")
	} else if taken {
		return state.Errorf(state.Conflict, "There is one of this site's own of this title already. Rename one of the two.")
	}
	old, known := p.nodes[in.ID]
	if !known {
		old = state.Project{ID: in.ID, Type: in.Type}
	}
	next, err := in.On(old)
	if err != nil {
		return err
	}
	if known && reflect.DeepEqual(old, next) {
		p.tally.Projects.Unchanged++
	} else {
		item := in.UpstreamProject
		if !known {
			p.fresh[in.ID] = true
			owner := p.owner(in)
			item.Owner, item.Assignment = owner.User, owner.ID
		}
		p.projects = append(p.projects, item)
	}
	if known {
		delete(p.titles, place{old.Parent, old.Title})
	}
	p.nodes[in.ID], p.titles[place{next.Parent, next.Title}], p.placed[in.ID] = next, in.ID, true
	return nil
}

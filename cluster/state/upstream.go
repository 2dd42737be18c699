package state

import (
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Limits of what is taken over of a user, beside those that hold for every user.
const (
	MaxAdditionalEmails = 20
	maxUserGroups       = 50
)

// UpstreamUser is a user as the upstream site has them.
type UpstreamUser struct {
	// ID is that of the user here, or of a new one.
	ID                                         string
	Name, FullName, FirstName, LastName, Email string
	AdditionalEmails                           []string
	// Groups are SODAR's: the domain of a directory, oidc, or system.
	Groups []string
	// AuthType is empty for somebody who logs in with a password of the upstream site's own. They are never created, and log in
	// here as they did.
	AuthType AuthType
	// Active is nil where the upstream site doesn't tell.
	Active *bool
}

// UpstreamProject is a project or category as the upstream site has it.
type UpstreamProject struct {
	ID, Parent, Title, Description, Readme string
	Type                                   Type
	// PublicAccess is nil where the upstream site doesn't tell.
	PublicAccess *Role
	// Owner, a user id, and Assignment, the id of the owner's role, are for a new one.
	Owner, Assignment string
}

// UpstreamRole is a role that the upstream site gives in a project that comes from it.
type UpstreamRole struct {
	// ID is of the assignment; empty for one that follows from the other two ids.
	ID, Project, User string
	// Role is empty for one that is taken away.
	Role Role
}

// UpstreamTaken brings a part of what the upstream site has into the state: users first, then projects with categories before
// what is in them, then roles. What can't be done any more is left out. Applied, it returns an UpstreamTally.
type UpstreamTaken struct {
	// ID makes the ids of the events that tell of it.
	ID       string
	At       time.Time
	Users    []UpstreamUser
	Projects []UpstreamProject
	Roles    []UpstreamRole
	// Released are ids of projects, ReleasedUsers of users, that are changed here from now on.
	Released, ReleasedUsers []string
}

// UpstreamTally tells what became of what was to be taken over.
type UpstreamTally struct {
	Users, Projects, Roles UpstreamCounts
	Skipped                []UpstreamSkip
}

// UpstreamCounts counts things of one kind. Removed are roles.
type UpstreamCounts struct {
	Created, Changed, Removed, Unchanged int
}

// UpstreamSkip is something that could not be taken over.
type UpstreamSkip struct {
	// Kind is user, project or role; Name what people call it.
	Kind, Name string
	Reason     string // a sentence
}

func (c *UpstreamTaken) apply(tx *Tx) (any, error) {
	tally := &UpstreamTally{}
	run := upstreamRun{UpstreamTaken: c, tx: tx, tally: tally}
	for i := range c.Users {
		u := &c.Users[i]
		if err := run.count("user", u.Name, &tally.Users, func() (change, error) { return run.user(u) }); err != nil {
			return nil, err
		}
	}
	for i := range c.Projects {
		p := &c.Projects[i]
		if err := run.count("project", p.Title, &tally.Projects, func() (change, error) { return run.project(p) }); err != nil {
			return nil, err
		}
	}
	for i := range c.Roles {
		r := &c.Roles[i]
		if err := run.count("role", tx.roleName(r), &tally.Roles, func() (change, error) { return run.role(r) }); err != nil {
			return nil, err
		}
	}
	if err := run.release(); err != nil {
		return nil, err
	}
	return *tally, run.tell()
}

// change is what one step has done.
type change int

const (
	unchanged change = iota
	created
	changed
	removed
)

// upstreamRun is an UpstreamTaken that is being applied.
type upstreamRun struct {
	*UpstreamTaken
	tx     *Tx
	tally  *UpstreamTally
	events int
	// roles counts the changes of roles by project, in the order of the first.
	roles   []string
	byTheir map[string]*UpstreamCounts
}

// count does one step. A step that a rule forbids is left out, and has written nothing.
func (r *upstreamRun) count(kind, name string, counts *UpstreamCounts, step func() (change, error)) error {
	did, err := step()
	var refused *Error
	if errors.As(err, &refused) {
		r.tally.Skipped = append(r.tally.Skipped, UpstreamSkip{kind, name, refused.Sentence()})
		return nil
	}
	counts.add(did)
	return err
}

func (c *UpstreamCounts) add(did change) {
	switch did {
	case created:
		c.Created++
	case changed:
		c.Changed++
	case removed:
		c.Removed++
	default:
		c.Unchanged++
	}
}

// user creates or changes one.
func (r *upstreamRun) user(in *UpstreamUser) (change, error) {
	tx := r.tx
	old, known, err := tx.User(in.ID)
	if err == nil && !known {
		old, known, err = tx.UserByName(in.Name)
	}
	if err != nil {
		return unchanged, err
	}
	if !known && in.AuthType == "" {
		return unchanged, Errorf(NotFound, "There is no such user here, and users with a password of the upstream site's own are not created.")
	}
	if !known {
		old = User{ID: in.ID, Active: true, CreatedAt: r.At}
	}
	u, err := old.withUpstream(in)
	if err != nil {
		return unchanged, err
	}
	if known && reflect.DeepEqual(old, u) {
		return unchanged, nil
	}
	if holder := tx.btx.Bucket(bucketUserNames).Get([]byte(u.Name)); holder != nil && string(holder) != u.ID {
		return unchanged, Errorf(Conflict, "There is another user of this name.")
	}
	if known && old.Name != u.Name {
		if err := tx.delete(bucketUserNames, []byte(old.Name)); err != nil {
			return unchanged, err
		}
	}
	if known && (old.Active && !u.Active || old.PasswordHash != u.PasswordHash) {
		if err := tx.forgetSessions(u.ID, nil); err != nil {
			return unchanged, err
		}
	}
	err = errors.Join(tx.putRaw(bucketUserNames, []byte(u.Name), []byte(u.ID)), tx.put(bucketUsers, []byte(u.ID), u))
	if known {
		return changed, err
	}
	return created, err
}

// withUpstream is the user as the upstream site wants them.
//
// Only what the upstream site has itself made inactive does it make active again: who was deactivated here, or is gone from a
// directory, stays so. Superusers are never deactivated, and one with a password of Kiosc's own keeps it, so that nobody who
// happens to have the same name elsewhere comes in as a superuser.
func (u User) withUpstream(in *UpstreamUser) (User, error) {
	u.Name, u.FullName, u.FirstName, u.LastName, u.Email = in.Name, in.FullName, in.FirstName, in.LastName, in.Email
	u.AdditionalEmails, u.UpstreamGroups, u.Upstream = listOrNil(in.AdditionalEmails), listOrNil(in.Groups), true
	if in.AuthType != "" && in.AuthType != u.Auth() && !(u.Superuser && u.Auth() == AuthLocal) {
		u.AuthType, u.PasswordHash = in.AuthType, ""
	}
	switch {
	case in.Active == nil || u.Superuser:
	case !*in.Active:
		u.UpstreamInactive = u.UpstreamInactive || u.Active
		u.Active = false
	case u.UpstreamInactive:
		u.Active, u.UpstreamInactive = true, false
	}
	if len(u.UpstreamGroups) > maxUserGroups || len(u.AdditionalEmails) > MaxAdditionalEmails {
		return u, Errorf(Invalid, "The user has too many groups or e-mail addresses.")
	}
	return u, u.Validate()
}

// listOrNil is a copy that reads back from the state as it is.
func listOrNil(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return slices.Clone(list)
}

// UpstreamChanges tells whether taking the user over would change anything; an error, why it can't be done.
func (in *UpstreamUser) UpstreamChanges(old User) (bool, error) {
	u, err := old.withUpstream(in)
	return !reflect.DeepEqual(old, u), err
}

// release makes projects and users be changed here from now on.
func (r *upstreamRun) release() error {
	for _, id := range r.Released {
		p, ok, err := r.tx.Project(id)
		if err != nil {
			return err
		}
		if !ok || !p.Upstream {
			continue
		}
		p.Upstream, p.ModifiedAt = false, r.At
		if err := errors.Join(p.save(r.tx), r.record(p, "remote_project_release", "change {project} here from now on, and not at the upstream site")); err != nil {
			return err
		}
		r.tally.Projects.Changed++
	}
	for _, id := range r.ReleasedUsers {
		u, ok, err := r.tx.User(id)
		if err != nil {
			return err
		}
		if !ok || !u.Upstream {
			continue
		}
		u.Upstream, u.UpstreamGroups = false, nil
		if err := r.tx.put(bucketUsers, []byte(u.ID), u); err != nil {
			return err
		}
		r.tally.Users.Changed++
	}
	return nil
}

// record adds an event on a project to the timeline.
func (r *upstreamRun) record(p Project, name, description string) error {
	r.events++
	return r.tx.record(Event{ID: r.eventID(), Time: r.At, Project: p.ID, App: "projectroles", Name: name, Description: description,
		Objects: []EventObject{{Label: "project", Name: p.Title, Model: "Project", ID: p.ID}}, Status: EventOK})
}

// eventID is the same on every node.
func (r *upstreamRun) eventID() string {
	return uuid.NewSHA1(uuid.Nil, key(r.ID, itoa(r.events))).String()
}

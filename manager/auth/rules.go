// Package auth holds who may do what, and how people and programs prove who they are.
//
// It owns the table of rights, password hashes and secrets. It reads and writes no state: manager/service looks up the
// user, the role and the stored hash, and asks here.
//
// What must always hold: a right that isn't in the table is refused, and neither a password nor a secret can be had
// back from what is stored.
package auth

import (
	"maps"
	"slices"

	"kiosc/cluster/state"
)

// Right is one thing that a user may do, most of them in a project or category.
type Right string

// The rights, named as in Kiosc's and SODAR's manuals.
const (
	ViewContainer    Right = "containers.view_container"
	ProxyContainer   Right = "containers.proxy" // open the app, and start it from the lobby
	ViewLogs         Right = "containers.view_logs"
	CreateContainer  Right = "containers.create_container"
	EditContainer    Right = "containers.edit_container"
	DeleteContainer  Right = "containers.delete_container"
	StartContainer   Right = "containers.start_container"
	StopContainer    Right = "containers.stop_container"
	PauseContainer   Right = "containers.pause_container"
	UnpauseContainer Right = "containers.unpause_container"
	// ManageCredentials is to see which registries a project has passwords for, and to change them.
	ManageCredentials Right = "containers.manage_credentials"

	ViewTemplate      Right = "containertemplates.project_view"
	CreateTemplate    Right = "containertemplates.project_create"
	EditTemplate      Right = "containertemplates.project_edit"
	DeleteTemplate    Right = "containertemplates.project_delete"
	DuplicateTemplate Right = "containertemplates.project_duplicate" // and copy

	ViewSiteTemplate      Right = "containertemplates.site_view"
	CreateSiteTemplate    Right = "containertemplates.site_create"
	EditSiteTemplate      Right = "containertemplates.site_edit"
	DeleteSiteTemplate    Right = "containertemplates.site_delete"
	DuplicateSiteTemplate Right = "containertemplates.site_duplicate"

	ViewFiles      Right = "filesfolders.view_data"
	AddFiles       Right = "filesfolders.add_data"
	UpdateOwnFiles Right = "filesfolders.update_data_own"
	UpdateAllFiles Right = "filesfolders.update_data_all"

	// FindProject is to see that a project or category exists, and its title.
	FindProject     Right = "projectroles.find_project"
	ViewProject     Right = "projectroles.view_project"
	ViewMembers     Right = "projectroles.view_project_roles"
	CreateProject   Right = "projectroles.create_project" // in a category
	UpdateProject   Right = "projectroles.update_project"
	DeleteProject   Right = "projectroles.delete_project"
	UpdateMembers   Right = "projectroles.update_project_members"
	UpdateDelegates Right = "projectroles.update_project_delegate"
	UpdateOwner     Right = "projectroles.update_project_owner"
	Invite          Right = "projectroles.invite_users"

	ViewTimeline   Right = "timeline.view_timeline"
	ViewClassified Right = "timeline.view_classified_event"

	ListContainers Right = "containerlist.view"
	ManageTokens   Right = "tokens.manage" // one's own
	// Administer is to see the admin pages and to give the commands of an admin. It is in no role.
	Administer Right = "kioscadmin.admin"
)

// rule is one line of the table. A superuser has every right in it.
type rule struct {
	// roles are those that have the right where they are held; none for a right that superusers alone have.
	roles []state.Role
	// everybody says that the right is not of a project, and that every user has it.
	everybody bool
	// change says that the right is to change something, which archived projects refuse.
	change bool
	// own says that the right is over what an upstream site decides for the projects that come from it.
	own bool
	// scope is the least scope of an API token that the right needs; empty for ScopeAll.
	scope state.Scope
}

var (
	finders  = []state.Role{state.Owner, state.Delegate, state.Contributor, state.Guest, state.Viewer, state.Finder}
	viewers  = []state.Role{state.Owner, state.Delegate, state.Contributor, state.Guest, state.Viewer}
	members  = []state.Role{state.Owner, state.Delegate, state.Contributor, state.Guest}
	workers  = []state.Role{state.Owner, state.Delegate, state.Contributor}
	managers = []state.Role{state.Owner, state.Delegate}
	owners   = []state.Role{state.Owner}
)

// rights is the whole table; docs/access.md has it for people.
var rights = map[Right]rule{
	ViewContainer:     {roles: members, scope: state.ScopeRead},
	ProxyContainer:    {roles: members, scope: state.ScopeOperate},
	ViewLogs:          {roles: workers, scope: state.ScopeRead},
	CreateContainer:   {roles: workers, change: true},
	EditContainer:     {roles: workers, change: true},
	DeleteContainer:   {roles: workers, change: true},
	StartContainer:    {roles: workers, change: true, scope: state.ScopeOperate},
	StopContainer:     {roles: workers, change: true, scope: state.ScopeOperate},
	PauseContainer:    {roles: workers, change: true, scope: state.ScopeOperate},
	UnpauseContainer:  {roles: workers, change: true, scope: state.ScopeOperate},
	ManageCredentials: {roles: managers, change: true},

	ViewTemplate:      {roles: members, scope: state.ScopeRead},
	CreateTemplate:    {roles: workers, change: true},
	EditTemplate:      {roles: workers, change: true},
	DeleteTemplate:    {roles: workers, change: true},
	DuplicateTemplate: {roles: workers, change: true},

	ViewSiteTemplate:      {everybody: true, scope: state.ScopeRead},
	CreateSiteTemplate:    {},
	EditSiteTemplate:      {},
	DeleteSiteTemplate:    {},
	DuplicateSiteTemplate: {},

	ViewFiles:      {roles: members, scope: state.ScopeRead},
	AddFiles:       {roles: workers, change: true},
	UpdateOwnFiles: {roles: workers, change: true},
	UpdateAllFiles: {roles: managers, change: true},

	FindProject:     {roles: finders, scope: state.ScopeRead},
	ViewProject:     {roles: viewers, scope: state.ScopeRead},
	ViewMembers:     {roles: viewers, scope: state.ScopeRead},
	CreateProject:   {roles: workers, change: true, own: true},
	UpdateProject:   {roles: managers, own: true},
	DeleteProject:   {roles: managers, own: true},
	UpdateMembers:   {roles: managers, own: true},
	UpdateDelegates: {roles: owners, own: true},
	UpdateOwner:     {roles: owners, own: true},
	Invite:          {roles: managers, own: true},

	ViewTimeline:   {roles: members, scope: state.ScopeRead},
	ViewClassified: {roles: managers, scope: state.ScopeRead},

	ListContainers: {everybody: true, scope: state.ScopeRead},
	ManageTokens:   {everybody: true},
	Administer:     {},
}

// actionRights tells the right that each action needs.
var actionRights = map[state.Action]Right{
	state.Start:   StartContainer,
	state.Restart: StartContainer,
	state.Stop:    StopContainer,
	state.Pause:   PauseContainer,
	state.Unpause: UnpauseContainer,
	state.Delete:  DeleteContainer,
}

// Can tells whether a user who has this role in the place in question has the right there. Role is empty for a right
// that is not of a project.
func Can(user state.User, role state.Role, right Right) bool {
	rule, known := rights[right]
	return known && user.Active && (user.Superuser || rule.everybody || slices.Contains(rule.roles, role))
}

// Changes tells whether a right is to change something that an archived project keeps as it is. It doesn't bind
// superusers.
func Changes(right Right) bool { return rights[right].change }

// UpstreamDecides tells whether a right is over something that, in a project that comes from an upstream site, is changed
// there only. It binds superusers, too.
func UpstreamDecides(right Right) bool { return rights[right].own }

// InScope tells whether a right is within a scope. The empty scope is that of a login, which has all.
func InScope(scope state.Scope, right Right) bool {
	switch scope {
	case "", state.ScopeAll:
		return true
	case state.ScopeOperate:
		return rights[right].scope != ""
	case state.ScopeRead:
		return rights[right].scope == state.ScopeRead
	}
	return false
}

// RightFor returns the right that an action needs; "", which nobody has, for an unknown action.
func RightFor(a state.Action) Right { return actionRights[a] }

// Rights lists every right, in an order that stays the same.
func Rights() []Right { return slices.Sorted(maps.Keys(rights)) }

// OfProject tells whether a right is held by a role in a project or category.
func OfProject(right Right) bool { return len(rights[right].roles) > 0 }

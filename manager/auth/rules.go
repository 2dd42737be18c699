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

// Right is one thing that a user may do in a project.
type Right string

// The rights, named as in Kiosc's manual.
const (
	ViewContainer    Right = "containers.view_container"
	ProxyContainer   Right = "containers.proxy" // open the app, and start it from the lobby
	ViewLogs         Right = "containers.view_logs"
	CreateContainer  Right = "containers.create_container"
	DeleteContainer  Right = "containers.delete_container"
	StartContainer   Right = "containers.start_container"
	StopContainer    Right = "containers.stop_container"
	PauseContainer   Right = "containers.pause_container"
	UnpauseContainer Right = "containers.unpause_container"

	// Administer is to give the commands of an admin. It is in no role.
	Administer Right = "administer"
)

var (
	members = []state.Role{state.Owner, state.Delegate, state.Contributor, state.Guest}
	workers = []state.Role{state.Owner, state.Delegate, state.Contributor}
)

// rights is the whole table. A superuser has every right in it.
var rights = map[Right][]state.Role{
	ViewContainer:    members,
	ProxyContainer:   members,
	ViewLogs:         workers,
	CreateContainer:  workers,
	DeleteContainer:  workers,
	StartContainer:   workers,
	StopContainer:    workers,
	PauseContainer:   workers,
	UnpauseContainer: workers,
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

// Can tells whether a user with this role in the project has the right.
func Can(user state.User, role state.Role, right Right) bool {
	roles, known := rights[right]
	return known && user.Active && (user.Superuser || slices.Contains(roles, role))
}

// scopes tells the least scope of an API token that each right needs; all others need ScopeAll.
var scopes = map[Right]state.Scope{
	ViewContainer:    state.ScopeRead,
	ViewLogs:         state.ScopeRead,
	ProxyContainer:   state.ScopeOperate,
	StartContainer:   state.ScopeOperate,
	StopContainer:    state.ScopeOperate,
	PauseContainer:   state.ScopeOperate,
	UnpauseContainer: state.ScopeOperate,
}

// InScope tells whether a right is within a scope. The empty scope is that of a login, which has all.
func InScope(scope state.Scope, right Right) bool {
	switch scope {
	case "", state.ScopeAll:
		return true
	case state.ScopeOperate:
		return scopes[right] != ""
	case state.ScopeRead:
		return scopes[right] == state.ScopeRead
	}
	return false
}

// RightFor returns the right that an action needs; "", which nobody has, for an unknown action.
func RightFor(a state.Action) Right { return actionRights[a] }

// Rights lists every right, in an order that stays the same.
func Rights() []Right { return slices.Sorted(maps.Keys(rights)) }

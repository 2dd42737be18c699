package matrix_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// line is a line of the matrix in the manual.
type line struct {
	roles              map[state.Role]bool // "" for no role
	least              state.Scope
	archived, upstream bool
}

// ofProject tells whether the right is held by a role in a project.
func (l line) ofProject() bool { return !l.roles[""] && len(l.roles) > 0 }

type manual map[auth.Right]line

// readManual reads the matrix that people see; the one in the code isn't asked.
func readManual(t *testing.T) manual {
	text, err := os.ReadFile("../../docs/access.md")
	require.NoError(t, err)
	columns := []state.Role{state.Owner, state.Delegate, state.Contributor, state.Guest, state.Viewer, state.Finder, ""}
	m := make(manual)
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z]+\\.[a-z_]+)` \\|(.*)\\|$").FindAllStringSubmatch(string(text), -1) {
		cells := strings.Split(row[2], "|")
		require.Len(t, cells, len(columns)+2, row[1])
		l := line{roles: make(map[state.Role]bool), least: state.Scope(strings.TrimSpace(cells[len(columns)])),
			archived: strings.Contains(cells[len(columns)+1], "archived"), upstream: strings.Contains(cells[len(columns)+1], "upstream")}
		for i, role := range columns {
			if strings.TrimSpace(cells[i]) == "✓" {
				l.roles[role] = true
			}
		}
		m[auth.Right(row[1])] = l
	}
	require.NotEmpty(t, m)
	return m
}

// verdict is how somebody fares with an operation.
type verdict string

const (
	allowed  verdict = "allowed"
	refused  verdict = "refused"
	notThere verdict = "not there"
	login    verdict = "log in first"
)

// weight orders the scopes of tokens.
var weight = map[state.Scope]int{state.ScopeRead: 1, state.ScopeOperate: 2, state.ScopeAll: 3, "": 3}

// expect says what the manual says.
func (m manual) expect(w who, p *place, op *operation) verdict {
	right, limits := m[op.right], m[op.right]
	if op.limits != "" {
		limits = m[op.limits]
	}
	sees := op.sees
	if sees == "" && right.ofProject() {
		sees = auth.FindProject
	}
	has := func(l line, scope state.Scope) bool {
		where := !l.ofProject() && w.project == "" || l.ofProject() && (w.project == "" || w.project == p.id)
		return (w.name == "root" || l.roles[p.role(w.name)] || l.roles[""]) && where && weight[w.scope] >= weight[scope]
	}
	switch {
	case sees != "" && !has(m[sees], m[sees].least):
		return notThere
	case !has(right, limits.least), limits.archived && p.archived && w.name != "root", limits.upstream && p.upstream:
		return refused
	}
	return allowed
}

package api_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

// TestScopes has tokens of an owner, who may do everything, do what their scopes allow.
func TestScopes(t *testing.T) {
	s := newSite(t)
	other := state.Project{ID: uuid.NewString(), Title: "Rats", Type: state.TypeProject}
	s.Do(&state.ProjectCreated{Owner: s.Users["owner"], Project: other})
	token := func(scope state.Scope, project string) string {
		secret, err := s.Service.CreateToken(context.Background(), actor(s, "owner"), service.TokenInput{Scope: scope, Project: project})
		require.NoError(t, err)
		return secret
	}
	tokens := []string{token("", ""), token(state.ScopeAll, ""), token(state.ScopeOperate, ""), token(state.ScopeRead, ""),
		token(state.ScopeAll, s.Project), token(state.ScopeAll, other.ID)}
	for _, row := range []struct {
		method, path string
		statuses     [6]int
	}{
		{"GET", "/containers/api/" + s.Project, [6]int{200, 200, 200, 200, 200, 404}},
		{"GET", "/containers/api/detail/C", [6]int{200, 200, 200, 200, 200, 404}},
		{"GET", "/containers/api/logs/C", [6]int{200, 200, 200, 200, 200, 404}},
		{"POST", "/containers/api/start/C", [6]int{200, 200, 200, 403, 200, 404}},
		{"POST", "/containers/api/create/" + s.Project, [6]int{201, 201, 403, 403, 201, 404}},
		{"DELETE", "/containers/api/delete/C", [6]int{-1, -1, 403, 403, -1, 404}},
	} {
		for i, secret := range tokens {
			if row.statuses[i] < 0 {
				continue // waits for a Docker host
			}
			path, body := row.path, ""
			if path[len(path)-1] == 'C' {
				path = path[:len(path)-1] + s.Container(fmt.Sprint(row.path, i))
			}
			if row.statuses[1] == 201 {
				body = fmt.Sprintf(`{"title":"New %d","repository":"nginx"}`, i)
			}
			got := s.with("Authorization", "token "+secret).send(row.method, path, body)
			require.Equal(t, row.statuses[i], got.status, "%s %s with token %d: %s", row.method, path, i, got.body)
			if got.status == 403 {
				require.Contains(t, got.body, "The scope of this API token does not allow this.")
			}
		}
	}
	got := s.with("Authorization", "token "+tokens[5]).send("GET", "/project/api/list", "")
	require.Contains(t, got.body, other.ID)
	require.NotContains(t, got.body, s.Project, "a token for one project sees no other")

	// Opening apps is to operate.
	id := s.Container("App")
	for i, want := range []state.Code{state.Conflict, state.Conflict, state.Conflict, state.Forbidden, state.Conflict, state.NotFound} {
		_, err := s.Service.OpenApp("", tokens[i], id)
		require.Equal(t, want, state.CodeOf(err), i)
	}
	for text, in := range map[string]service.TokenInput{
		"no project":   {Project: uuid.NewString()},
		"no such kind": {Scope: "write"},
	} {
		_, err := s.Service.CreateToken(context.Background(), actor(s, "owner"), in)
		require.Error(t, err, text)
	}
	_, err := s.Service.CreateToken(context.Background(), actor(s, "guest"), service.TokenInput{Project: other.ID})
	require.Equal(t, state.NotFound, state.CodeOf(err), "another's project isn't there")
}

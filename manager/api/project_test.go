package api_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

func TestProjects(t *testing.T) {
	s := newSite(t)
	got := s.as("guest").send("GET", "/project/api/list", "")
	require.JSONEq(t, `[{"title":"Mice","type":"PROJECT","parent":null,"description":"About <i>mice</i>","full_title":"Mice",
		"sodar_uuid":"`+s.project+`"}]`, got.body)
	require.Equal(t, "1.2.3", got.header.Get("X-Kiosc-Version"))
	require.JSONEq(t, `[]`, s.as("outsider").send("GET", "/project/api/list", "").body, "an empty list is no null")

	category := state.Project{ID: uuid.NewString(), Title: "Animals", Type: state.TypeCategory}
	inside := state.Project{ID: uuid.NewString(), Title: "Rats", Type: state.TypeProject, Parent: category.ID}
	for _, p := range []state.Project{category, inside} {
		s.propose(&state.ProjectCreated{Project: p, Owner: s.users["owner"]})
	}
	var list []struct {
		Type, Parent string
		FullTitle    string `json:"full_title"`
	}
	s.as("root").get("/project/api/list", &list)
	require.Len(t, list, 3)
	require.Equal(t, "CATEGORY", list[0].Type)
	require.Equal(t, "Animals / Rats", list[1].FullTitle)
	require.Equal(t, category.ID, list[1].Parent)
	require.Equal(t, 404, s.as("root").send("POST", "/containers/api/create/"+category.ID, `{"title":"x","repository":"nginx"}`).status,
		"a category holds no containers")
}

package state_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

func template(id, project, title string) state.Template {
	return state.Template{ID: id, Project: project, Spec: state.Spec{Title: title, Port: 80, Timeout: 60, InactivityDays: 7}, CreatedAt: t0, ModifiedAt: t0}
}

func (f *fixture) templates(project string) (titles []string) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) error {
		list, err := tx.TemplatesOf(project)
		for _, t := range list {
			titles = append(titles, t.Title)
		}
		return err
	}))
	return titles
}

func (f *fixture) copied(id, from, project, word string) state.Template {
	f.Helper()
	return f.must(&state.TemplateCopied{ID: id, From: from, Project: project, Word: word, Time: t0.Add(time.Hour)}).(state.Template)
}

func TestNamesOfCopies(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ProjectCreated{Project: state.Project{ID: "p2", Title: "Rats", Type: state.TypeProject}, Owner: "u1"})
	f.must(&state.TemplateCreated{Template: template("t1", "", "Shiny")})
	require.Equal(t, "Shiny (Duplicate)", f.copied("t2", "t1", "", "Duplicate").Title)
	require.Equal(t, "Shiny (Duplicate 2)", f.copied("t3", "t1", "", "Duplicate").Title)
	f.must(&state.TemplateDeleted{ID: "t2"})
	require.Equal(t, "Shiny (Duplicate)", f.copied("t4", "t1", "", "Duplicate").Title, "the first that is free")
	require.Equal(t, "Shiny (Duplicate 2) (Duplicate)", f.copied("t5", "t3", "", "Duplicate").Title)

	mine := f.copied("t6", "t1", "p1", "Copy")
	require.Equal(t, []string{"Shiny (Copy)", "p1", "t1"}, []string{mine.Title, mine.Project, mine.Source})
	require.Equal(t, "Shiny (Copy 2)", f.copied("t7", "t1", "p1", "Copy").Title)
	again := f.copied("t8", "t6", "p2", "Copy")
	require.Equal(t, []string{"Shiny (Copy) (Copy)", "p2", "t1"}, []string{again.Title, again.Project, again.Source})

	f.must(&state.TemplateCreated{Template: template("t9", "p1", strings.Repeat("ä", state.MaxTitle/2))})
	long := f.copied("t10", "t9", "p1", "Duplicate").Title
	require.LessOrEqual(t, len(long), state.MaxTitle)
	require.True(t, strings.HasSuffix(long, "ä (Duplicate)"))
	require.Equal(t, []string{"Shiny", "Shiny (Duplicate 2)", "Shiny (Duplicate 2) (Duplicate)", "Shiny (Duplicate)"}, f.templates(""))
}

func TestTemplatesHaveTitlesOfTheirOwnPlace(t *testing.T) {
	f := newFixture(t)
	f.must(&state.TemplateCreated{Template: template("t1", "", "Shiny")})
	f.refused(state.Invalid, &state.TemplateCreated{Template: template("t2", "", "Shiny")})
	f.must(&state.TemplateCreated{Template: template("t3", "p1", "Shiny")})
	f.must(&state.TemplateCreated{Template: template("t4", "p1", "Dash")})
	f.refused(state.NotFound, &state.TemplateCreated{Template: template("t5", "none", "Shiny")})
	f.refused(state.Invalid, &state.TemplateCreated{Template: template("t5", "p1", "")})

	spec := template("", "", "Shiny").Spec
	f.refused(state.Invalid, &state.TemplateUpdated{ID: "t4", Spec: spec, Seen: t0, Time: t0})
	spec.Title = "Other"
	f.must(&state.TemplateUpdated{ID: "t3", Spec: spec, Seen: t0, Time: t0})
	f.refused(state.Conflict, &state.TemplateUpdated{ID: "t3", Spec: spec, Seen: t0, Time: t0})
	require.Equal(t, []string{"Dash", "Other"}, f.templates("p1"))
	f.must(&state.TemplateCreated{Template: template("t5", "p1", "Shiny")}) // free again
	f.refused(state.NotFound, &state.TemplateDeleted{ID: "none"})
	f.refused(state.NotFound, &state.TemplateCopied{ID: "t6", From: "none", Word: "Copy"})
}

func TestADeletedProjectLeavesNothingOfSpecs(t *testing.T) {
	f := newFixture(t)
	f.must(&state.TemplateCreated{Template: template("t1", "p1", "Shiny")})
	f.must(&state.TemplateCreated{Template: template("t2", "", "Site")})
	f.must(&state.RegistrySet{Registry: state.Registry{Project: "p1", Host: "docker.io", User: "ana", Sealed: []byte("x")}})
	f.must(&state.ProjectDeleted{ID: "p1", At: t0})
	require.Empty(t, f.templates("p1"))
	require.Equal(t, []string{"Site"}, f.templates(""))
	require.NoError(t, f.store.View(func(tx *state.Tx) error {
		list, err := tx.RegistriesOf("p1")
		require.Empty(t, list)
		return err
	}))
}

package service

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// TemplateView is a template as an actor sees it.
type TemplateView struct {
	state.Template
	ProjectTitle string // empty for one of the site
	// CanEdit, CanDelete and CanDuplicate are what the actor may do with it where it is.
	CanEdit, CanDelete, CanDuplicate bool
}

// Name is how the template is called in lists of all: its project, title and image.
func (v *TemplateView) Name() string {
	image := v.Image()
	if image == "" {
		image = "<no_repository>"
	}
	name := v.Title + " (" + image + ")"
	if v.Project != "" {
		name = v.ProjectTitle + " / " + name
	}
	return name
}

// templateRights are the rights over templates of a project, and over those of the site.
type templateRights struct{ view, create, edit, delete, duplicate auth.Right }

var (
	projectTemplates = templateRights{auth.ViewTemplate, auth.CreateTemplate, auth.EditTemplate, auth.DeleteTemplate, auth.DuplicateTemplate}
	siteTemplates    = templateRights{auth.ViewSiteTemplate, auth.CreateSiteTemplate, auth.EditSiteTemplate, auth.DeleteSiteTemplate, auth.DuplicateSiteTemplate}
)

func rightsOver(project string) templateRights {
	if project == "" {
		return siteTemplates
	}
	return projectTemplates
}

var (
	errNoTemplate   = state.Errorf(state.NotFound, "There is no such template, or you have no access to it.")
	errSiteTemplate = state.Errorf(state.Forbidden, "Templates of the site are made and changed by the people who run it.")
)

// mayTemplates checks a right over the templates of a project, or of the site for an empty id.
func mayTemplates(tx *state.Tx, a Actor, project string, right auth.Right) error {
	switch {
	case project != "":
		return may(tx, a, project, right)
	case a.canSite(right):
		return nil
	case a.canSite(auth.ViewSiteTemplate):
		return errSiteTemplate
	}
	return errNoTemplate
}

// templateFor looks up a template that the actor may see, and checks a right over it.
func templateFor(tx *state.Tx, a Actor, id string, right func(templateRights) auth.Right) (t state.Template, err error) {
	t, ok, err := tx.Template(id)
	if err != nil {
		return t, err
	}
	if !ok || mayTemplates(tx, a, t.Project, rightsOver(t.Project).view) != nil {
		return state.Template{}, errNoTemplate
	}
	return t, mayTemplates(tx, a, t.Project, right(rightsOver(t.Project)))
}

func templateView(tx *state.Tx, a Actor, t state.Template) (v TemplateView, err error) {
	rights := rightsOver(t.Project)
	can := func(right auth.Right) bool { return mayTemplates(tx, a, t.Project, right) == nil }
	v = TemplateView{Template: t, CanEdit: can(rights.edit), CanDelete: can(rights.delete), CanDuplicate: can(rights.duplicate)}
	if t.Project != "" {
		project, _, err := tx.Project(t.Project)
		if err != nil {
			return v, err
		}
		v.ProjectTitle = project.Title
	}
	return v, nil
}

// Templates lists the templates of a project, or the site's for an empty id, by title. canCreate tells whether the actor
// may add one.
func (s *Service) Templates(a Actor, project string) (views []TemplateView, canCreate bool, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		if err := mayTemplates(tx, a, project, rightsOver(project).view); err != nil {
			return err
		}
		canCreate = mayTemplates(tx, a, project, rightsOver(project).create) == nil
		views, err = templatesIn(tx, a, project)
		return err
	})
	return views, canCreate, err
}

func templatesIn(tx *state.Tx, a Actor, project string) (views []TemplateView, err error) {
	list, err := tx.TemplatesOf(project)
	if err != nil {
		return nil, err
	}
	return viewAll(list, func(t state.Template) (TemplateView, error) { return templateView(tx, a, t) })
}

// UsableTemplates lists all templates that the actor may see, the site's first, then by project.
func (s *Service) UsableTemplates(a Actor) (views []TemplateView, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		places := []string{""}
		projects, err := tx.Projects()
		if err != nil {
			return err
		}
		slices.SortStableFunc(projects, func(a, b state.Project) int { return cmp.Compare(a.Title, b.Title) })
		for _, p := range projects {
			if p.Type == state.TypeProject {
				places = append(places, p.ID)
			}
		}
		for _, place := range places {
			if mayTemplates(tx, a, place, rightsOver(place).view) != nil {
				continue
			}
			more, err := templatesIn(tx, a, place)
			if err != nil {
				return err
			}
			views = append(views, more...)
		}
		return nil
	})
	return views, err
}

// Template returns one template.
func (s *Service) Template(a Actor, id string) (v TemplateView, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		t, err := templateFor(tx, a, id, func(r templateRights) auth.Right { return r.view })
		if err != nil {
			return err
		}
		v, err = templateView(tx, a, t)
		return err
	})
	return v, err
}

// MayCreateTemplate tells why the actor may not add a template to a project, or to the site for an empty id; nil where it
// may.
func (s *Service) MayCreateTemplate(a Actor, project string) error {
	return s.store.View(func(tx *state.Tx) error { return mayTemplates(tx, a, project, rightsOver(project).create) })
}

// CreateTemplate adds a template to a project, or to the site for an empty id.
func (s *Service) CreateTemplate(ctx context.Context, a Actor, project string, in state.Spec) (t state.Template, err error) {
	if err := s.MayCreateTemplate(a, project); err != nil {
		return t, err
	}
	at := now()
	t = state.Template{ID: uuid.NewString(), Project: project, CreatedAt: at, ModifiedAt: at}
	if t.Spec, err = s.templateSpec(in); err != nil {
		return t, err
	}
	return act[state.Template](ctx, s, &state.TemplateCreated{Template: t}, templateEvent(a, t, "create"))
}

// UpdateTemplate gives a template a new definition. seen is the ModifiedAt that it is based on; where it isn't the
// template's any more the error has code Conflict.
func (s *Service) UpdateTemplate(ctx context.Context, a Actor, id string, in state.Spec, seen time.Time) (t state.Template, err error) {
	if t, err = s.templateTo(a, id, func(r templateRights) auth.Right { return r.edit }); err != nil {
		return t, err
	}
	spec, err := s.templateSpec(in)
	if err != nil {
		return t, err
	}
	return act[state.Template](ctx, s, &state.TemplateUpdated{ID: id, Spec: spec, Seen: seen, Time: now()}, templateEvent(a, t, "update"))
}

// DeleteTemplate deletes a template. What was made of it stays.
func (s *Service) DeleteTemplate(ctx context.Context, a Actor, id string) (t state.Template, err error) {
	if t, err = s.templateTo(a, id, func(r templateRights) auth.Right { return r.delete }); err != nil {
		return t, err
	}
	return act[state.Template](ctx, s, &state.TemplateDeleted{ID: id}, templateEvent(a, t, "delete"))
}

// DuplicateTemplate makes a second template of one in the same place. It returns both.
func (s *Service) DuplicateTemplate(ctx context.Context, a Actor, id string) (from, made state.Template, err error) {
	if from, err = s.templateTo(a, id, func(r templateRights) auth.Right { return r.duplicate }); err != nil {
		return from, made, err
	}
	made, err = act[state.Template](ctx, s, &state.TemplateCopied{ID: uuid.NewString(), From: id, Project: from.Project, Word: "Duplicate", Time: now()},
		templateEvent(a, from, "duplicate"))
	return from, made, err
}

// CopyTemplate copies a template that the actor may see, one of the site or of any project, into a project. It returns
// both.
func (s *Service) CopyTemplate(ctx context.Context, a Actor, id, project string) (from, made state.Template, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		if err := may(tx, a, project, auth.DuplicateTemplate); err != nil {
			return err
		}
		from, err = templateFor(tx, a, id, func(r templateRights) auth.Right { return r.view })
		return err
	})
	if err != nil {
		return from, made, err
	}
	e := templateEvent(a, from, "copy")
	e.Project = project
	made, err = act[state.Template](ctx, s, &state.TemplateCopied{ID: uuid.NewString(), From: id, Project: project, Word: "Copy", Time: now()}, e)
	return from, made, err
}

func (s *Service) templateTo(a Actor, id string, right func(templateRights) auth.Right) (t state.Template, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		t, err = templateFor(tx, a, id, right)
		return err
	})
	return t, err
}

// templateEvent tells of something done with a template, with the original's names.
func templateEvent(a Actor, t state.Template, doing string) state.Event {
	of, model := "site", "ContainerTemplateSite"
	if t.Project != "" {
		of, model = "project", "ContainerTemplateProject"
	}
	return event(a, appTemplates, t.Project, doing+"_containertemplate_"+of, doing+" container template {template}",
		state.EventObject{Label: "template", Name: t.Title, Model: model, ID: t.ID})
}

// templateSpec checks what was entered for a template. Values of secret keys are dropped: whoever may use the template
// could read them in an app of their own.
func (s *Service) templateSpec(in state.Spec) (state.Spec, error) {
	spec := tidy(in)
	if err := spec.ValidateTemplate(); err != nil {
		return spec, err
	}
	if err := s.checkSite(&spec); err != nil || spec.Environment == nil {
		return spec, err
	}
	env, err := state.ParseEnvironment(spec.Environment)
	if err != nil {
		return spec, err
	}
	for _, k := range spec.SecretKeys {
		env[k] = maskedJSON
	}
	if err := noneMasked(&spec, env); err != nil {
		return spec, err
	}
	if spec.Environment, err = json.Marshal(env); err != nil {
		return spec, fmt.Errorf("encoding the environment: %w", err)
	}
	return spec, nil
}

package service

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"kiosc/cluster/state"
)

// ImageAllowList is which images the site allows, and what its containers still have that it doesn't.
type ImageAllowList struct {
	// Patterns are as state.MatchImage takes them; none allows every image.
	Patterns []string `json:"patterns"`
	// NotAllowed are the containers whose image was allowed once, by project and title.
	NotAllowed []NotAllowed `json:"not_allowed"`
}

// NotAllowed is a container whose image the site allows no more. It may still run, and can't be started.
type NotAllowed struct {
	ID           string `json:"sodar_uuid"`
	Title        string `json:"title"`
	Project      string `json:"project"`
	ProjectTitle string `json:"project_title"`
	Image        string `json:"image"`
	State        string `json:"state"` // as it is shown
}

// ImageAllowList reads the list, for administrators.
func (s *Service) ImageAllowList(a Actor) (list ImageAllowList, err error) {
	if err := administer(a); err != nil {
		return list, err
	}
	err = s.store.View(func(tx *state.Tx) (err error) {
		list, err = imageAllowList(tx)
		return err
	})
	return list, err
}

func imageAllowList(tx *state.Tx) (list ImageAllowList, err error) {
	list = ImageAllowList{Patterns: []string{}, NotAllowed: []NotAllowed{}}
	patterns, err := tx.ImageAllowList()
	if err != nil || len(patterns) == 0 {
		return list, err
	}
	list.Patterns = patterns
	var wrong error
	err = tx.EachContainer(func(c state.Container) bool {
		if slices.ContainsFunc(patterns, func(p string) bool { return state.MatchImage(p, c.Image()) }) {
			return true
		}
		var project state.Project
		project, _, wrong = tx.Project(c.Project)
		list.NotAllowed = append(list.NotAllowed, NotAllowed{ID: c.ID, Title: c.Title, Project: c.Project, ProjectTitle: project.Title,
			Image: c.Image(), State: c.Shown()})
		return wrong == nil
	})
	slices.SortStableFunc(list.NotAllowed, func(a, b NotAllowed) int {
		return cmp.Or(strings.Compare(a.ProjectTitle, b.ProjectTitle), strings.Compare(a.Title, b.Title))
	})
	return list, errors.Join(err, wrong)
}

// SetImageAllowList replaces the list, for administrators. Blanks around patterns, and empty ones, are left out.
func (s *Service) SetImageAllowList(ctx context.Context, a Actor, patterns []string) (list ImageAllowList, err error) {
	if err := administer(a); err != nil {
		return list, err
	}
	c := &state.ImageAllowListSet{}
	for _, p := range patterns {
		if p = strings.TrimSpace(p); p != "" {
			c.Patterns = append(c.Patterns, p)
		}
	}
	e := event(a, appAdmin, "", "image_allow_list_set", "set which images are allowed")
	e.Extra = map[string]string{"patterns": strings.Join(c.Patterns, " ")}
	if _, err = act[any](ctx, s, c, e); err != nil {
		return list, err
	}
	return s.ImageAllowList(a)
}

// CheckImage refuses a definition whose image the site doesn't allow, as creating a container of it would.
func (s *Service) CheckImage(spec *state.Spec) error {
	return s.store.View(func(tx *state.Tx) error { return tx.CheckImage(spec) })
}

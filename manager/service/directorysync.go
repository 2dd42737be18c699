package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"kiosc/cluster/state"
	"kiosc/manager/ldap"
)

const (
	// syncWorkers is how many people of a directory are looked up at a time.
	syncWorkers = 4
	// A sync believes that up to fewGone people have left, or up to half of all, and no more: a directory that was restored
	// from an old copy, or shows Kiosc's account less than before, looks like that.
	fewGone = 3
)

// directoryRun is what one sync finds in one directory.
type directoryRun struct {
	service   *Service
	directory *DirectoryWithRules

	mu      sync.Mutex
	changed int
	gone    []state.User
	unclear int
	// problems are sentences.
	problems []string
}

// SyncDirectories brings all users of directories to what these say now: names, groups and what the groups give. Who is gone
// or disabled is deactivated, if the directory says so clearly. It is for the leader. The summary is for people, also
// beside an error.
func (s *Service) SyncDirectories(ctx context.Context) (summary string, err error) {
	people := make(map[*DirectoryWithRules][]state.User)
	err = s.store.View(func(tx *state.Tx) error {
		users, err := tx.Users()
		for _, u := range users {
			if d := s.directoryOf(u); d != nil && (u.Active || u.Gone) {
				people[d] = append(people[d], u)
			}
		}
		return err
	})
	if err != nil {
		return "", err
	}
	var parts, problems []string
	for i := range s.directories {
		d := &s.directories[i]
		part, wrong := s.syncDirectory(ctx, d, people[d])
		parts, problems = append(parts, directoryName(d)+": "+part), append(problems, wrong...)
	}
	if len(problems) > 0 {
		return strings.Join(parts, "; "), state.Errorf(state.Unavailable, strings.Join(problems, " "))
	}
	return strings.Join(parts, "; "), nil
}

// directoryOf is the directory of a user; nil for none.
func (s *Service) directoryOf(u state.User) *DirectoryWithRules {
	if u.Auth() != state.AuthLDAP {
		return nil
	}
	for i := range s.directories {
		if account, ok := s.directories[i].Account(u.Name); ok && account == u.Name {
			return &s.directories[i]
		}
	}
	return nil
}

func directoryName(d *DirectoryWithRules) string {
	if d.Printable() != "" {
		return d.Printable()
	}
	return "plain names"
}

// syncDirectory returns what was done, and sentences on what couldn't be.
func (s *Service) syncDirectory(ctx context.Context, d *DirectoryWithRules, people []state.User) (summary string, problems []string) {
	run := &directoryRun{service: s, directory: d}
	if err := run.askAll(ctx, people); err != nil {
		s.logger.Warn("the sync with a directory has ended early", "directory", directoryName(d), "error", err)
		return fmt.Sprintf("%d changed, then no answer", run.changed),
			append(run.problems, "The directory "+directoryName(d)+" does not answer; nobody was deactivated.")
	}
	active := 0
	for _, u := range people {
		if u.Active {
			active++
		}
	}
	summary = fmt.Sprintf("%d people, %d changed", len(people), run.changed)
	if run.unclear > 0 {
		summary += fmt.Sprintf(", %d not clear", run.unclear)
	}
	if len(run.gone) > fewGone && len(run.gone)*2 > active {
		return summary, append(run.problems, fmt.Sprintf("The directory %s does not have %d of its %d people any more, which can't be right; nobody was deactivated. "+
			"Look at its search base and at what its account may read, or deactivate them yourself.", directoryName(d), len(run.gone), active))
	}
	gone := 0
	for _, u := range run.gone {
		e := event(Actor{}, appUsers, "", "user_update", "deactivate {user}, whom the directory "+directoryName(d)+" does not have any more", userObject(u))
		if _, err := act[any](ctx, s, &state.UserGone{ID: u.ID}, e); err != nil {
			run.problem(u, err)
			continue
		}
		gone++
		s.logger.Info("a user is deactivated whom the directory does not have any more", "user", u.Name)
	}
	return fmt.Sprintf("%s, %d gone", summary, gone), run.problems
}

// problem notes that something couldn't be done for a user, and why.
func (run *directoryRun) problem(u state.User, err error) {
	why := "the manager's log says why."
	if state.CodeOf(err) != state.Internal {
		why = err.Error()
	}
	run.service.logger.Warn("a user could not be brought to what the directory says", "user", u.Name, "error", err)
	run.problems = append(run.problems, u.Name+" stays as before: "+why)
}

// askAll looks up everybody. It ends early with an error where the directory doesn't answer.
func (run *directoryRun) askAll(ctx context.Context, people []state.User) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan state.User)
	var workers sync.WaitGroup
	for range min(syncWorkers, len(people)) {
		workers.Go(func() {
			for u := range next {
				if err := run.ask(ctx, u); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, u := range people {
		select {
		case next <- u:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	workers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// ask looks one user up. The error says that the directory doesn't answer.
func (run *directoryRun) ask(ctx context.Context, u state.User) error {
	s, d := run.service, run.directory
	p, err := d.Find(ctx, u.Name)
	var changed bool
	if err == nil && !p.Disabled {
		_, changed, err = s.takeOver(ctx, identity(p), d.Rules)
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	var refused *state.Error
	switch {
	case errors.Is(err, ldap.ErrNoSuchUser), err == nil && p.Disabled:
		if u.Active {
			run.gone = append(run.gone, u)
		}
	case errors.Is(err, ldap.ErrUnclear):
		s.logger.Warn("what a directory says of a user is of no use", "user", u.Name, "error", err)
		run.unclear++
	case errors.As(err, &refused) && refused.Code != state.Unavailable:
		run.problem(u, err)
	case err != nil:
		return err
	case changed:
		run.changed++
	}
	return nil
}

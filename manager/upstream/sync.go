package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"kiosc/cluster/state"
)

// Node is the leader's, whose state is brought to what the upstream site has.
type Node interface {
	Store() *state.Store
	Propose(ctx context.Context, c state.Command) (any, error)
}

// Config is what a Syncer works with.
type Config struct {
	Node Node
	// Source says which site is asked; its error is for people.
	Source  func() (Source, error)
	Options Options
	Logger  *slog.Logger
}

// Syncer brings the state to what the upstream site has.
type Syncer struct{ cfg Config }

// New makes a Syncer.
func New(cfg Config) *Syncer { return &Syncer{cfg} }

// Run syncs once, on the leader. When it ends half-way, with ctx or with the leadership, what was taken over stays, and the
// next run does the rest. Runs must not overlap, though two that do, at an old leader and a new one, do no harm.
func (s *Syncer) Run(ctx context.Context) (summary string, err error) {
	p, done, err := s.sync(ctx)
	if ctx.Err() != nil && err != nil {
		return "", err
	}
	done.Skipped = append(p.tally.Skipped, done.Skipped...)
	if noted := s.note(ctx, done, err); noted != nil {
		return "", noted
	}
	if err != nil {
		s.cfg.Logger.Warn("the sync with the upstream site failed", "reason", s.sentence(err))
		return "", err
	}
	for _, counts := range []struct{ done, plan *state.UpstreamCounts }{{&done.Users, &p.tally.Users}, {&done.Projects, &p.tally.Projects}, {&done.Roles, &p.tally.Roles}} {
		counts.done.Unchanged += counts.plan.Unchanged
	}
	summary = describe(done)
	level := slog.LevelDebug
	if len(p.users)+len(p.projects)+len(p.roles) > 0 {
		level = slog.LevelInfo
	}
	s.cfg.Logger.Log(ctx, level, "synced with the upstream site", "result", summary)
	return summary, nil
}

// sync returns what was planned and what came of it, which may be a part.
func (s *Syncer) sync(ctx context.Context) (p plan, done state.UpstreamTally, err error) {
	answer, err := s.fetch(ctx)
	if err != nil {
		return p, done, err
	}
	err = s.cfg.Node.Store().View(func(tx *state.Tx) error {
		p, err = makePlan(tx, answer, s.cfg.Options)
		return err
	})
	if err != nil {
		return p, done, err
	}
	for _, batch := range p.batches() {
		got, err := s.cfg.Node.Propose(ctx, batch)
		if err != nil {
			return p, done, fmt.Errorf("taking a part of the answer over: %w", err)
		}
		tally, _ := got.(state.UpstreamTally)
		add(&done, tally)
	}
	return p, done, nil
}

// fetch gets an answer that is whole and has something in it.
func (s *Syncer) fetch(ctx context.Context) (*Answer, error) {
	source, err := s.cfg.Source()
	if err != nil {
		return nil, err
	}
	raw, err := source.Fetch(ctx, func(cause string) { s.cfg.Logger.Warn("the upstream site was not reached", "cause", cause) })
	if err != nil {
		return nil, err
	}
	answer, err := Parse(raw)
	if err == nil && len(answer.projects) == 0 && len(answer.revoked) == 0 {
		return nil, state.Errorf(state.Conflict, "The upstream site gives this site no project with its members; nothing was changed. Give it some there, at the level \"read roles\".")
	}
	return answer, err
}

// batchSize is about how many bytes of items go into one command. It leaves room for the largest item in 1 MiB.
const batchSize = 512 << 10

// itemSize is what an item has beside its texts, at most.
const itemSize = 160

// batches cuts the plan into commands, in the order in which they are applied.
func (p *plan) batches() []*state.UpstreamTaken {
	var all []*state.UpstreamTaken
	room := 0
	next := func(size int) *state.UpstreamTaken {
		if room -= size + itemSize; room < 0 || len(all) == 0 {
			all = append(all, &state.UpstreamTaken{ID: uuid.NewString(), At: time.Now().UTC().Round(0)})
			room = batchSize - size - itemSize
		}
		return all[len(all)-1]
	}
	for _, u := range p.users {
		b := next(textSize(u.Name, u.FullName, u.FirstName, u.LastName, u.Email, u.ID) + textSize(u.AdditionalEmails...) + textSize(u.Groups...))
		b.Users = append(b.Users, u)
	}
	for _, project := range p.projects {
		b := next(textSize(project.ID, project.Parent, project.Title, project.Description, project.Readme, project.Owner, project.Assignment))
		b.Projects = append(b.Projects, project)
	}
	for _, r := range p.roles {
		b := next(textSize(r.ID, r.Project, r.User, string(r.Role)))
		b.Roles = append(b.Roles, r)
	}
	return all
}

func textSize(texts ...string) (size int) {
	for _, text := range texts {
		size += len(text) + 2
	}
	return size
}

func add(to *state.UpstreamTally, part state.UpstreamTally) {
	for _, c := range []struct {
		to   *state.UpstreamCounts
		part state.UpstreamCounts
	}{{&to.Users, part.Users}, {&to.Projects, part.Projects}, {&to.Roles, part.Roles}} {
		c.to.Created += c.part.Created
		c.to.Changed += c.part.Changed
		c.to.Removed += c.part.Removed
		c.to.Unchanged += c.part.Unchanged
	}
	to.Skipped = append(to.Skipped, part.Skipped...)
}

// describe is the summary of a run.
func describe(t state.UpstreamTally) string {
	var parts []string
	for _, c := range []struct {
		name string
		n    state.UpstreamCounts
	}{{"users", t.Users}, {"projects", t.Projects}, {"roles", t.Roles}} {
		part := fmt.Sprintf("%s: %d created, %d changed, ", c.name, c.n.Created, c.n.Changed)
		if c.name == "roles" {
			part += fmt.Sprintf("%d removed, ", c.n.Removed)
		}
		parts = append(parts, part+fmt.Sprintf("%d unchanged", c.n.Unchanged))
	}
	return strings.Join(parts, "; ") + fmt.Sprintf("; %d skipped", len(t.Skipped))
}

// sentence is what people see of an error.
func (s *Syncer) sentence(err error) string {
	var refused *state.Error
	if errors.As(err, &refused) {
		return refused.Sentence()
	}
	s.cfg.Logger.Error("a sync with the upstream site ended by a fault", "error", err)
	return "The sync has ended by a fault of Kiosc's own. The leader's log says why."
}

// note keeps what there is to tell, where it is something else than before.
func (s *Syncer) note(ctx context.Context, done state.UpstreamTally, failed error) error {
	var last state.UpstreamResult
	err := s.cfg.Node.Store().View(func(tx *state.Tx) (err error) {
		last, _, err = tx.UpstreamResult()
		return err
	})
	if err != nil {
		return err
	}
	at := time.Now().UTC().Round(0)
	next := last
	next.Error = ""
	if failed != nil {
		next.Error = cut(s.sentence(failed), state.MaxTaskSummary)
	} else {
		next.Skipped, next.Skips = len(done.Skipped), done.Skipped[:min(len(done.Skipped), state.MaxUpstreamSkips)]
	}
	told := next.Error != last.Error || next.Skipped != last.Skipped || !slices.Equal(next.Skips, last.Skips)
	changed := did(done.Users) || did(done.Projects) || did(done.Roles)
	if !told && !changed {
		return nil
	}
	if told || next.Since.IsZero() {
		next.Since = at
	}
	if changed {
		next.ChangedAt, next.Users, next.Projects, next.Roles = at, done.Users, done.Projects, done.Roles
	}
	_, err = s.cfg.Node.Propose(ctx, &state.UpstreamSynced{Result: next})
	return err
}

func did(c state.UpstreamCounts) bool { return c.Created+c.Changed+c.Removed > 0 }

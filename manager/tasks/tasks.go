// Package tasks runs the periodic tasks of the cluster, on the leader alone.
//
// It owns when a task runs, how long it may take, and the record of its last run. It knows nothing of what a task does:
// each part of Kiosc registers its own before the manager runs.
//
// What must always hold:
//   - Of a task, one run at most is under way: one that takes longer than its period delays the next and doesn't pile up.
//   - All runs end with the leadership, and Lead returns only after they have.
//   - A run that was due while nobody led is made up for once, by the next leader.
package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"kiosc/cluster/consensus"
	"kiosc/cluster/state"
	"kiosc/manager/service"
)

const (
	// DefaultTimeout bounds a run of a task that says nothing else.
	DefaultTimeout = 5 * time.Minute
	// patience is how long somebody who asked for a run waits for its end; the run goes on. It is less than callers of
	// other managers and of admin commands wait.
	patience = 20 * time.Second
	// listPatience bounds the question to the leader what runs at the moment.
	listPatience = 2 * time.Second
)

// Task is something that the leader does now and then.
type Task struct {
	// Name is what people and settings call it: lower-case words with hyphens.
	Name string
	// About says in a sentence what it does.
	About string
	// Schedule is when it runs: an interval such as 30s, five fields as cron has them, in the manager's local time, or
	// Off. Settings may say something else.
	Schedule string
	// Timeout ends a run's context; 0 for DefaultTimeout.
	Timeout time.Duration
	// Run does it once. It must return soon after ctx has ended. The summary says what was done, in a few words. An error
	// that is a *state.Error is shown to people; the cause of any other goes to the leader's log.
	Run func(ctx context.Context) (summary string, err error)
}

// Off is the schedule of a task that runs only when somebody asks for it.
const Off = "off"

// Peers asks other managers.
type Peers interface {
	Call(ctx context.Context, manager, method string, in, out any) error
}

// Config is what a Runner works with.
type Config struct {
	Node *consensus.Node
	// Peers reaches the leader; nil in tests of one manager.
	Peers Peers
	// Self is this manager's node id.
	Self string
	// Schedules has the operator's schedules by the tasks' names.
	Schedules map[string]string
	// Settle is how long a new leader waits before the first scheduled run, so that the Docker hosts have found it.
	Settle time.Duration
	Logger *slog.Logger
}

// Runner has the tasks. Its methods may be called from any goroutine once all tasks are registered.
type Runner struct {
	cfg   Config
	tasks []*worker

	mu      sync.Mutex
	leading bool
}

// New makes a Runner without tasks.
func New(cfg Config) *Runner { return &Runner{cfg: cfg} }

// Register adds a task. It must be called before Lead and the other methods.
func (r *Runner) Register(t Task) error {
	if text, ok := r.cfg.Schedules[t.Name]; ok {
		t.Schedule = text
	}
	when, err := ParseSchedule(t.Schedule)
	if err != nil {
		return fmt.Errorf("the schedule of the task %s: %w", t.Name, err)
	}
	if t.Timeout <= 0 {
		t.Timeout = DefaultTimeout
	}
	r.tasks = append(r.tasks, &worker{Task: t, runner: r, when: when, asked: make(chan request, 1)})
	return nil
}

// Known fails where the operator's schedules name a task that there is not.
func (r *Runner) Known() error {
	for name := range r.cfg.Schedules {
		if r.worker(name) == nil {
			var names []string
			for _, w := range r.tasks {
				names = append(names, w.Name)
			}
			return fmt.Errorf("there is no task %q to schedule; the tasks are %s", name, strings.Join(names, ", "))
		}
	}
	return nil
}

// shortest is the least interval of a task.
const shortest = time.Second

// ParseSchedule reads a Task's Schedule. The result is nil for Off.
func ParseSchedule(text string) (cron.Schedule, error) {
	text = strings.TrimSpace(text)
	if text == Off {
		return nil, nil
	}
	if every, err := time.ParseDuration(text); err == nil {
		if every < shortest {
			return nil, fmt.Errorf("%s is less than %s", text, shortest)
		}
		return cron.Every(every), nil
	}
	when, err := cron.ParseStandard(text)
	if err != nil {
		return nil, fmt.Errorf("%q is neither an interval such as 30s, nor %q, nor five fields such as \"11 1 * * *\"", text, Off)
	}
	return when, nil
}

func (r *Runner) worker(name string) *worker {
	for _, w := range r.tasks {
		if w.Name == name {
			return w
		}
	}
	return nil
}

// Lead runs the tasks until ctx ends. It is for the leader alone.
func (r *Runner) Lead(ctx context.Context) {
	r.setLeading(true)
	defer r.setLeading(false)
	began := time.Now()
	var running sync.WaitGroup
	defer running.Wait()
	for _, w := range r.tasks {
		running.Add(1)
		go func() {
			defer running.Done()
			w.lead(ctx, began)
		}()
	}
	<-ctx.Done()
}

func (r *Runner) setLeading(leading bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leading = leading
}

func (r *Runner) leads() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leading
}

// last returns the last run of a task; the zero TaskRun for never.
func (r *Runner) last(name string) (run state.TaskRun, err error) {
	err = r.cfg.Node.Store().View(func(tx *state.Tx) error {
		run, _, err = tx.TaskRun(name)
		return err
	})
	return run, err
}

// Tasks lists the tasks with their last runs, in the order of their registration. What runs at the moment is the
// leader's to say; where it can't be asked, nothing seems to run.
func (r *Runner) Tasks(ctx context.Context) ([]service.TaskStatus, error) {
	running := r.running(ctx)
	var list []service.TaskStatus
	for _, w := range r.tasks {
		run, err := r.last(w.Name)
		if err != nil {
			return nil, err
		}
		one := service.TaskStatus{Name: w.Name, About: w.About, Schedule: w.Schedule, Timeout: w.Timeout}
		if since, now := running[w.Name]; now {
			one.RunningSince = &since
		}
		if !run.At.IsZero() {
			one.Last = r.asRun(run)
		}
		if w.when != nil {
			next := w.next(run, time.Now())
			one.Next = &next
		}
		list = append(list, one)
	}
	return list, nil
}

func (r *Runner) asRun(run state.TaskRun) *service.TaskRun {
	out := &service.TaskRun{At: run.At, Duration: run.Duration, Summary: run.Summary, Error: run.Error, User: run.User}
	r.cfg.Node.Store().View(func(tx *state.Tx) error { // a manager that is gone has no name
		node, _, err := tx.Node(run.Manager)
		out.Manager = node.Name
		return err
	})
	return out
}

// The methods that managers call at each other.
const (
	methodRun     = "task-run"
	methodRunning = "task-running"
)

// Serves tells whether Call is for the method.
func Serves(method string) bool { return method == methodRun || method == methodRunning }

// runRequest asks the leader for a run.
type runRequest struct {
	Name, User string
}

// Call serves the methods that other managers call.
func (r *Runner) Call(ctx context.Context, method string, body []byte) ([]byte, error) {
	if method == methodRunning {
		return json.Marshal(r.runningHere())
	}
	var in runRequest
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, state.Errorf(state.Invalid, "The request of the other manager can't be read. Bring all managers to one version.")
	}
	out, err := r.runHere(ctx, in)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

func (r *Runner) running(ctx context.Context) map[string]time.Time {
	leader := r.cfg.Node.Leader()
	if leader == r.cfg.Self || leader == "" || r.cfg.Peers == nil {
		return r.runningHere()
	}
	ctx, cancel := context.WithTimeout(ctx, listPatience)
	defer cancel()
	var out map[string]time.Time
	if err := r.cfg.Peers.Call(ctx, leader, methodRunning, struct{}{}, &out); err != nil {
		r.cfg.Logger.Debug("the leader does not tell what runs", "error", err)
		return nil
	}
	return out
}

func (r *Runner) runningHere() map[string]time.Time {
	out := make(map[string]time.Time)
	for _, w := range r.tasks {
		if since := w.runningSince(); !since.IsZero() {
			out[w.Name] = since
		}
	}
	return out
}

var (
	errNoTask   = state.Errorf(state.NotFound, "There is no such task. \"kiosc task ls\" lists them.")
	errNoLeader = state.Errorf(state.Unavailable, "No leader is elected at the moment; the task was not run. Try again in a few seconds.")
)

// RunNow has the leader run a task, on behalf of a user, and waits for its end, but not too long: then the answer has
// no Last. The error has code Conflict where it is running already.
func (r *Runner) RunNow(ctx context.Context, name, user string) (service.TaskStatus, error) {
	w := r.worker(name)
	if w == nil {
		return service.TaskStatus{}, errNoTask
	}
	in := runRequest{name, user}
	switch leader := r.cfg.Node.Leader(); {
	case leader == "":
		return service.TaskStatus{}, errNoLeader
	case leader == r.cfg.Self || r.cfg.Peers == nil:
		return r.runHere(ctx, in)
	default:
		var out service.TaskStatus
		err := r.cfg.Peers.Call(ctx, leader, methodRun, in, &out)
		return out, err
	}
}

func (r *Runner) runHere(ctx context.Context, in runRequest) (out service.TaskStatus, err error) {
	w := r.worker(in.Name)
	if w == nil {
		return out, errNoTask
	}
	if !r.leads() {
		return out, errNoLeader
	}
	out = service.TaskStatus{Name: w.Name, About: w.About, Schedule: w.Schedule, Timeout: w.Timeout}
	answer, err := w.ask(in.User)
	if err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case run, ended := <-answer:
		if !ended {
			return out, errNoLeader
		}
		out.Last = r.asRun(run)
	case <-ctx.Done():
		since := w.runningSince()
		out.RunningSince = &since
	}
	return out, nil
}

// sentence is what people see of a failure.
func (r *Runner) sentence(name string, err error) string {
	var refused *state.Error
	if errors.As(err, &refused) {
		return refused.Message
	}
	r.cfg.Logger.Error("a task has failed", "task", name, "error", err)
	return "The task has failed. The leader's log says why."
}

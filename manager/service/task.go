package service

import (
	"context"
	"time"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// TaskStatus is one of the leader's periodic tasks.
type TaskStatus struct {
	Name     string `json:"name"`
	About    string `json:"about"`
	Schedule string `json:"schedule"` // an interval, five fields as cron has them, or off
	// Timeout is how long a run may take, in nanoseconds.
	Timeout time.Duration `json:"timeout"`
	// Next is when it is due; null for a task that is off.
	Next *time.Time `json:"next"`
	// RunningSince is null while it doesn't run, as far as is known.
	RunningSince *time.Time `json:"running_since"`
	// Last is null for a task that never ran, or whose run that was asked for goes on.
	Last *TaskRun `json:"last"`
}

// TaskRun is how a task's last run went.
type TaskRun struct {
	At       time.Time     `json:"at"`
	Duration time.Duration `json:"duration"` // nanoseconds
	Summary  string        `json:"summary"`
	Error    string        `json:"error"`   // empty where it went well
	Manager  string        `json:"manager"` // name of the leader
	User     string        `json:"user"`    // who asked for it; empty for the schedule
}

// Tasks are the leader's periodic tasks.
type Tasks interface {
	Tasks(ctx context.Context) ([]TaskStatus, error)
	RunNow(ctx context.Context, name, user string) (TaskStatus, error)
}

// UseTasks says where the tasks are. It must be called before the service is used.
func (s *Service) UseTasks(t Tasks) { s.tasks = t }

// ErrNotAdmin refuses those who may not administer the site.
var ErrNotAdmin = state.Errorf(state.Forbidden, "This is for Kiosc's administrators only.")

// administer refuses those who may not administer the site.
func administer(a Actor) error {
	if a.Administers() {
		return nil
	}
	return ErrNotAdmin
}

// Administers tells whether the actor may administer the site.
func (a Actor) Administers() bool {
	return a.Project == "" && a.can(state.Project{}, "", auth.Administer)
}

// PeriodicTasks lists the periodic tasks with their last runs, for administrators.
func (s *Service) PeriodicTasks(ctx context.Context, a Actor) ([]TaskStatus, error) {
	if err := administer(a); err != nil {
		return nil, err
	}
	return s.tasks.Tasks(ctx)
}

// RunTask runs a periodic task now, for administrators, and waits for its end, but not longer than half a minute: then
// the answer has no Last, and the run goes on.
func (s *Service) RunTask(ctx context.Context, a Actor, name string) (TaskStatus, error) {
	if err := administer(a); err != nil {
		return TaskStatus{}, err
	}
	return s.tasks.RunNow(ctx, name, a.User.Name)
}

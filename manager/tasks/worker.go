package tasks

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"kiosc/cluster/state"
)

// worker runs one task. A run is reserved by since before it begins, so that there is never a second one.
type worker struct {
	Task
	runner *Runner
	when   cron.Schedule // nil for a task that is off
	asked  chan request  // has room for the one request that reserved the run

	mu    sync.Mutex
	since time.Time // when the run under way began or was reserved; zero for none
	awake bool      // lead is there to take requests
}

// request is somebody's wish for a run. Its answer is closed without a value where the leadership has ended.
type request struct {
	user   string
	answer chan state.TaskRun
}

// lead runs the task as it is due or asked for until ctx ends.
func (w *worker) lead(ctx context.Context, began time.Time) {
	w.wake(true)
	defer w.sleep()
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for ctx.Err() == nil {
		if wait, due := w.wait(began); due {
			timer.Reset(wait)
		}
		select {
		case <-timer.C:
			if w.reserve() {
				w.run(ctx, "")
			}
		case r := <-w.asked:
			timer.Stop()
			r.answer <- w.run(ctx, r.user)
		case <-ctx.Done():
		}
	}
}

// wait is how long it is until the next scheduled run; due is false for a task that is off.
func (w *worker) wait(began time.Time) (wait time.Duration, due bool) {
	if w.when == nil {
		return 0, false
	}
	last, err := w.runner.last(w.Name)
	if err != nil { // the store is closing, or damaged: others say so
		return time.Minute, true
	}
	at := w.next(last, began)
	if first := began.Add(w.runner.cfg.Settle); at.Before(first) {
		at = first
	}
	return max(0, time.Until(at)), true
}

// next is when the task is due after its last run. One that never ran counts from began.
func (w *worker) next(last state.TaskRun, began time.Time) time.Time {
	from := began
	if !last.At.IsZero() && last.At.Before(time.Now()) {
		from = last.At
	}
	return w.when.Next(from.Local())
}

func (w *worker) wake(awake bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.awake = awake
}

// sleep turns away a request that came too late.
func (w *worker) sleep() {
	w.wake(false)
	select {
	case r := <-w.asked:
		close(r.answer)
		w.free()
	default:
	}
}

func (w *worker) runningSince() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.since
}

// reserve takes the right to run the task, and tells whether it was free.
func (w *worker) reserve() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.since.IsZero() {
		return false
	}
	w.since = time.Now()
	return true
}

func (w *worker) free() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since = time.Time{}
}

// ask reserves a run for a user.
func (w *worker) ask(user string) (answer <-chan state.TaskRun, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !w.awake:
		return nil, errNoLeader
	case !w.since.IsZero():
		return nil, state.Errorf(state.Conflict, "The task "+w.Name+" is running already.")
	}
	w.since = time.Now()
	r := request{user, make(chan state.TaskRun, 1)}
	w.asked <- r // has room: whoever reserved the run before has had its request taken
	return r.answer, nil
}

// run does the task once, which was reserved, and notes how it went.
func (w *worker) run(ctx context.Context, user string) state.TaskRun {
	defer w.free()
	bounded, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	run := state.TaskRun{Name: w.Name, At: time.Now().UTC().Round(0), Manager: w.runner.cfg.Self, User: user}
	began := time.Now()
	summary, err := w.safely(bounded)
	run.Duration = time.Since(began)
	if ctx.Err() != nil {
		return run // the next leader does it again
	}
	switch {
	case err != nil && bounded.Err() != nil:
		run.Error = "The run was ended because it took longer than " + w.Timeout.String() + "."
	case err != nil:
		run.Error = w.runner.sentence(w.Name, err)
	default:
		run.Summary = strings.ToValidUTF8(summary[:min(len(summary), state.MaxTaskSummary)], "")
	}
	if _, err := w.runner.cfg.Node.Propose(ctx, &state.TaskRan{Run: run}); err != nil && ctx.Err() == nil {
		w.runner.cfg.Logger.Warn("a task's run could not be noted", "task", w.Name, "error", err)
	}
	return run
}

// safely keeps a fault in one task from ending the manager.
func (w *worker) safely(ctx context.Context) (summary string, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("a fault: %v\n%s", fault, debug.Stack())
		}
	}()
	return w.Run(ctx)
}

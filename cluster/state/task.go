package state

import "time"

// TopicTasks wakes those who look at the periodic tasks: one has run.
const TopicTasks = "tasks"

// Limits of what is kept of a task's run, in bytes.
const (
	MaxTaskName    = 64
	MaxTaskSummary = 1024
)

// TaskRun is the last run of one of the leader's periodic tasks. It is part of the state so that every manager shows the
// same, and so that a new leader knows what is due.
type TaskRun struct {
	Name string
	// At is when it began.
	At       time.Time
	Duration time.Duration
	// Summary says what was done; Error, a sentence for people, why it failed. One of them is empty.
	Summary, Error string
	Manager        string // node id of the leader
	User           string // name of who asked for it; empty for the schedule
}

// TaskRan notes a run in place of the one before.
type TaskRan struct {
	Run TaskRun
}

func (c *TaskRan) apply(tx *Tx) (any, error) {
	f := fieldErrors{}
	requireText(f, "name", c.Run.Name, MaxTaskName)
	checkText(f, "summary", c.Run.Summary, MaxTaskSummary)
	checkText(f, "error", c.Run.Error, MaxTaskSummary)
	if err := f.err(); err != nil {
		return nil, err
	}
	tx.touch(TopicTasks)
	return c.Run, tx.put(bucketTasks, []byte(c.Run.Name), c.Run)
}

// TaskRun returns the last run of a task; ok is false where it never ran.
func (tx *Tx) TaskRun(name string) (run TaskRun, ok bool, err error) {
	return get[TaskRun](tx, bucketTasks, []byte(name))
}

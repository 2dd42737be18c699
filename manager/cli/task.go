package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kiosc/manager"
	"kiosc/manager/service"
	"kiosc/manager/tasks"
)

// schedules is a flag's value: name=schedule with ; between, because the fields of cron have commas.
type schedules map[string]string

// String gives the value back as it is written.
func (s *schedules) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(*s)) {
		parts = append(parts, name+"="+(*s)[name])
	}
	return strings.Join(parts, "; ")
}

// Type names the value's form in the help.
func (s *schedules) Type() string { return "name=schedule;..." }

// Set adds schedules.
func (s *schedules) Set(text string) error {
	if *s == nil {
		*s = make(schedules)
	}
	for _, part := range strings.Split(text, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		name, schedule, given := strings.Cut(part, "=")
		name, schedule = strings.TrimSpace(name), strings.TrimSpace(schedule)
		if !given || name == "" {
			return fmt.Errorf("%q is not of the form name=schedule", strings.TrimSpace(part))
		}
		if _, err := tasks.ParseSchedule(schedule); err != nil {
			return err
		}
		(*s)[name] = schedule
	}
	return nil
}

func newTask() *cobra.Command {
	cmd := &cobra.Command{Use: "task", Short: "The periodic tasks of the leader"}
	cmd.AddCommand(newTaskList(), newTaskRun())
	return cmd
}

const taskHead = "NAME | SCHEDULE | LAST RUN | TOOK | RESULT | NEXT RUN"

func newTaskList() *cobra.Command {
	var admin adminFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls", Short: "List the periodic tasks with their last runs",
		Long: "Lists the tasks that the leader does now and then, with how their last runs went. Any manager can be asked.\n" +
			"Schedules are set with --task-schedule of the managers.\n\n" + reachHelp,
		Example: "  kiosc task ls --data-dir /var/lib/kiosc\n  kiosc task ls --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printAnswer(cmd, &admin, asJSON, "task-ls", struct{}{}, func(w io.Writer, all []service.TaskStatus) error {
				var rows [][]string
				for _, t := range all {
					rows = append(rows, taskRow(t, time.Now()))
				}
				return table(w, taskHead, rows)
			})
		},
	}
	admin.add(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

func taskRow(t service.TaskStatus, now time.Time) []string {
	row := []string{t.Name, t.Schedule, "never", "-", "-", "-"}
	if t.Last != nil {
		row[2], row[3], row[4] = ago(&t.Last.At, now), took(t.Last.Duration), t.Last.Summary
		if t.Last.Error != "" {
			row[4] = "FAILED: " + t.Last.Error
		}
	}
	if t.RunningSince != nil {
		row[4] = "running since " + clock(*t.RunningSince)
	}
	if t.Next != nil {
		row[5] = clock(*t.Next)
	}
	return row
}

// took is how long something took, short enough for a table.
func took(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%dms", d.Milliseconds())
	}
	return d.Round(100 * time.Millisecond).String()
}

func newTaskRun() *cobra.Command {
	var admin adminFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: "run TASK", Short: "Have the leader run a periodic task now",
		Long: "Has the leader run a task now, and waits for its end for some 20 seconds; a run that takes longer goes on.\n" +
			"A task that is running already is refused. The exit code is 1 where the run has failed.\n\n" + reachHelp,
		Example: "  kiosc task run check",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTask(cmd, &admin, asJSON, "task-run", manager.TaskRequest{Task: args[0]})
		},
	}
	admin.add(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

// runTask gives an admin command that runs a task, and tells how it went.
func runTask(cmd *cobra.Command, admin *adminFlags, asJSON bool, name string, in any) error {
	var raw json.RawMessage
	if err := admin.call(cmd.Context(), name, in, &raw); err != nil {
		return err
	}
	var t service.TaskStatus
	if err := json.Unmarshal(raw, &t); err != nil {
		return fmt.Errorf("reading the manager's answer: %w", err)
	}
	if asJSON {
		if err := printJSON(cmd.OutOrStdout(), raw); err != nil {
			return err
		}
	}
	switch {
	case t.Last == nil:
		fmt.Fprintf(cmd.ErrOrStderr(), "The task %s is still running. \"kiosc task ls\" shows how it went.\n", t.Name)
	case t.Last.Error != "":
		return errors.New(t.Last.Error)
	case !asJSON:
		fmt.Fprintf(cmd.OutOrStdout(), "%s (%s)\n", plain(t.Last.Summary), took(t.Last.Duration))
	}
	return nil
}

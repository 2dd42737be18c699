package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"kiosc/manager"
	"kiosc/manager/service"
)

func newContainer() *cobra.Command {
	cmd := &cobra.Command{Use: "container", Short: "The containers of all projects"}
	cmd.AddCommand(newRemoveStopped(), newStopAll(), newStopUnused())
	return cmd
}

const sweptHead = "PROJECT | TITLE | UUID | STATE | RESULT"

// sweepCommand makes a command that acts on all containers of a kind.
func sweepCommand(cmd *cobra.Command, request string, in *manager.SweepRequest, done, would string) *cobra.Command {
	var admin adminFlags
	var asJSON bool
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var raw json.RawMessage
		if err := admin.call(cmd.Context(), request, in, &raw); err != nil {
			return err
		}
		var all []service.Swept
		if err := json.Unmarshal(raw, &all); err != nil {
			return fmt.Errorf("reading the manager's answer: %w", err)
		}
		refused := 0
		for _, one := range all {
			if one.Detail != "" {
				refused++
			}
		}
		var err error
		if asJSON {
			err = printJSON(cmd.OutOrStdout(), raw)
		} else {
			err = showSwept(cmd.OutOrStdout(), all, done, would)
		}
		if err == nil && refused > 0 {
			err = fmt.Errorf("%d of %d containers were refused or are still waited for; run the command again for those", refused, len(all))
		}
		return err
	}
	admin.add(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

func showSwept(w io.Writer, all []service.Swept, done, would string) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "There is no such container.")
		return err
	}
	var rows [][]string
	for _, one := range all {
		result := would
		switch {
		case one.Done:
			result = done
		case one.Detail != "":
			result = "NOT " + strings.ToUpper(done) + ": " + one.Detail
		}
		rows = append(rows, []string{one.Project, one.Title, one.ID, one.State, result})
	}
	return table(w, sweptHead, rows)
}

const sweepHelp = "It waits 20 seconds for the Docker hosts, and tells of each container whether it is done; those of a host that\n" +
	"is away are done when it is back. It can be repeated safely. The exit code is 1 where something isn't done.\n" +
	"With --json it prints a list of objects: sodar_uuid, title, project, state (before), done, and detail, which says why not.\n\n" + reachHelp

func newRemoveStopped() *cobra.Command {
	var in manager.SweepRequest
	cmd := &cobra.Command{
		Use: "remove-stopped", Aliases: []string{"remove_stopped"}, Short: "Delete the containers that have exited",
		Long: "Lists the containers of all projects in the state exited. With --remove they are deleted, with their Docker containers and\n" +
			"logs, which can't be undone.\n" + sweepHelp,
		Example: "  kiosc container remove-stopped\n  kiosc container remove-stopped --remove",
	}
	cmd.Flags().BoolVar(&in.Remove, "remove", false, "delete them; without it they are only listed")
	return sweepCommand(cmd, "remove-stopped", &in, "removed", "would be removed")
}

func newStopAll() *cobra.Command {
	return sweepCommand(&cobra.Command{
		Use: "stop-all", Aliases: []string{"stop_all"}, Short: "Stop all containers",
		Long:    "Stops the containers of all projects that run, are paused, or are about to run.\n" + sweepHelp,
		Example: "  kiosc container stop-all",
	}, "stop-all", &manager.SweepRequest{}, "stopped", "")
}

func newStopUnused() *cobra.Command {
	cmd := newTaskRun()
	cmd.Use, cmd.Aliases, cmd.Short = "stop-unused", []string{"stop_unused"}, "Stop the apps that nobody has used for as long as they may be unused"
	cmd.Long = "Has the leader look for apps that nobody has used for as many days as they may be unused, and that aren't busy, and stop\n" +
		"them. It does so by itself once a day; this is \"kiosc task run stop-inactive\". It can be repeated safely.\n\n" + reachHelp
	cmd.Example = "  kiosc container stop-unused"
	cmd.Args = cobra.NoArgs
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return run(cmd, []string{"stop-inactive"}) }
	return cmd
}

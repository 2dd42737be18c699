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

func newDocker() *cobra.Command {
	cmd := &cobra.Command{Use: "docker", Short: "What the Docker Engines of the hosts have"}
	cmd.AddCommand(newDockerList(), newDockerPrune())
	return cmd
}

const dockerHead = "NODE | KIND | NAME | SIZE | USED BY | NOTE"

func newDockerList() *cobra.Command {
	var admin adminFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls [NODE]", Short: "List the images and volumes of the Docker hosts",
		Long: "Lists the images and volumes of one Docker host, or of all, with their sizes and the Docker containers that use them. With\n" +
			"--json also Docker containers and networks.\n\n" + reachHelp,
		Example: "  kiosc docker ls\n  kiosc docker ls docker1 --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return printAnswer(cmd, &admin, asJSON, "docker-ls", manager.DockerRequest{Node: strings.Join(args, "")}, showDocker)
		},
	}
	admin.add(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

func showDocker(w io.Writer, all []service.DockerHost) error {
	var rows [][]string
	for _, host := range all {
		if host.Error != "" {
			rows = append(rows, []string{host.Name, "-", "-", "-", "-", host.Error})
		}
		for _, i := range host.Images {
			rows = append(rows, []string{host.Name, service.KindImage, i.Title(), service.SizeText(&i.Size), users(i.UsedBy, i.Used), orDash(i.Note)})
		}
		for _, v := range host.Volumes {
			rows = append(rows, []string{host.Name, service.KindVolume, v.Name, service.SizeText(v.Size), users(v.UsedBy, v.Used), orDash(v.Note)})
		}
	}
	return table(w, dockerHead, rows)
}

// shownUsers is how many of those that use something a table names.
const shownUsers = 3

// users names the first of those that use something.
func users(names []string, n int) string {
	names = names[:min(len(names), shownUsers)]
	text := strings.Join(names, ", ")
	if more := n - len(names); more > 0 {
		text = strings.TrimSpace(fmt.Sprint(text, " +", more))
	}
	return orDash(text)
}

const prunedHead = "KIND | NAME | SIZE | RESULT"

func newDockerPrune() *cobra.Command {
	var admin adminFlags
	var asJSON bool
	var in manager.DockerRequest
	cmd := &cobra.Command{
		Use: "prune NODE", Short: "Remove the unused images and volumes of a Docker host",
		Long: "Lists the images of a Docker host that no Docker container uses and no container of Kiosc names, and the volumes that\n" +
			"Docker has made without a name and no Docker container has. With --remove they are removed, which can't be undone, at most " + fmt.Sprint(service.MaxDockerRemoval) + "\n" +
			"at a time. Volumes with names may hold somebody's data: remove those one by one on the admin page. " + sweepHelp,
		Example: "  kiosc docker prune docker1\n  kiosc docker prune docker1 --remove",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Node = args[0]
			var raw json.RawMessage
			if err := admin.call(cmd.Context(), "docker-prune", in, &raw); err != nil {
				return err
			}
			var out service.DockerRemoval
			if err := json.Unmarshal(raw, &out); err != nil {
				return fmt.Errorf("reading the manager's answer: %w", err)
			}
			return showPruned(cmd.OutOrStdout(), raw, out, asJSON)
		},
	}
	admin.add(cmd)
	addJSON(cmd, &asJSON)
	cmd.Flags().BoolVar(&in.Remove, "remove", false, "remove them; without it they are only listed")
	return cmd
}

// showPruned ends with an error where something was refused.
func showPruned(w io.Writer, raw json.RawMessage, out service.DockerRemoval, asJSON bool) error {
	var rows [][]string
	refused := 0
	for _, one := range out.Results {
		result := "would be removed"
		switch {
		case one.Removed:
			result = "removed"
		case one.Detail != "":
			result = "REFUSED: " + one.Detail
			refused++
		}
		rows = append(rows, []string{one.Kind, one.Name, service.SizeText(one.Size), result})
	}
	var err error
	switch {
	case asJSON:
		err = printJSON(w, raw)
	case len(rows) == 0:
		_, err = fmt.Fprintln(w, "There is nothing to be removed.")
	default:
		err = table(w, prunedHead, rows)
	}
	if err == nil && refused > 0 {
		err = fmt.Errorf("%d of %d were refused", refused, len(rows))
	}
	return err
}

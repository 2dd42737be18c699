package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kiosc/manager"
	"kiosc/manager/service"
)

// drainLook is how often a drain that is waited for is looked at.
const drainLook = time.Second

// nodeCommand makes a command that does one thing with one node and shows how it stands then.
func nodeCommand(use, short, long, example, request string, flags func(*cobra.Command, *manager.NodeRequest)) *cobra.Command {
	var admin adminFlags
	var in manager.NodeRequest
	var asJSON bool
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long + "\n\n" + reachHelp, Example: example, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Node = args[0]
			var out service.NodeStatus
			if err := admin.call(cmd.Context(), request, in, &out); err != nil {
				return err
			}
			return showNode(cmd.OutOrStdout(), out, asJSON)
		},
	}
	admin.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	if flags != nil {
		flags(cmd, &in)
	}
	return cmd
}

func showNode(w io.Writer, n service.NodeStatus, asJSON bool) error {
	if asJSON {
		return printJSON(w, n)
	}
	return table(w, nodeHead, [][]string{nodeRow(n, time.Now())})
}

func newNode() *cobra.Command {
	cmd := &cobra.Command{Use: "node", Short: "The nodes of the cluster: managers and Docker hosts"}
	cmd.AddCommand(newNodeList(), newNodeInspect(), newNodeDrain(), newNodeLabel(),
		nodeCommand("activate NODE", "Bring a Docker host back into use",
			"Ends a drain: containers may be placed on the Docker host again. Those that have moved away stay where they are.",
			"  kiosc node activate host-2", "node-activate", nil),
		nodeCommand("rm NODE", "Remove a node from the cluster for good",
			"Removes a node: its certificate is refused from then on, and it can only come back with an empty data directory.\n"+
				"A Docker host with running containers is refused; drain it first, or give --force to have them started elsewhere.\n"+
				"A manager is refused if too few of the others are in contact; one that leads hands over first.",
			"  kiosc node rm host-2\n  kiosc node rm m3", "node-rm", func(cmd *cobra.Command, in *manager.NodeRequest) {
				cmd.Flags().BoolVar(&in.Force, "force", false, "remove a Docker host with running containers")
			}))
	return cmd
}

func newNodeList() *cobra.Command {
	var admin adminFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls", Short: "List the nodes", Long: "Lists all nodes with their health.\n\n" + reachHelp, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out service.ClusterStatus
			if err := admin.call(cmd.Context(), "cluster-status", struct{}{}, &out); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), out.Nodes)
			}
			var rows [][]string
			for _, n := range out.Nodes {
				rows = append(rows, nodeRow(n, time.Now()))
			}
			return table(cmd.OutOrStdout(), nodeHead, rows)
		},
	}
	admin.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newNodeInspect() *cobra.Command {
	var admin adminFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: "inspect NODE", Short: "Show a node with the containers that are placed on it",
		Long: "Shows a node. NODE is a name, an id, or the first characters of one.\n\n" + reachHelp, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var out service.NodeStatus
			if err := admin.call(cmd.Context(), "node-inspect", manager.NodeRequest{Node: args[0]}, &out); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), out)
			}
			return showDetails(cmd.OutOrStdout(), out)
		},
	}
	admin.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func showDetails(w io.Writer, n service.NodeStatus) error {
	rows := [][]string{{"Name", n.Name}, {"ID", n.ID}, {"Role", n.Role}, {"Health", n.Health}, {"Version", orDash(n.Version)},
		{"Joined", n.JoinedAt.Format(time.DateTime)}, {"Last contact", ago(n.LastContact, time.Now())}}
	if n.Role == "manager" {
		rows = append(rows, [][]string{{"Raft", raftRole(n)}, {"Address", n.Address}, {"Index", fmt.Sprint(n.Index)}, {"Lag", fmt.Sprint(n.Lag)}}...)
	} else {
		rows = append(rows, [][]string{{"Availability", n.Availability}, {"Docker", orDash(n.DockerVersion)},
			{"CPUs", fmt.Sprintf("%d (%.3g reserved)", n.CPUs, n.ReservedCPUs)},
			{"Memory", fmt.Sprintf("%s (%s reserved)", gib(n.MemoryBytes), gib(n.ReservedBytes))},
			{"Network mode", orDash(n.NetworkMode)}, {"Labels", labels(n.Labels)}, {"Managers", orDash(strings.Join(n.Managers, ", "))},
			{"Containers", containers(n)}}...)
	}
	if n.DrainBy != nil {
		rows = append(rows, []string{"Drain until", n.DrainBy.Local().Format(time.DateTime)})
	}
	if err := table(w, "FIELD | VALUE", rows); err != nil || len(n.Placed) == 0 {
		return err
	}
	rows = nil
	for _, c := range n.Placed {
		rows = append(rows, []string{c.ID, c.Project, c.Title, c.State, c.Note})
	}
	fmt.Fprintln(w)
	return table(w, "CONTAINER | PROJECT | TITLE | STATE | NOTE", rows)
}

func newNodeDrain() *cobra.Command {
	var admin adminFlags
	var in manager.NodeRequest
	var detach bool
	cmd := &cobra.Command{
		Use: "drain NODE", Short: "Take a Docker host out of use",
		Long: "Places nothing new on a Docker host, and moves what runs there to others. A container moves as soon as nobody visits\n" +
			"its app, and at the deadline in any case. One that no other host can take goes on where it is; the command says why.\n" +
			"The command waits until nothing runs there any more; Ctrl-C ends only the waiting. Ends with: kiosc node activate\n\n" + reachHelp,
		Example: "  kiosc node drain host-2\n  kiosc node drain host-2 --deadline 1h --detach\n  kiosc node drain host-2 --now",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Node = args[0]
			var out service.NodeStatus
			if err := admin.call(cmd.Context(), "node-drain", in, &out); err != nil {
				return err
			}
			if !detach {
				if err := awaitDrain(cmd.Context(), &admin, in.Node, cmd.ErrOrStderr()); err != nil {
					return err
				}
			}
			fmt.Fprintln(cmd.OutOrStdout(), out.Name)
			return nil
		},
	}
	admin.add(cmd)
	cmd.Flags().DurationVar(&in.Deadline, "deadline", 10*time.Minute, "how long visitors may stay")
	cmd.Flags().BoolVar(&in.Now, "now", false, "don't wait for visitors")
	cmd.Flags().BoolVar(&detach, "detach", false, "return at once")
	return cmd
}

// awaitDrain waits until nothing runs on the node, and tells what still does whenever that changes.
func awaitDrain(ctx context.Context, admin *adminFlags, node string, progress io.Writer) error {
	said := ""
	for {
		var n service.NodeStatus
		if err := admin.call(ctx, "node-inspect", manager.NodeRequest{Node: node}, &n); err != nil {
			return err
		}
		if n.Availability != "drain" {
			return errors.New("the drain was ended by somebody else")
		}
		if n.Active == 0 {
			return nil
		}
		text := fmt.Sprintf("%d containers still run on %s", n.Active, n.Name)
		for _, c := range n.Placed {
			if c.Note != "" {
				text += fmt.Sprintf("\n  %s (%s): %s", c.Title, c.Project, c.Note)
			}
		}
		if text != said {
			fmt.Fprintln(progress, text)
			said = text
		}
		select {
		case <-time.After(drainLook):
		case <-ctx.Done():
			return errors.New("no longer waiting; the drain goes on")
		}
	}
}

func newNodeLabel() *cobra.Command {
	var admin adminFlags
	var in manager.NodeRequest
	cmd := &cobra.Command{
		Use: "label NODE [KEY=VALUE …]", Short: "Set and remove labels of a node",
		Long: "Sets labels that containers' constraints can ask for, such as node.labels.gpu == true. They go before the labels that\n" +
			"the agent was started with.\n\n" + reachHelp,
		Example: "  kiosc node label host-2 gpu=true rack=7\n  kiosc node label host-2 --remove gpu",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Node, in.Set = args[0], make(map[string]string)
			for _, pair := range args[1:] {
				k, v, ok := strings.Cut(pair, "=")
				if !ok {
					return fmt.Errorf("%q is no label; write KEY=VALUE", pair)
				}
				in.Set[k] = v
			}
			if len(in.Set)+len(in.Remove) == 0 {
				return errors.New("give labels to set as KEY=VALUE, or to remove with --remove KEY")
			}
			var out service.NodeStatus
			if err := admin.call(cmd.Context(), "node-label", in, &out); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), labels(out.Labels))
			return nil
		},
	}
	admin.add(cmd)
	cmd.Flags().StringSliceVar(&in.Remove, "remove", nil, "label to remove; may be given several times")
	return cmd
}

func newManagerSet() *cobra.Command {
	cmd := &cobra.Command{Use: "manager-set", Short: "Which managers vote"}
	const about = "A change is confirmed when a majority of the voting managers has stored it. With three of them one may fail, with\n" +
		"five two. A manager without a vote has everything and serves everything, but doesn't count. A manager that has joined\n" +
		"votes by itself once it has caught up."
	cmd.AddCommand(
		nodeCommand("promote NODE", "Give a manager a vote", about, "  kiosc manager-set promote m4", "manager-promote", nil),
		nodeCommand("demote NODE", "Take a manager's vote", about+"\nA demotion is refused if too few of the others are in contact; a manager that leads hands over first.",
			"  kiosc manager-set demote m4", "manager-demote", nil))
	return cmd
}

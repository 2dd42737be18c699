package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
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
			return printAnswer(cmd, &admin, asJSON, request, in, func(w io.Writer, n service.NodeStatus) error {
				return table(w, nodeHead, [][]string{nodeRow(n, time.Now())})
			})
		},
	}
	admin.add(cmd)
	addJSON(cmd, &asJSON)
	if flags != nil {
		flags(cmd, &in)
	}
	return cmd
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
		Use: "ls", Short: "List the nodes",
		Long: "Lists all nodes, the managers first. CONTAINERS are the active and all those placed on a Docker host.\n" +
			"\"kiosc cluster status\" and \"kiosc node inspect\" tell more.\n\n" + reachHelp,
		Example: "  kiosc node ls --data-dir /var/lib/kiosc\n  kiosc node ls --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out struct {
				Quorum bool            `json:"quorum"`
				Nodes  json.RawMessage `json:"nodes"`
			}
			if err := admin.call(cmd.Context(), "cluster-status", struct{}{}, &out); err != nil {
				return err
			}
			if !out.Quorum {
				fmt.Fprintln(cmd.ErrOrStderr(), noQuorum)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), out.Nodes)
			}
			var nodes []service.NodeStatus
			if err := json.Unmarshal(out.Nodes, &nodes); err != nil {
				return fmt.Errorf("reading the manager's answer: %w", err)
			}
			var rows [][]string
			for _, n := range nodes {
				rows = append(rows, nodeRow(n, time.Now()))
			}
			return table(cmd.OutOrStdout(), nodeHead, rows)
		},
	}
	admin.add(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

func newNodeInspect() *cobra.Command {
	var admin adminFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: "inspect NODE", Short: "Show a node with the containers that are placed on it",
		Long: "Shows a node, with what keeps containers from being where they should be. NODE is a name, an id, or its first\n" +
			"characters as \"kiosc node ls\" shows them.\n\n" + reachHelp,
		Example: "  kiosc node inspect host-2\n  kiosc node inspect host-2 --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return printAnswer(cmd, &admin, asJSON, "node-inspect", manager.NodeRequest{Node: args[0]}, func(w io.Writer, n service.NodeStatus) error {
				return showDetails(w, n, time.Now())
			})
		},
	}
	admin.add(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

func showDetails(w io.Writer, n service.NodeStatus, now time.Time) error {
	rows := [][]string{{"Name", n.Name}, {"ID", n.ID}, {"Role", n.Role}, {"Health", n.Health}, {"Version", orDash(n.Version)},
		{"Joined", clock(n.JoinedAt)}, {"Last contact", ago(n.LastContact, now)}}
	if n.Role == "manager" {
		rows = append(rows, [][]string{{"Raft", raftRole(n)}, {"Address", orDash(n.Address)}, {"Index", fmt.Sprint(n.Index)}, {"Lag", fmt.Sprint(n.Lag)}}...)
	} else {
		rows = append(rows, [][]string{{"Availability", n.Availability}, {"Docker", orDash(n.DockerVersion)},
			{"CPUs", fmt.Sprintf("%d (%.3g reserved)", n.CPUs, n.ReservedCPUs)},
			{"Memory", fmt.Sprintf("%s (%s reserved)", gib(n.MemoryBytes), gib(n.ReservedBytes))},
			{"Network mode", orDash(n.NetworkMode)}, {"Labels", labels(n.Labels)}, {"Managers", orDash(strings.Join(n.Managers, ", "))},
			{"Containers", fmt.Sprintf("%d active of %d placed", n.Active, n.Containers)}}...)
	}
	if n.Exposed != "" {
		rows = append(rows, []string{"Warning", n.Exposed})
	}
	if n.DrainBy != nil {
		rows = append(rows, []string{"Visitors until", clock(*n.DrainBy)})
	}
	if err := table(w, "FIELD | VALUE", rows); err != nil || len(n.Placed) == 0 {
		return err
	}
	rows = nil
	for _, c := range n.Placed {
		rows = append(rows, []string{c.ID, c.Project, c.Title, c.State, orDash(c.Note)})
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
			"The command waits until nothing runs there any more, and tells what still does; Ctrl-C ends only the waiting. The host\n" +
			"stays out of use until \"kiosc node activate\".\n\n" + reachHelp,
		Example: "  kiosc node drain host-2\n  kiosc node drain host-2 --deadline 1h --detach\n  kiosc node drain host-2 --now",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Node = args[0]
			var out service.NodeStatus
			if err := admin.call(cmd.Context(), "node-drain", in, &out); err != nil {
				return err
			}
			if !detach {
				// By its id, as names can be given anew.
				if err := awaitDrain(cmd.Context(), &admin, out.ID, cmd.ErrOrStderr()); err != nil {
					return err
				}
			}
			fmt.Fprintln(cmd.OutOrStdout(), plain(out.Name))
			return nil
		},
	}
	admin.add(cmd)
	cmd.Flags().DurationVar(&in.Deadline, "deadline", 10*time.Minute, "how long visitors may stay, at most 168h")
	cmd.Flags().BoolVar(&in.Now, "now", false, "don't wait for visitors, whatever --deadline says")
	cmd.Flags().BoolVar(&detach, "detach", false, "return as soon as the drain has begun")
	return cmd
}

// awaitDrain waits until nothing runs on the node, and tells what still does whenever that changes.
func awaitDrain(ctx context.Context, admin *adminFlags, node string, progress io.Writer) error {
	said := ""
	for {
		var n service.NodeStatus
		err := admin.call(ctx, "node-inspect", manager.NodeRequest{Node: node}, &n)
		switch {
		case ctx.Err() != nil:
			return errNotWaiting
		case err != nil:
			return fmt.Errorf("the drain has begun but can't be followed: %w", err)
		case n.Availability != "drain":
			return errors.New("somebody else has ended the drain")
		case n.Active == 0:
			return nil
		}
		if text := stillRuns(n, time.Now()); text != said {
			fmt.Fprint(progress, text)
			said = text
		}
		select {
		case <-time.After(drainLook):
		case <-ctx.Done():
			return errNotWaiting
		}
	}
}

var errNotWaiting = errors.New("no longer waiting; the drain goes on")

// idle are the states in which a container doesn't hold up a drain.
var idle = []string{"initial", "created", "exited", "failed", "dead", "deleted", "stopping", "deleting"}

// stillRuns tells what is active on a node that drains, and why.
func stillRuns(n service.NodeStatus, now time.Time) string {
	var text strings.Builder
	count := fmt.Sprintf("%d containers still run", n.Active)
	if n.Active == 1 {
		count = "1 container still runs"
	}
	fmt.Fprintf(&text, "%s on %s", count, plain(n.Name))
	waits := ""
	if n.DrainBy != nil && n.DrainBy.After(now) {
		waits = "moves once nobody visits it"
		fmt.Fprintf(&text, "; visitors may stay until %s", clock(*n.DrainBy))
	}
	text.WriteString(":\n")
	for _, c := range n.Placed {
		if slices.Contains(idle, c.State) {
			continue
		}
		fmt.Fprintf(&text, "  %s (%s), %s", plain(c.Title), plain(c.Project), plain(c.State))
		if why := cmp.Or(c.Note, waits); why != "" {
			fmt.Fprintf(&text, ": %s", plain(why))
		}
		text.WriteByte('\n')
	}
	return text.String()
}

func newNodeLabel() *cobra.Command {
	var admin adminFlags
	var in manager.NodeRequest
	cmd := &cobra.Command{
		Use: "label NODE [KEY=VALUE …]", Short: "Set and remove labels of a node",
		Long: "Sets labels that containers' constraints can ask for, such as node.labels.gpu == true. They go before the labels that\n" +
			"the agent was started with. Prints all labels that the node has then.\n\n" + reachHelp,
		Example: "  kiosc node label host-2 gpu=true rack=7\n  kiosc node label host-2 --remove gpu",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Node, in.Set = args[0], make(map[string]string)
			for _, pair := range args[1:] {
				k, v, ok := strings.Cut(pair, "=")
				if !ok || k == "" {
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
			fmt.Fprintln(cmd.OutOrStdout(), plain(labels(out.Labels)))
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
		"five two; have an odd number of them. A manager without a vote has everything and serves everything, but doesn't count. A manager that has joined\n" +
		"votes by itself once it has caught up."
	cmd.AddCommand(
		nodeCommand("promote NODE", "Give a manager a vote", about, "  kiosc manager-set promote m4", "manager-promote", nil),
		nodeCommand("demote NODE", "Take a manager's vote", about+"\nA demotion is refused if too few of the others are in contact; a manager that leads hands over first.",
			"  kiosc manager-set demote m4", "manager-demote", nil))
	return cmd
}

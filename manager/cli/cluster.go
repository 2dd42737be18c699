package cli

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"kiosc/manager"
	"kiosc/manager/service"
)

func newCluster() *cobra.Command {
	cmd := &cobra.Command{Use: "cluster", Short: "The cluster as a whole"}
	cmd.AddCommand(newClusterStatus(), newClusterRecover())
	return cmd
}

func newClusterStatus() *cobra.Command {
	var admin adminFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show how the cluster stands",
		Long: "Shows leader, managers and Docker hosts, as the manager that is asked sees them.\n\n" + reachHelp, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out service.ClusterStatus
			if err := admin.call(cmd.Context(), "cluster-status", struct{}{}, &out); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), out)
			}
			return showCluster(cmd.OutOrStdout(), out, time.Now())
		},
	}
	admin.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func showCluster(w io.Writer, s service.ClusterStatus, now time.Time) error {
	names := make(map[string]string)
	var managers, agents [][]string
	for _, n := range s.Nodes {
		names[n.ID] = n.Name
		if n.Role == "manager" {
			managers = append(managers, managerRow(n, now))
		} else {
			agents = append(agents, agentRow(n, now))
		}
	}
	fmt.Fprintf(w, "Cluster %s, as %s sees it\nLeader  %s, term %d, index %d\n", s.ClusterID, orDash(names[s.Answered]), orDash(names[s.Leader]), s.Term, s.Index)
	if !s.Quorum {
		fmt.Fprintln(w, "NO QUORUM: this manager is in touch with no leader. Apps go on, nothing can be changed, and what follows may be out of date.")
	}
	fmt.Fprintln(w)
	if err := table(w, managerHead, managers); err != nil || len(agents) == 0 {
		return err
	}
	fmt.Fprintln(w)
	return table(w, agentHead, agents)
}

func newClusterRecover() *cobra.Command {
	var node nodeFlags
	var address string
	var sure bool
	cmd := &cobra.Command{
		Use: "recover", Short: "Go on with one manager when the others are lost for good",
		Long: "Makes the manager of a data directory the only member of its cluster, with everything that its log has. It is for the\n" +
			"case that a majority of the managers is lost and doesn't come back; what only they had stored is lost. The manager must\n" +
			"not run. The other managers must never be started again with their old data directories: they could form a second\n" +
			"cluster of the same name. Remove them with \"kiosc node rm\" afterwards, empty their data directories, and join them anew.",
		Example: "  kiosc cluster recover --data-dir /var/lib/kiosc --advertise m1.example.org:7443 --i-know-the-others-are-lost",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := newLogger(cmd, node.logLevel)
			if err != nil {
				return err
			}
			if address == "" {
				return errors.New("give the host:port at which other nodes reach this manager's cluster port with --advertise")
			}
			if !sure {
				return errors.New("this can lose data and must be done on one manager only; give --i-know-the-others-are-lost if that is what you want")
			}
			return manager.Recover(node.dataDir, address, logger)
		},
	}
	node.add(cmd, "/var/lib/kiosc")
	cmd.Flags().StringVar(&address, "advertise", "", "host:port at which other nodes reach this manager (KIOSC_ADVERTISE)")
	cmd.Flags().BoolVar(&sure, "i-know-the-others-are-lost", false, "confirm that the other managers never come back with their old data")
	return cmd
}

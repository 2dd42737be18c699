package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
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
		Long: "Shows the leader, the managers and the Docker hosts, as the manager that is asked sees them. It answers also while there\n" +
			"is no quorum, that is no leader that a majority of the voting managers follows; nothing can be changed then.\n" +
			"LAG is how many entries of the Raft log a manager is behind; a few are normal. CONTAINERS are the active and all\n" +
			"those placed on a Docker host.\n\n" + reachHelp,
		Example: "  kiosc cluster status --data-dir /var/lib/kiosc\n  kiosc cluster status --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printAnswer(cmd, &admin, asJSON, "cluster-status", struct{}{}, func(w io.Writer, s service.ClusterStatus) error {
				return showCluster(w, s, time.Now())
			})
		},
	}
	admin.add(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

func addJSON(cmd *cobra.Command, asJSON *bool) {
	cmd.Flags().BoolVar(asJSON, "json", false, "print the manager's answer as JSON")
}

// noQuorum warns where what is shown may be out of date.
const noQuorum = "WARNING: no quorum. This manager is in touch with no leader. Apps go on, nothing can be changed, and what is shown may be out of date."

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
	named := func(id string) string { return orDash(cmp.Or(names[id], short(id))) }
	quorum := "yes"
	if !s.Quorum {
		quorum = "no"
	}
	if err := table(w, "", [][]string{{"Cluster", s.ClusterID}, {"Seen by", named(s.Answered)}, {"Leader", named(s.Leader)},
		{"Term", fmt.Sprint(s.Term)}, {"Quorum", quorum}, {"Index", fmt.Sprint(s.Index)}}); err != nil {
		return err
	}
	if !s.Quorum {
		fmt.Fprintln(w, noQuorum)
	}
	fmt.Fprintln(w, "\nManagers")
	if err := table(w, managerHead, managers); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nDocker hosts")
	if len(agents) == 0 {
		_, err := fmt.Fprintln(w, "None has joined yet. Print the token for them with: kiosc join-token agent")
		return err
	}
	return table(w, agentHead, agents)
}

// checkAddress refuses what other nodes can't dial.
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	ip, _ := netip.ParseAddr(host) // the zero Addr for a name
	if err != nil || host == "" || port == "" || ip.IsUnspecified() {
		return errors.New("give the host:port at which other nodes reach this manager's cluster port with --advertise, such as m1.example.org:7443")
	}
	return nil
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
			if err := checkAddress(address); err != nil {
				return err
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

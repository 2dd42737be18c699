package cli

import (
	"fmt"
	"io"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"kiosc/manager"
	"kiosc/manager/service"
)

func newQuota() *cobra.Command {
	cmd := &cobra.Command{Use: "quota", Short: "What projects, and the whole site, may have"}
	cmd.AddCommand(newQuotaList(), newQuotaSet())
	return cmd
}

const quotaHead = "PROJECT | UUID | RUNNING | CPUS | MEMORY | SMALL FILES"

func newQuotaList() *cobra.Command {
	var admin adminFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls", Short: "List the quotas with what is used of them",
		Long: "Lists the quotas of the whole site and of each project, with what is used of them: containers that run or start, their\n" +
			"CPU and memory limits, and small files. With --json CPUs are thousandths, and sizes bytes.\n\n" + reachHelp,
		Example: "  kiosc quota ls --data-dir /var/lib/kiosc",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printAnswer(cmd, &admin, asJSON, "quota-ls", struct{}{}, showQuotas)
		},
	}
	admin.add(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

func showQuotas(w io.Writer, all []service.QuotaView) error {
	var rows [][]string
	for _, v := range all {
		rows = append(rows, []string{v.Title, orDash(v.Project), share(v.Running, number), share(v.CPUs, cpuNumber), share(v.Memory, size), share(v.Files, size)})
	}
	return table(w, quotaHead, rows)
}

// share is what is used, of what there is.
func share(s service.Share, text func(int64) string) string {
	if s.Limit == nil {
		return text(s.Used)
	}
	return text(s.Used) + " of " + text(*s.Limit)
}

func number(n int64) string { return fmt.Sprint(n) }

func cpuNumber(milli int64) string { return fmt.Sprint(float64(milli) / 1000) }

func size(n int64) string { return units.BytesSize(float64(n)) }

func newQuotaSet() *cobra.Command {
	var admin adminFlags
	var asJSON bool
	var in manager.QuotaRequest
	cmd := &cobra.Command{
		Use: "set PROJECT|site", Short: "Set the quota of a project or of the whole site",
		Long: "Sets quotas of a project, given by its title or UUID, or of the whole site. What isn't given stays as it is; \"none\" ends a\n" +
			"quota. Containers count from the wish to start one until it is stopped; CPUs and memory count their limits, or where\n" +
			"there is none their reservations. What runs already goes on, also beyond a quota.\n\n" + reachHelp,
		Example: "  kiosc quota set Mice --running 10 --memory 32g\n  kiosc quota set site --cpus 64 --files 500m\n  kiosc quota set Mice --running none",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Project = args[0]
			return printAnswer(cmd, &admin, asJSON, "quota-set", in, func(w io.Writer, v service.QuotaView) error {
				return showQuotas(w, []service.QuotaView{v})
			})
		},
	}
	admin.add(cmd)
	addJSON(cmd, &asJSON)
	cmd.Flags().StringVar(&in.Quota.Running, "running", "", "containers that may run at a time, or none")
	cmd.Flags().StringVar(&in.Quota.CPUs, "cpus", "", "CPUs that they may use, such as 2.5, or none")
	cmd.Flags().StringVar(&in.Quota.Memory, "memory", "", "memory that they may use, such as 8g, or none")
	cmd.Flags().StringVar(&in.Quota.Files, "files", "", "bytes of small files, such as 100m, or none")
	cmd.MarkFlagsOneRequired("running", "cpus", "memory", "files")
	return cmd
}

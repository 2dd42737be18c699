package cli

import (
	"bufio"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"kiosc/manager/cli/demo"
)

// newDemo is what runs in the demo container; it is of no use outside one.
func newDemo() *cobra.Command {
	var lines, flood int
	var fail bool
	cmd := &cobra.Command{
		Use: "demo", Hidden: true, Args: cobra.NoArgs, Short: "Serve the demo app",
		RunE: func(cmd *cobra.Command, _ []string) error {
			port := os.Getenv("CONTAINER_PORT")
			if port == "" {
				port = "8080"
			}
			out := bufio.NewWriter(cmd.OutOrStdout())
			for i := range lines {
				fmt.Fprintf(out, "line %d\n", i+1)
			}
			if err := out.Flush(); err != nil {
				return fmt.Errorf("printing lines: %w", err)
			}
			if fail {
				return errors.New("ending at once, as asked with --fail")
			}
			fmt.Fprintln(cmd.OutOrStdout(), "demo: serving on port "+port)
			if flood > 0 {
				go demo.Flood(cmd.Context(), cmd.OutOrStdout(), flood)
			}
			return demo.Serve(cmd.Context(), ":"+port, cmd.OutOrStdout())
		},
	}
	cmd.Flags().IntVar(&lines, "lines", 0, "print so many numbered lines first")
	cmd.Flags().IntVar(&flood, "flood", 0, "print so many MB of numbered lines each second")
	cmd.Flags().BoolVar(&fail, "fail", false, "end at once with an error")
	return cmd
}

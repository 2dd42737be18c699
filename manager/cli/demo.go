package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"kiosc/manager/cli/demo"
)

// newDemo is what runs in the demo container; it is of no use outside one.
func newDemo() *cobra.Command {
	return &cobra.Command{
		Use: "demo", Hidden: true, Args: cobra.NoArgs, Short: "Serve the demo app",
		RunE: func(cmd *cobra.Command, _ []string) error {
			port := os.Getenv("CONTAINER_PORT")
			if port == "" {
				port = "8080"
			}
			fmt.Fprintln(cmd.OutOrStdout(), "demo: serving on port "+port)
			return demo.Serve(cmd.Context(), ":"+port, cmd.OutOrStdout())
		},
	}
}

package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"kiosc/manager"
	"kiosc/manager/service"
)

func newImageAllowList() *cobra.Command {
	cmd := &cobra.Command{Use: "image-allow-list", Short: "Which images containers may have"}
	cmd.AddCommand(newImageAllowListShow(), newImageAllowListSet())
	return cmd
}

func newImageAllowListShow() *cobra.Command {
	var admin adminFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls", Short: "List the patterns, and the containers whose image isn't allowed any more",
		Long: "Lists the patterns of which each container's image must fit one; without any all images are allowed. Below them are\n" +
			"containers whose image was allowed once: those that run go on, but none can be started.\n\n" + reachHelp,
		Example: "  kiosc image-allow-list ls --data-dir /var/lib/kiosc",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printAnswer(cmd, &admin, asJSON, "image-allow-list-ls", struct{}{}, showImageAllowList)
		},
	}
	admin.add(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

func showImageAllowList(w io.Writer, list service.ImageAllowList) error {
	if len(list.Patterns) == 0 {
		_, err := fmt.Fprintln(w, "All images are allowed.")
		return err
	}
	var rows [][]string
	for _, p := range list.Patterns {
		rows = append(rows, []string{p})
	}
	if err := table(w, "PATTERN", rows); err != nil || len(list.NotAllowed) == 0 {
		return err
	}
	rows = nil
	for _, c := range list.NotAllowed {
		rows = append(rows, []string{c.ProjectTitle, c.Title, c.ID, c.Image, c.State})
	}
	if _, err := fmt.Fprintln(w, "\nNot allowed any more:"); err != nil {
		return err
	}
	return table(w, "PROJECT | TITLE | UUID | IMAGE | STATE", rows)
}

func newImageAllowListSet() *cobra.Command {
	var admin adminFlags
	var asJSON, all bool
	cmd := &cobra.Command{
		Use: "set PATTERN... | --all", Short: "Replace the patterns",
		Long: "Replaces the patterns of which each container's image must fit one. In a pattern * stands for any characters but /, and\n" +
			"** for any. Names without a registry are Docker Hub's, as for Docker. A pattern without a tag lets all tags through.\n" +
			"With --all the list becomes empty, and all images are allowed. What runs already goes on.\n\n" + reachHelp,
		Example: "  kiosc image-allow-list set 'registry.example.org/**' 'rocker/*' 'nginx:1.*'\n  kiosc image-allow-list set --all",
		RunE: func(cmd *cobra.Command, patterns []string) error {
			if all == (len(patterns) > 0) {
				return errors.New("give the patterns, or --all to allow all images")
			}
			return printAnswer(cmd, &admin, asJSON, "image-allow-list-set", manager.ImageAllowListRequest{Patterns: patterns}, showImageAllowList)
		},
	}
	admin.add(cmd)
	addJSON(cmd, &asJSON)
	cmd.Flags().BoolVar(&all, "all", false, "allow all images")
	return cmd
}

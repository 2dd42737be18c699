package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"kiosc/manager"
	"kiosc/manager/service"
)

func newAudit() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "The timeline: who did what"}
	cmd.AddCommand(newAuditVerify(), newAuditExport())
	return cmd
}

func newAuditVerify() *cobra.Command {
	var admin adminFlags
	cmd := &cobra.Command{Use: "verify", Short: "Check that no event of the timeline was altered or removed",
		Long: "Reads the whole timeline of one manager and compares each event with the hash that the next one has of it. It prints how\n" +
			"many events there are, and fails where one was altered, is missing or doesn't fit.\n\n" + reachHelp, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out service.TimelineCheck
			if err := admin.call(cmd.Context(), "audit-verify", struct{}{}, &out); err != nil {
				return err
			}
			if out.Fault != "" {
				return fmt.Errorf("after %d good events: %s", out.Events, out.Fault)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d events, all as they were stored\n", out.Events)
			return nil
		}}
	admin.add(cmd)
	return cmd
}

// exportEnd is the last line of a whole export, which isn't printed.
const exportEnd = `{"end":true}`

// maxEventLine is more than any event has.
const maxEventLine = 4 << 20

func newAuditExport() *cobra.Command {
	var admin adminFlags
	cmd := &cobra.Command{Use: "export", Short: "Print the timeline as JSON lines",
		Long: "Prints all events of the timeline, the oldest first, one JSON object a line, with the hash of the event before. It fails where the\n" +
			"export breaks off. It works over the admin socket only.\n\n" + reachHelp,
		Example: "  kiosc audit export --data-dir /var/lib/kiosc >timeline.jsonl", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			body, err := admin.stream(cmd.Context(), "audit-export", struct{}{})
			if err != nil {
				return err
			}
			defer body.Close()
			return copyLines(cmd.OutOrStdout(), body)
		}}
	admin.add(cmd)
	return cmd
}

func copyLines(to io.Writer, from io.Reader) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 64<<10), maxEventLine)
	for lines.Scan() {
		if bytes.Equal(lines.Bytes(), []byte(exportEnd)) {
			return nil
		}
		if _, err := fmt.Fprintf(to, "%s\n", lines.Bytes()); err != nil {
			return fmt.Errorf("writing the export: %w", err)
		}
	}
	return errors.Join(errors.New("the export broke off before its end"), lines.Err())
}

func newTokenLs() *cobra.Command {
	var admin adminFlags
	var in manager.TokenRequest
	var asJSON bool
	cmd := &cobra.Command{Use: "ls --user NAME", Short: "List a user's API tokens", Long: "Lists a user's API tokens. The tokens themselves can't be had again.\n\n" + reachHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printAnswer(cmd, &admin, asJSON, "token-ls", in, func(w io.Writer, tokens []service.TokenView) error {
				var rows [][]string
				for _, t := range tokens {
					rows = append(rows, []string{t.ID, t.Name, string(t.Scope), t.Project, t.CreatedAt.Local().Format(time.DateOnly), day(t.ExpiresAt), day(t.UsedAt)})
				}
				return table(w, "ID | NAME | SCOPE | PROJECT | CREATED | EXPIRES | LAST USED", rows)
			})
		}}
	admin.add(cmd)
	cmd.Flags().StringVar(&in.User, "user", "", "name of the user")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.MarkFlagRequired("user")
	return cmd
}

func day(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.Local().Format(time.DateOnly)
}

func newTokenRm() *cobra.Command {
	var admin adminFlags
	var in manager.TokenRequest
	cmd := &cobra.Command{Use: "rm ID --user NAME", Short: "Delete an API token", Long: "Deletes an API token of a user. Programs that use it lose their access at once.\n\n" + reachHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.ID = args[0]
			var out manager.Printed
			return admin.call(cmd.Context(), "token-rm", in, &out)
		}}
	admin.add(cmd)
	cmd.Flags().StringVar(&in.User, "user", "", "name of the user")
	cmd.MarkFlagRequired("user")
	return cmd
}

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kiosc/manager"
)

// adminTimeout bounds one admin command.
const adminTimeout = 45 * time.Second

// adminFlags say which manager an admin command talks to.
type adminFlags struct {
	dataDir string
}

const reachHelp = "The command talks to the manager whose data directory is given, as the user that runs it or as root.\n" +
	"With KIOSC_ADDR and KIOSC_TOKEN set it talks to the manager at that address instead, with an API token of a superuser."

func (f *adminFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dataDir, "data-dir", "data", "data directory of the running manager (KIOSC_DATA_DIR)")
}

// call sends one command and decodes its answer.
func (f *adminFlags) call(ctx context.Context, name string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encoding the command: %w", err)
	}
	client, base, token := f.client()
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+manager.AdminPrefix+name, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("KIOSC_ADDR is no address such as https://kiosc.example.org: %w", err)
	}
	if token != "" {
		request.Header.Set("Authorization", "token "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return f.unreachable(base, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		var failed manager.Failed
		if json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&failed) != nil || failed.Detail == "" {
			return fmt.Errorf("the manager answered with %s", response.Status)
		}
		return errors.New(failed.Detail)
	}
	if err := json.NewDecoder(response.Body).Decode(out); err != nil {
		return fmt.Errorf("reading the manager's answer: %w", err)
	}
	return nil
}

// client is for the manager at KIOSC_ADDR, or for the socket in the data directory.
func (f *adminFlags) client() (client *http.Client, base, token string) {
	if addr := os.Getenv("KIOSC_ADDR"); addr != "" {
		if !strings.Contains(addr, "://") {
			addr = "http://" + addr
		}
		return http.DefaultClient, strings.TrimSuffix(addr, "/"), os.Getenv("KIOSC_TOKEN")
	}
	var dialer net.Dialer
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", filepath.Join(f.dataDir, "admin.sock"))
		},
	}}, "http://kiosc", ""
}

func (f *adminFlags) unreachable(base string, err error) error {
	if base == "http://kiosc" {
		return fmt.Errorf("no manager answers in the data directory %s; is it running, and is --data-dir right? (%w)", f.dataDir, errors.Unwrap(err))
	}
	return fmt.Errorf("the manager at %s does not answer: %w", base, err)
}

func newToken() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "API tokens"}
	var admin adminFlags
	var in manager.TokenRequest
	create := &cobra.Command{
		Use:   "create --user NAME",
		Short: "Make an API token and print it",
		Long: "Makes an API token for a user and prints it alone on standard output. It can't be printed again.\n" +
			"Clients send it as \"Authorization: token kiosc_…\".\n\n" + reachHelp,
		Example: "  kiosc token create --user admin\n  kiosc token create --user ana --name nightly --ttl 720h --data-dir /var/lib/kiosc",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out manager.Printed
			if err := admin.call(cmd.Context(), "token", in, &out); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), out.Value)
			return nil
		},
	}
	admin.add(create)
	create.Flags().StringVar(&in.User, "user", "", "name of the user whom the token stands for")
	create.Flags().StringVar(&in.Name, "name", "command line", "what the token is for")
	create.Flags().DurationVar(&in.Life, "ttl", 0, "how long the token is valid, such as 720h; 0 for ever")
	create.MarkFlagRequired("user")
	cmd.AddCommand(create)
	return cmd
}

func newJoinToken() *cobra.Command {
	var admin adminFlags
	cmd := &cobra.Command{
		Use:       "join-token agent",
		Short:     "Make the token with which agents join, and print it",
		Long:      "Makes a new join token for agents and prints it alone on standard output. Join tokens printed before are no\nlonger valid; agents that have joined stay.\n\n" + reachHelp,
		Example:   "  kiosc join-token agent --data-dir /var/lib/kiosc",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"agent", "manager"},
		RunE: func(cmd *cobra.Command, args []string) error {
			var out manager.Printed
			if err := admin.call(cmd.Context(), "join-token", manager.JoinTokenRequest{Role: args[0]}, &out); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), out.Value)
			return nil
		},
	}
	admin.add(cmd)
	return cmd
}

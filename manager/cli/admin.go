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

	"kiosc/cluster/state"
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
	ctx, cancel := context.WithTimeoutCause(ctx, adminTimeout, errNoAnswer)
	defer cancel()
	body, err := f.send(ctx, name, in)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(out); err != nil {
		return fmt.Errorf("reading the manager's answer: %w", err)
	}
	return nil
}

var (
	errNoAnswer = fmt.Errorf("the manager has not answered within %s; whether it has done this is not known", adminTimeout)
	errEnded    = errors.New("interrupted")
)

// printAnswer sends one command and prints its answer: as JSON just as it has come, or as text tells.
func printAnswer[T any](cmd *cobra.Command, f *adminFlags, asJSON bool, name string, in any, text func(io.Writer, T) error) error {
	var raw json.RawMessage
	if err := f.call(cmd.Context(), name, in, &raw); err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), raw)
	}
	var out T
	if err := json.Unmarshal(raw, &out); err != nil {
		return fmt.Errorf("reading the manager's answer: %w", err)
	}
	return text(cmd.OutOrStdout(), out)
}

// stream sends one command whose answer is a long stream of bytes.
func (f *adminFlags) stream(ctx context.Context, name string, in any) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	waiting := time.AfterFunc(adminTimeout, func() { cancel(errNoAnswer) })
	body, err := f.send(ctx, name, in)
	waiting.Stop()
	if err != nil {
		cancel(nil)
		return nil, err
	}
	return newIdleReader(ctx, cancel, body, streamIdle), nil
}

// send sends one command and returns the body of the answer, or the reason of a refusal.
func (f *adminFlags) send(ctx context.Context, name string, in any) (io.ReadCloser, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encoding the command: %w", err)
	}
	client, base, token := f.client()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+manager.AdminPrefix+name, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("KIOSC_ADDR is no address such as https://kiosc.example.org: %w", err)
	}
	if token != "" {
		request.Header.Set("Authorization", "token "+token)
	}
	response, err := client.Do(request)
	switch {
	case err != nil && errors.Is(context.Cause(ctx), errNoAnswer):
		return nil, errNoAnswer
	case err != nil && ctx.Err() != nil:
		return nil, errEnded
	case err != nil:
		return nil, f.unreachable(base, err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	var failed manager.Failed
	if json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&failed) != nil || failed.Detail == "" {
		return nil, fmt.Errorf("the manager answered with %s", response.Status)
	}
	return nil, errors.New(failed.Detail)
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
	create.Flags().StringVar((*string)(&in.Scope), "scope", string(state.ScopeAll), "what the token may do of what the user may: read, operate (open apps, start and stop) or all")
	create.Flags().StringVar(&in.Project, "project", "", "UUID of the only project that the token is for")
	create.MarkFlagRequired("user")
	cmd.AddCommand(create, newTokenLs(), newTokenRm())
	return cmd
}

func newJoinToken() *cobra.Command {
	var admin adminFlags
	var in manager.JoinTokenRequest
	cmd := &cobra.Command{
		Use:   "join-token manager|agent",
		Short: "Print the token with which managers or agents join",
		Long: "Prints the join token for managers or for agents alone on standard output. Whoever has it can add nodes; a manager sees\n" +
			"everything. It is the same one each time. --rotate makes a new one, and ends those before; nodes that have joined stay.\n\n" + reachHelp,
		Example:   "  kiosc join-token agent --data-dir /var/lib/kiosc\n  kiosc join-token manager --rotate",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"manager", "agent"},
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Role = args[0]
			var out manager.Printed
			if err := admin.call(cmd.Context(), "join-token", in, &out); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), out.Value)
			return nil
		},
	}
	admin.add(cmd)
	cmd.Flags().BoolVar(&in.Rotate, "rotate", false, "make a new token, which ends those before")
	return cmd
}

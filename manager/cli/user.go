package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kiosc/manager/service"
)

func newUser() *cobra.Command {
	cmd := &cobra.Command{Use: "user", Short: "People who can log in"}
	cmd.AddCommand(newUserAdd(), newUserLs(), newUserPasswd(),
		newUserSet("admin NAME", "Make a user a superuser, who may do everything", func(in *service.UserInput) { in.Superuser = new(true) }),
		newUserSet("no-admin NAME", "Make a superuser an ordinary user", func(in *service.UserInput) { in.Superuser = new(false) }),
		newUserSet("deactivate NAME", "Take all access from a user, at once", func(in *service.UserInput) { in.Active = new(false) }),
		newUserSet("activate NAME", "Give a deactivated user the access back", func(in *service.UserInput) { in.Active = new(true) }),
		newUserRelink())
	return cmd
}

const passwordHelp = "The password is read from standard input with --password-stdin. Otherwise one is generated and printed alone on standard\n" +
	"output; it can't be printed again."

func newUserAdd() *cobra.Command {
	var admin adminFlags
	var fullName, email string
	var superuser, stdin bool
	cmd := &cobra.Command{
		Use:     "add NAME",
		Short:   "Add a user",
		Long:    "Adds a user who can log in with a password. " + passwordHelp + "\n\n" + reachHelp,
		Example: "  kiosc user add ana --full-name \"Ana Beispiel\" --email ana@example.org",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := service.UserInput{Name: args[0], FullName: &fullName, Email: &email, Superuser: &superuser}
			if err := readPassword(cmd, stdin, &in); err != nil {
				return err
			}
			return setUser(cmd, &admin, "user-add", in)
		},
	}
	admin.add(cmd)
	cmd.Flags().StringVar(&fullName, "full-name", "", "the person's name")
	cmd.Flags().StringVar(&email, "email", "", "the person's e-mail address")
	cmd.Flags().BoolVar(&superuser, "superuser", false, "the user may do everything")
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

func newUserPasswd() *cobra.Command {
	var admin adminFlags
	var stdin bool
	cmd := &cobra.Command{
		Use:   "passwd NAME",
		Short: "Give a user a new password",
		Long:  "Gives a user a new password and ends all of the user's logins. API tokens stay. " + passwordHelp + "\n\n" + reachHelp,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := service.UserInput{Name: args[0], GeneratePassword: !stdin}
			if err := readPassword(cmd, stdin, &in); err != nil {
				return err
			}
			return setUser(cmd, &admin, "user-set", in)
		},
	}
	admin.add(cmd)
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

func newUserSet(use, short string, change func(*service.UserInput)) *cobra.Command {
	var admin adminFlags
	cmd := &cobra.Command{Use: use, Short: short, Long: short + ".\n\n" + reachHelp, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := service.UserInput{Name: args[0]}
			change(&in)
			return setUser(cmd, &admin, "user-set", in)
		}}
	admin.add(cmd)
	return cmd
}

func newUserRelink() *cobra.Command {
	var admin adminFlags
	var all bool
	cmd := &cobra.Command{
		Use:   "relink [NAME]",
		Short: "Forget who users are at the OpenID provider",
		Long: "Forgets the number that the OpenID provider has given to a user, or to all users with --all. Who logs in there next\n" +
			"with the user's name is the user from then on. It is for a move to another provider, and for people whose account at\n" +
			"the provider was made anew. Logins that are open go on.\n\n" + reachHelp,
		Example: "  kiosc user relink ana@example.org\n  kiosc user relink --all",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) == 1) {
				return errors.New("give the name of a user, or --all")
			}
			in := service.RelinkInput{All: all}
			if !all {
				in.Name = args[0]
			}
			var out service.RelinkView
			if err := admin.call(cmd.Context(), "user-relink", in, &out); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Forgotten for %d users.\n", out.Users)
			return nil
		},
	}
	admin.add(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "forget it for all users")
	return cmd
}

// setUser sends a command on a user, and prints a generated password and nothing else.
func setUser(cmd *cobra.Command, admin *adminFlags, name string, in service.UserInput) error {
	var out service.UserView
	if err := admin.call(cmd.Context(), name, in, &out); err != nil {
		return err
	}
	if out.Password != "" {
		fmt.Fprintln(cmd.OutOrStdout(), out.Password)
	}
	return nil
}

// maxPasswordLine is more than any password has.
const maxPasswordLine = 4 << 10

func readPassword(cmd *cobra.Command, stdin bool, in *service.UserInput) error {
	if !stdin {
		return nil
	}
	password, err := firstLine(cmd.InOrStdin())
	if err != nil {
		return fmt.Errorf("reading the password: %w", err)
	}
	in.Password = &password
	return nil
}

// firstLine reads a password, or another secret.
func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxPasswordLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func newUserLs() *cobra.Command {
	var admin adminFlags
	var asJSON bool
	cmd := &cobra.Command{Use: "ls", Short: "List the users", Long: "Lists the users.\n\n" + reachHelp, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printAnswer(cmd, &admin, asJSON, "user-ls", struct{}{}, func(w io.Writer, users []service.UserView) error {
				var rows [][]string
				for _, u := range users {
					rows = append(rows, []string{u.Name, u.FullName, u.Email, yes(u.Superuser), yes(u.Active), u.CreatedAt.Local().Format(time.DateOnly)})
				}
				return table(w, "NAME | FULL NAME | E-MAIL | SUPERUSER | ACTIVE | CREATED", rows)
			})
		}}
	admin.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"kiosc/manager"
)

func newRegistry() *cobra.Command {
	cmd := &cobra.Command{Use: "registry", Short: "The logins of projects for image registries"}
	remove := newRegistryCommand("rm PROJECT HOST", "Take a login for a registry from a project", "registry-rm", 2)
	remove.Example = "  kiosc registry rm Mice registry.example.org"
	cmd.AddCommand(newRegistryCommand("ls PROJECT", "List the registries that a project has a login for", "registry-ls", 1), newRegistrySet(), remove)
	return cmd
}

// newRegistryCommand makes a command on the registries of a project, which the first argument names; the second is the registry's host.
func newRegistryCommand(use, short, request string, args int) *cobra.Command {
	var admin adminFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: use, Short: short,
		Long: short + ", and list those that it has then, without the passwords. The project is given by its title or UUID.\n\n" + reachHelp,
		Args: cobra.ExactArgs(args),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := manager.RegistryRequest{Project: args[0]}
			if len(args) > 1 {
				in.Host = args[1]
			}
			return printRegistries(cmd, &admin, asJSON, request, in)
		},
	}
	admin.add(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

func printRegistries(cmd *cobra.Command, admin *adminFlags, asJSON bool, request string, in manager.RegistryRequest) error {
	return printAnswer(cmd, admin, asJSON, request, in, func(w io.Writer, all []manager.RegistryLogin) error {
		var rows [][]string
		for _, r := range all {
			rows = append(rows, []string{r.Host, r.User, orDash(r.SetBy), clock(r.SetAt)})
		}
		return table(w, "REGISTRY | USER | SET BY | SET AT", rows)
	})
}

func newRegistrySet() *cobra.Command {
	var admin adminFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: "set PROJECT HOST USER", Short: "Give a project a login for a registry",
		Long: "Gives a project a login for a registry, in place of the one that it has. The password is the first line of standard input;\n" +
			"it is stored encrypted and never shown again. The project is given by its title or UUID.\n\n" + reachHelp,
		Example: "  kiosc registry set Mice registry.example.org robot < password-file",
		Args:    cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := firstLine(cmd.InOrStdin())
			if err != nil {
				return fmt.Errorf("reading the password: %w", err)
			}
			return printRegistries(cmd, &admin, asJSON, "registry-set",
				manager.RegistryRequest{Project: args[0], Host: args[1], User: args[2], Password: password})
		},
	}
	admin.add(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

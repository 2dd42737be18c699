package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kiosc/cluster/state"
	"kiosc/manager"
	"kiosc/manager/service"
)

func newSync() *cobra.Command {
	cmd := &cobra.Command{Use: "sync", Short: "What is taken over from the upstream site"}
	cmd.AddCommand(newSyncRun(), newSyncStatus(), newSyncSet(), newSyncRelease())
	return cmd
}

func newSyncRun() *cobra.Command {
	var admin adminFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: "run", Short: "Have the leader sync with the upstream site now",
		Long: "Has the leader take over now what the upstream site has, and waits for the end for some 20 seconds; a sync that takes\n" +
			"longer goes on. The exit code is 1 where it has failed.\n\n" + reachHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runTask(cmd, &admin, asJSON, "sync-run", struct{}{})
		},
	}
	admin.add(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

func newSyncStatus() *cobra.Command {
	var admin adminFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show how this site stands to the upstream one",
		Long: "Shows which site projects are taken over from, how many there are, and what could not be taken over.\n\n" + reachHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printAnswer(cmd, &admin, asJSON, "sync-status", struct{}{}, func(w io.Writer, v service.UpstreamView) error {
				return table(w, "", syncRows(v))
			})
		},
	}
	admin.add(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

func syncRows(v service.UpstreamView) [][]string {
	if !v.Target {
		return [][]string{{"Site mode", modeSource + ": this site takes nothing over"}}
	}
	by := "only when asked to"
	if v.Enabled {
		by = "every " + v.Interval.String()
	}
	rows := [][]string{{"Site mode", modeTarget}, {"Upstream site", orDash(strings.TrimSpace(v.Name + " " + v.URL))}, {"Syncs", by},
		{"Taken over", fmt.Sprintf("projects: %d, categories: %d, users: %d", v.Projects, v.Categories, v.Users)}}
	if v.Task != nil && v.Task.Last != nil {
		rows = append(rows, []string{"Last sync", ago(&v.Task.Last.At, time.Now()) + ": " + v.Task.Last.Summary + v.Task.Last.Error})
	}
	if v.Result == nil {
		return rows
	}
	if !v.Result.ChangedAt.IsZero() {
		rows = append(rows, []string{"Last change", clock(v.Result.ChangedAt)})
	}
	for _, s := range v.Result.Skips {
		rows = append(rows, []string{"Skipped", s.Kind + " " + s.Name + ": " + s.Reason})
	}
	if more := v.Result.Skipped - len(v.Result.Skips); more > 0 {
		rows = append(rows, []string{"", fmt.Sprintf("and %d more", more)})
	}
	return rows
}

func newSyncSet() *cobra.Command {
	var admin adminFlags
	cmd := &cobra.Command{
		Use: "set NAME URL", Short: "Set the upstream site, with its secret from standard input",
		Long: "Sets which site projects are taken over from, as the admin page does. The secret that the upstream site has for this one is\n" +
			"read from standard input, and stored encrypted.\n\n" + reachHelp,
		Example: "  kiosc sync set \"SODAR of the institute\" https://sodar.example.org < secret-file",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			line, err := firstLine(cmd.InOrStdin())
			if err != nil {
				return fmt.Errorf("reading the secret: %w", err)
			}
			in := service.UpstreamInput{Name: args[0], URL: args[1], Secret: line}
			return admin.call(cmd.Context(), "sync-source", in, &struct{}{})
		},
	}
	admin.add(cmd)
	return cmd
}

func newSyncRelease() *cobra.Command {
	var admin adminFlags
	var in service.ReleaseInput
	cmd := &cobra.Command{
		Use: "release [PROJECT...]", Short: "Let projects be changed here that were taken over",
		Long: "Makes projects and categories, named by UUID or by their titles such as \"Lab / Mice\", be changed and deleted here from now on.\n" +
			"What the upstream site still gives to this one is taken over again by the next sync.\n\n" + reachHelp,
		Example: "  kiosc sync release \"Lab / Old mice\"\n  kiosc sync release --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			if in.Projects = args; in.All == (len(args) > 0) {
				return fmt.Errorf("name projects, or give --all")
			}
			var out state.UpstreamTally
			if err := admin.call(cmd.Context(), "sync-release", in, &out); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "released projects and categories: %d, users: %d\n", out.Projects.Changed, out.Users.Changed)
			return nil
		},
	}
	admin.add(cmd)
	cmd.Flags().BoolVar(&in.All, "all", false, "all projects, categories and users that were taken over")
	return cmd
}

func newRemoteSite() *cobra.Command {
	cmd := &cobra.Command{Use: "remote-site", Short: "Target sites, which take projects over from this one"}
	cmd.AddCommand(newRemoteSiteAdd(), newRemoteSiteLs(), newRemoteSiteRm(), newRemoteSiteGive(), newRemoteSiteProjects())
	return cmd
}

func newRemoteSiteAdd() *cobra.Command {
	var admin adminFlags
	var in service.RemoteSiteInput
	cmd := &cobra.Command{
		Use: "add NAME URL", Short: "Add a target site and print its secret",
		Long: "Adds a site that may ask this one for projects, and prints its secret alone on standard output; it can't be printed again.\n" +
			"The site is given no project until \"kiosc remote-site give\" says so.\n\n" + reachHelp,
		Example: "  kiosc remote-site add \"Kiosc of the clinic\" https://kiosc.clinic.example.org",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name, in.URL = args[0], args[1]
			var out service.RemoteSiteView
			if err := admin.call(cmd.Context(), "remote-site-add", in, &out); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), out.Secret)
			return nil
		},
	}
	admin.add(cmd)
	cmd.Flags().StringVar(&in.Description, "description", "", "what the site is")
	cmd.Flags().BoolVar(&in.All, "all", false, "give the site all projects with their members, those of later, too")
	return cmd
}

func newRemoteSiteLs() *cobra.Command {
	var admin adminFlags
	var asJSON bool
	cmd := &cobra.Command{Use: "ls", Short: "List the target sites", Long: "Lists the sites that may ask this one for projects.\n\n" + reachHelp, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printAnswer(cmd, &admin, asJSON, "remote-site-ls", struct{}{}, func(w io.Writer, sites []service.RemoteSiteView) error {
				var rows [][]string
				for _, s := range sites {
					rows = append(rows, []string{s.Name, short(s.ID), s.URL, yes(s.All), fmt.Sprint(s.Given), fmt.Sprint(s.Revoked), s.CreatedAt.Local().Format(time.DateOnly)})
				}
				return table(w, "NAME | ID | URL | ALL | PROJECTS | REVOKED | CREATED", rows)
			})
		}}
	admin.add(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

func newRemoteSiteProjects() *cobra.Command {
	var admin adminFlags
	var asJSON bool
	cmd := &cobra.Command{Use: "projects SITE", Short: "List the projects with what a target site is given of them",
		Long: "Lists all projects, and how much of each a target site is given.\n\n" + reachHelp, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return printAnswer(cmd, &admin, asJSON, "remote-site-inspect", manager.RemoteSiteRequest{Site: args[0]}, func(w io.Writer, out manager.RemoteSiteAnswer) error {
				var rows [][]string
				for _, p := range out.Projects {
					rows = append(rows, []string{p.FullTitle, p.ID, string(p.Level)})
				}
				return table(w, "PROJECT | ID | LEVEL", rows)
			})
		}}
	admin.add(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

func newRemoteSiteRm() *cobra.Command {
	var admin adminFlags
	cmd := &cobra.Command{Use: "rm SITE", Short: "Remove a target site, whose secret counts no more",
		Long: "Removes a target site. What it has taken over stays there; to have it take roles away first, give it the projects with\n" +
			"--level revoked and wait for its next sync.\n\n" + reachHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return admin.call(cmd.Context(), "remote-site-rm", manager.RemoteSiteRequest{Site: args[0]}, &struct{}{})
		}}
	admin.add(cmd)
	return cmd
}

// levels are those of projects as people type them.
var levels = map[string]state.RemoteLevel{"read-roles": state.LevelReadRoles, "revoked": state.LevelRevoked, "none": state.LevelNone}

func newRemoteSiteGive() *cobra.Command {
	var admin adminFlags
	var level string
	var all bool
	cmd := &cobra.Command{
		Use: "give SITE [PROJECT...]", Short: "Say how much of which projects a target site is given",
		Long: "Says how much of some projects, named by UUID or by their titles such as \"Lab / Mice\", a target site is given: read-roles,\n" +
			"the project with its members; revoked, by which the site takes the roles away that it has from here but for owners and\n" +
			"delegates; or none. Categories are given along with the projects in them.\n\n" + reachHelp,
		Example: "  kiosc remote-site give clinic \"Lab / Mice\" \"Lab / Rats\"\n  kiosc remote-site give clinic --all\n" +
			"  kiosc remote-site give clinic \"Lab / Rats\" --level revoked",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, known := levels[level]
			if !known {
				return fmt.Errorf("--level is %q; give read-roles, revoked or none", level)
			}
			in := service.GiveInput{Site: args[0], Projects: args[1:], Level: at}
			if cmd.Flags().Changed("all") {
				in.All = &all
			} else if len(in.Projects) == 0 {
				return fmt.Errorf("name projects, or give --all")
			}
			var out service.RemoteSiteView
			if err := admin.call(cmd.Context(), "remote-site-give", in, &out); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "projects that %s is given: %d\n", plain(out.Name), out.Given)
			return nil
		},
	}
	admin.add(cmd)
	cmd.Flags().StringVar(&level, "level", "read-roles", "read-roles, revoked or none")
	cmd.Flags().BoolVar(&all, "all", false, "give all projects that have no level of their own, those of later, too; --all=false ends that")
	return cmd
}

// Package cli is the command line: it reads flags and environment, starts nodes, and talks to running ones.
//
// It owns what people and scripts see of kiosc in a terminal, and nothing else. What is for machines goes to standard
// output, everything else to standard error. The exit code is 0 on success, 2 where an argument, a flag or a setting in
// the environment is missing, unknown or can't be read, so that nothing was begun, and else 1.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Version is set when a release is built.
var Version = "dev"

// Main runs one command and returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	begun := false
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		err := errors.Join(fromEnvironment(cmd.Flags()), cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups())
		begun = err == nil
		return err
	}
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "kiosc: "+err.Error())
	if !begun {
		return 2
	}
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "kiosc",
		Short: "Web apps in Docker containers for the members of a project",
		Long: "Kiosc starts Docker images with a web server in them on any of an institute's Docker hosts,\nand gives the members of a project access to those apps through one authenticated address.\n\n" +
			"The exit code is 0 if all went well, 2 if an argument, a flag or a setting is missing,\n" +
			"unknown or can't be read, so that nothing was begun, and else 1.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newDev(), newManager(), newAgent(), newToken(), newAudit(), newUser(), newJoinToken(), newNode(), newTask(), newSync(), newRemoteSite(), newQuota(), newRegistry(), newImageAllowList(), newContainer(), newDocker(), newManagerSet(), newCluster(),
		newBackup(), newRestore(), newVersion(), newDemo())
	return root
}

// variable finds the environment variable that a flag's help text names.
var variable = regexp.MustCompile(`\(((?:KIOSC|PROJECTROLES|FILESFOLDERS|EMAIL)_[A-Z_]+)\)`)

// fromEnvironment sets the flags that weren't given from the variables that their help texts name.
func fromEnvironment(flags *pflag.FlagSet) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		found := variable.FindStringSubmatch(f.Usage)
		if err != nil || f.Changed || found == nil {
			return
		}
		name := found[1]
		value, set := os.LookupEnv(name)
		if !set {
			return
		}
		if setErr := flags.Set(f.Name, value); setErr != nil {
			err = fmt.Errorf("%s is not valid: %w", name, setErr)
		}
	})
	return err
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "kiosc "+version()) },
	}
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && Version == "dev" {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return "dev-" + s.Value[:12]
			}
		}
	}
	return Version
}

// newLogger writes to standard error, in the level that --log-level says.
func newLogger(cmd *cobra.Command, level string) (*slog.Logger, error) {
	var at slog.Level
	if err := at.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("the log level %q is none of debug, info, warn and error", level)
	}
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: at})), nil
}

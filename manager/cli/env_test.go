package cli_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"kiosc/manager/cli"
)

// The headings of the example of settings.
const (
	ofBoth     = "Managers and agents"
	ofManagers = "Managers"
	ofAgents   = "Agents"
	ofCommands = "Commands"
)

type example struct{ heading, value string }

// readExample reads the example of settings, as systemd and Docker would with all # taken away.
func readExample(t *testing.T) map[string]example {
	t.Helper()
	text, err := os.ReadFile("../../deploy/env.example")
	require.NoError(t, err)
	all := make(map[string]example)
	setting := regexp.MustCompile(`^#([A-Z][A-Z0-9_]*)=(.*)$`)
	heading := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if after, ok := strings.CutPrefix(line, "# == "); ok {
			heading = after
			continue
		}
		found := setting.FindStringSubmatch(line)
		if found == nil {
			require.Regexp(t, `^(# .*|#|)$`, line)
			continue
		}
		require.NotContains(t, all, found[1])
		require.NotEmpty(t, found[2], line)
		// systemd, Compose and Docker read such characters each in a way of its own.
		require.NotRegexp(t, "^['\"]|[\\\\$`]| #|^ | $", found[2], line)
		all[found[1]] = example{heading, found[2]}
	}
	return all
}

// flagsOf are the flags of a command that can be given as variables, by the variable.
func flagsOf(cmd *cobra.Command) map[string]*pflag.Flag {
	named := regexp.MustCompile(`\(([A-Z][A-Z0-9]*_[A-Z0-9_]+)\)`)
	all := make(map[string]*pflag.Flag)
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if found := named.FindStringSubmatch(f.Usage); found != nil {
			all[found[1]] = f
		}
	})
	return all
}

// commands are the command and all below it.
func commands(cmd *cobra.Command) (all []*cobra.Command) {
	for _, below := range cmd.Commands() {
		all = append(all, commands(below)...)
	}
	return append(all, cmd)
}

// askedOfLogins are the variables that the settings of LDAP and OpenID are read from.
func askedOfLogins() map[string]bool {
	names := make(map[string]bool)
	lookup := func(name string) (string, bool) {
		names[name] = true
		return "true", strings.HasPrefix(name, "ENABLE_")
	}
	_, _ = cli.Directories(lookup)
	_, _ = cli.OpenID(lookup)
	return names
}

// written are the variables that stand as a whole in the package's code.
func written(t *testing.T) map[string]bool {
	t.Helper()
	whole := regexp.MustCompile(`^(KIOSC|EMAIL|ENABLE|SOCIAL_AUTH|AUTH)_[A-Z0-9_]*[A-Z0-9]$`)
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	names := make(map[string]bool)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING {
				if value, err := strconv.Unquote(text.Value); err == nil && whole.MatchString(value) {
					names[value] = true
				}
			}
			return true
		})
	}
	return names
}

// TestTheExampleHasAllSettings compares deploy/env.example with what the program reads: neither has one that the other lacks, each stands
// below the heading of those who have it, and with the value that it has by default.
func TestTheExampleHasAllSettings(t *testing.T) {
	t.Parallel()
	inFile := readExample(t)
	known := askedOfLogins()
	maps.Copy(known, written(t))
	root := cli.NewRoot()
	for _, cmd := range commands(root) {
		for name := range flagsOf(cmd) {
			known[name] = true
		}
	}
	require.Equal(t, slices.Sorted(maps.Keys(known)), slices.Sorted(maps.Keys(inFile)))

	flags := make(map[string]map[string]*pflag.Flag)
	for _, of := range []string{"manager", "agent"} {
		cmd, _, err := root.Find([]string{of})
		require.NoError(t, err)
		flags[of] = flagsOf(cmd)
	}
	for name, e := range inFile {
		ofManager, ofAgent := flags["manager"][name], flags["agent"][name]
		want := ofManagers
		switch {
		case ofManager != nil && ofAgent != nil:
			want = ofBoth
		case ofAgent != nil:
			want = ofAgents
		case slices.Contains([]string{"KIOSC_ADDR", "KIOSC_TOKEN", "KIOSC_BACKUP_PASSPHRASE"}, name):
			want = ofCommands
		}
		require.Equal(t, want, e.heading, name)
		for _, f := range []*pflag.Flag{ofAgent, ofManager} {
			if f == nil {
				continue
			}
			byDefault := f.Value.String()
			require.NoError(t, f.Value.Set(e.value), name)
			if f == ofAgent && ofManager != nil || f.Name == "name" || slices.Contains([]string{"", "0", "false", "[]"}, byDefault) {
				continue // another default for each, or none
			}
			require.Equal(t, byDefault, f.Value.String(), name)
		}
	}
}

// TestVariablesAreRead has each variable of a flag reach its flag.
func TestVariablesAreRead(t *testing.T) {
	for name, e := range readExample(t) {
		if e.heading != ofCommands {
			t.Setenv(name, e.value)
		}
	}
	for _, of := range []string{"manager", "agent"} {
		cmd, _, err := cli.NewRoot().Find([]string{of})
		require.NoError(t, err)
		require.NoError(t, cli.FromEnvironment(cmd.Flags()))
		for name, f := range flagsOf(cmd) {
			require.True(t, f.Changed, name)
		}
	}
}

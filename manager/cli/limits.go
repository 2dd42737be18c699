package cli

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"kiosc/agent/engine"
	"kiosc/manager/dispatch"
)

// limitFlags are what the site allows each app. They must be the same on all managers.
type limitFlags struct {
	limits dispatch.Limits
}

func (f *limitFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Int64Var(&f.limits.NoFileSoft, "nofile-soft", dispatch.DefaultNoFile, "files that a process of an app may have open, and may raise to --nofile-hard; the same on all managers (KIOSC_DOCKER_MAX_ULIMIT_NOFILE_SOFT)")
	flags.Int64Var(&f.limits.NoFileHard, "nofile-hard", dispatch.DefaultNoFile, "files that a process of an app may have open at most; the same on all managers (KIOSC_DOCKER_MAX_ULIMIT_NOFILE_HARD)")
	flags.Int64Var(&f.limits.MaxProcesses, "max-processes", engine.DefaultMaxProcesses, "processes and threads of one app at most; the same on all managers (KIOSC_DOCKER_MAX_PROCESSES)")
	flags.StringSliceVar(&f.limits.Capabilities, "add-capabilities", nil, "capabilities, such as SYS_PTRACE, that apps get beyond the small set that they have; the same on all managers (KIOSC_DOCKER_ADD_CAPABILITIES)")
}

var capability = regexp.MustCompile(`^[A-Z][A-Z_]*$`)

func (f *limitFlags) config() (dispatch.Limits, error) {
	limits := f.limits
	limits.Capabilities = nil
	for _, name := range f.limits.Capabilities {
		name = strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(name)), "CAP_")
		if !capability.MatchString(name) || name == "ALL" {
			return limits, fmt.Errorf("--add-capabilities has %q; give names of Linux capabilities such as SYS_PTRACE", name)
		}
		limits.Capabilities = append(limits.Capabilities, name)
	}
	switch {
	case limits.NoFileSoft < 1 || limits.NoFileHard < limits.NoFileSoft:
		return limits, fmt.Errorf("--nofile-soft is %d and --nofile-hard %d; give numbers from 1, the second not below the first", limits.NoFileSoft, limits.NoFileHard)
	case limits.MaxProcesses < 1:
		return limits, fmt.Errorf("--max-processes is %d; give a number from 1", limits.MaxProcesses)
	}
	return limits, nil
}

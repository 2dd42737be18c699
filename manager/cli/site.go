package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

// siteFlags are settings of the whole site. They must be the same on all managers.
type siteFlags struct {
	maxInactivity int
}

func (f *siteFlags) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.maxInactivity, "max-inactivity", service.DefaultMaxInactivity, "days that an app may be unused at most before it is stopped; the same on all managers (KIOSC_DOCKER_MAX_INACTIVITY)")
}

func (f *siteFlags) settings() (service.Settings, error) {
	if f.maxInactivity < 1 || f.maxInactivity > state.MaxInactivity {
		return service.Settings{}, fmt.Errorf("--max-inactivity is %d; give 1 to %d days", f.maxInactivity, state.MaxInactivity)
	}
	return service.Settings{MaxInactivityDays: f.maxInactivity}, nil
}

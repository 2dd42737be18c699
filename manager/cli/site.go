package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

// siteFlags are settings of the whole site. They must be the same on all managers.
type siteFlags struct {
	maxInactivity int
	delegateLimit int
	inviteDays    int
	localUsers    bool
}

func (f *siteFlags) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.maxInactivity, "max-inactivity", service.DefaultMaxInactivity, "days that an app may be unused at most before it is stopped; the same on all managers (KIOSC_DOCKER_MAX_INACTIVITY)")
	cmd.Flags().IntVar(&f.delegateLimit, "delegate-limit", 1, "delegates that a project may have at most; 0 for any number (PROJECTROLES_DELEGATE_LIMIT)")
	cmd.Flags().IntVar(&f.inviteDays, "invite-expiry-days", inviteDays, "days that an invite to a project is valid (PROJECTROLES_INVITE_EXPIRY_DAYS)")
	cmd.Flags().BoolVar(&f.localUsers, "allow-local-users", false, "the invited may make an account with a password of Kiosc's own (PROJECTROLES_ALLOW_LOCAL_USERS)")
}

const (
	inviteDays    = int(service.DefaultInviteLife / (24 * time.Hour))
	maxInviteDays = 3650
	maxDelegates  = 10_000
)

func (f *siteFlags) settings() (service.Settings, error) {
	if f.maxInactivity < 1 || f.maxInactivity > state.MaxInactivity {
		return service.Settings{}, fmt.Errorf("--max-inactivity is %d; give 1 to %d days", f.maxInactivity, state.MaxInactivity)
	}
	if f.delegateLimit < 0 || f.delegateLimit > maxDelegates {
		return service.Settings{}, fmt.Errorf("--delegate-limit is %d; give 0 to %d", f.delegateLimit, maxDelegates)
	}
	if f.inviteDays < 1 || f.inviteDays > maxInviteDays {
		return service.Settings{}, fmt.Errorf("--invite-expiry-days is %d; give 1 to %d days", f.inviteDays, maxInviteDays)
	}
	return service.Settings{MaxInactivityDays: f.maxInactivity, DelegateLimit: f.delegateLimit,
		InviteLife: time.Duration(f.inviteDays) * 24 * time.Hour, LocalUsers: f.localUsers}, nil
}

package cli

import (
	"fmt"
	"regexp"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

// siteFlags are settings of the whole site. They must be the same on all managers.
type siteFlags struct {
	delegateLimit      int
	inviteDays         int
	localUsers         bool
	maxInactivity      int
	fileSize, allFiles string
	webServer          string
	actionDelay        seconds
	upstream           upstreamFlags
	mail               mailFlags
	sessionLife        time.Duration
	sessionIdle        time.Duration
	timelineDays       int
}

func (f *siteFlags) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.maxInactivity, "max-inactivity", service.DefaultMaxInactivity, "days that an app may be unused at most before it is stopped; the same on all managers (KIOSC_DOCKER_MAX_INACTIVITY)")
	f.actionDelay = seconds(time.Second)
	cmd.Flags().Var(&f.actionDelay, "action-min-delay", "how long after an action on a container the next one is refused, in seconds or such as 500ms; 0 for no delay (KIOSC_DOCKER_ACTION_MIN_DELAY)")
	cmd.Flags().IntVar(&f.delegateLimit, "delegate-limit", 1, "delegates that a project may have at most; 0 for any number (PROJECTROLES_DELEGATE_LIMIT)")
	cmd.Flags().IntVar(&f.inviteDays, "invite-expiry-days", inviteDays, "days that an invite to a project is valid (PROJECTROLES_INVITE_EXPIRY_DAYS)")
	cmd.Flags().DurationVar(&f.sessionLife, "session-life", service.DefaultSessionLife, "how long a login lasts at most; the same on all managers (KIOSC_SESSION_LIFE)")
	cmd.Flags().DurationVar(&f.sessionIdle, "session-idle", service.DefaultSessionIdle, "how long a login lasts that isn't used; the same on all managers (KIOSC_SESSION_IDLE)")
	cmd.Flags().IntVar(&f.timelineDays, "timeline-days", 0, "days that events of the timeline are kept; 0 for always (KIOSC_TIMELINE_DAYS)")
	cmd.Flags().BoolVar(&f.localUsers, "allow-local-users", false, "the invited may make an account with a password of Kiosc's own, and in TARGET mode users who are here are taken over who have one of the upstream site's own (PROJECTROLES_ALLOW_LOCAL_USERS)")
	cmd.Flags().StringVar(&f.fileSize, "max-file", units.BytesSize(state.DefaultFileSize), "how large a small file may be, 128MiB at most; the same on all managers (FILESFOLDERS_MAX_UPLOAD_SIZE)")
	cmd.Flags().StringVar(&f.allFiles, "max-files", units.BytesSize(state.DefaultFilesLimit), "how much all small files of the site may have together; every snapshot of the state has them; the same on all managers (KIOSC_MAX_FILES)")
	cmd.Flags().StringVar(&f.webServer, "web-server-name", service.DefaultWebServer, "name by which containers find their small files; the same on all managers (KIOSC_DOCKER_WEB_SERVER)")
	f.upstream.add(cmd)
	f.mail.add(cmd)
}

const (
	inviteDays    = int(service.DefaultInviteLife / (24 * time.Hour))
	maxInviteDays = 3650
	maxDelegates  = 10_000
	// maxTimelineDays is a century.
	maxTimelineDays = 36_500
)

func (f *siteFlags) settings() (service.Settings, error) {
	if f.maxInactivity < 1 || f.maxInactivity > state.MaxInactivity {
		return service.Settings{}, fmt.Errorf("--max-inactivity is %d; give 1 to %d days", f.maxInactivity, state.MaxInactivity)
	}
	if f.sessionIdle < service.MinSessionIdle || f.sessionLife < f.sessionIdle {
		return service.Settings{}, fmt.Errorf("--session-idle is %s and --session-life is %s; give at least %s, and no shorter life than idle time", f.sessionIdle, f.sessionLife, service.MinSessionIdle)
	}
	if f.timelineDays < 0 || f.timelineDays > maxTimelineDays {
		return service.Settings{}, fmt.Errorf("--timeline-days is %d; give 0 to %d days", f.timelineDays, maxTimelineDays)
	}
	if f.delegateLimit < 0 || f.delegateLimit > maxDelegates {
		return service.Settings{}, fmt.Errorf("--delegate-limit is %d; give 0 to %d", f.delegateLimit, maxDelegates)
	}
	if f.inviteDays < 1 || f.inviteDays > maxInviteDays {
		return service.Settings{}, fmt.Errorf("--invite-expiry-days is %d; give 1 to %d days", f.inviteDays, maxInviteDays)
	}
	files, err := f.files()
	if err != nil {
		return service.Settings{}, err
	}
	mailer, err := f.mail.mailer()
	if err != nil {
		return service.Settings{}, err
	}
	upstream, err := f.upstream.settings()
	return service.Settings{SessionLife: f.sessionLife, SessionIdle: f.sessionIdle, Mail: mailer, KeepTimeline: time.Duration(f.timelineDays) * 24 * time.Hour, Upstream: upstream, MaxInactivityDays: f.maxInactivity, ActionMinDelay: time.Duration(f.actionDelay), DelegateLimit: f.delegateLimit,
		InviteLife: time.Duration(f.inviteDays) * 24 * time.Hour, LocalUsers: f.localUsers, Files: files}, err
}

// hostName is what a container's file of hosts takes.
var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

func (f *siteFlags) files() (s service.FileSettings, err error) {
	if s.Limits.File, err = units.RAMInBytes(f.fileSize); err != nil || s.Limits.File < 1 || s.Limits.File > state.MaxFileSize {
		return s, fmt.Errorf("--max-file is %q; give a size such as 10MiB, at most %s", f.fileSize, units.BytesSize(state.MaxFileSize))
	}
	if s.Limits.Site, err = units.RAMInBytes(f.allFiles); err != nil || s.Limits.Site < 1 {
		return s, fmt.Errorf("--max-files is %q; give a size such as 1GiB", f.allFiles)
	}
	if s.WebServer = f.webServer; !hostName.MatchString(f.webServer) {
		return s, fmt.Errorf("--web-server-name is %q; give a host name of lower-case letters, digits and hyphens", f.webServer)
	}
	return s, nil
}

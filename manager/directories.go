package manager

import (
	"context"
	"errors"
	"time"

	"kiosc/cluster/state"
	"kiosc/manager/ldap"
	"kiosc/manager/service"
	"kiosc/manager/tasks"
)

// DirectoryConfig is an LDAP directory that people log in with, and what its groups give.
type DirectoryConfig struct {
	LDAP  ldap.Config
	Rules service.GroupRules
}

// openDirectories checks the settings of the directories. It connects to none: one that is down keeps no manager from
// starting.
func (m *Manager) openDirectories() error {
	domains := make(map[string]bool)
	for _, c := range m.cfg.Directories {
		d, err := ldap.New(c.LDAP, m.cfg.Logger)
		if err != nil {
			return err
		}
		m.directories = append(m.directories, service.DirectoryWithRules{Directory: d, Rules: c.Rules})
		m.closers = append(m.closers, d.Close)
		if domains[d.Domain()] {
			return errors.New(c.LDAP.Prefix + "USERNAME_DOMAIN must differ from that of the other directory")
		}
		domains[d.Domain()] = true
	}
	return nil
}

// syncTimeout ends a sync with all directories. One of 5,000 people takes seconds.
const syncTimeout = 30 * time.Minute

// directoryTask is nothing without a directory.
func (m *Manager) directoryTask() []tasks.Task {
	if len(m.directories) == 0 {
		return nil
	}
	return []tasks.Task{{Name: "ldap-sync", Schedule: "15m", Timeout: syncTimeout, Run: m.syncDirectories,
		About: "Brings names, groups and roles of people from LDAP directories up to date, and deactivates who has left."}}
}

func (m *Manager) syncDirectories(ctx context.Context) (string, error) {
	if !m.node.CaughtUp() {
		return "", state.Errorf(state.Unavailable, "This manager has just begun to lead and waits for the state.")
	}
	return m.service.SyncDirectories(ctx)
}

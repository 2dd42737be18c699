package cli

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kiosc/manager/service"
	"kiosc/manager/upstream"
)

// upstreamFlags are what a site decides that takes projects over from another one. They must be the same on all managers.
type upstreamFlags struct {
	mode         string
	enable       bool
	minutes      int
	create       bool
	admin        string
	url, ca      string
	secretFile   string
	plain        bool
	fromVariable func(string) string
}

// The modes of a site, as SODAR names them.
const (
	modeSource = "SOURCE"
	modeTarget = "TARGET"
)

// secretVariable has the upstream site's secret, which no flag takes: it would stand in the list of processes.
const secretVariable = "KIOSC_UPSTREAM_SECRET"

func (f *upstreamFlags) add(cmd *cobra.Command) {
	f.fromVariable = os.Getenv
	flags := cmd.Flags()
	flags.StringVar(&f.mode, "site-mode", modeSource, "SOURCE for a site that has projects of its own, TARGET for one that takes them over from an upstream site; the same on all managers (PROJECTROLES_SITE_MODE)")
	flags.BoolVar(&f.enable, "target-sync", false, "in TARGET mode, sync with the upstream site by itself (PROJECTROLES_TARGET_SYNC_ENABLE)")
	flags.IntVar(&f.minutes, "target-sync-interval", int(service.DefaultSyncInterval/time.Minute), "minutes between two syncs (PROJECTROLES_TARGET_SYNC_INTERVAL)")
	flags.BoolVar(&f.create, "target-create", true, "in TARGET mode, people may create projects here, too, outside of the categories of the upstream site (PROJECTROLES_TARGET_CREATE)")
	flags.StringVar(&f.admin, "default-admin", service.DefaultAdmin, "name of the user who owns what somebody owns at the upstream site who can't be taken over (PROJECTROLES_DEFAULT_ADMIN)")
	flags.StringVar(&f.url, "upstream-url", "", "address of the upstream site, if it isn't set on the admin page; its secret is in the variable "+secretVariable+" or in the file of --upstream-secret-file (KIOSC_UPSTREAM_URL)")
	flags.StringVar(&f.secretFile, "upstream-secret-file", "", "file with the upstream site's secret (KIOSC_UPSTREAM_SECRET_FILE)")
	flags.StringVar(&f.ca, "upstream-ca-file", "", "PEM file with the CAs that may have signed the upstream site's certificate; those of the system by default (KIOSC_UPSTREAM_CA_FILE)")
	flags.BoolVar(&f.plain, "upstream-allow-plain", false, "let the secret go to the upstream site without TLS (KIOSC_UPSTREAM_ALLOW_PLAIN)")
}

// maxSyncMinutes is a week.
const maxSyncMinutes = 7 * 24 * 60

func (f *upstreamFlags) settings() (set service.UpstreamSettings, err error) {
	switch strings.ToUpper(strings.TrimSpace(f.mode)) {
	case modeSource, "":
	case modeTarget:
		set.Target = true
	default:
		return set, fmt.Errorf("--site-mode is %q; give SOURCE or TARGET", f.mode)
	}
	if f.minutes < 1 || f.minutes > maxSyncMinutes {
		return set, fmt.Errorf("--target-sync-interval is %d; give 1 to %d minutes", f.minutes, maxSyncMinutes)
	}
	set.Enable, set.Interval, set.NoCreate = f.enable, time.Duration(f.minutes)*time.Minute, !f.create
	set.DefaultAdmin, set.AllowPlain = strings.TrimSpace(f.admin), f.plain
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return set, fmt.Errorf("--upstream-ca-file can't be read: %w", err)
		}
		if set.CAs = x509.NewCertPool(); !set.CAs.AppendCertsFromPEM(pem) {
			return set, fmt.Errorf("--upstream-ca-file has no certificate in it: %s is no PEM file of CAs", f.ca)
		}
	}
	if set.Secret, err = f.secret(); err != nil {
		return set, err
	}
	set.URL = strings.TrimRight(strings.TrimSpace(f.url), "/")
	if (set.URL == "") != (set.Secret == "") {
		return set, errors.New("--upstream-url and the secret of the upstream site go together: set both, or none of them to set them on the admin page")
	}
	if set.URL != "" {
		_, err = upstream.CheckURL(set.URL, f.plain)
	}
	return set, err
}

func (f *upstreamFlags) secret() (string, error) {
	secret := strings.TrimSpace(f.fromVariable(secretVariable))
	if f.secretFile == "" {
		return secret, nil
	}
	if secret != "" {
		return "", errors.New("the secret of the upstream site is given twice: by " + secretVariable + " and by --upstream-secret-file")
	}
	raw, err := os.ReadFile(f.secretFile)
	if err != nil {
		return "", fmt.Errorf("--upstream-secret-file can't be read: %w", err)
	}
	if secret = strings.TrimSpace(string(raw)); secret == "" {
		return "", fmt.Errorf("--upstream-secret-file is empty: %s", f.secretFile)
	}
	return secret, nil
}

package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"kiosc/manager"
	"kiosc/proxy"
)

// webFlags are those of a manager's web port.
type webFlags struct {
	cert, key string
	proxies   []string
	site      string
	apps      string
	limits    proxy.Limits
}

// What one app gets by default, far above what its users need.
const (
	defaultAppRequests = 1000
	defaultAppStreams  = 1000
)

func (f *webFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.cert, "tls-cert", "", "PEM file of the web port's TLS certificate; plain HTTP without (KIOSC_TLS_CERT)")
	cmd.Flags().StringVar(&f.key, "tls-key", "", "PEM file of its key (KIOSC_TLS_KEY)")
	cmd.Flags().StringSliceVar(&f.proxies, "trusted-proxies", nil, "addresses or prefixes of reverse proxies whose X-Forwarded-For, -Proto and -Host are believed (KIOSC_TRUSTED_PROXIES)")
	cmd.Flags().StringVar(&f.site, "url", "", "address at which people open Kiosc, such as https://kiosc.example.org (KIOSC_URL)")
	cmd.Flags().StringVar(&f.apps, "app-domain", "", "domain such as apps.example.org below which each app has a host of its own; needs --url; the same on all managers (KIOSC_APP_DOMAIN)")
	cmd.Flags().IntVar(&f.limits.Requests, "app-requests", defaultAppRequests, "requests a second that one app gets through this manager in the long run; 0 for no limit (KIOSC_APP_REQUESTS)")
	cmd.Flags().IntVar(&f.limits.Streams, "app-streams", defaultAppStreams, "requests, event streams and WebSockets of one app that may be open through this manager at a time; 0 for no limit (KIOSC_APP_STREAMS)")
}

func (f *webFlags) config() (manager.WebConfig, error) {
	if (f.cert == "") != (f.key == "") {
		return manager.WebConfig{}, errors.New("TLS needs both --tls-cert and --tls-key")
	}
	if f.limits.Requests < 0 || f.limits.Streams < 0 {
		return manager.WebConfig{}, errors.New("--app-requests and --app-streams take a number, or 0 for no limit")
	}
	proxies, err := proxy.ParseProxies(f.proxies)
	if err != nil {
		return manager.WebConfig{}, err
	}
	web := manager.WebConfig{CertFile: f.cert, KeyFile: f.key, TrustedProxies: proxies, Limits: f.limits}
	if f.site != "" {
		if web.Site, err = proxy.ParseSite(f.site); err != nil {
			return manager.WebConfig{}, err
		}
	}
	switch {
	case f.apps == "":
		return web, nil
	case web.Site == nil:
		return manager.WebConfig{}, errors.New("--app-domain needs --url, the address at which people open Kiosc")
	}
	web.Apps, err = proxy.NewAppHosts(web.Site, f.apps)
	return web, err
}

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
}

func (f *webFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.cert, "tls-cert", "", "PEM file of the web port's TLS certificate; plain HTTP without (KIOSC_TLS_CERT)")
	cmd.Flags().StringVar(&f.key, "tls-key", "", "PEM file of its key (KIOSC_TLS_KEY)")
	cmd.Flags().StringSliceVar(&f.proxies, "trusted-proxies", nil, "addresses or prefixes of reverse proxies whose X-Forwarded-For, -Proto and -Host are believed (KIOSC_TRUSTED_PROXIES)")
}

func (f *webFlags) config() (manager.WebConfig, error) {
	if (f.cert == "") != (f.key == "") {
		return manager.WebConfig{}, errors.New("TLS needs both --tls-cert and --tls-key")
	}
	proxies, err := proxy.ParseProxies(f.proxies)
	return manager.WebConfig{CertFile: f.cert, KeyFile: f.key, TrustedProxies: proxies}, err
}

package testbed

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The names in the examples' place. Browsers look up names below localhost on their own machine.
const (
	SiteName = "kiosc.localhost"
	AppNames = "apps.localhost" // apps have names below it
)

// Front is a reverse proxy that ends TLS in front of a manager.
type Front struct {
	testing.TB
	// Addr is its TLS port on 127.0.0.1, PlainAddr that of plain HTTP; empty where it has none.
	Addr, PlainAddr string
	process         process
}

// setting is one that a test has to have otherwise than the documented configuration.
type setting struct{ documented, tested string }

// Fronts are the programs of which a configuration is documented.
func Fronts() []string { return []string{"caddy", "nginx", "haproxy"} }

// FrontAddr chooses an address for StartFront, for who has to know it earlier.
func FrontAddr(t testing.TB) string { return freeAddr(t) }

// StartFront starts Debian's caddy, nginx or haproxy in front of upstream with the configuration in deploy/examples.
// Only names, addresses and files are replaced.
func StartFront(t testing.TB, program, addr, upstream string) *Front {
	t.Helper()
	f := &Front{TB: t, Addr: addr}
	f.process = process{t: t, name: program, out: filepath.Join(t.TempDir(), "out")}
	dir := t.TempDir()
	cert, key := MakeCertificate(t, SiteName, AppNames, "*."+AppNames)
	for name, content := range map[string][]byte{"cert.pem": cert, "key.pem": key, "both.pem": append(cert, key...)} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	settings := []setting{{"/etc/ssl/kiosc/", dir + "/"}, {"127.0.0.1:8080", upstream}}
	names := []setting{{"kiosc.example.org", SiteName}, {"apps.example.org", AppNames}}
	var cmd *exec.Cmd
	config := filepath.Join(dir, "config")
	switch program {
	case "caddy":
		f.PlainAddr = freeAddr(t)
		_, plain, _ := net.SplitHostPort(f.PlainAddr)
		_, port, _ := net.SplitHostPort(f.Addr)
		global := fmt.Sprintf("{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\thttp_port %s\n\thttps_port %s\n}\n", plain, port)
		f.write(config, global+f.example("Caddyfile", append(settings, names...)))
		cmd = exec.Command(program, "run", "--adapter", "caddyfile", "--config", config)
	case "nginx":
		f.PlainAddr = freeAddr(t)
		settings = append(settings, setting{"listen 80;", "listen " + f.PlainAddr + ";"}, setting{"listen 443 ", "listen " + f.Addr + " "})
		f.write(filepath.Join(dir, "kiosc.conf"), f.example("nginx.conf", append(settings, names...)))
		f.write(config, fmt.Sprintf("daemon off;\nmaster_process off;\npid %[1]s/pid;\nerror_log stderr;\nevents {}\nhttp {\n\taccess_log off;\n"+
			"\tclient_body_temp_path %[1]s/body;\n\tproxy_temp_path %[1]s/proxy;\n\tinclude %[1]s/kiosc.conf;\n}\n", dir))
		cmd = exec.Command(program, "-e", "stderr", "-p", dir, "-c", config)
	case "haproxy":
		settings = append(settings, setting{"bind :443", "bind " + f.Addr})
		f.write(config, f.example("haproxy.cfg", settings))
		cmd = exec.Command(program, "-f", config)
	}
	require.NotNil(t, cmd, "no configuration is documented for %s", program)
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	t.Cleanup(f.clean)
	f.process.start(cmd)
	f.process.waitFor(func() bool {
		conn, err := net.Dial("tcp", f.Addr)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	return f
}

func (f *Front) clean() {
	f.process.kill()
	if f.Failed() {
		f.Logf("%s wrote:\n%s", f.process.name, f.process.tail())
	}
}

// example is a documented configuration with what a test has to have otherwise.
func (f *Front) example(name string, settings []setting) string {
	f.Helper()
	hosts, err := findHosts()
	require.NoError(f, err)
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(hosts), "../examples", name))
	require.NoError(f, err)
	text := string(raw)
	for _, s := range settings {
		require.Contains(f, text, s.documented, name)
		text = strings.ReplaceAll(text, s.documented, s.tested)
	}
	return text
}

func (f *Front) write(path, content string) {
	f.Helper()
	require.NoError(f, os.WriteFile(path, []byte(content), 0o600))
}

// MakeCertificate makes a certificate that nobody trusts for some names, and its key, both as PEM.
func MakeCertificate(t testing.TB, names ...string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]},
		DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

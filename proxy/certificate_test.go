package proxy_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/proxy"
)

// makePair makes a certificate of its own and its key.
func makePair(t *testing.T, name string, until time.Time) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// journal is a log that a test reads while it is written.
type journal struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.out.Write(p)
}

func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return bytes.Count(j.out.Bytes(), []byte(text))
}

// tlsDoor is a front door with a certificate in files.
type tlsDoor struct {
	*testing.T
	cert, key, addr string
	log             journal
}

func newTLSDoor(t *testing.T, cert, key []byte) *tlsDoor {
	dir := t.TempDir()
	d := &tlsDoor{T: t, cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	d.write(cert, key)
	certificate, err := proxy.LoadCertificate(d.cert, d.key, slog.New(slog.NewTextHandler(&d.log, nil)))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		certificate.Watch(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	d.addr = ln.Addr().String()
	app := fiberApp(nil)
	app.Handler()
	run(t, proxy.Config{Gate: gate(allow), Dialer: dialTo("127.0.0.1:1"), App: app.Server()}, tls.NewListener(ln, certificate.TLSConfig()))
	return d
}

func (d *tlsDoor) write(cert, key []byte) {
	d.Helper()
	require.NoError(d, os.WriteFile(d.cert, cert, 0o600))
	require.NoError(d, os.WriteFile(d.key, key, 0o600))
}

// shown is the name in the certificate that a browser is shown.
func (d *tlsDoor) shown(config *tls.Config) (string, error) {
	config.InsecureSkipVerify = true
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", d.addr, config)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	require.Contains(d, []string{"", "http/1.1"}, conn.ConnectionState().NegotiatedProtocol)
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func (d *tlsDoor) becomes(name string) {
	d.Helper()
	require.Eventually(d, func() bool {
		got, err := d.shown(&tls.Config{})
		return err == nil && got == name
	}, 20*time.Second, 50*time.Millisecond)
}

func (d *tlsDoor) logs(text string) {
	d.Helper()
	require.Eventually(d, func() bool { return d.log.count(text) > 0 }, 20*time.Second, 50*time.Millisecond, text)
}

func TestCertificatesAreTakenAnewWhenTheirFilesChange(t *testing.T) {
	t.Parallel()
	nextYear := time.Now().AddDate(1, 0, 0)
	cert1, key1 := makePair(t, "first", nextYear)
	cert2, key2 := makePair(t, "second", nextYear)
	old, oldKey := makePair(t, "expired", time.Now().Add(-time.Hour))
	d := newTLSDoor(t, cert1, key1)
	d.becomes("first")

	d.write(cert2, key1)
	d.logs("private key does not match public key")
	d.becomes("first")
	d.write([]byte("no certificate"), key1)
	d.logs("failed to find any PEM data")
	d.write(old, oldKey)
	d.logs("it has expired on")
	require.NoError(t, os.Remove(d.key))
	d.logs("reading the key of the TLS certificate")
	d.becomes("first")

	d.write(cert2, key2)
	d.becomes("second")
	require.Equal(t, 1, d.log.count("does not match"), "each bad file is told of once")
	require.Equal(t, 4, d.log.count("the old one stays in use"))
}

func TestTLSVersionsAndProtocols(t *testing.T) {
	t.Parallel()
	cert, key := makePair(t, "kiosc", time.Now().AddDate(1, 0, 0))
	d := newTLSDoor(t, cert, key)
	for version, served := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		_, err := d.shown(&tls.Config{MinVersion: version, MaxVersion: version})
		require.Equal(t, served, err == nil, "%x", version)
	}
	_, err := d.shown(&tls.Config{NextProtos: []string{"h2", "http/1.1"}})
	require.NoError(t, err)
	for _, request := range []string{get("/"), "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"} {
		c := dial(t, d.addr)
		c.send(request)
		resp, body := c.response("GET")
		require.Equal(t, 400, resp.StatusCode)
		require.Contains(t, body, "use https")
	}
	c := dial(t, d.addr)
	c.send("SSH-2.0-x\r\n")
	answer, _ := io.ReadAll(c)
	require.NotContains(t, string(answer), "HTTP")
}

func TestWhatIsNoCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, key := makePair(t, "kiosc", time.Now().Add(-time.Hour))
	paths := map[string][]byte{"cert": cert, "key": key, "empty": nil}
	for name, content := range paths {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	var log journal
	load := func(cert, key string) error {
		_, err := proxy.LoadCertificate(filepath.Join(dir, cert), filepath.Join(dir, key), slog.New(slog.NewTextHandler(&log, nil)))
		return err
	}
	require.ErrorContains(t, load("none", "key"), "reading the TLS certificate")
	require.ErrorContains(t, load("cert", "none"), "reading the key")
	require.ErrorContains(t, load("cert", "empty"), "cannot be used")
	require.NoError(t, load("cert", "key"))
	require.Equal(t, 1, log.count("it has expired on"))
}

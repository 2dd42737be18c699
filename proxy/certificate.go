package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// certificateCheck is how often the files are looked at. New ones are taken
// when they have been the same twice, so that a pair of which one file is yet
// to be replaced is not complained about.
const certificateCheck = 2 * time.Second

// Certificate is a certificate with its key, which are taken anew from their
// files when these change. Its methods may be called by many goroutines.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	current           atomic.Pointer[tls.Certificate]
	tried             pemPair // what current was made from, or what failed since
}

// pemPair is what is in the two files.
type pemPair struct{ cert, key []byte }

func (p pemPair) equal(q pemPair) bool {
	return bytes.Equal(p.cert, q.cert) && bytes.Equal(p.key, q.key)
}

// LoadCertificate reads a certificate, with those that sign it after it, and
// its key from PEM files. One that is not valid at this time is taken with a
// warning, because a manager that does not start is of less use.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	pair, err := c.read()
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(pair.cert, pair.key)
	if err != nil {
		return nil, fmt.Errorf("the TLS certificate in %s with the key in %s cannot be used: %w", certFile, keyFile, err)
	}
	if err := inForce(&cert); err != nil {
		log.Warn("browsers will refuse the TLS certificate", "file", certFile, "error", err)
	}
	c.current.Store(&cert)
	c.tried = pair
	return c, nil
}

// TLSConfig serves HTTP/1.1 with the certificate of the moment.
func (c *Certificate) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current.Load(), nil
		},
	}
}

// Watch takes new files as they come until ctx ends. Files that are of no use
// leave the old certificate in place and are logged once. Call it once.
func (c *Certificate) Watch(ctx context.Context) {
	ticker := time.NewTicker(certificateCheck)
	defer ticker.Stop()
	last := c.tried
	var complaint string
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now, err := c.read()
		if err == nil && now.equal(last) && !now.equal(c.tried) {
			c.tried = now
			err = c.take(now)
		}
		if err == nil {
			last, complaint = now, ""
		} else if err.Error() != complaint {
			complaint = err.Error()
			c.log.Error("the new TLS certificate is not used, the old one stays in use", "error", err)
		}
	}
}

func (c *Certificate) read() (p pemPair, err error) {
	if p.cert, err = os.ReadFile(c.certFile); err != nil {
		return p, fmt.Errorf("reading the TLS certificate: %w", err)
	}
	if p.key, err = os.ReadFile(c.keyFile); err != nil {
		return p, fmt.Errorf("reading the key of the TLS certificate: %w", err)
	}
	return p, nil
}

func (c *Certificate) take(p pemPair) error {
	cert, err := tls.X509KeyPair(p.cert, p.key)
	if err == nil {
		err = inForce(&cert)
	}
	if err != nil {
		return fmt.Errorf("the certificate in %s with the key in %s: %w", c.certFile, c.keyFile, err)
	}
	c.current.Store(&cert)
	c.log.Info("a new TLS certificate is in use", "file", c.certFile, "until", cert.Leaf.NotAfter)
	return nil
}

func inForce(cert *tls.Certificate) error {
	switch now := time.Now(); {
	case now.After(cert.Leaf.NotAfter):
		return fmt.Errorf("it has expired on %s", cert.Leaf.NotAfter.Format(time.DateOnly))
	case now.Before(cert.Leaf.NotBefore):
		return fmt.Errorf("it is not valid before %s", cert.Leaf.NotBefore.Format(time.DateTime))
	}
	return nil
}

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// The anchors' configuration: plain reverse proxies, as their manuals write them, with connections to the backend kept
// alive, two threads as there are for Go's programs on two cores, and nothing written to disk.

// nginxHead and nginxApp are what both configurations of nginx have.
const (
	nginxHead = `
daemon off;
user root;
pid %[1]s.pid;
error_log %[1]s.log;
worker_processes 2;
worker_rlimit_nofile 16384;
events { worker_connections 8192; }
http {
	access_log off;
	client_body_temp_path %[1]s-body;
	proxy_temp_path %[1]s-temp;
	fastcgi_temp_path %[1]s-fastcgi;
	uwsgi_temp_path %[1]s-uwsgi;
	scgi_temp_path %[1]s-scgi;
	keepalive_requests 1000000;
	client_max_body_size 0;
	map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
	proxy_http_version 1.1;
	proxy_set_header Host $host;
	proxy_set_header X-Forwarded-For $remote_addr;
	proxy_set_header Upgrade $http_upgrade;
	proxy_set_header Connection $connection_upgrade;
	proxy_max_temp_file_size 0;
	proxy_request_buffering off;
	proxy_read_timeout 1h;
	upstream app { server %[3]s; keepalive 256; keepalive_requests 1000000; }
`
	nginxConf = nginxHead + `
	server { listen %[2]s; location / { proxy_pass http://app; } }
}
`
	// nginxPairConf has Kiosc's two hops: the first server speaks TLS with the second, which dials the container.
	nginxPairConf = nginxHead + `
	upstream second { server %[4]s; keepalive 256; keepalive_requests 1000000; }
	server {
		listen %[2]s;
		location / {
			proxy_pass https://second;
			proxy_ssl_protocols TLSv1.3;
			proxy_ssl_trusted_certificate %[1]s.crt;
			proxy_ssl_verify on;
			proxy_ssl_name localhost;
		}
	}
	server {
		listen %[4]s ssl;
		ssl_protocols TLSv1.3;
		ssl_certificate %[1]s.crt;
		ssl_certificate_key %[1]s.key;
		location / { proxy_pass http://app; }
	}
}
`
)

const haproxyConf = `
global
	nbthread 2
	maxconn 8192
	stats socket %[1]s.sock
defaults
	mode http
	maxconn 8192
	timeout connect 5s
	timeout client 1h
	timeout server 1h
	timeout tunnel 1h
	option forwardfor
frontend web
	bind %[2]s
	default_backend app
backend app
	http-reuse always
	server app %[3]s
`

const caddyConf = `
{
	admin off
	auto_https off
}
http://%[2]s {
	reverse_proxy %[3]s {
		transport http {
			keepalive_idle_conns_per_host 1024
		}
	}
}
`

// anchor is a proxy that Kiosc is compared with.
type anchor struct {
	name string
	conf string   // of the path of its files, its address, the backend's, and one more address of its own
	args []string // before the configuration's file
}

var anchors = []anchor{
	{"nginx", nginxConf, []string{"nginx", "-c"}},
	{"nginx-pair", nginxPairConf, []string{"nginx", "-c"}},
	{"haproxy", haproxyConf, []string{"haproxy", "-W", "-f"}},
	{"caddy", caddyConf, []string{"caddy", "run", "--adapter", "caddyfile", "--config"}},
}

// start starts the anchor before a backend and returns when it listens.
func (a anchor) start(ctx context.Context, dir, backend string) (*target, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	another, err := freeAddr()
	if err != nil {
		return nil, err
	}
	files := filepath.Join(dir, a.name)
	conf := fmt.Sprintf(a.conf, files, addr, backend, another)
	if err := os.WriteFile(files+".conf", []byte(conf), 0o600); err != nil {
		return nil, err
	}
	if err := makeCertificate(files); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, a.args[0], append(a.args[1:], files+".conf")...)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	p, err := start(a.name, cmd, dir)
	if err != nil {
		return nil, err
	}
	return &target{name: a.name, addr: addr, processes: []*process{p}}, p.waitFor(ctx, listens(addr))
}

// makeCertificate writes a certificate for localhost, and its key, as FILES.crt and FILES.key.
func makeCertificate(files string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true}
	certificate, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(files+".crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600),
		os.WriteFile(files+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
}

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The anchors' configuration: plain reverse proxies, as their manuals write them, with connections to the backend kept
// alive, two threads as there are for Go's programs on two cores, and nothing written to disk.

const nginxConf = `
daemon off;
user root;
pid %[1]s/nginx.pid;
error_log %[1]s/nginx.log;
worker_processes 2;
worker_rlimit_nofile 16384;
events { worker_connections 8192; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/temp;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	keepalive_requests 1000000;
	client_max_body_size 0;
	map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
	upstream app { server %[3]s; keepalive 256; keepalive_requests 1000000; }
	server {
		listen %[2]s;
		location / {
			proxy_pass http://app;
			proxy_http_version 1.1;
			proxy_set_header Host $host;
			proxy_set_header X-Forwarded-For $remote_addr;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection $connection_upgrade;
			proxy_max_temp_file_size 0;
			proxy_request_buffering off;
			proxy_read_timeout 1h;
		}
	}
}
`

const haproxyConf = `
global
	nbthread 2
	maxconn 8192
	stats socket %[1]s/haproxy.sock
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
	name, conf string
	args       []string // before the configuration's file
}

var anchors = []anchor{
	{"nginx", nginxConf, []string{"nginx", "-c"}},
	{"haproxy", haproxyConf, []string{"haproxy", "-W", "-f"}},
	{"caddy", caddyConf, []string{"caddy", "run", "--adapter", "caddyfile", "--config"}},
}

// start starts the anchor before a backend and returns when it listens.
func (a anchor) start(ctx context.Context, dir, backend string) (*target, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, a.name+".conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, a.conf, dir, addr, backend), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, a.args[0], append(a.args[1:], conf)...)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	p, err := start(a.name, cmd, dir)
	if err != nil {
		return nil, err
	}
	return &target{name: a.name, addr: addr, processes: []*process{p}}, p.waitFor(ctx, listens(addr))
}

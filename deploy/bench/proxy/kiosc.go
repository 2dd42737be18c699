package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const password = "bench-password"

// kiosc is a cluster of one manager and one agent, as processes of their own, with the backend as its app.
type kiosc struct {
	dir, addr, cluster, image string
	manager, agent            *process
	token                     string // the admin's, for the API
	session                   string // the cookie of a login, as visitors have it
	app                       string // the container's id
}

// startKiosc returns when the app answers. The cluster's containers are left to remove.
func startKiosc(ctx context.Context, dir string) (k *kiosc, err error) {
	k = &kiosc{dir: dir, image: fmt.Sprint("kiosc-bench/backend:", os.Getpid())}
	if err := k.buildImage(ctx); err != nil {
		return k, err
	}
	if err := k.startNodes(ctx); err != nil {
		return k, err
	}
	if err := k.logIn(ctx); err != nil {
		return k, err
	}
	return k, k.startApp(ctx)
}

// buildImage makes an image with nothing but this program in it.
func (k *kiosc) buildImage(ctx context.Context) error {
	program, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	var image bytes.Buffer
	w := tar.NewWriter(&image)
	if err := w.WriteHeader(&tar.Header{Name: "bench", Mode: 0o755, Size: int64(len(program))}); err != nil {
		return err
	}
	if _, err := w.Write(program); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "docker", "import", "--change", `ENTRYPOINT ["/bench","backend"]`, "-", k.image)
	cmd.Stdin = &image
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the backend's image: %w: %s", err, out)
	}
	return nil
}

// command is the kiosc program, which this one has in itself, so that it can be profiled.
func (k *kiosc) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, self, append([]string{"kiosc"}, args...)...)
	cmd.Env = append(os.Environ(), "KIOSC_ADMIN_PASSWORD="+password, "KIOSC_BENCH_PPROF="+k.pprof(name))
	return cmd
}

// ask runs a command that talks to the manager.
func (k *kiosc) ask(ctx context.Context, args ...string) (string, error) {
	out, err := k.command(ctx, "cli", args...).Output()
	if err != nil {
		return "", fmt.Errorf("kiosc %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// pprof is the socket on which a node's profiles are served.
func (k *kiosc) pprof(name string) string { return filepath.Join(k.dir, name+".sock") }

func (k *kiosc) startNodes(ctx context.Context) error {
	cluster, err := freeAddr()
	if err != nil {
		return err
	}
	if k.addr, err = freeAddr(); err != nil {
		return err
	}
	data := filepath.Join(k.dir, "m1")
	k.manager, err = start("manager", k.command(ctx, "manager", "manager", "--bootstrap", "--name", "m1", "--listen", k.addr,
		"--cluster-listen", cluster, "--data-dir", data, "--app-requests", "1000000", "--app-streams", "10000"), k.dir)
	if err != nil {
		return err
	}
	if err := k.manager.waitFor(ctx, k.ready); err != nil {
		return err
	}
	if k.token, err = k.ask(ctx, "token", "create", "--user", "admin", "--data-dir", data); err != nil {
		return err
	}
	token, err := k.ask(ctx, "join-token", "agent", "--data-dir", data)
	if err != nil {
		return err
	}
	k.agent, err = start("agent", k.command(ctx, "agent", "agent", "--name", "d1", "--join", cluster,
		"--token", token, "--data-dir", filepath.Join(k.dir, "d1")), k.dir)
	if err != nil {
		return err
	}
	var status struct {
		ClusterID string `json:"cluster_id"`
		Nodes     []struct{ Role, Health string }
	}
	err = k.agent.waitFor(ctx, func(ctx context.Context) bool {
		out, err := k.ask(ctx, "cluster", "status", "--json", "--data-dir", data)
		if err != nil || json.Unmarshal([]byte(out), &status) != nil {
			return false
		}
		for _, n := range status.Nodes {
			if n.Role == "agent" && n.Health == "ready" {
				return true
			}
		}
		return false
	})
	k.cluster = status.ClusterID
	return err
}

func (k *kiosc) ready(ctx context.Context) bool {
	_, err := k.request(ctx, http.MethodGet, "/readyz", nil)
	return err == nil
}

func (k *kiosc) logIn(ctx context.Context) error {
	form := url.Values{"username": {"admin"}, "password": {password}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+k.addr+"/login/", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("logging in: %w", err)
	}
	defer answer.Body.Close()
	for _, c := range answer.Cookies() {
		if c.Name == "kiosc_session" {
			k.session = c.Name + "=" + c.Value
			return nil
		}
	}
	return fmt.Errorf("logging in: %s", answer.Status)
}

// request sends a request to Kiosc itself, which must succeed.
func (k *kiosc) request(ctx context.Context, method, path string, body any) ([]byte, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+k.addr+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if k.token != "" {
		req.Header.Set("Authorization", "token "+k.token)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	raw, err = io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, raw)
	}
	return raw, err
}

// api decodes the answer to a request.
func (k *kiosc) api(ctx context.Context, method, path string, body, into any) error {
	raw, err := k.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

func (k *kiosc) startApp(ctx context.Context) error {
	type object struct {
		UUID  string `json:"sodar_uuid"`
		State string
	}
	var projects []object
	if err := k.api(ctx, http.MethodGet, "/project/api/list", nil, &projects); err != nil {
		return err
	}
	repository, tag, _ := strings.Cut(k.image, ":")
	var made object
	if err := k.api(ctx, http.MethodPost, "/containers/api/create/"+projects[0].UUID, map[string]any{
		"title": "Backend", "repository": repository, "tag": tag, "container_port": backendPort}, &made); err != nil {
		return err
	}
	k.app = made.UUID
	if _, err := k.request(ctx, http.MethodPost, "/containers/api/start/"+k.app, nil); err != nil {
		return err
	}
	return k.manager.waitFor(ctx, func(ctx context.Context) bool {
		_, err := k.request(ctx, http.MethodGet, k.path()+"/1", nil)
		return err == nil
	})
}

func (k *kiosc) path() string { return "/containers/proxy/" + k.app }

func (k *kiosc) target() *target {
	return &target{name: "kiosc", addr: k.addr, path: k.path(), headers: []string{"Cookie: " + k.session},
		processes: []*process{k.manager, k.agent}}
}

// backend is where the app is reached without Kiosc.
func (k *kiosc) backend(ctx context.Context) (string, error) {
	ids, err := docker(ctx, "ps", "-q", "--filter", "label=kiosc.container="+k.app)
	if err != nil || len(ids) != 1 {
		return "", fmt.Errorf("finding the backend's container: %v %w", ids, err)
	}
	ip, err := docker(ctx, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", ids[0])
	if err != nil || len(ip) != 1 {
		return "", fmt.Errorf("finding the backend's address: %v %w", ip, err)
	}
	return fmt.Sprint(ip[0], ":", backendPort), nil
}

// remove takes away what the cluster has made in Docker. Its agent must have ended.
func (k *kiosc) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if k.cluster != "" {
		for _, kind := range [][]string{{"container", "ls", "-a"}, {"network", "ls"}} {
			ids, err := docker(ctx, append(kind, "-q", "--filter", "label=kiosc.cluster="+k.cluster)...)
			if err == nil && len(ids) > 0 {
				_, err = docker(ctx, append([]string{kind[0], "rm", "-f"}, ids...)...)
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}
	if _, err := docker(ctx, "image", "rm", k.image); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// docker returns the words that a docker command prints.
func docker(ctx context.Context, args ...string) ([]string, error) {
	out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.Fields(string(out)), nil
}

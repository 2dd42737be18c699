package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

// AdminPrefix begins the paths of the admin commands, on the socket and on the web port alike.
const AdminPrefix = "/admin/api/"

// The commands that answer with a stream, and therefore over the admin socket only.
const (
	backupCommand = "backup"
	exportCommand = "audit-export"
)

// adminTimeout bounds one admin command, and the wait for those under way at the end.
const adminTimeout = 30 * time.Second

// TokenRequest asks for an API token.
type TokenRequest struct {
	User string        `json:"user"`
	ID   string        `json:"id"` // of a token that is there
	Name string        `json:"name"`
	Life time.Duration `json:"life"` // nanoseconds; 0 for a token that doesn't expire
	// Scope is empty for all, Project for all of them.
	Scope   state.Scope `json:"scope"`
	Project string      `json:"project"`
}

// Printed is the answer to a command that prints one value.
type Printed struct {
	Value string `json:"value"`
}

// Failed is the answer to a command that was refused.
type Failed struct {
	Detail string `json:"detail"`
}

// actorKey is of the actor in the context of an admin command.
type actorKey struct{}

// actorOf tells who gives an admin command. Who isn't known may do nothing.
func actorOf(ctx context.Context) service.Actor {
	actor, _ := ctx.Value(actorKey{}).(service.Actor)
	return actor
}

// adminHandler serves the admin commands. Whoever reaches it may do everything: the socket is protected by its file mode
// and peer credentials, the web port by registerAdmin.
func (m *Manager) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+AdminPrefix+"token", command(m, func(ctx context.Context, in TokenRequest) (Printed, error) {
		actor, err := m.service.ByName(in.User)
		if err != nil {
			return Printed{}, err
		}
		secret, err := m.service.CreateToken(ctx, actor, service.TokenInput{Name: in.Name, Life: in.Life, Scope: in.Scope, Project: in.Project})
		return Printed{secret}, err
	}))
	mux.HandleFunc("POST "+AdminPrefix+"join-token", command(m, func(ctx context.Context, in JoinTokenRequest) (Printed, error) {
		token, err := m.nodes.JoinToken(ctx, in.Role, in.Rotate)
		return Printed{token}, err
	}))
	mux.HandleFunc("POST "+AdminPrefix+"user-ls", command(m, func(ctx context.Context, _ struct{}) ([]service.UserView, error) {
		return m.service.Users(actorOf(ctx))
	}))
	mux.HandleFunc("POST "+AdminPrefix+"user-add", command(m, func(ctx context.Context, in service.UserInput) (service.UserView, error) {
		return m.service.CreateUser(ctx, actorOf(ctx), in)
	}))
	mux.HandleFunc("POST "+AdminPrefix+"user-set", command(m, func(ctx context.Context, in service.UserInput) (service.UserView, error) {
		return m.service.ChangeUser(ctx, actorOf(ctx), in)
	}))
	mux.HandleFunc("POST "+AdminPrefix+"user-relink", command(m, func(ctx context.Context, in service.RelinkInput) (service.RelinkView, error) {
		return m.service.RelinkUsers(ctx, actorOf(ctx), in)
	}))
	mux.HandleFunc("POST "+AdminPrefix+"audit-verify", command(m, func(ctx context.Context, _ struct{}) (service.TimelineCheck, error) {
		return m.service.VerifyTimeline(actorOf(ctx))
	}))
	mux.HandleFunc("POST "+AdminPrefix+exportCommand, m.serveExport)
	mux.HandleFunc("POST "+AdminPrefix+"token-ls", command(m, func(ctx context.Context, in TokenRequest) ([]service.TokenView, error) {
		return m.service.TokensOf(actorOf(ctx), in.User)
	}))
	mux.HandleFunc("POST "+AdminPrefix+"token-rm", command(m, func(ctx context.Context, in TokenRequest) (Printed, error) {
		return Printed{in.ID}, m.service.DeleteTokenOf(ctx, actorOf(ctx), in.User, in.ID)
	}))
	mux.HandleFunc("POST "+AdminPrefix+"cluster-status", command(m, func(context.Context, struct{}) (service.ClusterStatus, error) {
		return m.nodes.Cluster()
	}))
	mux.HandleFunc("POST "+AdminPrefix+"task-ls", command(m, func(ctx context.Context, _ struct{}) ([]service.TaskStatus, error) {
		return m.tasks.Tasks(ctx)
	}))
	mux.HandleFunc("POST "+AdminPrefix+"task-run", command(m, func(ctx context.Context, in TaskRequest) (service.TaskStatus, error) {
		return m.tasks.RunNow(ctx, in.Task, "")
	}))
	mux.HandleFunc("POST "+AdminPrefix+"remove-stopped", command(m, func(ctx context.Context, in SweepRequest) ([]service.Swept, error) {
		return m.service.RemoveStopped(ctx, operator, in.Remove)
	}))
	mux.HandleFunc("POST "+AdminPrefix+"stop-all", command(m, func(ctx context.Context, _ SweepRequest) ([]service.Swept, error) {
		return m.service.StopAll(ctx, operator)
	}))
	mux.HandleFunc("POST "+AdminPrefix+"quota-ls", command(m, func(context.Context, struct{}) ([]service.QuotaView, error) {
		return m.service.Quotas(operator)
	}))
	mux.HandleFunc("POST "+AdminPrefix+"quota-set", command(m, m.setQuota))
	mux.HandleFunc("POST "+AdminPrefix+"image-allow-list-ls", command(m, func(ctx context.Context, _ struct{}) (service.ImageAllowList, error) {
		return m.service.ImageAllowList(actorOf(ctx))
	}))
	mux.HandleFunc("POST "+AdminPrefix+"image-allow-list-set", command(m, func(ctx context.Context, in ImageAllowListRequest) (service.ImageAllowList, error) {
		return m.service.SetImageAllowList(ctx, actorOf(ctx), in.Patterns)
	}))
	mux.HandleFunc("POST "+AdminPrefix+"registry-ls", command(m, func(ctx context.Context, in RegistryRequest) ([]RegistryLogin, error) {
		return m.onRegistry(ctx, in, func(string) error { return nil })
	}))
	mux.HandleFunc("POST "+AdminPrefix+"registry-set", command(m, func(ctx context.Context, in RegistryRequest) ([]RegistryLogin, error) {
		return m.onRegistry(ctx, in, func(project string) error {
			_, err := m.service.SetRegistry(ctx, actorOf(ctx), project, service.RegistryInput{Host: in.Host, User: in.User, Password: in.Password})
			return err
		})
	}))
	mux.HandleFunc("POST "+AdminPrefix+"registry-rm", command(m, func(ctx context.Context, in RegistryRequest) ([]RegistryLogin, error) {
		return m.onRegistry(ctx, in, func(project string) error {
			return m.service.RemoveRegistry(ctx, actorOf(ctx), project, state.RegistryHost(in.Host))
		})
	}))
	for name, f := range m.nodeCommands() {
		mux.HandleFunc("POST "+AdminPrefix+name, command(m, f))
	}
	m.upstreamCommands(mux)
	m.dockerCommands(mux)
	mux.HandleFunc("POST "+AdminPrefix+backupCommand, m.serveBackup)
	return mux
}

// JoinTokenRequest asks for the join token of a role.
type JoinTokenRequest struct {
	Role   string `json:"role"`   // manager or agent
	Rotate bool   `json:"rotate"` // make a new one, which ends the one before
}

// TaskRequest asks for a run of a periodic task.
type TaskRequest struct {
	Task string `json:"task"`
}

// SweepRequest asks for an action on all containers of a kind.
type SweepRequest struct {
	Remove bool `json:"remove"`
}

// QuotaRequest asks for another quota of a project, by its id or title, or of the whole site.
type QuotaRequest struct {
	Project string            `json:"project"`
	Quota   service.QuotaText `json:"quota"`
}

// ImageAllowListRequest replaces the patterns for images; none allows every image.
type ImageAllowListRequest struct {
	Patterns []string `json:"patterns"`
}

// operator is who gives the admin commands. Whoever reaches them may do everything.
var operator = service.Actor{User: state.User{Name: AdminName, Superuser: true, Active: true}}

func (m *Manager) setQuota(ctx context.Context, in QuotaRequest) (v service.QuotaView, err error) {
	change, err := in.Quota.Parse()
	if err != nil {
		return v, err
	}
	project, err := m.service.ProjectNamed(operator, in.Project)
	if err != nil {
		return v, err
	}
	return m.service.SetQuota(ctx, operator, project, change)
}

// NodeRequest asks for something to be done with a node. Each command takes the fields that it needs.
type NodeRequest struct {
	Node     string            `json:"node"` // name, id or the beginning of the id
	Deadline time.Duration     `json:"deadline"`
	Now      bool              `json:"now"`
	Force    bool              `json:"force"`
	Set      map[string]string `json:"set"`
	Remove   []string          `json:"remove"`
}

type nodeCommand = func(context.Context, NodeRequest) (service.NodeStatus, error)

func (m *Manager) nodeCommands() map[string]nodeCommand {
	n := m.nodes
	named := func(f func(context.Context, string) (service.NodeStatus, error)) nodeCommand {
		return func(ctx context.Context, in NodeRequest) (service.NodeStatus, error) { return f(ctx, in.Node) }
	}
	return map[string]nodeCommand{
		"node-inspect":    func(_ context.Context, in NodeRequest) (service.NodeStatus, error) { return n.Inspect(in.Node) },
		"node-activate":   named(n.Activate),
		"manager-promote": named(n.Promote),
		"manager-demote":  named(n.Demote),
		"node-drain": func(ctx context.Context, in NodeRequest) (service.NodeStatus, error) {
			return n.Drain(ctx, in.Node, in.Deadline, in.Now)
		},
		"node-rm": func(ctx context.Context, in NodeRequest) (service.NodeStatus, error) {
			return n.Remove(ctx, in.Node, in.Force)
		},
		"node-label": func(ctx context.Context, in NodeRequest) (service.NodeStatus, error) {
			return n.Label(ctx, in.Node, in.Set, in.Remove)
		},
	}
}

// command makes a handler of a function from a JSON request to a JSON answer.
func command[In, Out any](m *Manager, f func(context.Context, In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&in); err != nil {
			m.answer(w, http.StatusBadRequest, Failed{"The request is not the JSON that this command takes."})
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), adminTimeout)
		defer cancel()
		out, err := f(ctx, in)
		if err == nil {
			m.answer(w, http.StatusOK, out)
			return
		}
		detail := "Kiosc could not do this. The manager's log says why."
		var refused *state.Error
		if errors.As(err, &refused) {
			detail = reasons(refused)
		} else {
			m.cfg.Logger.Error("an admin command failed", "command", r.URL.Path, "error", err)
		}
		if status := service.Status(err); status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", service.RetryAfter)
		}
		m.answer(w, service.Status(err), Failed{detail})
	}
}

// reasons are what is wrong, with that of each field, for people who see no form.
func reasons(refused *state.Error) string {
	var all []string
	for _, field := range slices.Sorted(maps.Keys(refused.Fields)) {
		all = append(all, refused.Fields[field]...)
	}
	if len(all) == 0 {
		return refused.Message
	}
	return strings.Join(all, " ")
}

func (m *Manager) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		m.cfg.Logger.Debug("an admin answer was not taken", "error", err)
	}
}

// registerAdmin offers the admin commands on the web port, to superusers with an API token.
func (m *Manager) registerAdmin(app *fiber.App) {
	serve := adaptor.HTTPHandler(m.adminHandler())
	app.Post(AdminPrefix+"*", func(c *fiber.Ctx) error {
		token, _ := auth.ParseAuthorization(c.Get(fiber.HeaderAuthorization))
		actor, err := m.service.ByToken(token)
		if err != nil {
			c.Set(fiber.HeaderWWWAuthenticate, "Token")
			return c.Status(fiber.StatusUnauthorized).JSON(Failed{"Set KIOSC_TOKEN to an API token of a superuser."})
		}
		if !actor.User.Superuser || actor.Project != "" || !auth.InScope(actor.Scope, auth.Administer) {
			return c.Status(fiber.StatusForbidden).JSON(Failed{"This needs an API token of a superuser, of the scope all and for all projects."})
		}
		if c.Path() == AdminPrefix+backupCommand || c.Path() == AdminPrefix+exportCommand { // Fiber would hold all of it in memory
			return c.Status(fiber.StatusForbidden).JSON(Failed{"This is only done over the admin socket. Run the command on a manager's machine, with its --data-dir."})
		}
		c.Context().SetUserValue(actorKey{}, actor)
		return serve(c)
	})
}

// listenAdmin opens the admin socket. Only the owner of the data directory may connect.
func listenAdmin(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("clearing the admin socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("opening the admin socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protecting the admin socket: %w", err), l.Close())
	}
	return peerListener{l}, nil
}

// peerListener lets in only processes of this process's user and of root.
type peerListener struct{ net.Listener }

func (l peerListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || trustedPeer(conn) {
			return conn, err
		}
		conn.Close()
	}
}

func trustedPeer(conn net.Conn) bool {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return false
	}
	var peer *syscall.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		peer, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	return err == nil && credErr == nil && (peer.Uid == 0 || int(peer.Uid) == os.Getuid())
}

func (m *Manager) serveAdmin(ctx context.Context, l net.Listener) error {
	operator := func(net.Listener) context.Context {
		return context.WithValue(context.Background(), actorKey{}, service.Operator())
	}
	server := &http.Server{Handler: m.adminHandler(), BaseContext: operator, ReadHeaderTimeout: adminTimeout, IdleTimeout: adminTimeout}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serving the admin socket: %w", err)
	case <-ctx.Done():
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminTimeout)
	defer cancel()
	err := server.Shutdown(wait)
	<-ended
	return err
}

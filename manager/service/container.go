package service

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// Kiosc's defaults for what the creator of a container leaves out.
const (
	DefaultPort           = 80
	DefaultTimeout        = 60 // seconds
	DefaultMaxRetries     = 5
	DefaultInactivityDays = 7
)

// ContainerInput is what a person or program enters for a new container. A nil number takes its default.
type ContainerInput struct {
	Title, Description, Repository, Tag string
	Port                                *int
	Path, HeartbeatURL                  string
	KeepPrefix                          bool
	Timeout                             *int
	Environment                         []byte // JSON; empty or null for none
	SecretKeys                          string // comma-separated
	Command                             string
	MaxRetries, InactivityDays          *int
	Constraints                         []string
	// CPUs, and bytes; nil for none.
	CPUReservation, CPULimit       *float64
	MemoryReservation, MemoryLimit *int64
}

// ContainerView is a container as an actor sees it.
type ContainerView struct {
	state.Container
	ProjectTitle string
	// NodeName is where the container is placed; empty before the first start.
	NodeName string
	// Notice tells people about the Docker host: it is down, or being drained; empty for nothing.
	Notice string
	// Rights are what the actor may do in the project; Allowed are the actions that the state allows besides.
	Rights  map[auth.Right]bool
	Allowed map[state.Action]bool
	// Step tells what a running action does; Percent is -1 where it can't be told.
	Step    string
	Percent int
	// LastDockerLog is when the Docker container last wrote something; zero for never.
	LastDockerLog time.Time
	// LastAccess is when somebody last used the app, to within a few minutes; zero for never.
	LastAccess time.Time
}

// Containers lists a project's containers, newest first.
func (s *Service) Containers(a Actor, project string) (views []ContainerView, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		if err := may(tx, a, project, auth.ViewContainer); err != nil {
			return err
		}
		list, err := tx.ContainersOf(project)
		if err != nil {
			return err
		}
		for _, c := range list {
			view, err := s.view(tx, a, c)
			if err != nil {
				return err
			}
			views = append(views, view)
		}
		return nil
	})
	return views, err
}

// Container returns one container.
func (s *Service) Container(a Actor, id string) (view ContainerView, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		c, err := containerFor(tx, a, id, auth.ViewContainer)
		if err != nil {
			return err
		}
		view, err = s.view(tx, a, c)
		return err
	})
	return view, err
}

func (s *Service) view(tx *state.Tx, a Actor, c state.Container) (v ContainerView, err error) {
	role, err := tx.RoleOf(c.Project, a.User.ID)
	if err != nil {
		return v, err
	}
	project, _, err := tx.Project(c.Project)
	if err != nil {
		return v, err
	}
	node, _, err := tx.Node(c.Node)
	if err != nil {
		return v, err
	}
	log, err := tx.LogMeta(c.ID)
	if err != nil {
		return v, err
	}
	accessed, err := tx.LastAccess(c.ID)
	if err != nil {
		return v, err
	}
	v = ContainerView{Container: c, LastAccess: accessed, ProjectTitle: project.Title, NodeName: node.Name, Rights: rightsOf(a, c.Project, role),
		Allowed: make(map[state.Action]bool), Percent: -1, LastDockerLog: log.LastDocker, Notice: notice(&c, &node)}
	for _, action := range []state.Action{state.Start, state.Stop, state.Pause, state.Unpause, state.Restart, state.Delete} {
		v.Allowed[action] = c.Allowed(action) && a.can(c.Project, role, auth.RightFor(action))
	}
	if c.Pending() {
		v.Step, v.Percent = s.progress.Progress(c.ID)
	}
	return v, nil
}

// notice tells what people should know of the container's host.
func notice(c *state.Container, node *state.Node) string {
	switch {
	case c.State != state.Running || c.Pending():
		return ""
	case node.Health == state.Down:
		return "The Docker host " + node.Name + " is down. The app starts on another one as soon as one can take it."
	case node.Availability == state.Draining && !node.DrainBy.After(time.Now()):
		return "The Docker host " + node.Name + " is being taken out of use. The app moves to another one, and starts anew there."
	case node.Availability == state.Draining:
		return "The Docker host " + node.Name + " is being taken out of use. The app moves to another one, and starts anew there, once nobody uses it, or at " +
			node.DrainBy.Local().Format("15:04 on 2 January") + ". Save your work before."
	}
	return ""
}

// milli is a number of CPUs in thousandths.
func milli(cpus *float64) int64 {
	if cpus == nil {
		return 0
	}
	return int64(math.Round(min(max(*cpus, -1), 1e9) * 1000))
}

// CreateContainer adds a container to a project. It isn't started.
func (s *Service) CreateContainer(ctx context.Context, a Actor, project string, in ContainerInput) (c state.Container, err error) {
	err = s.store.View(func(tx *state.Tx) error { return may(tx, a, project, auth.CreateContainer) })
	if err != nil {
		return c, err
	}
	at := now()
	c = state.Container{
		ID: uuid.NewString(), Project: project, Title: strings.TrimSpace(in.Title), Description: in.Description,
		Repository: strings.TrimSpace(in.Repository), Tag: strings.TrimSpace(in.Tag), Port: or(in.Port, DefaultPort),
		Path: strings.TrimPrefix(in.Path, "/"), KeepPrefix: in.KeepPrefix, HeartbeatURL: in.HeartbeatURL, Timeout: or(in.Timeout, DefaultTimeout),
		Command: strings.TrimSpace(in.Command), MaxRetries: or(in.MaxRetries, DefaultMaxRetries),
		InactivityDays: or(in.InactivityDays, DefaultInactivityDays), CreatedAt: at, ModifiedAt: at,
		ReservedMilliCPUs: milli(in.CPUReservation), LimitMilliCPUs: milli(in.CPULimit),
		ReservedMemory: or(in.MemoryReservation, 0), LimitMemory: or(in.MemoryLimit, 0),
	}
	for _, text := range in.Constraints {
		if text = strings.TrimSpace(text); text != "" {
			c.Constraints = append(c.Constraints, text)
		}
	}
	if text := strings.TrimSpace(string(in.Environment)); text != "" && text != "null" {
		c.Environment = []byte(text)
	}
	c.SecretKeys = splitKeys(in.SecretKeys)
	if err := c.Validate(); err != nil {
		return c, err
	}
	if err := s.seal(&c); err != nil {
		return c, err
	}
	return propose[state.Container](ctx, s, &state.ContainerCreated{Container: c, User: a.User.Name, Via: a.via()})
}

func or[T any](n *T, otherwise T) T {
	if n == nil {
		return otherwise
	}
	return *n
}

func splitKeys(text string) (keys []string) {
	for _, k := range strings.Split(text, ",") {
		if k = strings.TrimSpace(k); k != "" && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// seal moves the values of the secret keys out of the environment, which afterwards says Masked for them.
func (s *Service) seal(c *state.Container) error {
	if c.Environment == nil {
		c.SecretKeys = nil
		return nil
	}
	env, err := state.ParseEnvironment(c.Environment)
	if err != nil {
		return err
	}
	masked, _ := json.Marshal(state.Masked)
	for _, k := range c.SecretKeys {
		if string(env[k]) == string(masked) || string(env[k]) == `"`+state.Masked+`"` {
			return wrongField("environment", fmt.Sprintf("Enter a value for the secret key %q.", k))
		}
		sealed, err := s.sealer.Seal(env[k], SecretContext(c.ID, k))
		if err != nil {
			return fmt.Errorf("sealing a secret value: %w", err)
		}
		if c.Secrets == nil {
			c.Secrets = make(map[string][]byte)
		}
		c.Secrets[k] = sealed
		env[k] = masked
	}
	if c.Environment, err = json.Marshal(env); err != nil {
		return fmt.Errorf("encoding the environment: %w", err)
	}
	return nil
}

// SecretContext binds a sealed environment value to its container and key.
func SecretContext(container, key string) string {
	return "container-env\x00" + container + "\x00" + key
}

// Act asks for an action. It returns once the wish is stored; manager/dispatch carries it out.
func (s *Service) Act(ctx context.Context, a Actor, id string, action state.Action) (state.Container, error) {
	c, err := s.container(a, id, auth.RightFor(action))
	if err != nil {
		return c, err
	}
	return s.request(ctx, a, id, action)
}

func (s *Service) request(ctx context.Context, a Actor, id string, action state.Action) (state.Container, error) {
	return propose[state.Container](ctx, s, &state.ActionRequested{
		Container: id, Action: action, User: a.User.Name, Via: a.via(), Time: now(),
	})
}

// Open is what the lobby does for somebody who wants to see the app: it starts or unpauses the container if that is
// needed. Whoever may open the app may do it. A container that is on its way is left alone.
func (s *Service) Open(ctx context.Context, a Actor, id string) (state.Container, error) {
	c, err := s.container(a, id, auth.ProxyContainer)
	if err != nil || c.Pending() || c.State == state.Running {
		return c, err
	}
	action := state.Start
	if c.State == state.Paused {
		action = state.Unpause
	}
	return s.request(ctx, a, id, action)
}

// ErrStillDeleting says that a deletion takes longer than its caller waited.
var ErrStillDeleting = state.Errorf(state.Unavailable, "The container is still being deleted; it will be gone once its Docker host answers.")

// Delete asks for a container's removal and waits until it is gone, but not longer than the container's timeout: then
// the error is ErrStillDeleting. It has code Conflict where Docker failed to remove it.
func (s *Service) Delete(ctx context.Context, a Actor, id string) error {
	c, err := s.Act(ctx, a, id, state.Delete)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.Timeout)*time.Second)
	defer cancel()
	changed, stop := s.store.Watch(state.TopicContainer(id))
	defer stop()
	for {
		var now state.Container
		var there bool
		err := s.store.View(func(tx *state.Tx) (err error) {
			now, there, err = tx.Container(id)
			return err
		})
		switch {
		case err != nil:
			return err
		case !there:
			return nil
		case !now.Pending():
			return state.Errorf(state.Conflict, "Failed deleting container "+c.Title)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ErrStillDeleting
		}
	}
}

// MaxShownLines is the most log lines that one page or request gets.
const (
	DefaultShownLines = 1000
	MaxShownLines     = 10000
)

// Logs returns the container's last n log lines in time order, and the place after which LogsSince goes on.
func (s *Service) Logs(a Actor, id string, n int) (lines []state.LogEntry, place uint64, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		if _, err := containerFor(tx, a, id, auth.ViewLogs); err != nil {
			return err
		}
		lines, place, err = tx.LogTail(id, min(max(n, 0), MaxShownLines))
		return err
	})
	return lines, place, err
}

// LogsSince returns what was stored after place, in the order of storing, and the new place.
func (s *Service) LogsSince(a Actor, id string, place uint64) (lines []state.LogEntry, next uint64, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		if _, err := containerFor(tx, a, id, auth.ViewLogs); err != nil {
			return err
		}
		lines, next, err = tx.LogSince(id, place, MaxShownLines)
		return err
	})
	return lines, next, err
}

// Watch wakes its reader after each change of a container or its log. The reader must call stop.
func (s *Service) Watch(id string) (changed <-chan struct{}, stop func()) {
	return s.store.Watch(state.TopicContainer(id))
}

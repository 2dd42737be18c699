package service

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// ContainerInput is the definition that a person or program enters for a container.
type ContainerInput struct {
	state.Spec
	// Template is the id of the template that it came from; empty for none.
	Template string
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
	// LeftOutLines is how many lines are not in the log because the Docker container wrote too many at once.
	LeftOutLines uint64
	// LastDockerLog is when the Docker container last wrote something; zero for never.
	LastDockerLog time.Time
	// From is the template that the definition came from; nil where there is none that the actor may see.
	From *state.Template
	// LastAccess is when somebody last used the app, to within a few minutes; zero for never.
	LastAccess time.Time
}

// Containers lists a project's containers, newest first.
func (s *Service) Containers(a Actor, project string) (views []ContainerView, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		if err := may(tx, a, project, auth.ViewContainer); err != nil {
			return err
		}
		views, err = s.views(tx, a, project)
		return err
	})
	return views, err
}

func (s *Service) views(tx *state.Tx, a Actor, project string) ([]ContainerView, error) {
	list, err := tx.ContainersOf(project)
	if err != nil {
		return nil, err
	}
	return viewAll(list, func(c state.Container) (ContainerView, error) { return s.view(tx, a, c) })
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
	v = ContainerView{Container: c, LastAccess: accessed, ProjectTitle: project.Title, NodeName: node.Name, Rights: rightsOf(a, project, role),
		Allowed: make(map[state.Action]bool), Percent: -1, LastDockerLog: log.LastDocker, LeftOutLines: log.LeftOut, Notice: notice(&c, &node)}
	for _, action := range []state.Action{state.Start, state.Stop, state.Pause, state.Unpause, state.Restart, state.Delete} {
		v.Allowed[action] = c.Allowed(action) && a.can(project, role, auth.RightFor(action))
	}
	imageAllowed, err := tx.ImageAllowed(c.Image())
	if err != nil {
		return v, err
	}
	if !imageAllowed {
		v.Allowed[state.Start], v.Allowed[state.Restart] = false, false
		v.Notice = cmp.Or(v.Notice, "The image "+c.Image()+" is not allowed on this site any more. The app can't be started; one that runs goes on until it is stopped.")
	}
	if from, err := templateFor(tx, a, c.Template, func(r templateRights) auth.Right { return r.view }); err == nil {
		v.From = &from
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
	case node.Health == state.Down && len(c.Volumes) > 0:
		return "The Docker host " + node.Name + " is down, and the app's volumes are there. The app goes on when the host is back."
	case node.Availability == state.Draining && len(c.Volumes) > 0:
		return "The Docker host " + node.Name + " is being taken out of use, and the app's volumes are there. The app stays on it; save what you need elsewhere."
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

// CreateContainer adds a container to a project. It isn't started.
func (s *Service) CreateContainer(ctx context.Context, a Actor, project string, in ContainerInput) (c state.Container, err error) {
	if err := s.may(a, project, auth.CreateContainer); err != nil {
		return c, err
	}
	at := now()
	c = state.Container{ID: uuid.NewString(), Project: project, CreatedAt: at, ModifiedAt: at}
	if err := s.define(a, &c, in); err != nil {
		return c, err
	}
	return act[state.Container](ctx, s, &state.ContainerCreated{Container: c, User: a.User.Name, Via: a.via()},
		containerEvent(a, &c, "create_container", "create container {container}"))
}

// UpdateContainer gives a container a new definition. One that runs or is paused is restarted with it. seen is the
// ModifiedAt that the definition is based on; where it isn't the container's any more the error has code Conflict.
func (s *Service) UpdateContainer(ctx context.Context, a Actor, id string, in ContainerInput, seen time.Time) (c state.Container, restarted bool, err error) {
	if c, err = s.container(a, id, auth.EditContainer); err != nil {
		return c, false, err
	}
	if err := s.define(a, &c, in); err != nil {
		return c, false, err
	}
	before, e := c.Generation, containerEvent(a, &c, "update_container", "update container {container}")
	c, err = act[state.Container](ctx, s, &state.ContainerUpdated{Container: id, Spec: c.Spec, Secrets: c.Secrets, Template: c.Template,
		Seen: seen, User: a.User.Name, Via: a.via(), Time: now()}, e)
	return c, c.Generation > before, err
}

// define gives c a definition, with the values of c's secret keys that were left masked.
func (s *Service) define(a Actor, c *state.Container, in ContainerInput) (err error) {
	c.Spec = tidy(in.Spec)
	if in.Template != "" && in.Template != c.Template {
		if _, err := s.Template(a, in.Template); err != nil {
			return err
		}
	}
	c.Template = in.Template
	if err := c.Validate(); err != nil {
		return err
	}
	if err := s.checkSite(&c.Spec); err != nil {
		return err
	}
	if _, ok := c.Heartbeat(); !ok && c.HeartbeatURL != "" {
		return wrongField("heartbeat_url", "Give a path of the app, such as /health. Other addresses are not asked.")
	}
	c.Secrets, err = s.seal(c.ID, &c.Spec, c.Secrets)
	return err
}

// Act asks for an action. It returns once the wish is stored; manager/dispatch carries it out.
func (s *Service) Act(ctx context.Context, a Actor, id string, action state.Action) (state.Container, error) {
	c, err := s.container(a, id, auth.RightFor(action))
	if err != nil {
		return c, err
	}
	return s.request(ctx, a, c, action, a.via())
}

// request stores the wish. via is how it came, for the container's log.
func (s *Service) request(ctx context.Context, a Actor, c state.Container, action state.Action, via string) (state.Container, error) {
	e := containerEvent(a, &c, "container_task", string(action)+" container {container}")
	e.Status = state.EventSubmit
	got, err := act[any](ctx, s, &state.ActionRequested{Container: c.ID, Action: action, User: a.User.Name, Via: via, Time: e.Time,
		MinDelay: s.settings.ActionMinDelay, Event: e.ID}, e)
	if err != nil {
		return c, err
	}
	if cooling, ok := got.(state.CoolingDown); ok {
		return c, state.Errorf(state.TooMany, "Somebody has acted on this container less than "+cooling.MinDelay.String()+
			" ago, so nothing was done. Look at what came of it, and try again.")
	}
	c, _ = got.(state.Container)
	return c, nil
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
	return s.request(ctx, a, c, action, "[Proxy lobby]")
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

// Watch wakes its reader after each change of a container or its log. The reader must call stop.
func (s *Service) Watch(id string) (changed <-chan struct{}, stop func()) {
	return s.store.Watch(state.TopicContainer(id))
}

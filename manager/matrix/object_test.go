package matrix_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/managertest"
	"kiosc/manager/service"
)

// cell is one operation that somebody tries in a place.
type cell struct {
	*world
	who   who
	place *place
	// made are the objects of the cell by their kinds. shared are those of the place, for what changes nothing or is refused.
	made, shared map[string]string
	fresh        bool
}

// id is the id of an object of a kind in the place, which is made where there is none: for each try anew where that may change
// it. What is "own" is the visitor's.
func (c *cell) id(kind string) string {
	at, key := c.shared, kind
	if c.fresh {
		at = c.made
	}
	if strings.HasPrefix(kind, "own ") {
		key += " " + c.who.name
	}
	if at[key] == "" {
		make, known := objects[kind]
		require.True(c.T, known, kind)
		at[key] = make(c)
	}
	return at[key]
}

// objects make what operations are tried on.
var objects map[string]func(c *cell) string

func init() {
	objects = map[string]func(c *cell) string{
		"project":   func(c *cell) string { return c.place.id },
		"above":     func(c *cell) string { return c.place.above },
		"node":      func(*cell) string { return managertest.Host },
		"me":        func(c *cell) string { return c.users[c.who.name].ID },
		"root":      func(c *cell) string { return c.users["root"].ID },
		"container": func(c *cell) string { return c.container() },
		"modified": func(c *cell) string {
			view, err := c.Service.Container(service.Operator(), c.id("container"))
			require.NoError(c.T, err)
			return view.ModifiedAt.Format(time.RFC3339Nano)
		},
		"running":  func(c *cell) string { return c.containerAs(state.Running) },
		"paused":   func(c *cell) string { return c.containerAs(state.Paused) },
		"doomed":   func(c *cell) string { return c.doomed() },
		"stranger": func(c *cell) string { return c.User("user"+uuid.NewString()[:8], false).ID },
		"stranger name": func(c *cell) string {
			u, err := c.Service.UserByID(service.Operator(), c.id("stranger"))
			require.NoError(c.T, err)
			return u.Name
		},
		"member":     func(c *cell) string { return c.User("user"+uuid.NewString()[:8], false).ID },
		"membership": func(c *cell) string { return c.assign(c.place.id, c.place.upstream, c.id("member"), state.Contributor) },
		"deputy":     func(c *cell) string { return c.User("user"+uuid.NewString()[:8], false).ID },
		"delegation": func(c *cell) string { return c.assign(c.place.id, c.place.upstream, c.id("deputy"), state.Delegate) },
		"invite": func(c *cell) string {
			i, _, err := c.Service.Invite(c.ctx, service.Operator(), c.place.id, service.InviteInput{Email: "a@example.org", Role: state.Guest})
			require.NoError(c.T, err)
			return i.ID
		},
		"folder":                 func(c *cell) string { return c.folder(c.users["root"].ID) },
		"own folder":             func(c *cell) string { return c.folder(c.users[c.who.name].ID) },
		"file":                   func(c *cell) string { return c.file(c.users["root"].ID) },
		"own file":               func(c *cell) string { return c.file(c.users[c.who.name].ID) },
		"template":               func(c *cell) string { return c.template(c.place.id) },
		"site template":          func(c *cell) string { return c.template("") },
		"template modified":      func(c *cell) string { return c.templateModified(c.id("template")) },
		"site template modified": func(c *cell) string { return c.templateModified(c.id("site template")) },
		"registry": func(c *cell) string {
			host := title() + ".example.org"
			_, err := c.Service.SetRegistry(c.ctx, service.Operator(), c.place.id, service.RegistryInput{Host: host, User: "u", Password: "p"})
			require.NoError(c.T, err)
			return host
		},
		"site": func(c *cell) string {
			made, err := c.Service.AddRemoteSite(c.ctx, service.Operator(), service.RemoteSiteInput{Name: title(), URL: "https://target.example.org"})
			require.NoError(c.T, err)
			return made.ID
		},
		"event": func(c *cell) string {
			c.template(c.place.id)
			return c.lastEvent()
		},
		"classified event": func(c *cell) string {
			_, _, err := c.Service.Invite(c.ctx, service.Operator(), c.place.id, service.InviteInput{Email: "a@example.org", Role: state.Guest})
			require.NoError(c.T, err)
			return c.lastEvent()
		},
		"disposable": func(c *cell) string {
			if !c.fresh {
				return c.place.id
			}
			id := uuid.NewString()
			c.world.make(c.place, id)
			return id
		},
		"disposable title": func(c *cell) string {
			view, err := c.Service.Project(service.Operator(), c.id("disposable"))
			require.NoError(c.T, err)
			return view.Title
		},
	}
}

// lastEvent is the newest in the place's timeline.
func (c *cell) lastEvent() string {
	events, err := c.Service.Timeline(service.Operator(), c.place.id, service.EventFilter{Limit: 1})
	require.NoError(c.T, err)
	require.NotEmpty(c.T, events)
	return events[0].ID
}

func (c *cell) container() string {
	at := time.Now().UTC().Add(-time.Hour)
	made := state.Container{ID: uuid.NewString(), Project: c.place.id, CreatedAt: at, ModifiedAt: at, Spec: state.Spec{Title: title(),
		Repository: "nginx", Tag: "latest", Port: 80, Timeout: 60, MaxRetries: 5, InactivityDays: 7}}
	c.Do(&state.ContainerCreated{Container: made, User: "root"})
	return made.ID
}

// title is one that nothing else has.
func title() string { return "x" + uuid.NewString()[:8] }

func (c *cell) containerAs(want state.State) string {
	id := c.container()
	c.Report(id, want)
	return id
}

// settle deletes the cell's project, so that lists stay short, and does for the Docker host what was asked of the cell's containers: so many may wait only.
func (c *cell) settle() {
	if id := c.made["disposable"]; id != "" && !c.place.upstream {
		if _, err := c.Service.Project(service.Operator(), id); err == nil {
			require.NoError(c.T, c.Service.DeleteProject(c.ctx, service.Operator(), id))
		}
	}
	for _, kind := range []string{"container", "running", "paused"} {
		if id := c.made[kind]; id != "" {
			view, err := c.Service.Container(service.Operator(), id)
			if err != nil || !view.Pending() {
				continue
			}
			to := map[state.Action]state.State{state.Stop: state.Exited, state.Pause: state.Paused, state.Delete: state.Deleted}[view.Action]
			c.Report(id, cmp.Or(to, state.Running))
		}
	}
}

// doomed is a container that its Docker host removes as soon as somebody wants that.
func (c *cell) doomed() string {
	id := c.container()
	ctx := c.ctx
	c.hosts.Add(1)
	go func() {
		defer c.hosts.Done()
		c.removeWhenAsked(ctx, id)
	}()
	return id
}

func (w *world) removeWhenAsked(ctx context.Context, id string) {
	changed, stop := w.Service.Watch(id)
	defer stop()
	for {
		view, err := w.Service.Container(service.Operator(), id)
		if err != nil {
			return // deleted with its project
		}
		if view.Pending() {
			w.Report(id, state.Deleted)
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (c *cell) folder(owner string) string {
	at := time.Now().UTC()
	d := state.Folder{ID: uuid.NewString(), Project: c.place.id, Name: title(), Owner: owner, CreatedAt: at, ModifiedAt: at}
	c.Do(&state.FolderAdded{Folder: d})
	return d.ID
}

func (c *cell) file(owner string) string {
	at, content := time.Now().UTC(), []byte("hello")
	limits := service.FileSettings{}.OrDefaults().Limits
	upload, sum := uuid.NewString(), sha256.Sum256(content)
	c.Do(&state.ChunkUploaded{Upload: upload, Project: c.place.id, User: owner, Data: content, At: at, Limits: limits})
	f := state.File{ID: uuid.NewString(), Project: c.place.id, Name: title(), Owner: owner, CreatedAt: at, ModifiedAt: at, ContentType: "text/plain"}
	c.Do(&state.FileAdded{File: f, Content: state.UploadedContent{Upload: upload, Chunks: 1, Size: int64(len(content)), Hash: sum[:]}})
	return f.ID
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kiosc/agent/engine"
	"kiosc/cluster/wire"
)

const (
	// stopGrace is how long a process may take to end after SIGTERM, Docker's own default.
	stopGrace = 10 * time.Second
	// drainTimeout bounds the wait for a Docker container's log to be sent before it is removed.
	drainTimeout = 30 * time.Second
	// flushLines is how often the lines of a long pull are sent.
	flushLines = time.Second
	// maxLines and maxLine (bytes) bound the lines of one report, well below the limits of the protocol.
	maxLines = 1000
	maxLine  = 4 << 10
)

// job carries out one order.
type job struct {
	agent  *Agent
	engine *engine.Engine
	order  *wire.Order
	lines  []wire.TaskLine // not reported yet
}

// actions is how each action is carried out. Each function returns what the container is afterwards.
var actions = map[string]func(*job, context.Context) (state string, o wire.Observed, err error){
	"start":   (*job).start,
	"restart": (*job).start,
	"stop":    (*job).stop,
	"pause":   (*job).pause,
	"unpause": (*job).unpause,
	"delete":  (*job).delete,
	"move":    (*job).move,
}

// run carries the order out and reports how it ended. The error is for the caller that decides about trying again.
func (j *job) run(ctx context.Context) error {
	act, ok := actions[j.order.Action]
	if !ok {
		return j.fail(ctx, fmt.Errorf("this agent does not know the action %q; bring it to the manager's version", j.order.Action))
	}
	state, o, err := act(j, engine.Limited(ctx, j.order.Spec.Timeout))
	if ctx.Err() != nil || errors.Is(err, engine.ErrUnavailable) {
		return err
	}
	if errors.Is(err, engine.ErrTooLong) {
		j.dropHalfMade(ctx)
	}
	if err != nil {
		return j.fail(ctx, err)
	}
	if err := j.report(ctx, true, state, o); err != nil {
		return err
	}
	if o.DockerID == "" {
		return nil
	}
	// A process that ended before this report was queued may have been seen by the event's observation already, which
	// the manager passed over because the action was under way. So look once more.
	return j.agent.observe(ctx, j.order.Container, o.DockerID)
}

// dropHalfMade removes what an order to start has made although Docker has not said so in time: nobody knows how far it has
// come. What can't be removed now goes with the next start.
func (j *job) dropHalfMade(ctx context.Context) {
	if j.order.Action != "start" && j.order.Action != "restart" {
		return
	}
	found, err := j.engine.Find(ctx, j.order.Container)
	for _, o := range found {
		if o.Generation == j.order.Generation && o.Placement == j.order.Placement {
			err = errors.Join(err, j.engine.Remove(ctx, o.DockerID))
		}
	}
	if err != nil {
		j.agent.logger.Warn("a Docker container that was not made in time could not be removed", "container", j.order.Container, "error", err)
	}
}

// fail reports that the order has failed for good, with what is left of it in Docker.
func (j *job) fail(ctx context.Context, cause error) error {
	j.line("task", "error", "Action failed: "+j.order.Action)
	j.line("docker", "error", cause.Error())
	left := wire.Observed{Container: j.order.Container}
	if found, err := j.engine.Find(ctx, j.order.Container); err == nil && len(found) > 0 {
		left = found[0]
	}
	return j.report(ctx, true, "failed", left)
}

// line adds a line to the next report. What is too much for one report is left out: a report that the manager refuses
// could never be delivered.
func (j *job) line(process, level, text string) {
	if len(j.lines) >= maxLines {
		return
	}
	if len(text) > maxLine {
		text = strings.ToValidUTF8(text[:maxLine], "") + " …"
	}
	j.lines = append(j.lines, wire.TaskLine{Time: time.Now(), Process: process, Level: level, Text: text})
}

// detail adds a line for superusers, to find in Docker what the log tells of.
func (j *job) detail(format string, args ...any) {
	j.line("task", "debug", fmt.Sprintf(format, args...))
}

// short is the id of an image or a Docker container as Docker shows it.
func short(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(len(id), 12)]
}

func (j *job) step(text string, percent int) {
	j.agent.progress(&wire.Progress{Container: j.order.Container, Generation: j.order.Generation, Text: text, Percent: percent})
}

func (j *job) report(ctx context.Context, done bool, state string, o wire.Observed) error {
	if o.DockerID != "" {
		j.agent.hearts.tell(&o)
	}
	r := &wire.Report{Container: j.order.Container, Generation: j.order.Generation, Done: done, State: state, Observed: o, Lines: j.lines}
	j.lines = nil
	return j.agent.reports.add(ctx, r)
}

// start makes and starts a Docker container of the order's generation, in place of any older one. One of this
// generation is taken as far as it has come: started if it never was, else only looked at, because its process may have
// ended by itself since.
func (j *job) start(ctx context.Context) (string, wire.Observed, error) {
	found, err := j.engine.Find(ctx, j.order.Container)
	if err != nil {
		return "", wire.Observed{}, err
	}
	var made *wire.Observed
	for i, o := range found {
		if o.Generation == j.order.Generation && o.Placement == j.order.Placement && made == nil {
			made = &found[i]
			continue
		}
		if err := j.remove(ctx, o, true); err != nil {
			return "", o, err
		}
	}
	switch {
	case made == nil:
		return j.makeAndStart(ctx)
	case made.State == "created":
		return j.startDocker(ctx, *made)
	default:
		return made.State, *made, nil
	}
}

func (j *job) makeAndStart(ctx context.Context) (string, wire.Observed, error) {
	none := wire.Observed{Container: j.order.Container}
	j.line("task", "info", "Pulling image ...")
	j.step("Pulling image "+j.order.Spec.Image, -1)
	if err := j.report(ctx, false, "pulling", none); err != nil {
		return "", none, err
	}
	imageID, pulled, err := j.image(ctx)
	if err != nil {
		return "", none, err
	}
	j.line("task", "info", "Pulling image succeeded")
	if pulled {
		j.detail("The image was pulled and has the id %s.", short(imageID))
	} else {
		j.detail("The image was on the Docker host already and has the id %s.", short(imageID))
	}
	j.step("Creating the container", -1)
	id, err := j.engine.Create(ctx, engine.Making{Container: j.order.Container, Generation: j.order.Generation,
		Placement: j.order.Placement, Spec: j.order.Spec, ImageID: imageID})
	if err != nil {
		return "", none, err
	}
	j.detail("The Docker container %s was made on the Docker host %s.", short(id), j.agent.cfg.Name)
	o, err := j.engine.Inspect(ctx, id)
	if err != nil {
		return "", none, err
	}
	return j.startDocker(ctx, o)
}

// image makes sure that the image is there, and tells people how far a pull has come.
func (j *job) image(ctx context.Context) (id string, pulled bool, err error) {
	if err := j.agent.buildDemo(ctx, j.order.Spec.Image); err != nil {
		return "", false, err
	}
	flushed := time.Now()
	want := engine.Wanted{Image: j.order.Spec.Image, PullPolicy: j.order.Spec.PullPolicy, Login: j.order.Spec.Registry}
	return j.engine.EnsureImage(ctx, want, func(p engine.PullProgress) {
		j.step("Pulling image "+j.order.Spec.Image, p.Percent)
		if p.Line == "" {
			return
		}
		j.line("docker", "info", p.Line)
		if time.Since(flushed) >= flushLines {
			j.report(ctx, false, "pulling", wire.Observed{Container: j.order.Container})
			flushed = time.Now()
		}
	})
}

func (j *job) startDocker(ctx context.Context, o wire.Observed) (string, wire.Observed, error) {
	j.line("task", "info", "Starting ...")
	j.step("Starting the container", -1)
	if err := j.report(ctx, false, "created", o); err != nil {
		return "", o, err
	}
	j.agent.fence.look(ctx)
	j.serveFiles(ctx)
	if err := j.engine.Start(ctx, o.DockerID); err != nil {
		return "", o, err
	}
	j.line("task", "info", "Starting succeeded")
	// A process that ended at once is reported as running first: the observation after this report says how it ended.
	o, err := j.engine.Inspect(ctx, o.DockerID)
	switch {
	case o.IP != "":
		j.detail("The app is reached at the address %s in its project's network.", o.IP)
	case o.HostPort != 0:
		j.detail("The app is reached at port %d of the Docker host.", o.HostPort)
	}
	return "running", o, err
}

// serveFiles makes sure that the container's first question for a small file is answered, or says in its log why none is.
func (j *job) serveFiles(ctx context.Context) {
	spec := &j.order.Spec
	why := j.agent.files.unserved(ctx, spec.Project)
	asks := func(text string) bool { return strings.Contains(text, "://"+spec.FileHost+":") }
	if why != "" && spec.FileHost != "" && (slices.ContainsFunc(spec.Command, asks) || slices.ContainsFunc(spec.Env, asks)) {
		j.line("task", "warning", "Small files can't be fetched on this Docker host. "+why)
	}
}

func (j *job) stop(ctx context.Context) (string, wire.Observed, error) {
	found, err := j.engine.Find(ctx, j.order.Container)
	if err != nil {
		return "", wire.Observed{}, err
	}
	if len(found) == 0 {
		return "initial", wire.Observed{Container: j.order.Container}, nil
	}
	var last wire.Observed
	for _, o := range found {
		if last, err = j.stopDocker(ctx, o); err != nil {
			return "", o, err
		}
	}
	return last.State, last, nil
}

// stopDocker ends the process in a Docker container, also in a paused one.
func (j *job) stopDocker(ctx context.Context, o wire.Observed) (wire.Observed, error) {
	if o.State == "exited" || o.State == "created" || o.State == "dead" {
		return o, nil
	}
	j.line("task", "info", "Stopping ...")
	j.step("Stopping the container", -1)
	if o.State == "paused" {
		if err := j.engine.Unpause(ctx, o.DockerID); err != nil {
			return o, err
		}
	}
	j.agent.watch.want(o.DockerID)
	if err := j.engine.Stop(ctx, o.DockerID, stopGrace); err != nil {
		return o, err
	}
	j.line("task", "info", "Stopping succeeded")
	o, err := j.engine.Inspect(ctx, o.DockerID)
	if err == nil {
		j.detail("The process ended with exit code %d.", o.ExitCode)
	}
	return o, err
}

func (j *job) pause(ctx context.Context) (string, wire.Observed, error) {
	return j.change(ctx, "Pausing", "running", j.engine.Pause)
}

func (j *job) unpause(ctx context.Context) (string, wire.Observed, error) {
	return j.change(ctx, "Unpausing", "paused", j.engine.Unpause)
}

// change does something to the Docker container if it is in state from, and else only looks at it.
func (j *job) change(ctx context.Context, name, from string, do func(context.Context, string) error) (string, wire.Observed, error) {
	found, err := j.engine.Find(ctx, j.order.Container)
	if err != nil {
		return "", wire.Observed{}, err
	}
	if len(found) == 0 {
		return "", wire.Observed{}, errors.New("the Docker container is gone from its Docker host; start the container again")
	}
	o := found[0]
	if o.State != from {
		return o.State, o, nil
	}
	j.line("task", "info", name+" ...")
	if err := do(ctx, o.DockerID); err != nil {
		return "", o, err
	}
	j.line("task", "info", name+" succeeded")
	o, err = j.engine.Inspect(ctx, o.DockerID)
	return o.State, o, err
}

// delete removes the container from this host, with the volumes that nobody else of the project has.
func (j *job) delete(ctx context.Context) (string, wire.Observed, error) {
	state, o, err := j.removeAll(ctx, false)
	if err != nil {
		return state, o, err
	}
	for _, v := range j.order.Spec.Volumes {
		err := j.engine.RemoveVolume(ctx, j.order.Spec.Project, v.Name)
		switch {
		case errors.Is(err, engine.ErrInUse):
			j.agent.logger.Warn("a volume is in use and was not removed with its last container", "project", j.order.Spec.Project, "volume", v.Name)
		case err != nil:
			return "", o, err
		}
	}
	return state, o, nil
}

// move leaves the container to another host.
func (j *job) move(ctx context.Context) (string, wire.Observed, error) { return j.removeAll(ctx, true) }

func (j *job) removeAll(ctx context.Context, keepLog bool) (string, wire.Observed, error) {
	found, err := j.engine.Find(ctx, j.order.Container)
	if err != nil {
		return "", wire.Observed{}, err
	}
	for _, o := range found {
		if err := j.remove(ctx, o, keepLog); err != nil {
			return "", o, err
		}
	}
	return "deleted", wire.Observed{Container: j.order.Container}, nil
}

// remove stops and removes one Docker container. keepLog says that its log must be sent before.
func (j *job) remove(ctx context.Context, o wire.Observed, keepLog bool) error {
	o, err := j.stopDocker(ctx, o)
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return err
	}
	if keepLog {
		j.agent.followers.drain(ctx, o.DockerID, drainTimeout)
	}
	j.line("task", "info", "Deleting ...")
	if err := j.report(ctx, false, "deleting", o); err != nil {
		return err
	}
	if err := j.engine.Remove(ctx, o.DockerID); err != nil {
		return err
	}
	j.line("task", "info", "Deleting succeeded")
	j.detail("The Docker container %s was removed.", short(o.DockerID))
	return nil
}

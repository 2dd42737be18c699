package state

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// State is what a container was last known to be: one of Docker's words or one of Kiosc's.
type State string

const (
	Initial    State = "initial"    // no Docker container was made yet
	Pulling    State = "pulling"    // the image is fetched or the Docker container made
	Created    State = "created"    // made, not started
	Running    State = "running"    //
	Restarting State = "restarting" // Docker restarts it
	Paused     State = "paused"     //
	Exited     State = "exited"     // its process has ended
	Dead       State = "dead"       // Docker could not remove it
	Failed     State = "failed"     // the last action failed; the log says why
	Deleting   State = "deleting"   // the Docker container is being removed
	Deleted    State = "deleted"    // the Docker container is removed
)

// States lists every state.
var States = []State{Initial, Pulling, Created, Running, Restarting, Paused, Exited, Dead, Failed, Deleting, Deleted}

// Action is what a user wants of a container.
type Action string

const (
	Start   Action = "start"
	Stop    Action = "stop"
	Pause   Action = "pause"
	Unpause Action = "unpause"
	Restart Action = "restart"
	Delete  Action = "delete"
	// Move is the leader's: the container's node drains, so the container goes to another one.
	Move Action = "move"
)

// actions is the table of which action is allowed in which state, and how it is shown while it is under way. Delete is
// allowed in every state.
var actions = map[Action]struct {
	from    []State
	ongoing string
}{
	Start:   {[]State{Initial, Created, Exited, Dead, Failed, Deleted}, "starting"},
	Stop:    {[]State{Running, Paused, Restarting}, "stopping"},
	Pause:   {[]State{Running}, "pausing"},
	Unpause: {[]State{Paused}, "unpausing"},
	Restart: {[]State{Running, Restarting, Paused, Exited, Failed}, "restarting"},
	Delete:  {States, "deleting"},
	Move:    {nil, "moving"},
}

// Known tells whether a is an action at all.
func (a Action) Known() bool { _, ok := actions[a]; return ok }

// Allowed tells whether a may be asked for now. While an action is under way only stop and delete may, because a
// person must be able to end a pull that takes too long.
func (c *Container) Allowed(a Action) bool {
	if c.Pending() {
		return a == Delete || a == Stop && c.Action != Stop && c.Action != Delete
	}
	return slices.Contains(actions[a].from, c.State)
}

// Pending tells whether the last action is still to be carried out.
func (c *Container) Pending() bool { return c.Generation > c.DoneGeneration }

// Shown is the state for people: while an action is under way it says so, else it is State. It is never stored.
func (c *Container) Shown() string {
	switch {
	case c.Pending() && c.State != Pulling:
		return actions[c.Action].ongoing
	case c.State == Running && c.Silent:
		return NotAnswering
	}
	return string(c.State)
}

// NotAnswering is what people see of a container that runs and doesn't answer at its heartbeat URL.
const NotAnswering = "running (not answering)"

// MaxPending bounds how many actions may wait for a Docker host in the whole cluster.
const MaxPending = 256

var errTooManyPending = Errorf(TooMany, "Too many actions are waiting for a Docker host. Try again in a minute.")

// ActionRequested makes an action the container's next goal. Applied, it returns the Container.
type ActionRequested struct {
	Container string
	Action    Action
	User      string // user name, for the log
	Via       string // appended to the log line, such as "[API]"; may be empty
	Time      time.Time
	// MinDelay is how long after a user's action the next one is passed over; 0 for no such delay.
	MinDelay time.Duration
	// Event is the id of the timeline's event that tells of the wish, so that another can tell how it ends; may be empty.
	Event string
}

// CoolingDown is what ActionRequested returns, instead of the Container, where it came too soon after another user's
// action or after another of the same user. Only the log tells of it.
type CoolingDown struct {
	MinDelay time.Duration
}

func (c *ActionRequested) apply(tx *Tx) (any, error) {
	cont, ok, err := tx.Container(c.Container)
	if err != nil || !ok {
		return nil, orNotFound(err, "There is no such container.")
	}
	if !c.Action.Known() {
		return nil, Errorf(Invalid, "There is no such action.")
	}
	if c.Action == Delete && cont.Action == Delete && cont.Pending() {
		return cont, nil // being deleted already: asking twice is no error
	}
	if c.tooSoon(&cont) {
		line := LogEntry{Time: c.Time, Level: Warning, User: c.User, Process: ProcessTask,
			Text: "Action not performed: " + string(c.Action) + ". Cool-down is active (" + seconds(c.MinDelay) + "s)"}
		return CoolingDown{c.MinDelay}, tx.log(cont.ID, line)
	}
	if !cont.Allowed(c.Action) {
		return nil, Errorf(Conflict, "Action "+string(c.Action)+" not allowed in state "+cont.Shown())
	}
	if c.Action == Delete && cont.Node == "" { // no Docker host has it
		cont.Action, cont.ActionUser, cont.ActionEvent = c.Action, c.User, c.Event
		return cont, errors.Join(cont.endAction(tx, EventOK, c.Time), cont.remove(tx))
	}
	if !cont.Pending() && tx.pendingCount() >= MaxPending {
		return nil, errTooManyPending
	}
	before := cont
	if cont.Pending() {
		if err := cont.endAction(tx, EventCancel, c.Time); err != nil {
			return nil, err
		}
	}
	cont.goal(c.Action, c.User, c.Time)
	cont.Retries = 0
	cont.ActionEvent = c.Event
	if err := tx.checkStart(&cont); err != nil {
		return nil, err
	}
	if err := tx.checkQuota(&before, &cont); err != nil {
		return nil, err
	}
	if err := tx.putRaw(bucketPending, []byte(cont.ID), []byte{}); err != nil {
		return nil, err
	}
	text := withVia(strings.ToUpper(string(c.Action[:1]))+string(c.Action[1:]), c.Via)
	err = tx.log(cont.ID, LogEntry{Time: c.Time, Level: Info, User: c.User, Process: ProcessAction, Text: text})
	if err != nil {
		return nil, err
	}
	if c.Action == Stop && cont.Node == "" { // it was waiting for a Docker host
		cont.State, cont.StatusAt, cont.DoneGeneration = Exited, c.Time, cont.Generation
		if err := errors.Join(tx.delete(bucketPending, []byte(cont.ID)), cont.endAction(tx, EventOK, c.Time)); err != nil {
			return nil, err
		}
	}
	tx.touch(TopicPending)
	return cont, cont.save(tx)
}

// tooSoon tells whether a user has just acted on the container. What Kiosc does by itself holds nobody up. Clocks differ
// between managers, so that a time before the last one may be as close.
func (c *ActionRequested) tooSoon(cont *Container) bool {
	return cont.ActionUser != "" && c.Time.Sub(cont.ActionAt).Abs() < c.MinDelay
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

// actionEnds is how the timeline tells of the end of an action.
var actionEnds = map[EventStatus]string{EventOK: "is done", EventFailed: "has failed", EventCancel: "was overtaken by another action"}

// endAction tells the timeline how the last action that somebody asked for has ended.
func (c *Container) endAction(tx *Tx, status EventStatus, at time.Time) error {
	if c.ActionEvent == "" {
		return nil
	}
	e := c.Event(uuid.NewSHA1(uuid.Nil, []byte("end "+c.ActionEvent)).String(), "container_task",
		string(c.Action)+" container {container} "+actionEnds[status], at)
	e.User, e.Status, e.Of = c.ActionUser, status, c.ActionEvent
	c.ActionEvent = ""
	return tx.record(e)
}

func (tx *Tx) pendingCount() (n int) {
	c := tx.btx.Bucket(bucketPending).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		n++
	}
	return n
}

// goal makes an action what the container's node shall bring about next. The numbers of reports begin anew: the next ones
// may come from another node, with another clock.
func (c *Container) goal(a Action, user string, at time.Time) {
	c.Generation++
	c.ReportSeq = 0
	c.Action, c.ActionUser, c.ActionAt = a, user, at
}

// Pending returns the containers whose action is still to be carried out, at most MaxPending.
func (tx *Tx) Pending() (pending []Container, err error) {
	c := tx.btx.Bucket(bucketPending).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		cont, ok, err := tx.Container(string(k))
		if err != nil {
			return nil, err
		}
		if ok {
			pending = append(pending, cont)
		}
	}
	return pending, nil
}

// ContainerReported is what a node says of a container: how far an action is (Generation set), or what became of the
// Docker container by itself (Generation 0).
type ContainerReported struct {
	Container  string
	Node       string
	Generation uint64
	// Seq grows with each report of a node; a report at or below the last one is passed over.
	Seq  uint64
	Done bool
	// State is the new state; "" in a report without generation means that the Docker container is gone.
	State     State
	DockerID  string
	ImageID   string
	IP        string
	HostPort  int
	ExitCode  int
	StartedAt time.Time
	// Began is StartedAt, or Time where that is earlier, because the host's clock may be wrong; zero in commands from before
	// it was kept.
	Began time.Time
	// Silent says that the app has a heartbeat URL and doesn't answer there.
	Silent bool
	// Interrupted says that a restart of Docker or of its host ended the process.
	Interrupted bool
	Time        time.Time
	Lines       []LogEntry
}

// earlyExit is how soon after its start an ended process counts as a failed start.
const earlyExit = 10 * time.Second

func (c *ContainerReported) apply(tx *Tx) (any, error) {
	cont, ok, err := tx.Container(c.Container)
	if err != nil || !ok || cont.Node != c.Node {
		return nil, err
	}
	if c.Generation == 0 {
		return nil, c.applyObserved(tx, &cont)
	}
	if c.Generation != cont.Generation || !cont.Pending() || c.Seq <= cont.ReportSeq {
		return nil, nil // an action of a user, or a later report, has overtaken it
	}
	if c.Done && cont.Action == Delete && c.State == Deleted {
		return nil, errors.Join(cont.endAction(tx, EventOK, c.Time), cont.remove(tx))
	}
	cont.ReportSeq = c.Seq
	cont.observe(c, c.State)
	for i := range c.Lines {
		c.Lines[i].User = cont.ActionUser
	}
	if err := tx.log(cont.ID, c.Lines...); err != nil {
		return nil, err
	}
	if c.Done && cont.Action == Move && c.State == Deleted {
		cont.unplace()
		if err := cont.again(tx, c.Time); err != nil {
			return nil, err
		}
		return nil, cont.save(tx)
	}
	if c.Done {
		cont.DoneGeneration = c.Generation
		status := EventOK
		if c.State == Failed || c.State == Dead {
			status = EventFailed
		}
		if err := errors.Join(tx.delete(bucketPending, []byte(cont.ID)), cont.endAction(tx, status, c.Time)); err != nil {
			return nil, err
		}
		tx.touch(TopicPending)
	}
	return nil, cont.save(tx)
}

// applyObserved takes over what became of the Docker container by itself. While an action is under way its own reports
// tell; an observation is no news then.
func (c *ContainerReported) applyObserved(tx *Tx, cont *Container) error {
	if !cont.News(c) {
		return nil
	}
	next := c.State
	line := LogEntry{Time: c.Time, Level: Warning, Process: ProcessTask}
	if c.Interrupted && next == Exited && cont.wasRunning(c.Time) {
		line.Text = "Docker or its host was restarted, which ended the container. It is started again."
		if err := cont.again(tx, c.Time); err != nil {
			return err
		}
		return errors.Join(tx.log(cont.ID, line), cont.save(tx))
	}
	switch {
	case next == "":
		next, line.Level = Failed, Severe
		line.Text = "The Docker container " + short(cont.DockerID) + " is gone from its Docker host."
	case next == Exited && c.Time.Sub(c.StartedAt) < earlyExit:
		next, line.Level = Failed, Severe
		line.Text = "The process in the container ended with exit code " + itoa(c.ExitCode) + " right after its start."
	case next == Exited:
		line.Text = "The process in the container ended with exit code " + itoa(c.ExitCode) + "."
	}
	cont.observe(c, next)
	if line.Text != "" {
		if err := tx.log(cont.ID, line); err != nil {
			return err
		}
	}
	return cont.save(tx)
}

// News tells whether an observation, a report without a generation, changes anything. Leaders ask before they put one into
// the log: hosts tell all that they have every now and then.
func (c *Container) News(r *ContainerReported) bool {
	switch {
	case c.Pending() || c.DockerID == "" || r.DockerID != c.DockerID:
		return false
	case r.State == "":
		return c.State != Failed
	case r.Interrupted && r.State == Exited && c.wasRunning(r.Time):
		return true
	case c.State == Failed && (r.State == Created || r.State == Exited || r.State == Dead):
		return false // failed stays until somebody acts
	case r.State == Exited:
		return c.State != Exited
	}
	return r.State != c.State || r.IP != c.IP || r.HostPort != c.HostPort || r.Silent != c.Silent && r.State == Running
}

// lastWords is how long before a process may have ended that Docker's own stop has ended: its end can be reported first,
// and only then what it came from.
const lastWords = 2 * time.Minute

// wasRunning tells whether the container ran, by its users' wish, until just before at.
func (c *Container) wasRunning(at time.Time) bool {
	running := c.State == Running || c.State == Restarting
	return slices.Contains(startLike, c.Action) && (running || at.Sub(c.StatusAt) < lastWords)
}

// observe takes over the fields that a report tells of the Docker container.
func (c *Container) observe(r *ContainerReported, next State) {
	if c.State != next {
		c.StatusAt = r.Time
	}
	c.noteRunning(r, next)
	c.State, c.DockerID, c.IP, c.HostPort, c.ExitCode = next, r.DockerID, r.IP, r.HostPort, r.ExitCode
	if r.State == "" {
		c.DockerID = ""
	}
	if r.ImageID != "" {
		c.ImageID = r.ImageID
	}
}

// noteRunning keeps since when the process runs, which a pause doesn't interrupt, and whether the app answers.
func (c *Container) noteRunning(r *ContainerReported, next State) {
	switch {
	case next != Running && next != Paused:
		c.RunningSince = time.Time{}
	case c.RunningSince.IsZero() || r.DockerID != c.DockerID || next == Running && c.State != Running && c.State != Paused:
		c.RunningSince = r.Began
	}
	c.Silent = r.Silent && next == Running
}

// short is a Docker id as Docker shows it.
func short(dockerID string) string {
	if len(dockerID) > 12 {
		return dockerID[:12]
	}
	return dockerID
}

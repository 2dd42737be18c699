package state

import (
	"errors"
	"slices"
	"time"
)

// Container is one app of a project: what people entered, what they want of it, and what it was last known to be.
type Container struct {
	ID      string
	Project string
	// Spec is flattened in the encoding, so that records from before it was a type of its own read the same. Its title is
	// unique in the project.
	Spec
	// Secrets has the sealed JSON values of SecretKeys.
	Secrets map[string][]byte
	// Template is the id of the template that the definition came from; empty for none. The template may be gone.
	Template   string
	CreatedAt  time.Time
	ModifiedAt time.Time // when people last changed the definition

	// What should be. Generation grows with every action.
	Generation uint64
	Action     Action
	ActionUser string // user name
	ActionAt   time.Time
	// ActionEvent is the timeline's event of the action, while it is under way; empty for none.
	ActionEvent string
	Node        string // where it is placed; empty before the first start
	// Placement grows with each decision for a node. What a node has of an older one isn't the container any more.
	Placement uint64
	// Retries is how often Kiosc has repeated the last action by itself, because the container wasn't or didn't stay what it
	// should be.
	Retries int
	// GivenUp is the generation that was the last retry without avail; 0 for none.
	GivenUp uint64

	// What was last reported by the node.
	DoneGeneration uint64 // the last generation that was carried out or failed
	ReportSeq      uint64 // number of the last report of this generation and placement
	State          State
	StatusAt       time.Time // when State last changed; zero before the first report
	DockerID       string
	ImageID        string
	IP             string
	HostPort       int
	ExitCode       int
	// RunningSince is when the process began that runs or is paused; zero for none, and where it began before that was kept.
	RunningSince time.Time
	// Silent says that the container runs and doesn't answer at its heartbeat URL.
	Silent bool
}

// ContainerCreated adds a container. Applied, it returns the Container.
type ContainerCreated struct {
	Container Container
	User      string // user name, for the log
	Via       string
}

func (c *ContainerCreated) apply(tx *Tx) (any, error) {
	cont := c.Container
	if err := cont.Validate(); err != nil {
		return nil, err
	}
	project, ok, err := tx.Project(cont.Project)
	if err != nil || !ok || project.Type != TypeProject {
		return nil, orNotFound(err, "There is no such project.")
	}
	if project.Deleting {
		return nil, Errorf(Conflict, "The project is being deleted.")
	}
	if err := tx.CheckImage(&cont.Spec); err != nil {
		return nil, err
	}
	if err := cont.titleTaken(tx); err != nil {
		return nil, err
	}
	if err := tx.putRaw(bucketTitles, key(cont.Project, cont.Title), []byte(cont.ID)); err != nil {
		return nil, err
	}
	cont.State = Initial
	err = tx.log(cont.ID, LogEntry{Time: cont.CreatedAt, Level: Info, User: c.User, Process: ProcessObject, Text: withVia("Created", c.Via)})
	if err != nil {
		return nil, err
	}
	return cont, cont.save(tx)
}

// titleTaken refuses a title that another container of the project has.
func (c *Container) titleTaken(tx *Tx) error {
	if id := tx.btx.Bucket(bucketTitles).Get(key(c.Project, c.Title)); id == nil || string(id) == c.ID {
		return nil
	}
	return &Error{Code: Invalid, Message: "There is a container of this title in the project already.",
		Fields: map[string][]string{"title": {"Container with this Project and Title already exists."}}}
}

// ContainerUpdated gives a container a new definition. One that runs, is paused, or is on its way there, is restarted with
// it. Applied, it returns the Container.
type ContainerUpdated struct {
	Container string
	Spec      Spec
	// Secrets has the sealed values of Spec.SecretKeys.
	Secrets map[string][]byte
	// Template is the one that the definition came from; empty for none.
	Template string
	// Seen is Container.ModifiedAt as the user saw it: an update that is based on an older definition is refused.
	Seen time.Time
	User string // user name, for the log
	Via  string
	Time time.Time
}

func (c *ContainerUpdated) apply(tx *Tx) (any, error) {
	cont, ok, err := tx.Container(c.Container)
	if err != nil || !ok {
		return nil, orNotFound(err, "There is no such container.")
	}
	if err := c.Spec.Validate(); err != nil {
		return nil, err
	}
	switch {
	case !cont.ModifiedAt.Equal(c.Seen):
		return nil, Errorf(Conflict, "Somebody else has changed this container in the meantime. Look at it as it is now, and make your changes again.")
	case cont.Pending() && cont.Action == Delete:
		return nil, Errorf(Conflict, "This container is being deleted.")
	case cont.active() && !cont.Pending() && tx.pendingCount() >= MaxPending:
		return nil, errTooManyPending
	}
	before, restart := cont, cont.active()
	cont.Spec, cont.Secrets, cont.Template = c.Spec, c.Secrets, c.Template
	if cont.ModifiedAt = c.Time; !c.Time.After(c.Seen) {
		cont.ModifiedAt = c.Seen.Add(1) // clocks differ between managers, and each definition has a time of its own
	}
	if restart {
		cont.goal(Restart, c.User, c.Time)
	}
	if restart || cont.Image() != before.Image() {
		if err := tx.CheckImage(&cont.Spec); err != nil {
			return nil, err
		}
	}
	if err := cont.titleTaken(tx); err != nil {
		return nil, err
	}
	if err := tx.checkQuota(&before, &cont); err != nil {
		return nil, err
	}
	return cont, c.store(tx, &before, &cont)
}

// store writes what the update has decided on.
func (c *ContainerUpdated) store(tx *Tx, before, cont *Container) error {
	lines := []LogEntry{{Time: c.Time, Level: Info, User: c.User, Process: ProcessObject, Text: withVia("Updated", c.Via)}}
	if cont.Generation != before.Generation {
		lines = append(lines, LogEntry{Time: c.Time, Level: Info, User: c.User, Process: ProcessAction, Text: withVia("Restart", c.Via)})
		if err := tx.putRaw(bucketPending, []byte(cont.ID), []byte{}); err != nil {
			return err
		}
		tx.touch(TopicPending)
	}
	if err := tx.delete(bucketTitles, key(before.Project, before.Title)); err != nil {
		return err
	}
	if err := tx.putRaw(bucketTitles, key(cont.Project, cont.Title), []byte(cont.ID)); err != nil {
		return err
	}
	if err := tx.log(cont.ID, lines...); err != nil {
		return err
	}
	return cont.save(tx)
}

// withVia is a log line's text with the way that the wish came by, if that is worth telling.
func withVia(text, via string) string {
	if via == "" {
		return text
	}
	return text + " " + via
}

func (c *Container) save(tx *Tx) error {
	tx.touch(TopicContainer(c.ID))
	old, err := tx.stored(c.ID)
	if err != nil {
		return err
	}
	if err := errors.Join(index(tx, old, c), countUse(tx, old, c), c.settleVolumes(tx)); err != nil {
		return err
	}
	return tx.put(bucketContainers, []byte(c.ID), c)
}

// remove deletes the container with its log.
func (c *Container) remove(tx *Tx) error {
	tx.touch(TopicContainer(c.ID))
	tx.touch(TopicPending)
	old, err := tx.stored(c.ID)
	if err != nil {
		return err
	}
	if err := errors.Join(index(tx, old, nil), countUse(tx, old, nil), c.forgetVolumes(tx)); err != nil {
		return err
	}
	for _, place := range [...]struct{ bucket, key []byte }{
		{bucketContainers, []byte(c.ID)}, {bucketPending, []byte(c.ID)}, {bucketTitles, key(c.Project, c.Title)},
	} {
		if err := tx.delete(place.bucket, place.key); err != nil {
			return err
		}
	}
	if err := errors.Join(tx.removeAccesses(c.ID), tx.removeFailures(c.ID), tx.delete(bucketBusy, []byte(c.ID)), tx.removeLog(c.ID)); err != nil {
		return err
	}
	return tx.removeIfEmptied(c.Project)
}

// stored is the container's record as it stands; nil where there is none.
func (tx *Tx) stored(id string) (*Container, error) {
	c, ok, err := tx.Container(id)
	if err != nil || !ok {
		return nil, err
	}
	return &c, nil
}

// Container returns a container by id.
func (tx *Tx) Container(id string) (c Container, ok bool, err error) {
	return get[Container](tx, bucketContainers, []byte(id))
}

// ContainersOf returns a project's containers, newest first.
func (tx *Tx) ContainersOf(project string) ([]Container, error) {
	var list []Container
	c := tx.btx.Bucket(bucketTitles).Cursor()
	prefix := append([]byte(project), 0)
	for k, id := c.Seek(prefix); k != nil && hasPrefix(k, prefix); k, id = c.Next() {
		cont, ok, err := tx.Container(string(id))
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, cont)
		}
	}
	slices.SortStableFunc(list, func(a, b Container) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return list, nil
}

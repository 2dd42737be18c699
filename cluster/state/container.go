package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/kballard/go-shellquote"
)

// Masked stands for a secret value wherever one would be shown.
const Masked = "<masked>"

// Limits of a container's fields, in bytes unless said otherwise.
const (
	MaxTitle       = 512
	MaxDescription = 64 << 10
	MaxRepository  = 512
	MaxTag         = 128
	MaxPath        = 512
	MaxEnvironment = 128 << 10
	MaxCommand     = 32 << 10
	MaxTimeout     = 3600 // seconds
	MaxRetries     = 100
	maxDepth       = 32 // levels of nesting of the environment
)

// Container is one app of a project: what people entered, what they want of it, and what it was last known to be.
type Container struct {
	ID          string
	Project     string
	Title       string // unique in the project
	Description string
	Repository  string // image name, with the registry where it isn't Docker Hub
	Tag         string
	Port        int    // the web server's port in the container
	Path        string // added to the proxy's address when the app is opened
	// KeepPrefix leaves /containers/proxy/<ID> in front of the paths that the app is asked for.
	KeepPrefix bool
	// HeartbeatURL is kept for the clients that set it.
	HeartbeatURL string
	Timeout      int // seconds, for each Docker call but the pull
	// Environment is a JSON object, nil for none. Values of SecretKeys read Masked in it; Secrets has the sealed JSON
	// values.
	Environment    []byte
	SecretKeys     []string
	Secrets        map[string][]byte
	Command        string // split as a shell would; empty for the image's own
	MaxRetries     int
	InactivityDays int
	// Constraints are conditions on the node, all of which it must meet; see ParseConstraint.
	Constraints []string
	// What the node must have left for the container, and what Docker lets it use: thousandths of a CPU, and bytes;
	// 0 for nothing and for no limit.
	ReservedMilliCPUs, LimitMilliCPUs int64
	ReservedMemory, LimitMemory       int64
	CreatedAt                         time.Time
	ModifiedAt                        time.Time

	// What should be. Generation grows with every action.
	Generation uint64
	Action     Action
	ActionUser string // user name
	ActionAt   time.Time
	Node       string // where it is placed; empty before the first start
	// Placement grows with each decision for a node. What a node has of an older one isn't the container any more.
	Placement uint64

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
}

// Image is the full image reference.
func (c *Container) Image() string {
	if c.Tag == "" {
		return c.Repository
	}
	return c.Repository + ":" + c.Tag
}

// Validate checks the rules that hold for every container.
func (c *Container) Validate() error {
	f := fieldErrors{}
	requireText(f, "title", c.Title, MaxTitle)
	checkText(f, "description", c.Description, MaxDescription)
	requireText(f, "repository", c.Repository, MaxRepository)
	checkText(f, "tag", c.Tag, MaxTag)
	checkText(f, "container_path", c.Path, MaxPath)
	checkText(f, "heartbeat_url", c.HeartbeatURL, MaxPath)
	checkText(f, "command", c.Command, MaxCommand)
	checkNumber(f, "container_port", c.Port, 1, 65535)
	checkNumber(f, "timeout", c.Timeout, 1, MaxTimeout)
	checkNumber(f, "max_retries", c.MaxRetries, 0, MaxRetries)
	checkNumber(f, "inactivity_threshold", c.InactivityDays, 1, 3650)
	if len(f["repository"])+len(f["tag"]) == 0 {
		if _, err := reference.ParseNormalizedNamed(c.Image()); err != nil {
			f.add("repository", "This is not an image name that Docker knows, such as nginx or registry.example.org/group/app.")
		}
	}
	if _, err := shellquote.Split(c.Command); err != nil {
		f.add("command", "A quote in the command isn't closed.")
	}
	if strings.ContainsAny(c.Path, "?#\r\n") {
		f.add("container_path", "A path can't contain ? or # or line ends.")
	}
	c.validateEnvironment(f)
	c.validateResources(f)
	return f.err()
}

// The bounds of reservations and limits, far above any machine's.
const (
	maxMilliCPUs = 1 << 20
	maxMemory    = 1 << 50
	// minLimitMemory is the least that Docker takes, in bytes.
	minLimitMemory = 6 << 20
)

func (c *Container) validateResources(f fieldErrors) {
	if len(c.Constraints) > MaxConstraints {
		f.add("constraints", "A container can have "+itoa(MaxConstraints)+" constraints at most.")
	}
	for _, text := range c.Constraints {
		if _, err := ParseConstraint(text); err != nil {
			f.add("constraints", "\""+text+"\" can't be used: "+err.Error()+".")
		}
	}
	for _, cpu := range []struct {
		field string
		n     int64
	}{{"cpu_reservation", c.ReservedMilliCPUs}, {"cpu_limit", c.LimitMilliCPUs}} {
		if cpu.n < 0 || cpu.n > maxMilliCPUs {
			f.add(cpu.field, "Give a number of CPUs such as 0.5 or 2, or 0 for none.")
		}
	}
	for _, memory := range []struct {
		field string
		n     int64
	}{{"memory_reservation", c.ReservedMemory}, {"memory_limit", c.LimitMemory}} {
		if memory.n < 0 || memory.n > maxMemory {
			f.add(memory.field, "Give a number of bytes, or 0 for none.")
		}
	}
	if c.LimitMemory > 0 && c.LimitMemory < minLimitMemory {
		f.add("memory_limit", "Docker needs a limit of at least 6 MiB.")
	}
	if c.LimitMilliCPUs > 0 && c.ReservedMilliCPUs > c.LimitMilliCPUs {
		f.add("cpu_reservation", "The reservation can't be more than the limit.")
	}
	if c.LimitMemory > 0 && c.ReservedMemory > c.LimitMemory {
		f.add("memory_reservation", "The reservation can't be more than the limit.")
	}
}

func (c *Container) validateEnvironment(f fieldErrors) {
	if c.Environment == nil {
		return
	}
	if len(c.Environment) > MaxEnvironment {
		f.add("environment", "Ensure this field has no more than "+itoa(MaxEnvironment)+" characters.")
		return
	}
	env, err := ParseEnvironment(c.Environment)
	if err != nil {
		f.add("environment", "Environment must be a dictionary!")
		return
	}
	if depth(c.Environment) > maxDepth {
		f.add("environment", "Ensure this field is nested at most "+itoa(maxDepth)+" levels deep.")
	}
	for k, value := range env {
		if k == "" || strings.ContainsAny(k, "=\x00") {
			f.add("environment", "A variable's name can't be empty or contain =.")
		}
		if bytes.Contains(value, []byte(`\u0000`)) {
			f.add("environment", "A variable's value can't contain a zero character.")
		}
	}
	for _, k := range c.SecretKeys {
		if _, ok := env[k]; !ok {
			f.add("environment_secret_keys", "Secret key \""+k+"\" is not in environment!")
		}
	}
}

// depth is how deep valid JSON is nested.
func depth(text []byte) (deepest int) {
	at := 0
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		token, err := d.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			at++
			deepest = max(deepest, at)
		case json.Delim('}'), json.Delim(']'):
			at--
		}
	}
}

// ParseEnvironment reads a JSON object and keeps each value as it was written.
func ParseEnvironment(text []byte) (map[string]json.RawMessage, error) {
	if trimmed := bytes.TrimSpace(text); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, Errorf(Invalid, "Environment must be a dictionary!")
	}
	var env map[string]json.RawMessage
	if err := json.Unmarshal(text, &env); err != nil {
		return nil, Errorf(Invalid, "Environment must be a dictionary!")
	}
	return env, nil
}

func checkNumber(f fieldErrors, field string, n, low, high int) {
	if n < low || n > high {
		f.add(field, "Ensure this value is between "+itoa(low)+" and "+itoa(high)+".")
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

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
	title := key(cont.Project, cont.Title)
	if tx.btx.Bucket(bucketTitles).Get(title) != nil {
		return nil, &Error{Code: Invalid, Message: "There is a container of this title in the project already.",
			Fields: map[string][]string{"title": {"Container with this Project and Title already exists."}}}
	}
	if err := tx.putRaw(bucketTitles, title, []byte(cont.ID)); err != nil {
		return nil, err
	}
	cont.State = Initial
	text := "Created"
	if c.Via != "" {
		text += " " + c.Via
	}
	err = tx.log(cont.ID, LogEntry{Time: cont.CreatedAt, Level: Info, User: c.User, Process: ProcessObject, Text: text})
	if err != nil {
		return nil, err
	}
	return cont, cont.save(tx)
}

func (c *Container) save(tx *Tx) error {
	tx.touch(TopicContainer(c.ID))
	old, err := tx.stored(c.ID)
	if err != nil {
		return err
	}
	if err := errors.Join(index(tx, old, c), countUse(tx, old, c)); err != nil {
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
	if err := errors.Join(index(tx, old, nil), countUse(tx, old, nil)); err != nil {
		return err
	}
	for _, place := range [...]struct{ bucket, key []byte }{
		{bucketContainers, []byte(c.ID)}, {bucketPending, []byte(c.ID)}, {bucketTitles, key(c.Project, c.Title)},
	} {
		if err := tx.delete(place.bucket, place.key); err != nil {
			return err
		}
	}
	if err := tx.removeAccesses(c.ID); err != nil {
		return err
	}
	return tx.removeLog(c.ID)
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

package state

import (
	"bytes"
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/kballard/go-shellquote"
)

// Masked stands for a secret value wherever one would be shown.
const Masked = "<masked>"

// Limits of what people enter, in bytes unless said otherwise.
const (
	MaxTitle       = 512
	MaxDescription = 64 << 10
	MaxRepository  = 512
	MaxTag         = 128
	MaxPath        = 512
	MaxEnvironment = 128 << 10
	MaxCommand     = 32 << 10
	MaxTimeout     = 3600 // seconds
	MaxRetries     = 100  //
	MaxInactivity  = 3650 // days
	// MinInactivityMinutes is well above the few minutes within which use becomes known.
	MinInactivityMinutes = 15
	MaxLifetime          = 366 * 24 * 3600 // seconds
	MaxGPUs              = 64              //
	MaxVolumes           = 16              // volumes
	MaxVolumeName        = 64              //
	maxDepth             = 32              // levels of nesting of the environment
)

// PullPolicy says when a start fetches the image.
type PullPolicy string

// The policies. The empty one, of containers that were made before there were policies, is PullMissing.
const (
	PullMissing PullPolicy = "missing" // unless the Docker host has it
	PullAlways  PullPolicy = "always"
	PullNever   PullPolicy = "never" // it is on the Docker host, or the start fails
)

// PullPolicies lists the policies, the default first.
var PullPolicies = []PullPolicy{PullMissing, PullAlways, PullNever}

// AllGPUs as Spec.GPUs asks for every GPU of the Docker host.
const AllGPUs = -1

// Volume is a named volume of the project in the containers that name it.
type Volume struct {
	Name string // in the project
	Path string // in the container
}

// String is the volume as people write it.
func (v Volume) String() string { return v.Name + ":" + v.Path }

// Spec is what people enter of an app: all that containers and templates have in common.
type Spec struct {
	Title       string
	Description string
	Repository  string // image name, with the registry where it isn't Docker Hub
	Tag         string
	Port        int    // the web server's port in the container
	Path        string // added to the proxy's address when the app is opened
	// KeepPrefix leaves /containers/proxy/<ID> in front of the paths that the app is asked for.
	KeepPrefix bool
	// HeartbeatURL is asked to learn whether the app answers; empty for no such check.
	HeartbeatURL string
	Timeout      int // seconds, for each Docker call; of a pull, for the time in which nothing comes
	// Environment is a JSON object, nil for none. Values of SecretKeys read Masked in it.
	Environment    []byte
	SecretKeys     []string
	Command        string // split as a shell would; empty for the image's own
	MaxRetries     int
	InactivityDays int
	// InactivityMinutes is a threshold that is looked at all the time, where InactivityDays is once a day; 0 for none.
	InactivityMinutes int
	// Constraints are conditions on the node, all of which it must meet; see ParseConstraint.
	Constraints []string
	// What the node must have left for the container, and what Docker lets it use: thousandths of a CPU, and bytes;
	// 0 for nothing and for no limit.
	ReservedMilliCPUs, LimitMilliCPUs int64
	ReservedMemory, LimitMemory       int64
	PullPolicy                        PullPolicy
	SharedMemory                      int64    // bytes of /dev/shm; 0 for Docker's default
	GPUs                              int      // how many the app needs, or AllGPUs
	Volumes                           []Volume // by name
	// Lifetime is how long the app may run after a start, in seconds; 0 for no limit.
	Lifetime int
	// ReadOnlyRoot forbids the app to write anywhere but to /tmp and its volumes.
	ReadOnlyRoot bool
}

// Image is the full image reference; empty where a template leaves the repository open.
func (s *Spec) Image() string {
	if s.Tag == "" {
		return s.Repository
	}
	return s.Repository + ":" + s.Tag
}

// Validate checks the rules that hold for every container.
func (s *Spec) Validate() error {
	f := fieldErrors{}
	if strings.TrimSpace(s.Repository) == "" {
		f.add("repository", "This field may not be blank.")
	}
	s.validate(f)
	return f.err()
}

// ValidateTemplate checks the rules that hold for every template: the image may be left open.
func (s *Spec) ValidateTemplate() error {
	f := fieldErrors{}
	s.validate(f)
	return f.err()
}

func (s *Spec) validate(f fieldErrors) {
	requireText(f, "title", s.Title, MaxTitle)
	checkText(f, "description", s.Description, MaxDescription)
	checkText(f, "repository", s.Repository, MaxRepository)
	checkText(f, "tag", s.Tag, MaxTag)
	checkText(f, "container_path", s.Path, MaxPath)
	checkText(f, "heartbeat_url", s.HeartbeatURL, MaxPath)
	checkText(f, "command", s.Command, MaxCommand)
	checkNumber(f, "container_port", s.Port, 1, 65535)
	checkNumber(f, "timeout", s.Timeout, 1, MaxTimeout)
	checkNumber(f, "max_retries", s.MaxRetries, 0, MaxRetries)
	checkNumber(f, "inactivity_threshold", s.InactivityDays, 1, MaxInactivity)
	if s.InactivityMinutes != 0 {
		checkNumber(f, "inactivity_minutes", s.InactivityMinutes, MinInactivityMinutes, MaxInactivity*24*60)
	}
	if s.Repository != "" && len(f["repository"])+len(f["tag"]) == 0 {
		if _, err := reference.ParseNormalizedNamed(s.Image()); err != nil {
			f.add("repository", "This is not an image name that Docker knows, such as nginx or registry.example.org/group/app.")
		}
	}
	if _, err := shellquote.Split(s.Command); err != nil {
		f.add("command", "A quote in the command isn't closed.")
	}
	if strings.ContainsAny(s.Path, "?#\r\n") {
		f.add("container_path", "A path can't contain ? or # or line ends.")
	}
	if !slices.Contains(PullPolicies, s.PullPolicy) && s.PullPolicy != "" {
		f.add("pull_policy", "A pull policy is missing, always or never.")
	}
	checkNumber(f, "max_lifetime", s.Lifetime, 0, MaxLifetime)
	s.validateEnvironment(f)
	s.validateResources(f)
	s.validateVolumes(f)
}

// The bounds of reservations and limits, far above any machine's.
const (
	maxMilliCPUs = 1 << 20
	maxMemory    = 1 << 50
	// minLimitMemory is the least that Docker takes, in bytes.
	minLimitMemory = 6 << 20
)

func (s *Spec) validateResources(f fieldErrors) {
	if len(s.Constraints) > MaxConstraints {
		f.add("constraints", "A container can have "+itoa(MaxConstraints)+" constraints at most.")
	}
	for _, text := range s.Constraints {
		if _, err := ParseConstraint(text); err != nil {
			f.add("constraints", "\""+text+"\" can't be used: "+err.Error()+".")
		}
	}
	for _, cpu := range []struct {
		field string
		n     int64
	}{{"cpu_reservation", s.ReservedMilliCPUs}, {"cpu_limit", s.LimitMilliCPUs}} {
		if cpu.n < 0 || cpu.n > maxMilliCPUs {
			f.add(cpu.field, "Give a number of CPUs such as 0.5 or 2, or 0 for none.")
		}
	}
	for _, memory := range []struct {
		field string
		n     int64
	}{{"memory_reservation", s.ReservedMemory}, {"memory_limit", s.LimitMemory}, {"shared_memory", s.SharedMemory}} {
		if memory.n < 0 || memory.n > maxMemory {
			f.add(memory.field, "Give a number of bytes, or 0 for none.")
		}
	}
	if s.LimitMemory > 0 && s.LimitMemory < minLimitMemory {
		f.add("memory_limit", "Docker needs a limit of at least 6 MiB.")
	}
	if s.LimitMilliCPUs > 0 && s.ReservedMilliCPUs > s.LimitMilliCPUs {
		f.add("cpu_reservation", "The reservation can't be more than the limit.")
	}
	if s.LimitMemory > 0 && s.ReservedMemory > s.LimitMemory {
		f.add("memory_reservation", "The reservation can't be more than the limit.")
	}
	if s.GPUs < AllGPUs || s.GPUs > MaxGPUs {
		f.add("gpus", "Give a number of GPUs, or all.")
	}
}

var volumeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// systemPaths are those that a volume may not lie at or below: what is there is the kernel's.
var systemPaths = []string{"/proc", "/sys", "/dev"}

func (s *Spec) validateVolumes(f fieldErrors) {
	if len(s.Volumes) > MaxVolumes {
		f.add("volumes", "A container can have "+itoa(MaxVolumes)+" volumes at most.")
	}
	names, paths := make(map[string]bool), make(map[string]bool)
	for _, v := range s.Volumes {
		switch {
		case len(v.Name) > MaxVolumeName || !volumeName.MatchString(v.Name):
			f.add("volumes", "A volume's name has letters, digits, dots, dashes and underscores, and at most "+itoa(MaxVolumeName)+" of them.")
		case names[v.Name]:
			f.add("volumes", "The volume "+v.Name+" is there twice.")
		}
		system := func(p string) bool { return v.Path == p || strings.HasPrefix(v.Path, p+"/") }
		switch {
		case !strings.HasPrefix(v.Path, "/"), path.Clean(v.Path) != v.Path, len(v.Path) > MaxPath, strings.ContainsAny(v.Path, ":\x00\r\n"):
			f.add("volumes", "A volume's place in the container is a path such as /home/user/data.")
		case v.Path == "/" || slices.ContainsFunc(systemPaths, system):
			f.add("volumes", "A volume can't be at "+v.Path+".")
		case paths[v.Path]:
			f.add("volumes", "Two volumes can't be at "+v.Path+".")
		}
		names[v.Name], paths[v.Path] = true, true
	}
}

func (s *Spec) validateEnvironment(f fieldErrors) {
	if s.Environment == nil {
		return
	}
	if len(s.Environment) > MaxEnvironment {
		f.add("environment", "Ensure this field has no more than "+itoa(MaxEnvironment)+" characters.")
		return
	}
	env, err := ParseEnvironment(s.Environment)
	if err != nil {
		f.add("environment", "Environment must be a dictionary!")
		return
	}
	if depth(s.Environment) > maxDepth {
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
	for _, k := range s.SecretKeys {
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

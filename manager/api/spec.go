package api

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
)

// specJSON is what containers and templates have in common, in the original's form. What the original doesn't have
// stands behind the empty line.
type specJSON struct {
	Title          string         `json:"title"`
	Description    *string        `json:"description"`
	Repository     string         `json:"repository"`
	Tag            string         `json:"tag"`
	ContainerPort  int            `json:"container_port"`
	ContainerPath  string         `json:"container_path"`
	HeartbeatURL   *string        `json:"heartbeat_url"`
	Timeout        int            `json:"timeout"`
	Environment    map[string]any `json:"environment"`
	SecretKeys     *string        `json:"environment_secret_keys"`
	Command        *string        `json:"command"`
	MaxRetries     int            `json:"max_retries"`
	InactivityDays int            `json:"inactivity_threshold"`

	InactivityMinutes int               `json:"inactivity_minutes"`
	KeepPrefix        bool              `json:"keep_prefix"`
	Constraints       []string          `json:"constraints"`
	CPUReservation    float64           `json:"cpu_reservation"`    // CPUs
	CPULimit          float64           `json:"cpu_limit"`          // CPUs
	MemoryReservation int64             `json:"memory_reservation"` // bytes
	MemoryLimit       int64             `json:"memory_limit"`       // bytes
	PullPolicy        state.PullPolicy  `json:"pull_policy"`
	SharedMemory      int64             `json:"shared_memory"` // bytes
	GPUs              any               `json:"gpus"`          // a number, or "all"
	Volumes           map[string]string `json:"volumes"`       // name → path in the container
	Lifetime          int               `json:"max_lifetime"`  // seconds
	ReadOnlyRoot      bool              `json:"read_only_root"`
}

func specOf(s *state.Spec) specJSON {
	out := specJSON{
		Title: s.Title, Description: orNull(s.Description), Repository: s.Repository, Tag: s.Tag, ContainerPort: s.Port,
		ContainerPath: s.Path, HeartbeatURL: orNull(s.HeartbeatURL), Timeout: s.Timeout, Environment: environment(s),
		SecretKeys: orNull(strings.Join(s.SecretKeys, ",")), Command: orNull(s.Command), MaxRetries: s.MaxRetries,
		InactivityDays: s.InactivityDays, InactivityMinutes: s.InactivityMinutes, KeepPrefix: s.KeepPrefix, Constraints: append([]string{}, s.Constraints...),
		CPUReservation: float64(s.ReservedMilliCPUs) / 1000, CPULimit: float64(s.LimitMilliCPUs) / 1000,
		MemoryReservation: s.ReservedMemory, MemoryLimit: s.LimitMemory, PullPolicy: s.PullPolicy, SharedMemory: s.SharedMemory,
		GPUs: s.GPUs, Volumes: make(map[string]string, len(s.Volumes)), Lifetime: s.Lifetime, ReadOnlyRoot: s.ReadOnlyRoot,
	}
	if s.PullPolicy == "" {
		out.PullPolicy = state.PullMissing
	}
	if s.GPUs == state.AllGPUs {
		out.GPUs = allGPUs
	}
	for _, v := range s.Volumes {
		out.Volumes[v.Name] = v.Path
	}
	return out
}

const allGPUs = "all"

// environment is what may be shown of an environment. The state has masked the secret values already; a second time here
// costs little, and a mistake there would cost a lot.
func environment(s *state.Spec) (env map[string]any) {
	numbers := json.NewDecoder(bytes.NewReader(s.Environment))
	numbers.UseNumber() // a number is shown as it was written
	if len(s.Environment) == 0 || numbers.Decode(&env) != nil {
		return nil
	}
	for _, k := range s.SecretKeys {
		if _, ok := env[k]; ok {
			env[k] = state.Masked
		}
	}
	return env
}

// changed reads what a request makes of the definition of a container or template. A PATCH changes what it names; a PUT may
// not leave out what is required, and gives the rest its defaults. seen is the version that the change is based on: that of
// modified, which is the present one, unless the request names another in date_modified.
func (a *API) changed(c *fiber.Ctx, in *input, now state.Spec, modified time.Time, required ...string) (spec state.Spec, seen time.Time, err error) {
	if c.Method() == fiber.MethodPut {
		now = a.service.NewSpec()
		in.require(required...)
	}
	spec, seen = in.spec(now), modified
	if based := in.text("date_modified"); based != "" && based != dateText(modified) {
		seen = time.Time{} // which nothing has, so that the service says what is wrong
	}
	return spec, seen, in.err()
}

// spec reads what a client may say of a container or template. What it leaves out stays as it is in s, and what is Kiosc's
// to say, such as state or container_id, is ignored.
func (in *input) spec(s state.Spec) state.Spec {
	const notText = "Not a valid string."
	for field, v := range map[string]*string{"title": &s.Title, "repository": &s.Repository, "tag": &s.Tag,
		"container_path": &s.Path, "pull_policy": (*string)(&s.PullPolicy)} {
		in.value(field, v, notText)
	}
	for field, v := range map[string]*string{"description": &s.Description, "heartbeat_url": &s.HeartbeatURL, "command": &s.Command} {
		in.nullable(field, v, notText)
	}
	for field, v := range map[string]*int{"container_port": &s.Port, "timeout": &s.Timeout, "max_retries": &s.MaxRetries,
		"inactivity_threshold": &s.InactivityDays, "inactivity_minutes": &s.InactivityMinutes, "max_lifetime": &s.Lifetime} {
		in.value(field, v, "A valid integer is required.")
	}
	for field, v := range map[string]*bool{"keep_prefix": &s.KeepPrefix, "read_only_root": &s.ReadOnlyRoot} {
		in.value(field, v, "Must be a valid boolean.")
	}
	for field, v := range map[string]*int64{"memory_reservation": &s.ReservedMemory, "memory_limit": &s.LimitMemory, "shared_memory": &s.SharedMemory} {
		in.value(field, v, "A valid number is required.")
	}
	for field, v := range map[string]*int64{"cpu_reservation": &s.ReservedMilliCPUs, "cpu_limit": &s.LimitMilliCPUs} {
		in.milli(field, v)
	}
	if raw, given := in.raw["environment"]; given {
		s.Environment = raw
	}
	if _, given := in.raw["environment_secret_keys"]; given {
		s.SecretKeys = strings.Split(in.nullableText("environment_secret_keys"), ",")
	}
	if list := in.texts("constraints"); list != nil {
		s.Constraints = list
	}
	in.readGPUs(&s)
	in.readVolumes(&s)
	return s
}

// milli reads a number of CPUs into thousandths.
func (in *input) milli(field string, milli *int64) {
	var cpus *float64
	if in.value(field, &cpus, "A valid number is required."); cpus != nil {
		*milli = int64(math.Round(min(max(*cpus, -1), 1e9) * 1000))
	}
}

func (in *input) readGPUs(s *state.Spec) {
	if string(in.raw["gpus"]) == `"`+allGPUs+`"` {
		s.GPUs = state.AllGPUs
		return
	}
	in.value("gpus", &s.GPUs, `A number of GPUs or "all" is required.`)
}

func (in *input) readVolumes(s *state.Spec) {
	var volumes map[string]string
	if in.value("volumes", &volumes, "Expected an object of names and paths."); volumes == nil {
		return
	}
	s.Volumes = nil
	for name, path := range volumes {
		s.Volumes = append(s.Volumes, state.Volume{Name: name, Path: path})
	}
}

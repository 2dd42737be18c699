package state_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

// TestContainersFromBeforeSpecReadTheSame decodes a command whose container has its fields side by side, as they were
// written before they were in a Spec.
func TestContainersFromBeforeSpecReadTheSame(t *testing.T) {
	type former struct {
		ID, Project, Title, Repository, Tag string
		Port, Timeout, InactivityDays       int
		SecretKeys                          []string
		Secrets                             map[string][]byte
		Environment                         []byte
		ReservedMilliCPUs                   int64
		CreatedAt                           time.Time
	}
	old := former{ID: "c1", Project: "p1", Title: "App", Repository: "nginx", Tag: "1", Port: 80, Timeout: 60, InactivityDays: 7,
		SecretKeys: []string{"K"}, Secrets: map[string][]byte{"K": []byte("sealed")}, Environment: []byte(`{"K":"<masked>"}`),
		ReservedMilliCPUs: 500, CreatedAt: t0}
	enc, err := cbor.EncOptions{Sort: cbor.SortCoreDeterministic, Time: cbor.TimeRFC3339NanoUTC}.EncMode()
	require.NoError(t, err)
	body, err := enc.Marshal(struct {
		Container former
		User      string
	}{old, "ana"})
	require.NoError(t, err)
	command, err := state.Decode(append([]byte{1, 30, 0}, body...))
	require.NoError(t, err)
	want := &state.ContainerCreated{User: "ana", Container: state.Container{ID: "c1", Project: "p1", Spec: state.Spec{Title: "App",
		Repository: "nginx", Tag: "1", Port: 80, Timeout: 60, InactivityDays: 7, SecretKeys: []string{"K"},
		Environment: []byte(`{"K":"<masked>"}`), ReservedMilliCPUs: 500},
		Secrets: map[string][]byte{"K": []byte("sealed")}, CreatedAt: t0}}
	require.Equal(t, want, command)

	f := newFixture(t)
	f.must(command)
	c, _ := f.container("c1")
	require.Equal(t, "nginx:1", c.Image())
	raw, err := state.Encode(want)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "Spec", "an older kiosc reads what this one writes, too")
}

func TestSpecsThatAreRefused(t *testing.T) {
	for what, row := range map[string]struct {
		field  string
		change func(s *state.Spec)
	}{
		"no title":                 {"title", func(s *state.Spec) { s.Title = " " }},
		"no repository":            {"repository", func(s *state.Spec) { s.Repository = "" }},
		"no such policy":           {"pull_policy", func(s *state.Spec) { s.PullPolicy = "sometimes" }},
		"fewer than all GPUs":      {"gpus", func(s *state.Spec) { s.GPUs = -2 }},
		"too many GPUs":            {"gpus", func(s *state.Spec) { s.GPUs = state.MaxGPUs + 1 }},
		"shared memory below none": {"shared_memory", func(s *state.Spec) { s.SharedMemory = -1 }},
		"lifetime below none":      {"max_lifetime", func(s *state.Spec) { s.Lifetime = -1 }},
		"lifetime of two years":    {"max_lifetime", func(s *state.Spec) { s.Lifetime = 2 * state.MaxLifetime }},
		"volume without a name":    {"volumes", volume("", "/data")},
		"volume of the host":       {"volumes", volume("/var/run/docker.sock", "/data")},
		"volume named as a path":   {"volumes", volume("../x", "/data")},
		"volume with options":      {"volumes", volume("data", "/data:ro")},
		"volume at no path":        {"volumes", volume("data", "data")},
		"volume at the root":       {"volumes", volume("data", "/")},
		"volume in /proc":          {"volumes", volume("data", "/proc/sys")},
		"volume outside":           {"volumes", volume("data", "/data/../proc")},
		"volume twice":             {"volumes", volume("data", "/a", "data", "/b")},
		"two volumes at one path":  {"volumes", volume("a", "/data", "b", "/data")},
		"too many volumes": {"volumes", func(s *state.Spec) {
			for i := range state.MaxVolumes + 1 {
				s.Volumes = append(s.Volumes, state.Volume{Name: fmt.Sprint("v", i), Path: fmt.Sprint("/v", i)})
			}
		}},
		"volume of a long name": {"volumes", volume(strings.Repeat("v", state.MaxVolumeName+1), "/data")},
	} {
		spec := container("c1").Spec
		row.change(&spec)
		err := spec.Validate()
		require.Equal(t, state.Invalid, state.CodeOf(err), what)
		require.Len(t, err.(*state.Error).Fields[row.field], 1, what)
	}
	spec := container("c1").Spec
	spec.PullPolicy, spec.GPUs, spec.SharedMemory, spec.Lifetime = state.PullAlways, state.AllGPUs, 1<<30, 3600
	volume("data", "/home/user", "more.data-2", "/proceedings")(&spec)
	require.NoError(t, spec.Validate())
	require.NoError(t, (&state.Spec{Title: "Open", Port: 80, Timeout: 60, InactivityDays: 7}).ValidateTemplate())
}

// volume gives a spec volumes, in pairs of name and path.
func volume(pairs ...string) func(*state.Spec) {
	return func(s *state.Spec) {
		for i := 0; i < len(pairs); i += 2 {
			s.Volumes = append(s.Volumes, state.Volume{Name: pairs[i], Path: pairs[i+1]})
		}
	}
}

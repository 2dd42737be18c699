package webui

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"kiosc/cluster/state"
)

// specField is one field of the forms for containers and templates: how it is shown, and how it is read.
type specField struct {
	field
	// More puts the field among those that most apps can leave alone.
	More bool
	show func(s *state.Spec) string
	// read takes over what was entered and says what is wrong with it; empty for nothing. What the state checks anyway is
	// left to it.
	read func(s *state.Spec, text string) string
}

// specFields are all fields, in Kiosc's order, with what the original doesn't have behind those.
var specFields = []specField{
	text(field{Name: "title", Label: "Title", Required: true, Max: state.MaxTitle}, func(s *state.Spec) *string { return &s.Title }),
	text(field{Name: "description", Label: "Description", Kind: "area", Rows: 3, Max: state.MaxDescription},
		func(s *state.Spec) *string { return &s.Description }),
	text(field{Name: "repository", Label: "Repository", Required: true, Max: state.MaxRepository,
		Help: "Name of the Docker image, with its registry where that isn't Docker Hub, such as registry.example.org/group/app."},
		func(s *state.Spec) *string { return &s.Repository }),
	text(field{Name: "tag", Label: "Tag", Required: true, Max: state.MaxTag, Help: "Version of the image, such as latest or 1.4."},
		func(s *state.Spec) *string { return &s.Tag }),
	integer(field{Name: "container_port", Label: "Container port", Help: "Where the web server in the image listens."},
		func(s *state.Spec) *int { return &s.Port }),
	text(field{Name: "container_path", Label: "Container path", Max: state.MaxPath,
		Help: "Added to the app's address when it is opened. May be empty."}, func(s *state.Spec) *string { return &s.Path }),
	check(field{Name: "keep_prefix", Label: "Keep the path's prefix",
		Help: "The app is asked for the path that visitors see, with /containers/proxy/… in front. For apps such as Jupyter that are told their base URL by __KIOSC_URL_PREFIX__."},
		func(s *state.Spec) *bool { return &s.KeepPrefix }),
	text(field{Name: "heartbeat_url", Label: "Heartbeat URL", Max: state.MaxPath,
		Help: "A path of the app, such as health, that answers once the app can be used. May be empty."},
		func(s *state.Spec) *string { return &s.HeartbeatURL }),
	integer(field{Name: "timeout", Label: "Timeout [seconds]", Help: "How long Docker may take for an action."},
		func(s *state.Spec) *int { return &s.Timeout }),
	{field: field{Name: "environment", Label: "Environment", Kind: "area", Rows: 6, Max: state.MaxEnvironment,
		Help: `Variables for the app as a JSON object, such as {"LEVEL": "info"}. __KIOSC_URL_PREFIX__ in a value becomes the app's address.`},
		show: func(s *state.Spec) string { return prettyJSON(s.Environment, "  ") },
		read: func(s *state.Spec, text string) string {
			s.Environment = []byte(text)
			return ""
		}},
	{field: field{Name: "environment_secret_keys", Label: "Environment secret keys", Max: 4096,
		Help: "Names of the variables whose values are kept secret, separated by commas. A value that reads <masked> stays as it is."},
		show: func(s *state.Spec) string { return strings.Join(s.SecretKeys, ",") },
		read: func(s *state.Spec, text string) string {
			s.SecretKeys = strings.Split(text, ",")
			return ""
		}},
	integer(field{Name: "max_retries", Label: "Max retries", Help: "How often the app is started again after it has failed."},
		func(s *state.Spec) *int { return &s.MaxRetries }),
	integer(field{Name: "inactivity_threshold", Label: "Inactivity threshold [days]", Help: "The app is stopped when nobody has used it for so long."},
		func(s *state.Spec) *int { return &s.InactivityDays }),
	more(specField{field: field{Name: "inactivity_minutes", Label: "Inactivity threshold [minutes]", Kind: "number", Max: 8,
		Help: "The app is stopped within a few minutes when nobody has used it for so long and it isn't busy; at least 15. Empty for days only."},
		show: func(s *state.Spec) string {
			if s.InactivityMinutes == 0 {
				return ""
			}
			return strconv.Itoa(s.InactivityMinutes)
		},
		read: func(s *state.Spec, text string) string {
			s.InactivityMinutes = 0
			if text = strings.TrimSpace(text); text == "" {
				return ""
			}
			n, err := strconv.Atoi(text)
			if err != nil {
				return "A valid integer is required."
			}
			s.InactivityMinutes = n
			return ""
		}}),
	text(field{Name: "command", Label: "Command", Kind: "area", Rows: 2, Max: state.MaxCommand, Help: "Instead of the image's own command. May be empty."},
		func(s *state.Spec) *string { return &s.Command }),

	more(cpus(field{Name: "cpu_reservation", Label: "Reserved CPUs", Help: "Kept free for the app on its Docker host, such as 0.5. May be empty."},
		func(s *state.Spec) *int64 { return &s.ReservedMilliCPUs })),
	more(cpus(field{Name: "cpu_limit", Label: "CPU limit", Help: "The most that the app can use, such as 2. Empty for no limit."},
		func(s *state.Spec) *int64 { return &s.LimitMilliCPUs })),
	more(size(field{Name: "memory_reservation", Label: "Reserved memory", Help: "Kept free for the app on its Docker host, such as 512 MiB. May be empty."},
		func(s *state.Spec) *int64 { return &s.ReservedMemory })),
	more(size(field{Name: "memory_limit", Label: "Memory limit", Help: "The most that the app can use, such as 2 GiB; beyond it Docker ends the app. Empty for no limit."},
		func(s *state.Spec) *int64 { return &s.LimitMemory })),
	more(size(field{Name: "shared_memory", Label: "Shared memory", Help: "Size of /dev/shm, such as 1 GiB. Empty for Docker's 64 MiB."},
		func(s *state.Spec) *int64 { return &s.SharedMemory })),
	more(specField{field: field{Name: "gpus", Label: "GPUs", Max: 16,
		Help: "How many GPUs the app needs, or all. Ask for a Docker host that has them below. May be empty."}, show: gpusText, read: readGPUs}),
	more(specField{field: field{Name: "constraints", Label: "Docker host", Kind: "area", Rows: 2, Max: 4096,
		Help: "Conditions on the Docker host, one a line, such as node.labels.gpu == true. May be empty."},
		show: func(s *state.Spec) string { return strings.Join(s.Constraints, "\n") },
		read: func(s *state.Spec, text string) string {
			s.Constraints = strings.Split(text, "\n")
			return ""
		}}),
	more(specField{field: field{Name: "pull_policy", Label: "Pull the image", Kind: "select", Options: pullOptions, Help: "At each start, for a tag such as latest that moves."},
		show: func(s *state.Spec) string { return string(cmp.Or(s.PullPolicy, state.PullMissing)) },
		read: func(s *state.Spec, text string) string {
			s.PullPolicy = state.PullPolicy(text)
			return ""
		}}),
	more(specField{field: field{Name: "volumes", Label: "Volumes", Kind: "area", Rows: 2, Max: 16 << 10,
		Help: "Data of the project that outlives restarts and updates, as name:path, one a line, such as notebooks:/home/jovyan/work. " +
			"Containers that name the same volume share it. It stays on one Docker host, and so do they. It is deleted with the last container that names it."},
		show: volumesText, read: readVolumes}),
	more(specField{field: field{Name: "max_lifetime", Label: "Maximum lifetime", Max: 32,
		Help: "The app is stopped when it has run for so long since its start, such as 8h or 90m. Empty for no limit."},
		show: lifetimeText, read: readLifetime}),
	more(check(field{Name: "read_only_root", Label: "Read-only file system", Help: "The app can write to /tmp and its volumes only."},
		func(s *state.Spec) *bool { return &s.ReadOnlyRoot })),
}

// pullOptions are the pull policies in plain words.
var pullOptions = []option{{string(state.PullMissing), "if the Docker host doesn't have it"},
	{string(state.PullAlways), "at each start"}, {string(state.PullNever), "never"}}

func pullText(p state.PullPolicy) string {
	for _, o := range pullOptions {
		if o.Value == string(cmp.Or(p, state.PullMissing)) {
			return o.Label
		}
	}
	return ""
}

func more(f specField) specField {
	f.More = true
	return f
}

func text(f field, at func(*state.Spec) *string) specField {
	return specField{field: f, show: func(s *state.Spec) string { return *at(s) }, read: func(s *state.Spec, text string) string {
		*at(s) = text
		return ""
	}}
}

func check(f field, at func(*state.Spec) *bool) specField {
	f.Kind = "check"
	return specField{field: f, show: func(s *state.Spec) string { return map[bool]string{true: "true"}[*at(s)] },
		read: func(s *state.Spec, text string) string {
			*at(s) = text != ""
			return ""
		}}
}

// integer is a number. One that is left empty stays as the form begins.
func integer(f field, at func(*state.Spec) *int) specField {
	f.Kind, f.Required = "number", true
	return specField{field: f, show: func(s *state.Spec) string { return strconv.Itoa(*at(s)) },
		read: func(s *state.Spec, text string) string {
			if text = strings.TrimSpace(text); text == "" {
				return ""
			}
			n, err := strconv.Atoi(text)
			if err != nil {
				return "A valid integer is required."
			}
			*at(s) = n
			return ""
		}}
}

// cpus is a number of CPUs, kept in thousandths; empty for none.
func cpus(f field, at func(*state.Spec) *int64) specField {
	f.Max = 16
	return specField{field: f, show: func(s *state.Spec) string { return unlessZero(*at(s), cpuText) },
		read: func(s *state.Spec, text string) string {
			*at(s) = 0
			if text = strings.TrimSpace(text); text == "" {
				return ""
			}
			n, err := strconv.ParseFloat(text, 64)
			if err != nil || n != n {
				return "Enter a number of CPUs such as 0.5 or 2."
			}
			*at(s) = int64(math.Round(min(max(n, -1), 1e9) * 1000))
			return ""
		}}
}

// size is a number of bytes; empty for none.
func size(f field, at func(*state.Spec) *int64) specField {
	f.Max = 32
	return specField{field: f, show: func(s *state.Spec) string { return unlessZero(*at(s), sizeText) },
		read: func(s *state.Spec, text string) string {
			*at(s) = 0
			if text = strings.TrimSpace(text); text == "" {
				return ""
			}
			n, err := units.RAMInBytes(text)
			if err != nil {
				return "Enter a size such as 512 MiB or 2 GiB."
			}
			*at(s) = n
			return ""
		}}
}

func unlessZero(n int64, text func(int64) string) string {
	if n == 0 {
		return ""
	}
	return text(n)
}

// sizeText is a number of bytes in the largest unit that gives it exactly, so that a form gives back what it was given.
func sizeText(n int64) string {
	for shift, unit := range []string{" TiB", " GiB", " MiB", " KiB"} {
		if step := int64(1) << (40 - 10*shift); n%step == 0 {
			return strconv.FormatInt(n/step, 10) + unit
		}
	}
	return strconv.FormatInt(n, 10)
}

func gpusText(s *state.Spec) string {
	switch s.GPUs {
	case 0:
		return ""
	case state.AllGPUs:
		return "all"
	}
	return strconv.Itoa(s.GPUs)
}

func readGPUs(s *state.Spec, text string) string {
	s.GPUs = 0
	switch text = strings.TrimSpace(text); text {
	case "":
		return ""
	case "all":
		s.GPUs = state.AllGPUs
		return ""
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return "Enter a number of GPUs, or all."
	}
	s.GPUs = n
	return ""
}

func volumesText(s *state.Spec) string {
	var lines []string
	for _, v := range s.Volumes {
		lines = append(lines, v.String())
	}
	return strings.Join(lines, "\n")
}

func volumeNames(s *state.Spec) string {
	var names []string
	for _, v := range s.Volumes {
		names = append(names, v.Name)
	}
	return strings.Join(names, ", ")
}

func readVolumes(s *state.Spec, text string) string {
	s.Volumes = nil
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, path, ok := strings.Cut(line, ":")
		if !ok {
			return "Write each volume as name:path, such as notebooks:/home/jovyan/work."
		}
		s.Volumes = append(s.Volumes, state.Volume{Name: strings.TrimSpace(name), Path: strings.TrimSpace(path)})
	}
	return ""
}

// lifetimeText leaves out units that are zero: 8h and not 8h0m0s.
func lifetimeText(s *state.Spec) string {
	if s.Lifetime == 0 {
		return ""
	}
	text := (time.Duration(s.Lifetime) * time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func readLifetime(s *state.Spec, text string) string {
	s.Lifetime = 0
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	if d, err := time.ParseDuration(text); err == nil && d >= time.Second && d.Seconds() <= state.MaxLifetime {
		s.Lifetime = int(d.Seconds())
		return ""
	}
	return "Enter a time such as 8h, 90m or 1h30m, of a year at most."
}

// showSpec gives the form's fields the values of a definition.
func showSpec(fields []specField, s *state.Spec) []field {
	shown := make([]field, len(fields))
	for i, f := range fields {
		shown[i] = f.field
		shown[i].Value, shown[i].More = f.show(s), f.More
	}
	return shown
}

// readSpec takes over what was entered into s, and keeps it in the fields for another try. wrong has what can't be read.
func readSpec(fields []specField, shown []field, s *state.Spec, entered func(name string) string) (wrong map[string][]string) {
	wrong = make(map[string][]string)
	for i, f := range fields {
		value := strings.Clone(entered(f.Name))
		shown[i].Value = value
		if why := f.read(s, strings.ReplaceAll(value, "\r\n", "\n")); why != "" {
			wrong[f.Name] = []string{why}
		}
	}
	return wrong
}

// prettyJSON sorts the keys and shows < and > as they are; what isn't JSON stays as it is.
func prettyJSON(raw []byte, indent string) string {
	if len(raw) == 0 {
		return ""
	}
	var value any
	from := json.NewDecoder(bytes.NewReader(raw))
	from.UseNumber()
	if err := from.Decode(&value); err != nil {
		return string(raw)
	}
	var out bytes.Buffer
	to := json.NewEncoder(&out)
	to.SetEscapeHTML(false)
	to.SetIndent("", indent)
	if err := to.Encode(value); err != nil {
		return string(raw)
	}
	return strings.TrimSpace(out.String())
}

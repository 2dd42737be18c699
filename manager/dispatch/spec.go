package dispatch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kballard/go-shellquote"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
	"kiosc/manager/service"
)

// urlPrefix in a variable's value becomes the path of the app's address.
const urlPrefix = "__KIOSC_URL_PREFIX__"

// Limits are what the site allows each app. They must be the same on all managers.
type Limits struct {
	// NoFileSoft and NoFileHard are how many files a process may have open.
	NoFileSoft, NoFileHard int64
	// MaxProcesses bounds the processes and threads of a container.
	MaxProcesses int64
	// Capabilities, such as SYS_PTRACE, are those that root has in a container beyond the agent's own small set.
	Capabilities []string
}

// DefaultNoFile is how many files a process may have open, soft and hard, where nothing else is set; Kiosc's default.
const DefaultNoFile = 98304

// Opener gives back what service sealed.
type Opener interface {
	Open(sealed []byte, context string) ([]byte, error)
}

// spec is all that c's order needs. Only one that makes a Docker container tells what it is made of: secrets go nowhere
// without need, and what can't be made any more can still be stopped and deleted.
func (h *Hub) spec(c *state.Container) (spec wire.Spec, err error) {
	if c.Action != state.Start && c.Action != state.Restart {
		spec = wire.Spec{Project: c.Project, Image: c.Image(), Port: c.Port, Timeout: time.Duration(c.Timeout) * time.Second}
		if c.Action == state.Delete {
			err = h.store.View(func(tx *state.Tx) error {
				own, err := tx.OwnVolumes(c)
				spec.Volumes = volumes(own)
				return err
			})
		}
		return spec, err
	}
	if spec, err = specOf(c, h.cfg.Key, h.cfg.AppsAtRoot, h.cfg.FileHost); err != nil {
		return spec, fmt.Errorf("%w: %w", errSpec, err)
	}
	limits := h.cfg.Limits
	spec.NoFileSoft, spec.NoFileHard = limits.NoFileSoft, limits.NoFileHard
	spec.MaxProcesses, spec.Capabilities = limits.MaxProcesses, limits.Capabilities
	err = h.store.View(func(tx *state.Tx) (err error) {
		spec.Registry, err = h.login(tx, c)
		return err
	})
	return spec, err
}

func volumes(of []state.Volume) (list []wire.Volume) {
	for _, v := range of {
		list = append(list, wire.Volume{Name: v.Name, Path: v.Path})
	}
	return list
}

// login is what the project has for the image's registry; nil for nothing.
func (h *Hub) login(tx *state.Tx, c *state.Container) (*wire.RegistryLogin, error) {
	r, ok, err := tx.Registry(c.Project, state.RegistryOf(c.Image()))
	if err != nil || !ok {
		return nil, err
	}
	password, err := h.cfg.Key.Open(r.Sealed, service.RegistryContext(r.Project, r.Host))
	if err != nil {
		return nil, fmt.Errorf("%w: opening the password for the registry %s: %w", errSpec, r.Host, err)
	}
	return &wire.RegistryLogin{Host: r.Host, User: r.User, Password: string(password)}, nil
}

func specOf(c *state.Container, key Opener, appsAtRoot bool, fileHost string) (wire.Spec, error) {
	command, err := shellquote.Split(c.Command)
	if err != nil {
		return wire.Spec{}, fmt.Errorf("splitting the command: %w", err)
	}
	env, err := environment(c, key, appsAtRoot)
	if err != nil {
		return wire.Spec{}, err
	}
	heartbeat, _ := c.Heartbeat()
	return wire.Spec{
		Heartbeat: heartbeat,
		Project:   c.Project, Image: c.Image(), Command: command, Env: env, Port: c.Port, Timeout: time.Duration(c.Timeout) * time.Second,
		LimitMilliCPUs: c.LimitMilliCPUs, LimitMemory: c.LimitMemory, ReservedMemory: c.ReservedMemory,
		FileHost: fileHost, Volumes: volumes(c.Volumes),
		SharedMemory: c.SharedMemory, GPUs: c.GPUs, ReadOnlyRoot: c.ReadOnlyRoot, PullPolicy: string(c.PullPolicy),
	}, nil
}

// environment gives the variables as the original Kiosc hands them to Docker, sorted by name: text as it is with
// urlPrefix replaced, null as a bare name, and any other value in Python's notation.
func environment(c *state.Container, key Opener, appsAtRoot bool) ([]string, error) {
	address := "/containers/proxy/" + c.ID + "/" + c.Path
	if appsAtRoot {
		address = "/" + c.Path
	}
	values := map[string]json.RawMessage{}
	if c.Environment != nil {
		var err error
		if values, err = state.ParseEnvironment(c.Environment); err != nil {
			return nil, fmt.Errorf("reading the environment: %w", err)
		}
	}
	for k, sealed := range c.Secrets {
		plain, err := key.Open(sealed, service.SecretContext(c.ID, k))
		if err != nil {
			return nil, fmt.Errorf("opening the secret value of %q: %w", k, err)
		}
		values[k] = plain
	}
	text := map[string]string{}
	var bare []string
	for k, raw := range values {
		switch trimmed := bytes.TrimSpace(raw); {
		case string(trimmed) == "null":
			bare = append(bare, k)
		case trimmed[0] == '"':
			var s string
			if err := json.Unmarshal(trimmed, &s); err != nil {
				return nil, fmt.Errorf("reading the variable %q: %w", k, err)
			}
			text[k] = strings.ReplaceAll(s, urlPrefix, address)
		default:
			s, err := pythonText(trimmed)
			if err != nil {
				return nil, fmt.Errorf("reading the variable %q: %w", k, err)
			}
			text[k] = s
		}
	}
	text["CONTAINER_PORT"] = fmt.Sprint(c.Port)
	text["TITLE"], text["DESCRIPTION"] = c.Title, c.Description
	var env []string
	for _, k := range slices.Sorted(maps.Keys(text)) {
		env = append(env, k+"="+text[k])
	}
	slices.Sort(bare)
	for _, k := range bare {
		if _, ours := text[k]; !ours {
			env = append(env, k)
		}
	}
	return env, nil
}

// pythonText writes a JSON value as Python's str() writes the object that it becomes there. Images made for the
// original Kiosc read lists and objects in this form.
func pythonText(raw []byte) (string, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var out strings.Builder
	if err := pythonValue(d, &out); err != nil {
		return "", err
	}
	return out.String(), nil
}

func pythonValue(d *json.Decoder, out *strings.Builder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch v := token.(type) {
	case nil:
		out.WriteString("None")
	case bool:
		out.WriteString(map[bool]string{true: "True", false: "False"}[v])
	case json.Number:
		out.WriteString(v.String())
	case string:
		out.WriteString(pythonQuote(v))
	case json.Delim:
		return pythonCollection(d, v, out)
	}
	return nil
}

func pythonCollection(d *json.Decoder, open json.Delim, out *strings.Builder) error {
	out.WriteRune(rune(open))
	for first := true; d.More(); first = false {
		if !first {
			out.WriteString(", ")
		}
		if open == '{' {
			if err := pythonValue(d, out); err != nil { // the key
				return err
			}
			out.WriteString(": ")
		}
		if err := pythonValue(d, out); err != nil {
			return err
		}
	}
	end, err := d.Token()
	if err != nil {
		return err
	}
	out.WriteRune(rune(end.(json.Delim)))
	return nil
}

// pythonQuote is Python's repr of text: single quotes, unless it has a single quote and no double one.
func pythonQuote(s string) string {
	quote := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	var out strings.Builder
	out.WriteRune(quote)
	for _, r := range s {
		switch {
		case r == quote || r == '\\':
			out.WriteRune('\\')
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\r':
			out.WriteString(`\r`)
		case r == '\t':
			out.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&out, `\x%02x`, r)
		default:
			out.WriteRune(r)
		}
	}
	out.WriteRune(quote)
	return out.String()
}

package service

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"kiosc/cluster/state"
)

// Kiosc's defaults for what people leave out.
const (
	DefaultPort       = 80
	DefaultTimeout    = 60 // seconds
	DefaultMaxRetries = 5
	// DefaultMaxInactivity is how many days an app may be unused at most where the site's settings say nothing else.
	DefaultMaxInactivity = 7
)

// NewSpec is what a form or a request for a new container or template begins with.
func (s *Service) NewSpec() state.Spec {
	return state.Spec{Port: DefaultPort, Timeout: DefaultTimeout, MaxRetries: DefaultMaxRetries,
		InactivityDays: s.MaxInactivity(), PullPolicy: state.PullMissing}
}

// MaxInactivity is the most days that the site allows an app to be unused.
func (s *Service) MaxInactivity() int {
	return cmp.Or(s.settings.MaxInactivityDays, DefaultMaxInactivity)
}

// tidy brings what was entered into the form in which it is kept.
func tidy(in state.Spec) state.Spec {
	for _, text := range []*string{&in.Title, &in.Repository, &in.Tag, &in.Path, &in.HeartbeatURL, &in.Command} {
		*text = strings.TrimSpace(*text)
	}
	in.Path = strings.TrimPrefix(in.Path, "/")
	in.PullPolicy = cmp.Or(in.PullPolicy, state.PullMissing)
	var constraints []string
	for _, text := range in.Constraints {
		if text = strings.TrimSpace(text); text != "" {
			constraints = append(constraints, text)
		}
	}
	in.Constraints = constraints
	var keys []string
	for _, k := range in.SecretKeys {
		if k = strings.TrimSpace(k); k != "" && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	in.SecretKeys = keys
	if in.Environment = bytes.TrimSpace(in.Environment); len(in.Environment) == 0 || string(in.Environment) == "null" {
		in.Environment, in.SecretKeys = nil, nil
	}
	in.Volumes = slices.SortedFunc(slices.Values(in.Volumes), func(a, b state.Volume) int { return cmp.Compare(a.Name, b.Name) })
	return in
}

// checkSite refuses what the site's settings forbid.
func (s *Service) checkSite(spec *state.Spec) error {
	if most := s.MaxInactivity(); spec.InactivityDays > most {
		return wrongField("inactivity_threshold", fmt.Sprintf("An app of this site may be unused for %d days at most.", most))
	}
	return nil
}

// isMasked tells whether a JSON value is the text that stands for a secret one.
func isMasked(value json.RawMessage) bool {
	var text string
	return json.Unmarshal(value, &text) == nil && text == state.Masked
}

var maskedJSON, _ = json.Marshal(state.Masked)

// seal moves the values of the secret keys out of the environment, which afterwards says Masked for them, and returns
// them sealed for the container. A value that was left as Masked is the old one.
func (s *Service) seal(container string, spec *state.Spec, old map[string][]byte) (map[string][]byte, error) {
	if spec.Environment == nil {
		return nil, nil
	}
	env, err := state.ParseEnvironment(spec.Environment)
	if err != nil {
		return nil, err
	}
	secrets := make(map[string][]byte)
	for _, k := range spec.SecretKeys {
		value := env[k]
		env[k] = maskedJSON
		switch {
		case !isMasked(value):
			if secrets[k], err = s.sealer.Seal(value, SecretContext(container, k)); err != nil {
				return nil, fmt.Errorf("sealing a secret value: %w", err)
			}
		case old[k] != nil:
			secrets[k] = old[k]
		default:
			return nil, wrongField("environment", fmt.Sprintf("Enter a value for the secret key %q.", k))
		}
	}
	if err := noneMasked(spec, env); err != nil {
		return nil, err
	}
	if spec.Environment, err = json.Marshal(env); err != nil {
		return nil, fmt.Errorf("encoding the environment: %w", err)
	}
	return secrets, nil
}

// noneMasked refuses a hidden value of a key that isn't, or is no longer, secret: only its text would be kept.
func noneMasked(spec *state.Spec, env map[string]json.RawMessage) error {
	for k, value := range env {
		if isMasked(value) && !slices.Contains(spec.SecretKeys, k) {
			return wrongField("environment", fmt.Sprintf("The value of %q is hidden. Enter the value, or keep %q among the secret keys.", k, k))
		}
	}
	return nil
}

// SecretContext binds a sealed environment value to its container and key.
func SecretContext(container, key string) string {
	return "container-env\x00" + container + "\x00" + key
}

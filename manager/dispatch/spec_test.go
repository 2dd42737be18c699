package dispatch

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

// plain opens what was never sealed, and fails on what isn't for its place.
type plain struct{}

func (plain) Open(sealed []byte, context string) ([]byte, error) {
	value, ok := strings.CutPrefix(string(sealed), context+"=")
	if !ok {
		return nil, errors.New("sealed for another place")
	}
	return []byte(value), nil
}

func TestEnvironmentReadsAsInTheOriginal(t *testing.T) {
	c := &state.Container{ID: "c1", Spec: state.Spec{
		Title: "My app", Port: 3838, Path: "start", SecretKeys: []string{"KEY"}, Environment: []byte(`{"TEXT": "a b", "URL": "x__KIOSC_URL_PREFIX__y", "LIST": ["A", "B", 1, 1.5, true, null],
			"OBJECT": {"z": "it's", "a": {"deep": "say \"it's\"\n"}}, "YES": true, "NUMBER": 12, "UNSET": null,
			"TITLE": "overridden", "KEY": "<masked>"}`),
	}, Secrets: map[string][]byte{"KEY": []byte("container-env\x00c1\x00KEY=\"s3cret\"")}}
	env, err := environment(c, plain{}, false)
	require.NoError(t, err)
	require.Equal(t, []string{
		"CONTAINER_PORT=3838",
		"DESCRIPTION=",
		"KEY=s3cret",
		"LIST=['A', 'B', 1, 1.5, True, None]",
		"NUMBER=12",
		`OBJECT={'z': "it's", 'a': {'deep': 'say "it\'s"\n'}}`,
		"TEXT=a b",
		"TITLE=My app",
		"URL=x/containers/proxy/c1/starty",
		"YES=True",
		"UNSET",
	}, env)
}

func TestTheAddressOfAnAppWithAHostOfItsOwn(t *testing.T) {
	c := &state.Container{ID: "c1", Spec: state.Spec{Path: "start", Environment: []byte(`{"URL": "x__KIOSC_URL_PREFIX__y"}`)}}
	env, err := environment(c, plain{}, true)
	require.NoError(t, err)
	require.Contains(t, env, "URL=x/starty")
}

func TestASecretOfAnotherContainerIsNotOpened(t *testing.T) {
	c := &state.Container{ID: "c2", Secrets: map[string][]byte{"KEY": []byte("container-env\x00c1\x00KEY=\"s3cret\"")}}
	_, err := environment(c, plain{}, false)
	require.ErrorContains(t, err, `opening the secret value of "KEY"`)
}

func TestCommandIsSplitAsAShellWould(t *testing.T) {
	s, err := specOf(&state.Container{Spec: state.Spec{Repository: "nginx", Command: `run "two words" 'it''s' $HOME *`}}, plain{}, false, "")
	require.NoError(t, err)
	require.Equal(t, []string{"run", "two words", "its", "$HOME", "*"}, s.Command)
	require.Equal(t, "nginx", s.Image)
}

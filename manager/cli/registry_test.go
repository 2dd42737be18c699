package cli_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/manager"
)

func TestRegistriesOnTheCommandLine(t *testing.T) {
	f := newFake(t)
	at := time.Now()
	one := []manager.RegistryLogin{{Host: "registry.example.org", User: "robot", SetBy: "ana", SetAt: at}}
	f.answer("registry-set", one)
	f.answer("registry-ls", one)
	f.answer("registry-rm", []manager.RegistryLogin{})
	standardInput(t, "se cret\n")
	local := at.Local().Format("2006-01-02 15:04:05 MST")
	stdout, _ := f.ok("registry", "set", "Mice", "registry.example.org", "robot")
	require.Equal(t, "REGISTRY              USER   SET BY  SET AT\nregistry.example.org  robot  ana     "+local+"\n", stdout)
	stdout, _ = f.ok("registry", "ls", "Mice", "--json")
	require.Contains(t, stdout, `"host": "registry.example.org"`)
	f.ok("registry", "rm", "Mice", "registry.example.org")
	var bodies []string
	for _, a := range f.requests() {
		bodies = append(bodies, a.name+" "+a.body)
	}
	require.Equal(t, []string{`registry-set {"project":"Mice","host":"registry.example.org","user":"robot","password":"se cret"}`,
		`registry-ls {"project":"Mice"}`, `registry-rm {"project":"Mice","host":"registry.example.org"}`}, bodies)
	_, _, code := f.run("registry", "set", "Mice", "registry.example.org", "robot", "password-as-an-argument")
	require.Equal(t, 2, code)
}

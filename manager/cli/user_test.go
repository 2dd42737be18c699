package cli_test

import (
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/manager/service"
)

func TestUserCommands(t *testing.T) {
	f := newFake(t)
	f.answer("user-add", service.UserView{Name: "ana", Password: "generated"})
	f.answer("user-set", service.UserView{Name: "ana"})
	stdout, _ := f.ok("user", "add", "ana", "--full-name", "Ana B.", "--superuser")
	require.Equal(t, "generated\n", stdout)
	for _, command := range []string{"admin", "no-admin", "deactivate", "activate"} {
		stdout, _ = f.ok("user", command, "ana")
		require.Empty(t, stdout)
	}
	f.answer("user-set", service.UserView{Name: "ana", Password: "another"})
	stdout, _ = f.ok("user", "passwd", "ana")
	require.Equal(t, "another\n", stdout)
	var bodies []string
	for _, a := range f.requests() {
		bodies = append(bodies, a.name+" "+a.body)
	}
	require.Equal(t, []string{
		`user-add {"username":"ana","name":"Ana B.","email":"","is_superuser":true}`,
		`user-set {"username":"ana","is_superuser":true}`,
		`user-set {"username":"ana","is_superuser":false}`,
		`user-set {"username":"ana","is_active":false}`,
		`user-set {"username":"ana","is_active":true}`,
		`user-set {"username":"ana","generate_password":true}`,
	}, bodies)
	f.serve("user-set", refuse(http.StatusConflict, "This is the last superuser who is active."))
	_, stderr, code := f.run("user", "deactivate", "ana")
	require.NotZero(t, code)
	require.Contains(t, stderr, "This is the last superuser")
}

func TestAPasswordFromStandardInput(t *testing.T) {
	f := newFake(t)
	f.answer("user-set", service.UserView{Name: "ana"})
	standardInput(t, "pass word \r\nmore\n")
	stdout, _ := f.ok("user", "passwd", "ana", "--password-stdin")
	require.Empty(t, stdout)
	require.Equal(t, `{"username":"ana","password":"pass word "}`, f.requests()[0].body)
}

func TestUsersInATable(t *testing.T) {
	f := newFake(t)
	at := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	f.answer("user-ls", []service.UserView{{Name: "admin", Superuser: true, Active: true, CreatedAt: at}, {Name: "ana", FullName: "Ana\x1b[1m", CreatedAt: at}})
	stdout, _ := f.ok("user", "ls")
	require.Equal(t, "NAME   FULL NAME  E-MAIL  SUPERUSER  ACTIVE  CREATED\n"+
		"admin                     yes        yes     2026-01-02\n"+
		"ana    Ana [1m            no         no      2026-01-02\n", stdout)
	stdout, _ = f.ok("user", "ls", "--json")
	require.Contains(t, stdout, `"username": "ana"`)
}

// standardInput is what commands read from there until the end of the test.
func standardInput(t *testing.T, text string) {
	in, out, err := os.Pipe()
	require.NoError(t, err)
	_, err = out.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, out.Close())
	old := os.Stdin
	os.Stdin = in
	t.Cleanup(func() { os.Stdin = old })
}

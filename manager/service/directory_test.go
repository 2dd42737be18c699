package service_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/ldap"
	"kiosc/manager/managertest"
	"kiosc/manager/service"
)

// fakeDirectory stands for an LDAP server, which has tests of its own with a real one: this one is down on command.
type fakeDirectory struct {
	domain, printable string

	mu     sync.Mutex
	people map[string]*fakePerson // by account
	down   bool
	asked  int
}

type fakePerson struct {
	ldap.Person
	password string
	unclear  bool
}

var errDown = errors.New("connection refused")

func (d *fakeDirectory) Domain() string    { return d.domain }
func (d *fakeDirectory) Printable() string { return d.printable }

func (d *fakeDirectory) Account(login string) (string, bool) {
	name, domain, _ := strings.Cut(login, "@")
	if d.domain == "" {
		return strings.ToLower(name), !strings.Contains(login, "@")
	}
	return strings.ToLower(name) + "@" + d.domain, strings.ToUpper(domain) == d.domain
}

func (d *fakeDirectory) Login(_ context.Context, account, password string) (ldap.Person, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	p := d.people[account]
	switch {
	case d.down:
		return ldap.Person{}, errDown
	case p == nil || p.password != password || p.Disabled:
		return ldap.Person{}, ldap.ErrRefused
	}
	return p.Person, nil
}

func (d *fakeDirectory) Find(_ context.Context, account string) (ldap.Person, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.people[account]
	switch {
	case d.down:
		return ldap.Person{}, errDown
	case p == nil:
		return ldap.Person{}, ldap.ErrNoSuchUser
	case p.unclear:
		return ldap.Person{}, ldap.ErrUnclear
	}
	return p.Person, nil
}

// set changes the directory while it is in use.
func (d *fakeDirectory) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

func (d *fakeDirectory) add(account, password string, groups ...string) *fakePerson {
	p := &fakePerson{Person: ldap.Person{Account: account, DN: "uid=" + account, FirstName: "Ana", LastName: "Ng", Email: "ana@acme.test", Groups: groups}, password: password}
	d.set(func() { d.people[account] = p })
	return p
}

// site is a service of one node with two directories: ACME, and one for plain names. root is a local superuser.
type site struct {
	*testing.T
	*service.Service
	node        *managertest.Node
	acme, plain *fakeDirectory
	log         *strings.Builder
}

const rootPassword = "correct horse"

func newSite(t *testing.T) *site {
	t.Parallel()
	s := &site{T: t, node: managertest.NewNode(t), log: &strings.Builder{},
		acme:  &fakeDirectory{domain: "ACME", printable: "Acme Institute", people: make(map[string]*fakePerson)},
		plain: &fakeDirectory{people: make(map[string]*fakePerson)}}
	s.Service = service.New(s.node.Node, make(pki.Key, 32), managertest.Progress{}, service.Settings{}, slog.New(slog.NewTextHandler(s.log, nil)))
	rules, err := service.ParseGroupRules(`[{"group": "mice", "project": "Lab / Mice", "role": "contributor"}, {"group": "mice", "project": "No / Such", "role": "guest"},
		{"group": "all", "project": "lab", "role": "finder"}]`, "chiefs", nil)
	require.NoError(t, err)
	s.UseDirectories([]service.DirectoryWithRules{{Directory: s.plain}, {Directory: s.acme, Rules: rules}})
	s.node.Do(&state.ClusterInitialized{Cluster: state.Cluster{ID: uuid.NewString(), CreatedAt: time.Now().UTC()}})
	hash, err := auth.HashPassword(rootPassword)
	require.NoError(t, err)
	s.node.Do(&state.UserCreated{User: state.User{ID: "root", Name: "root", PasswordHash: hash, Active: true, Superuser: true}})
	s.node.Do(&state.ProjectCreated{Project: state.Project{ID: "lab", Title: "Lab", Type: state.TypeCategory}, Owner: "root"})
	s.node.Do(&state.ProjectCreated{Project: state.Project{ID: "mice", Title: "Mice", Type: state.TypeProject, Parent: "lab"}, Owner: "root"})
	require.Eventually(t, s.node.CaughtUp, 10*time.Second, time.Millisecond)
	return s
}

func (s *site) login(name, password string) (string, error) {
	return s.Login(context.Background(), name, password, "10.0.0.1")
}

func (s *site) user(name string) (u state.User, ok bool) {
	s.Helper()
	s.node.View(func(tx *state.Tx) (err error) {
		u, ok, err = tx.UserByName(name)
		return err
	})
	return u, ok
}

func (s *site) role(project, name string) (role state.Role) {
	s.Helper()
	u, _ := s.user(name)
	s.node.View(func(tx *state.Tx) (err error) {
		role, err = tx.RoleOf(project, u.ID)
		return err
	})
	return role
}

// sync runs one, and returns its summary and the problems.
func (s *site) sync() (summary, problems string) {
	s.Helper()
	summary, err := s.SyncDirectories(context.Background())
	if err != nil {
		problems = err.Error()
	}
	return summary, problems
}

func TestADirectorysUserLogsIn(t *testing.T) {
	s := newSite(t)
	s.acme.add("ana@ACME", "secret", "mice", "others", "all")
	secret, err := s.login("Ana@acme", "secret")
	require.NoError(t, err)
	a, err := s.BySession(secret)
	require.NoError(t, err)
	require.Equal(t, "ana@ACME", a.User.Name)
	u, _ := s.user("ana@ACME")
	require.Equal(t, []string{"Ana Ng", "Ana", "Ng", "ana@acme.test"}, []string{u.FullName, u.FirstName, u.LastName, u.Email})
	require.Equal(t, []string{"all", "mice"}, u.Groups, "only those that mean something here")
	require.Equal(t, state.AuthLDAP, u.AuthType)
	require.Equal(t, state.Contributor, s.role("mice", "ana@ACME"))
	require.Equal(t, state.Finder, s.role("lab", "ana@ACME"))
	require.Contains(t, s.log.String(), "No / Such")

	s.acme.set(func() {
		p := s.acme.people["ana@ACME"]
		p.Groups, p.Email, p.LastName = []string{"chiefs"}, strings.Repeat("x", 1000), " N\x00g\n "
	})
	_, err = s.login("ana@ACME", "secret")
	require.NoError(t, err)
	u, _ = s.user("ana@ACME")
	require.True(t, u.Superuser && u.SuperuserByGroup)
	require.Equal(t, []string{"Ana N g", strings.Repeat("x", 254)}, []string{u.FullName, u.Email})
	require.Empty(t, s.role("mice", "ana@ACME"))

	s.plain.add("ben", "secret")
	_, err = s.login("BEN", "secret")
	require.NoError(t, err)
	require.Equal(t, []service.Domain{{}, {Name: "ACME", Printable: "Acme Institute"}}, s.Domains())
}

func TestRefusedLoginsAreAlike(t *testing.T) {
	s := newSite(t)
	s.acme.add("ana@ACME", "secret")
	s.plain.add("a/b", "secret")
	_, err := s.login("ana@ACME", "secret")
	require.NoError(t, err)
	for name, password := range map[string]string{"ana@ACME": "wrong", "nobody@ACME": "secret", "ana@OTHER": "secret", "root": "wrong",
		"nobody": "wrong", "a/b": "secret", "ana@": "secret", "ana@ACME ": ""} {
		began := time.Now()
		_, err := s.login(name, password)
		require.Equal(t, state.Unauthenticated, state.CodeOf(err), name)
		require.EqualError(t, err, "The user name or the password is wrong.")
		require.GreaterOrEqual(t, time.Since(began), 699*time.Millisecond, "%s: none is quicker", name)
	}
}

func TestGuessingInADirectoryIsSlow(t *testing.T) {
	s := newSite(t)
	s.acme.add("ana@ACME", "secret")
	var all sync.WaitGroup
	for _, name := range []string{"ana@ACME", "Ana@acme", "ANA@Acme", "aNa@ACME", "ana@acmE"} {
		all.Go(func() {
			_, err := s.login(name, "wrong")
			require.Equal(t, state.Unauthenticated, state.CodeOf(err))
		})
	}
	all.Wait()
	_, err := s.login("ana@ACME", "secret")
	require.Equal(t, state.TooMany, state.CodeOf(err))
	require.Equal(t, 5, s.acme.asked)
	_, err = s.login("root", rootPassword)
	require.NoError(t, err)
}

func TestADirectoryThatIsDown(t *testing.T) {
	s := newSite(t)
	s.acme.add("ana@ACME", "secret")
	s.acme.down, s.plain.down = true, true
	for range 10 {
		_, err := s.login("ana@ACME", "secret")
		require.Equal(t, state.Unavailable, state.CodeOf(err))
		require.Contains(t, err.Error(), "The directory of Acme Institute does not answer;")
	}
	_, err := s.login("nobody", "secret")
	require.Contains(t, err.Error(), "The directory does not answer;")
	_, err = s.login("root", rootPassword)
	require.NoError(t, err, "local accounts still work")
	s.acme.set(func() { s.acme.down = false })
	_, err = s.login("ana@ACME", "secret")
	require.NoError(t, err, "nothing of it counts as guessing")
}

func TestLocalAccountsAreTheirOwn(t *testing.T) {
	s := newSite(t)
	s.plain.add("root", "from the directory")
	_, err := s.login("root", "from the directory")
	require.Equal(t, state.Unauthenticated, state.CodeOf(err))
	_, err = s.login("ROOT", "from the directory")
	require.Equal(t, state.Unauthenticated, state.CodeOf(err), "the same name for the directory")
	require.Zero(t, s.plain.asked)

	s.acme.add("ana@ACME", "secret")
	secret, err := s.login("ana@ACME", "secret")
	require.NoError(t, err)
	ana, err := s.BySession(secret)
	require.NoError(t, err)
	err = s.ChangePassword(context.Background(), ana, secret, "10.0.0.1", "secret", "another password")
	require.EqualError(t, err, "You log in with your password of the directory of Acme Institute, and change it there.")
	_, err = s.ChangeUser(context.Background(), service.Operator(), service.UserInput{Name: "ana@ACME", GeneratePassword: true})
	require.Equal(t, state.Conflict, state.CodeOf(err), "a second password would outlive the first")

	inactive := false
	_, err = s.ChangeUser(context.Background(), service.Operator(), service.UserInput{Name: "ana@ACME", Active: &inactive})
	require.NoError(t, err)
	_, err = s.login("ana@ACME", "secret")
	require.Equal(t, state.Forbidden, state.CodeOf(err))
	_, err = s.login("ana@ACME", "wrong")
	require.Equal(t, state.Unauthenticated, state.CodeOf(err))
}

func TestSync(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"ana@ACME", "ben@ACME", "eve@ACME"} {
		s.acme.add(name, "secret", "mice")
		_, err := s.login(name, "secret")
		require.NoError(t, err)
	}
	before := s.node.Store().AppliedIndex()
	summary, problems := s.sync()
	require.Equal(t, "plain names: 0 people, 0 changed, 0 gone; Acme Institute: 3 people, 0 changed, 0 gone", summary)
	require.Empty(t, problems)
	require.Equal(t, before, s.node.Store().AppliedIndex(), "nothing is written where nothing has changed")

	secret, err := s.login("ana@ACME", "secret")
	require.NoError(t, err)
	ana, err := s.BySession(secret)
	require.NoError(t, err)
	token, err := s.CreateToken(context.Background(), ana, service.TokenInput{Name: "t"})
	require.NoError(t, err)
	s.acme.set(func() {
		delete(s.acme.people, "ana@ACME")
		s.acme.people["ben@ACME"].Groups = nil
		s.acme.people["eve@ACME"].unclear = true
		s.acme.down = true
	})
	_, problems = s.sync()
	require.Equal(t, "The directory Acme Institute does not answer; nobody was deactivated.", problems)
	_, err = s.BySession(secret)
	require.NoError(t, err, "a directory that is down says nothing")

	s.acme.set(func() { s.acme.down = false })
	summary, problems = s.sync()
	require.Contains(t, summary, "Acme Institute: 3 people, 1 changed, 1 not clear, 1 gone")
	require.Empty(t, problems)
	_, err = s.BySession(secret)
	require.Error(t, err)
	_, err = s.ByToken(token)
	require.Error(t, err)
	require.Empty(t, s.role("mice", "ben@ACME"))
	require.Equal(t, state.Contributor, s.role("mice", "eve@ACME"))

	s.acme.add("ana@ACME", "secret", "mice")
	summary, _ = s.sync()
	require.Contains(t, summary, "3 people, 1 changed, 1 not clear, 0 gone")
	_, err = s.ByToken(token)
	require.NoError(t, err, "who is back has the tokens again")
	s.acme.set(func() { s.acme.people["ana@ACME"].Disabled = true })
	summary, _ = s.sync()
	require.Contains(t, summary, "1 gone")
	s.acme.set(func() { s.acme.people["ana@ACME"].Disabled = false })
	_, err = s.login("ana@ACME", "secret")
	require.NoError(t, err)
	require.Equal(t, state.Contributor, s.role("mice", "ana@ACME"))
}

func TestADirectoryThatHasLostEverybody(t *testing.T) {
	s := newSite(t)
	names := []string{"a@ACME", "b@ACME", "c@ACME", "d@ACME", "e@ACME", "f@ACME"}
	for _, name := range names {
		s.acme.add(name, "secret")
		_, err := s.login(name, "secret")
		require.NoError(t, err)
	}
	s.acme.set(func() { clear(s.acme.people) })
	_, problems := s.sync()
	require.Contains(t, problems, "does not have 6 of its 6 people any more")
	for _, name := range names[:3] {
		s.acme.add(name, "secret")
	}
	summary, problems := s.sync()
	require.Empty(t, problems)
	require.Contains(t, summary, "6 people, 0 changed, 3 gone")
}

func TestTheLastSuperuserStaysAndTheSyncSaysSo(t *testing.T) {
	s := newSite(t)
	s.acme.add("ana@ACME", "secret", "chiefs")
	_, err := s.login("ana@ACME", "secret")
	require.NoError(t, err)
	no := false
	_, err = s.ChangeUser(context.Background(), service.Operator(), service.UserInput{Name: "root", Superuser: &no})
	require.NoError(t, err)
	s.acme.set(func() { delete(s.acme.people, "ana@ACME") })
	summary, problems := s.sync()
	require.Contains(t, summary, "1 people, 0 changed, 0 gone")
	require.Equal(t, "ana@ACME stays as before: This is the last superuser who is active. Make another one first.", problems)
}

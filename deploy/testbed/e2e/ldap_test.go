//go:build e2e

package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

// twoDirectories are the settings for both, in the way that each kind of connection is used.
func twoDirectories(acme, other *testbed.Slapd) []string {
	return []string{
		"ENABLE_LDAP=True", "AUTH_LDAP_SERVER_URI=" + acme.TLS, "AUTH_LDAP_CA_CERT_FILE=" + acme.CA, "AUTH_LDAP_BIND_DN=" + acme.BindDN,
		"AUTH_LDAP_BIND_PASSWORD=" + testbed.SlapdBindPassword, "AUTH_LDAP_USER_SEARCH_BASE=" + acme.People,
		"AUTH_LDAP_USERNAME_DOMAIN=ACME", "AUTH_LDAP_DOMAIN_PRINTABLE=Acme Institute", "AUTH_LDAP_TIMEOUT=3s",
		`KIOSC_LDAP_GROUP_ROLES=[{"group": "cn=mice," + ` + "", // replaced below
		"ENABLE_LDAP_SECONDARY=True", "AUTH_LDAP2_SERVER_URI=" + other.Plain, "AUTH_LDAP2_START_TLS=True", "AUTH_LDAP2_CA_CERT_FILE=" + other.CA,
		"AUTH_LDAP2_BIND_DN=" + other.BindDN, "AUTH_LDAP2_BIND_PASSWORD=" + testbed.SlapdBindPassword, "AUTH_LDAP2_USER_FILTER=(uid=%(user)s)",
		"AUTH_LDAP2_USER_SEARCH_BASE=" + other.People, "AUTH_LDAP2_USERNAME_DOMAIN=OTHER", "AUTH_LDAP2_TIMEOUT=3s",
	}
}

// person has a browser of their own at a Kiosc, without pictures.
type person struct {
	*testbed.Kiosc
	session string
}

func (p *person) request(method, path string, form url.Values) (status int, body string, answer *http.Response) {
	p.Helper()
	r, err := http.NewRequest(method, "http://"+p.Addr+path, strings.NewReader(form.Encode()))
	require.NoError(p, err)
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://"+p.Addr)
	}
	if p.session != "" {
		r.Header.Set("Cookie", p.session)
	}
	answer, err = http.DefaultTransport.RoundTrip(r)
	require.NoError(p, err)
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	require.NoError(p, err)
	return answer.StatusCode, string(raw), answer
}

// logIn returns the status of the answer and its page.
func (p *person) logIn(name, password string) (status int, body string) {
	p.Helper()
	status, body, answer := p.request("POST", "/login/", url.Values{"username": {name}, "password": {password}, "next": {"/"}})
	for _, c := range answer.Cookies() {
		p.session = c.Name + "=" + c.Value
	}
	return status, body
}

// may tells whether the person's page of their account is answered, and whether they see the demo project.
func (p *person) may() (in, sees bool) {
	p.Helper()
	status, _, _ := p.request("GET", "/account/", nil)
	_, home, _ := p.request("GET", "/", nil)
	return status == http.StatusOK, strings.Contains(home, "Demo")
}

func TestPeopleOfTwoDirectories(t *testing.T) {
	acme, other := testbed.StartSlapd(t, "acme"), testbed.StartSlapd(t, "other")
	const secret = `p(*)\ ä, "x"`
	alice := acme.AddPerson("Alice_K", secret, map[string][]string{"givenName": {"Alice"}, "sn": {"Adäms"}, "mail": {"alice@acme.test"}})
	zoe := acme.AddPerson("zoë", secret, nil)
	other.AddPerson("alice_k", "another", nil)
	mice, chiefs := acme.AddGroup("Mice, all", alice, zoe), acme.AddGroup("chiefs", zoe)
	roles, err := json.Marshal([]map[string]string{{"group": strings.ToUpper(mice), "project": "Demo", "role": "contributor"}})
	require.NoError(t, err)
	k := testbed.Start(t, append(twoDirectories(acme, other), "KIOSC_LDAP_GROUP_ROLES="+string(roles), "KIOSC_LDAP_SUPERUSER_GROUP="+chiefs)...)
	a, b, z := &person{Kiosc: k}, &person{Kiosc: k}, &person{Kiosc: k}

	refusedAlike(a)
	status, _ := a.logIn("ALICE_K@acme", secret)
	require.Equal(t, http.StatusFound, status)
	in, sees := a.may()
	require.True(t, in && sees)
	_, account, _ := a.request("GET", "/account/", nil)
	for _, text := range []string{"alice_k@ACME", "Alice Adäms", "alice@acme.test", "directory of Acme Institute"} {
		require.Contains(t, account, text)
	}
	require.NotContains(t, account, "new_password")
	status, _ = b.logIn("alice_k@OTHER", "another")
	require.Equal(t, http.StatusFound, status)
	in, sees = b.may()
	require.True(t, in)
	require.False(t, sees, "the same name in another directory is somebody else")
	status, _ = z.logIn("zoë@ACME", secret)
	require.Equal(t, http.StatusFound, status)
	_, account, _ = z.request("GET", "/account/", nil)
	require.Contains(t, account, "superuser")

	lookAtLogin(k, "ldap-login")
	token := strings.TrimSpace(k.CLI("token", "create", "--user", "alice_k@ACME"))
	acme.Set(mice, "member", zoe)
	acme.Delete(chiefs)
	k.CLI("task", "run", "ldap-sync")
	in, sees = a.may()
	require.True(t, in)
	require.False(t, sees, "the role goes with the group")
	_, account, _ = z.request("GET", "/account/", nil)
	require.NotContains(t, account, "superuser")

	whileAcmeIsDown(acme, a, b)
	acme.Delete(alice)
	k.CLI("task", "run", "ldap-sync")
	in, _ = a.may()
	require.False(t, in, "who has left is logged out")
	k.Token = token
	status, _ = k.Request(http.MethodGet, "/project/api/list", nil)
	require.Equal(t, http.StatusUnauthorized, status)
	in, _ = z.may()
	require.True(t, in)
	output := k.Stop()
	require.NotContains(t, output, secret)
	require.NotContains(t, output, testbed.SlapdBindPassword)
}

// refusedAlike compares the answers to a wrong password and to an unknown name.
func refusedAlike(p *person) {
	p.Helper()
	_, page, _ := p.request("GET", "/login/", nil)
	require.Contains(p, page, "Acme Institute")
	require.Contains(p, page, "@OTHER")
	status, page := p.logIn("alice_k@ACME", "wrong")
	require.Equal(p, http.StatusUnauthorized, status)
	unknownStatus, unknown := p.logIn("nobody@ACME", "wrong")
	require.Equal(p, status, unknownStatus)
	require.Equal(p, strings.ReplaceAll(page, "alice_k", "nobody"), unknown)
}

// whileAcmeIsDown has the other directory and local accounts work, and nobody lose anything.
func whileAcmeIsDown(acme *testbed.Slapd, a, b *person) {
	a.Helper()
	acme.Stop()
	status, page := (&person{Kiosc: a.Kiosc}).logIn("alice_k@ACME", "any")
	require.Equal(a, http.StatusServiceUnavailable, status)
	require.Contains(a, page, "The directory of Acme Institute does not answer")
	status, _ = (&person{Kiosc: a.Kiosc}).logIn("admin", testbed.Password)
	require.Equal(a, http.StatusFound, status)
	status, _ = b.logIn("alice_k@OTHER", "another")
	require.Equal(a, http.StatusFound, status)
	lookAtLogin(a.Kiosc, "ldap-down", "alice_k@ACME")
	in, _ := a.may()
	require.True(a, in, "sessions go on")
	acme.Run()
}

// lookAtLogin leaves a picture of the login page, or of what follows an attempt with a name.
func lookAtLogin(k *testbed.Kiosc, name string, login ...string) {
	k.Helper()
	br := open(k.TB, "http://"+k.Addr)
	br.visit("/login/")
	for _, l := range login {
		br.do(chromedp.SendKeys("#username", l), chromedp.SendKeys("#password", "any"), chromedp.Submit("#password"))
		br.until("the answer", `document.querySelector(".alert") !== null`)
	}
	br.shot(name)
}

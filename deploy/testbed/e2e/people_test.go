//go:build e2e

package e2e_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

// TestAProjectWithItsPeople makes a project in one browser at one manager, invites somebody who makes an account in another
// browser at another manager, and shares one login between two browsers at two managers until it ends at both.
func TestAProjectWithItsPeople(t *testing.T) {
	k := testbed.StartCluster(t, testbed.Options{Managers: 2, Shared: true, ManagerEnv: []string{"PROJECTROLES_ALLOW_LOCAL_USERS=true"}})
	one, two := "http://"+k.Manager(1).Addr, "http://"+k.Manager(2).Addr

	admin := open(t, one)
	logIn(admin)
	admin.until("the projects are shown", `document.querySelector('a[href="/project/create"]')`)
	admin.visit("/project/create")
	admin.do(chromedp.SetValue("#f-type", "CATEGORY"), chromedp.SendKeys("#f-title", "Lab"), chromedp.Click("main form button"))
	admin.until("the category is there", `document.querySelector("h1").textContent.includes("Lab")`)
	admin.do(chromedp.Click(`main a[href^="/project/create/"]`), chromedp.WaitVisible("#f-title"), chromedp.SendKeys("#f-title", "Rats"),
		chromedp.SendKeys("#f-description", "Apps about rats"), chromedp.SendKeys("#f-readme", "# About\n\nAsk **ana** for access."), chromedp.Click("main form button"))
	admin.until("the readme is shown", `document.querySelector(".readme strong")?.textContent === "ana"`)
	admin.shot("project")
	admin.do(chromedp.Click(`a[href^="/project/members/"]`), chromedp.WaitVisible(`a[href^="/project/invites/create/"]`))
	admin.shot("members")
	admin.do(chromedp.Click(`a[href^="/project/invites/create/"]`), chromedp.WaitVisible("#f-email"), chromedp.SendKeys("#f-email", "ana@example.org"),
		chromedp.SetValue("#f-role", "project contributor"), chromedp.Click("main form button"), chromedp.WaitVisible("code.user-select-all"))
	admin.shot("invite")
	path := eval[string](admin, `new URL(document.querySelector("code.user-select-all").textContent).pathname`)

	ana := open(t, two)
	ana.visit(path)
	ana.do(chromedp.SendKeys("#f-username", "ana"), chromedp.SendKeys("#f-name", "Ana Beispiel"), chromedp.SendKeys("#f-password", "a long password"))
	ana.shot("accept")
	ana.do(chromedp.Click("main form button"))
	ana.until("the login is shown", `location.pathname === "/login/"`)
	ana.do(chromedp.SendKeys("#username", "ana"), chromedp.SendKeys("#password", "a long password"), chromedp.Click("main form button"))
	ana.until("the project is there", `[...document.querySelectorAll("main a")].some(a => a.textContent === "Rats")`)
	ana.shot("projects-of-ana")
	require.False(t, eval[bool](ana, `!!document.querySelector('a[href="/project/create"], a[href^="/kioscadmin"]')`), "a page offers what ana may not do")

	session := sessionOf(t, two, "ana", "a long password")
	first, second := open(t, two), open(t, one)
	for _, b := range []*browser{first, second} {
		b.visit("/login/")
		eval[string](b, `document.cookie = "`+session+`; path=/"`)
		b.visit("/account/")
		b.until("both managers know ana", `document.querySelector("main").innerText.includes("Ana Beispiel")`)
	}
	second.visit("/logout/")
	second.do(chromedp.Click("main form button"))
	second.until("ana is logged out", `location.pathname === "/login/"`)
	first.visit("/account/")
	first.until("in the other browser, too", `location.pathname === "/login/"`)

	admin.visit("/timeline/site")
	admin.until("the timeline tells of it", `document.querySelector("main").innerText.includes("accepts an invite to Rats")`)
	admin.shot("timeline")
	admin.visit("/kioscadmin/overview/users")
	admin.until("the user is listed", `document.querySelector("main").innerText.includes("Ana Beispiel")`)
	admin.shot("users")
}

// sessionOf logs in without a browser and returns the cookie of the login.
func sessionOf(t *testing.T, base, user, password string) string {
	t.Helper()
	client := &http.Client{Timeout: stepTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.PostForm(base+"/login/", url.Values{"username": {user}, "password": {password}})
	require.NoError(t, err)
	defer response.Body.Close()
	for _, c := range response.Cookies() {
		if c.Name == "kiosc_session" {
			return c.Name + "=" + c.Value
		}
	}
	require.FailNow(t, "no login", response.Status)
	return ""
}

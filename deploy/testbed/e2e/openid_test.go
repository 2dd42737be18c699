//go:build e2e

package e2e_test

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
	"kiosc/deploy/testbed/openid"
)

// TestOpenIDLogin logs in with a real browser at one manager, by a real provider, and goes on at the other manager.
func TestOpenIDLogin(t *testing.T) {
	p := openid.Start(t)
	p.Set(openid.User{ID: "u1", Name: "ana@example.org", First: "Ana", Last: "Ångström", Email: "ana@example.org", Groups: []string{"demo"}})
	k := testbed.StartCluster(t, testbed.Options{Managers: 2, Shared: true, ManagerEnv: []string{"ENABLE_OIDC=true",
		"SOCIAL_AUTH_OIDC_OIDC_ENDPOINT=" + p.Issuer, "SOCIAL_AUTH_OIDC_KEY=" + openid.ClientID, "SOCIAL_AUTH_OIDC_SECRET=" + openid.Secret,
		"SOCIAL_AUTH_OIDC_USERNAME_KEY=preferred_username", "KIOSC_OIDC_NAME=Institute login", "KIOSC_OIDC_GROUPS_CLAIM=groups",
		`KIOSC_OIDC_GROUP_ROLES=[{"group": "demo", "project": "Demo", "role": "contributor"}]`}})
	one, two := "http://"+k.Manager(1).Addr, "http://"+k.Manager(2).Addr
	p.Allow(one + "/social/complete/oidc/")
	b := open(t, one)

	b.visit("/tokens/?deep=%2Flink")
	b.do(chromedp.WaitVisible("#openid"))
	b.shot("openid-login")
	b.do(chromedp.Click("#openid"), chromedp.WaitVisible("#cancel"), chromedp.Click("#cancel"))
	b.until("the page says so", `document.querySelector('.alert-danger')?.textContent.includes("you have cancelled the login")`)
	b.shot("openid-cancelled")
	b.do(chromedp.Click("#openid"), chromedp.WaitVisible("#username"), chromedp.SendKeys("#username", "ana@example.org"),
		chromedp.SendKeys("#password", openid.Password), chromedp.Click("#login"))
	b.until("the link leads on", `location.href === "`+one+`/tokens/?deep=%2Flink"`)
	require.Empty(t, eval[string](b, "document.cookie"), "scripts can't read the session")

	b.to(two + "/account/")
	b.until("the other manager knows who it is", `document.querySelector("main").innerText.includes("Ana Ångström")`)
	b.shot("openid-account")
	b.to(two + "/containers/" + k.Project())
	b.until("the group gives its role", `document.querySelector('a[href^="/containers/create/"]')`)

	b.to(two + "/logout/")
	b.do(chromedp.Click("main form button"))
	b.until("the login is shown", `location.pathname === "/login/"`)
	b.visit("/tokens/")
	b.until("the login has ended at both", `location.pathname === "/login/"`)
}

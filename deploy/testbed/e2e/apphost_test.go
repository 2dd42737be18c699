//go:build e2e

package e2e_test

import (
	"net"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

// TestAppsHaveOriginsOfTheirOwn visits an app at its own host with a real browser, over TLS through documented reverse
// proxies.
func TestAppsHaveOriginsOfTheirOwn(t *testing.T) {
	for _, program := range []string{"caddy", "nginx"} {
		t.Run(program, func(t *testing.T) {
			addr := testbed.FrontAddr(t)
			_, port, err := net.SplitHostPort(addr)
			require.NoError(t, err)
			site := "https://" + net.JoinHostPort(testbed.SiteName, port)
			k := testbed.Start(t, "KIOSC_TRUSTED_PROXIES=127.0.0.1", "KIOSC_URL="+site, "KIOSC_APP_DOMAIN="+testbed.AppNames)
			testbed.StartFront(t, program, addr, k.Addr)
			v := &appVisit{open(t, site, chromedp.Flag("ignore-certificate-errors", true)), k, k.List()[0].UUID, ""}
			v.app = "https://" + strings.ReplaceAll(v.id, "-", "") + "." + net.JoinHostPort(testbed.AppNames, port)
			v.opens()
			v.attacks()
			v.leaves()
		})
	}
}

type appVisit struct {
	*browser
	k   *testbed.Kiosc
	id  string
	app string // its origin
}

// opens the app by a deep link: through the login and the lobby, which starts it.
func (v *appVisit) opens() {
	v.Helper()
	v.to(v.app + "/?deep=%2Flink")
	v.do(chromedp.WaitVisible("#username"))
	require.Equal(v, v.base, eval[string](v.browser, "location.origin"))
	v.do(chromedp.SendKeys("#username", "admin"), chromedp.SendKeys("#password", testbed.Password), chromedp.Click("form button"))
	v.until("the app opens where the link leads", `location.href === "`+v.app+`/?deep=%2Flink"`)
	v.until("server-sent events come", `Number(document.getElementById("value")?.textContent) > 0`)
	v.until("the WebSocket is open", `document.getElementById("ws")?.textContent === "open"`)
	v.do(chromedp.SetValue("#text", "Hello"), chromedp.Click("#form button"))
	v.until("the WebSocket echoes", `document.querySelector("#answers li")?.textContent === "Hello"`)
	require.Empty(v, eval[string](v.browser, "document.cookie"), "scripts of the app can't read its cookie")
	v.fetches("what the app is told", `fetch("/request").then((r) => r.json()).then((r) => !r.Header.Cookie && r.Header["X-Forwarded-User"][0] === "admin" &&
		r.Header["X-Forwarded-Proto"][0] === "https" && !r.Header["X-Forwarded-Prefix"] && r.Host === location.host)`)
	v.to(v.base + "/containers/proxy/" + v.id + "/?again")
	v.until("the path leads to the app's host", `location.href === "`+v.app+`/?again"`)
	v.shot("app-host")
}

// fetches waits for what a script's promise says.
func (v *appVisit) fetches(what, promise string) {
	v.Helper()
	eval[bool](v.browser, `window.answer = undefined; (`+promise+`).then((a) => { window.answer = a }, (e) => { window.answer = String(e) }); true`)
	v.until(what+" is known", `window.answer !== undefined`)
	require.Equal(v, "true", eval[string](v.browser, `String(window.answer)`), what)
}

// attacks tries as the app's page to act as its visitor.
func (v *appVisit) attacks() {
	v.Helper()
	for what, promise := range map[string]string{
		"pages can't be read":    `fetch("` + v.base + `/", {credentials: "include"}).then(() => false, () => true)`,
		"the API can't be read":  `fetch("` + v.base + `/project/api/list", {credentials: "include"}).then(() => false, () => true)`,
		"the logout is not sent": `fetch("` + v.base + `/logout/", {method: "POST", mode: "no-cors", credentials: "include"}).catch(() => 0).then(() => true)`,
		"nothing is stopped":     `fetch("` + v.base + `/containers/stop/` + v.id + `", {method: "POST", mode: "no-cors", credentials: "include"}).catch(() => 0).then(() => true)`,
		"Kiosc's cookie can't be set": `Promise.resolve(["", "; Domain=` + testbed.SiteName + `", "; Domain=localhost", "; Domain=` + testbed.AppNames + `"].every((d) => {
			document.cookie = "__Host-kiosc_session=evil; Path=/; Secure" + d; return true }))`,
	} {
		v.fetches(what, promise)
	}
	v.to(v.base + "/containers/detail/" + v.id)
	v.until("the visitor is still logged in and the app runs", `document.querySelector('form[action="/containers/stop/`+v.id+`"]')`)
	v.to(v.app + "/")
	v.until("the app opens", `document.getElementById("value")`)
}

// leaves by logging out, which ends the app's cookie as well.
func (v *appVisit) leaves() {
	v.Helper()
	v.to(v.base + "/logout/")
	v.do(chromedp.Click("main form button"))
	v.until("the login is shown", `location.pathname === "/login/"`)
	v.to(v.app + "/request")
	v.until("the app asks for a login", `location.origin === "`+v.base+`" && location.pathname === "/login/"`)
	v.do(chromedp.SendKeys("#username", "admin"), chromedp.SendKeys("#password", testbed.Password), chromedp.Click("main form button"))
	v.until("the app opens where the link led", `location.href === "`+v.app+`/request"`)
}

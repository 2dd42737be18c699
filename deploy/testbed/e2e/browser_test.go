//go:build e2e

package e2e_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

// visitTimeout bounds the whole visit, stepTimeout each step of it. No page waits longer than restTimeout for the network.
const (
	visitTimeout = 3 * time.Minute
	stepTimeout  = 30 * time.Second
	restTimeout  = 5 * time.Second
)

// artifacts is where the screenshots go.
const artifacts = "../../../e2e-artifacts"

// browser is one tab of a real Chromium.
type browser struct {
	testing.TB
	ctx  context.Context
	base string
}

func open(t testing.TB, base string, flags ...chromedp.ExecAllocatorOption) *browser {
	require.NoError(t, os.MkdirAll(artifacts, 0o755))
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox,
		chromedp.WindowSize(1280, 800), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	options = append(options, flags...)
	ctx, cancel := context.WithTimeout(context.Background(), visitTimeout)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t, ctx, base}
	b.do(chromedp.Navigate("about:blank"))
	return b
}

// do makes some steps, each in its time.
func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	for _, step := range steps {
		// The first step starts the browser, which must outlive the step's own time.
		done := make(chan error, 1)
		go func() { done <- chromedp.Do(b.ctx, step) }()
		select {
		case err := <-done:
			require.NoError(b, err)
		case <-time.After(stepTimeout):
			b.tell()
			require.FailNow(b, "a step took too long")
		}
	}
}

func eval[T any](b *browser, script string) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script))
	require.NoError(b, err, script)
	return v
}

// until waits for a script to be true.
func (b *browser) until(what, script string) {
	b.Helper()
	ok := false
	for end := time.Now().Add(stepTimeout); !ok && time.Now().Before(end); {
		v, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+script+")"))
		ok = err == nil && v
		if !ok {
			<-time.After(100 * time.Millisecond)
		}
	}
	if !ok {
		b.tell()
	}
	require.True(b, ok, what)
}

// tell leaves what the page shows, for whoever looks for what went wrong.
func (b *browser) tell() {
	b.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`location.pathname + "\n" + document.body.innerText.slice(0, 2000)`))
	b.Logf("the page: %s %v", text, err)
	b.shot("stuck-" + strings.ReplaceAll(b.Name(), "/", "-"))
}

func (b *browser) visit(path string) { b.Helper(); b.to(b.base + path) }

// to opens an address once the machine's network is at rest: a started container brings an interface, and Chromium breaks
// off what it is loading with ERR_NETWORK_CHANGED when that gets its address, a second or two later.
func (b *browser) to(address string) {
	b.Helper()
	for end := time.Now().Add(restTimeout); !networkAtRest(b) && time.Now().Before(end); {
		<-time.After(50 * time.Millisecond)
	}
	b.do(chromedp.Navigate(address))
}

// networkAtRest says whether each interface that is up has the link-local address that the kernel gives it, and has tested it.
func networkAtRest(t testing.TB) bool {
	t.Helper()
	list, err := os.ReadFile("/proc/net/if_inet6")
	if os.IsNotExist(err) {
		return true // no IPv6, no such addresses
	}
	require.NoError(t, err)
	settled := map[string]bool{}
	for line := range strings.Lines(string(list)) { // address, index, prefix, scope, flags, name
		if f := strings.Fields(line); len(f) == 6 {
			flags, err := strconv.ParseUint(f[4], 16, 32)
			require.NoError(t, err)
			settled[f[5]] = flags&syscall.IFA_F_TENTATIVE == 0
		}
	}
	all, err := net.Interfaces()
	require.NoError(t, err)
	for _, i := range all {
		if strings.HasPrefix(i.Name, "veth") && i.Flags&net.FlagRunning != 0 && !settled[i.Name] {
			return false
		}
	}
	return true
}

// shot leaves a picture of the page.
func (b *browser) shot(name string) {
	b.Helper()
	b.keep(name, chromedp.FullScreenshot(100))
}

// glance leaves a picture of the part of a long page that is to be seen.
func (b *browser) glance(name string) { b.Helper(); b.keep(name, chromedp.CaptureScreenshot()) }

func (b *browser) keep(name string, shot chromedp.Action[[]byte]) {
	b.Helper()
	picture, err := chromedp.Run(b.ctx, shot)
	require.NoError(b, err)
	require.NoError(b, os.WriteFile(filepath.Join(artifacts, name+".png"), picture, 0o644))
}

// href is where the first link that fits leads.
func (b *browser) href(selector string) string {
	b.Helper()
	return eval[string](b, `document.querySelector('`+selector+`').getAttribute("href")`)
}

func TestANewcomersVisit(t *testing.T) {
	k := testbed.Start(t)
	b := open(t, "http://"+k.Addr)

	b.visit("/")
	b.do(chromedp.WaitVisible("#username"), chromedp.SendKeys("#username", "admin"), chromedp.SendKeys("#password", "wrong password"),
		chromedp.Click("form button"))
	b.until("a wrong password is refused", `document.querySelector('.alert-danger')`)
	b.do(chromedp.SendKeys("#password", testbed.Password))
	b.shot("1-login")
	b.do(chromedp.Click("form button"))
	b.until("the projects are listed", `document.body.innerText.includes("Demo")`)
	b.shot("2-projects")
	require.Equal(t, "", eval[string](b, `document.cookie`), "scripts can't read the session")

	b.visit("/containers/" + k.Project())
	b.until("the containers are listed", `document.body.innerText.includes("Demo app")`)
	b.shot("3-containers")

	lobby := b.href(`a[href^="/containers/proxy/lobby/"]`)
	b.visit(lobby)
	b.shot("4-lobby")
	b.until("the lobby leads to the app", `location.pathname.match(/^\/containers\/proxy\/[0-9a-f-]{36}\/$/)`)
	b.until("server-sent events come", `Number(document.getElementById("value")?.textContent) > 0`)
	b.until("the WebSocket is open", `document.getElementById("ws")?.textContent === "open"`)
	b.do(chromedp.SetValue("#text", "Hello, Kiosc"), chromedp.Click("#form button"))
	b.until("the WebSocket echoes", `document.querySelector("#answers li")?.textContent === "Hello, Kiosc"`)
	b.until("the page says for whom it is", `document.body.innerText.includes("for admin")`)
	b.shot("5-app")
	restartUnderAPage(t, k, b)

	createAndDelete(t, k, b)

	b.visit("/tokens/create")
	b.do(chromedp.SendKeys("#f-label", "Nightly"), chromedp.SetValue("#f-scope", "read"), chromedp.SetValue("#f-project", k.Project()))
	b.shot("10-token")
	b.do(chromedp.Submit("#f-label"))
	b.until("the token is shown", `document.querySelector("main input")?.value.startsWith("kiosc_")`)
	b.visit("/tokens/")
	b.until("its limits are listed", `[...document.querySelectorAll('td[data-label="Scope"]')].some((cell) => cell.textContent === "read, Demo")`)

	b.visit("/account/")
	b.do(chromedp.SendKeys("#f-old_password", "wrong"), chromedp.SendKeys("#f-new_password", "a new password"),
		chromedp.SendKeys("#f-repeat_password", "a new password"), chromedp.Submit("#f-old_password"))
	b.until("a wrong password is marked", `document.getElementById("e-old_password")?.textContent.includes("This is not your password.")`)
	b.shot("9-account")
	b.do(chromedp.SendKeys("#f-old_password", testbed.Password), chromedp.SendKeys("#f-new_password", "a new password"),
		chromedp.SendKeys("#f-repeat_password", "a new password"), chromedp.Submit("#f-old_password"))
	b.until("the password is changed", `document.body.innerText.includes("Your password is changed.")`)
}

// restartUnderAPage stops and starts the app that the page shows. The page goes on by itself.
func restartUnderAPage(t *testing.T, k *testbed.Kiosc, b *browser) {
	demo := k.List()[0].UUID
	eval[bool](b, `window.sameDocument = true`)
	k.Act("stop", demo)
	k.WaitState(stepTimeout, demo, "exited")
	eval[string](b, `document.getElementById("value").textContent = "old"`)
	b.until("the page has tried in vain", `document.getElementById("ws")?.textContent.startsWith("closed") &&
		performance.getEntriesByName(location.href + "events").length >= 2`)
	k.Act("start", demo)
	k.WaitState(stepTimeout, demo, "running")
	b.until("server-sent events come again", `Number(document.getElementById("value")?.textContent) > 0`)
	b.until("the WebSocket is open again", `document.getElementById("ws")?.textContent === "open"`)
	require.True(t, eval[bool](b, `window.sameDocument === true`))
}

// createAndDelete is the life of a container of the visitor's own.
func createAndDelete(t *testing.T, k *testbed.Kiosc, b *browser) {
	b.visit("/containers/create/" + k.Project())
	for name, value := range map[string]string{"title": "My <b>app</b>", "description": "Five lines", "repository": "kiosc/demo",
		"tag": "1", "environment": "[1]", "command": "--lines 5"} {
		b.do(chromedp.SendKeys("#f-"+name, value))
	}
	b.do(chromedp.SetValue("#f-container_port", "8080"), chromedp.Submit("#f-title"))
	b.until("a wrong environment is marked", `document.getElementById("e-environment")?.textContent.includes("Environment must be a dictionary!")`)
	b.shot("6-form-error")
	b.do(chromedp.SetValue("#f-environment", `{"COLOR": "blue"}`), chromedp.Submit("#f-title"))
	b.until("the container is shown", `location.pathname.startsWith("/containers/detail/")`)
	id := strings.TrimPrefix(eval[string](b, `location.pathname`), "/containers/detail/")

	b.do(chromedp.Click(`form[action="/containers/start/` + id + `"] button`))
	b.until("the log comes by itself", `document.getElementById("log")?.textContent.includes("(Docker) line 5")`)
	k.WaitState(stepTimeout, id, "running")
	b.until("the page can stop it", `document.querySelector('form[action="/containers/stop/`+id+`"] button')`)
	b.shot("7-details")

	b.visit("/containers/proxy/" + id + "/")
	b.until("the app opens", `document.querySelector("h1")?.textContent === "My <b>app</b>"`)
	b.visit("/containers/detail/" + id)
	b.do(chromedp.Click(`form[action="/containers/stop/` + id + `"] button`))
	k.WaitState(stepTimeout, id, "exited")
	b.visit("/containers/delete/" + id)
	b.do(chromedp.Click(`form[action="/containers/delete/` + id + `"] button`))
	b.until("it is gone", `document.body.innerText.includes("Container deleted.")`)
	require.Empty(t, k.Containers(id))
	b.shot("8-deleted")
}

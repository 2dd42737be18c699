//go:build e2e

package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

// cursor is where a recipe's command has the link of its file.
const cursor = "<FILE>"

// recipe is an app of docs/cookbook.md with the fields that are told there.
type recipe struct {
	title, repository, tag, port string
	environment, command         string
	file                         string // a small file, whose link the command has at the cursor
	image                        func(t testing.TB, name string)
	says                         string // a line of the app's own
	works                        string // a script that is true once the page has got an answer from the app
	use                          func(b *browser)
}

// shinyImage is the Shiny of need-apps, which runs an app with Shiny's usual settings. R as the first process of a
// container ends at an interrupt only.
func shinyImage(file string) func(testing.TB, string) {
	return func(t testing.TB, name string) {
		run, err := json.Marshal([]string{"Rscript", "-e", "shiny::runApp('/apps/" + filepath.Base(file) + "', host='0.0.0.0', port=8080)"})
		require.NoError(t, err)
		testbed.ImageFrom(t, name, "kiosc-e2e/apps:1", file, "CMD "+string(run), "STOPSIGNAL SIGINT")
	}
}

// standIn is an image with deploy/testbed/standin in place of a program, which it runs where no command says what else.
func standIn(program string) func(testing.TB, string) {
	return func(t testing.TB, name string) {
		testbed.ImageWith(t, name, "kiosc/deploy/testbed/standin", "usr/bin/"+program, `CMD ["`+program+`"]`)
	}
}

const standInWorks = `document.getElementById("answer")?.textContent === "6 * 7 = 42"`

var pbmc = bytes.Repeat([]byte("cells and genes\n"), 1<<16)

func recipes() []recipe {
	const url = "https://cellxgene-example-data.czi.technology/pbmc3k.h5ad"
	cellxgene := recipe{title: "CELLxGENE", repository: "quay.io/biocontainers/cellxgene", tag: "1.0.0--pyhdfd78af_0", port: "8050",
		command: "cellxgene launch " + url + " -p 8050 --host 0.0.0.0 --verbose", image: standIn("cellxgene"),
		says: "cellxgene serves at [::]:8050: " + url, works: standInWorks}
	withFile := cellxgene
	withFile.title, withFile.file = "CELLxGENE with a small file", "pbmc3k.h5ad"
	withFile.command = strings.Replace(cellxgene.command, url, cursor, 1)
	withFile.says = fmt.Sprintf("pbmc3k.h5ad with the SHA-256 %x", sha256.Sum256(pbmc))
	return []recipe{
		{title: "Shiny", repository: "ghcr.io/bihealth/kioscshinytest", tag: "latest", port: "8080",
			environment: `{"title": "Kiosc Shiny App example", "dataset": "iris"}`, image: shinyImage("testdata/iris.R"),
			says: "Listening on http://0.0.0.0:8080", works: `document.querySelector("h2")?.textContent === "Kiosc Shiny App example" &&
				document.getElementById("mean")?.textContent === "mean = 5.84"`,
			use: func(b *browser) {
				eval[string](b, `Shiny.setInputValue("column", "Petal.Length"); ""`)
				b.until("the input has gone through the WebSocket", `document.getElementById("mean").textContent === "mean = 3.76"`)
			}},
		{title: "Dash", repository: "ghcr.io/bihealth/kiosc-example-dash", tag: "main-0", port: "8050",
			environment: `{"PUBLIC_URL_PREFIX": "__KIOSC_URL_PREFIX__"}`, image: standIn("dash"), says: "dash serves at [::]:8050", works: standInWorks},
		{title: "seaPiper", repository: "ghcr.io/bihealth/kiosc-seapiper-demo", tag: "latest", port: "8080", image: shinyImage("../apps/app.R"),
			says: "Listening on http://0.0.0.0:8080", works: `document.getElementById("sum")?.textContent === "sum = 385"`},
		cellxgene, withFile,
		{title: "ScElvis", repository: "ghcr.io/bihealth/scelvis", tag: "v0.8.6", port: "8050", command: "scelvis run",
			environment: `{"SCELVIS_URL_PREFIX": "__KIOSC_URL_PREFIX__", "SCELVIS_DATA_SOURCES": "` + url + `"}`,
			image:       standIn("scelvis"), says: url + " of ScElvis: ", works: standInWorks},
	}
}

// TestTheCookbook goes through the whole life of each app of the cookbook, as its users do.
func TestTheCookbook(t *testing.T) {
	k := testbed.Start(t)
	made := map[string]bool{}
	for _, r := range recipes() {
		if image := r.repository + ":" + r.tag; !made[image] {
			r.image(t, image)
			made[image] = true
		}
		t.Run(r.title, func(t *testing.T) {
			l := &life{open(t, "http://"+k.Addr), k, k.Client, r, ""}
			l.as.TB = t
			logIn(l.browser)
			l.create()
			l.opens()
			l.restarts()
			l.pauses()
			l.stopsAndStarts()
			l.ends()
		})
	}
}

// life is one container's, from its form to its end.
type life struct {
	*browser
	k  *testbed.Kiosc
	as testbed.Client // the admin, for this test alone
	recipe
	id string
}

func (l *life) create() {
	l.Helper()
	project := l.as.Project()
	if l.file != "" {
		path := filepath.Join(l.TempDir(), l.file)
		require.NoError(l, os.WriteFile(path, pbmc, 0o600))
		l.visit("/files/" + project)
		l.do(chromedp.SetUploadFiles("#files", []string{path}), chromedp.Click(".drop button"))
		l.until("the file is there", `document.querySelector("td a[href^='/files/download/']")?.textContent === "`+l.file+`"`)
	}
	before, after, _ := strings.Cut(l.command, cursor)
	l.visit("/containers/create/" + project)
	for name, value := range map[string]string{"title": l.title, "repository": l.repository, "tag": l.tag, "container_port": l.port,
		"environment": l.environment, "command": before + after} {
		if value != "" {
			l.do(chromedp.SetValue("#f-"+name, value))
		}
	}
	if l.file != "" {
		eval[bool](l.browser, fmt.Sprintf(`document.getElementById("f-command").setSelectionRange(%d, %[1]d) === undefined`, len(before)))
		l.do(chromedp.Click("[data-insert] button"))
	}
	l.do(chromedp.Submit("#f-title"))
	l.until("the container is shown", `location.pathname.startsWith("/containers/detail/")`)
	l.id = strings.TrimPrefix(eval[string](l.browser, `location.pathname`), "/containers/detail/")
	require.Equal(l, "initial", l.as.State(l.id))
	l.has("(Object) Created")
}

// has waits for lines of the log, which come in this order.
func (l *life) has(texts ...string) {
	l.Helper()
	var lines []string
	defer func() {
		if l.Failed() {
			l.Logf("the log:\n%s", strings.Join(lines, "\n"))
		}
	}()
	l.as.Wait(moment, "the log has "+strings.Join(texts, ", then "), func() bool {
		lines = l.as.Log(l.id)
		left := texts
		for _, line := range lines {
			if len(left) > 0 && strings.Contains(line, left[0]) {
				left = left[1:]
			}
		}
		return len(left) == 0
	})
}

// opens the app through the lobby, which starts it.
func (l *life) opens() {
	l.Helper()
	l.visit(l.href(`a[data-open]`))
	l.atWork()
	if l.use != nil {
		l.use(l.browser)
	}
	l.shot("cookbook-" + strings.ReplaceAll(l.title, " ", "-"))
	l.has("(Object) Created", "(Action) Start [Proxy lobby]", "(Task) Starting ...", "(Task) Starting succeeded")
	l.has(l.says)
	l.has("admin] (Proxy) Accessing the app")
	l.visit("/containers/detail/" + l.id)
	l.until("its page says that it runs", `document.querySelector("[data-live=badge]")?.textContent.trim() === "running"`)
}

func (l *life) atWork() {
	l.Helper()
	l.until("the app is open", `location.pathname === "/containers/proxy/`+l.id+`/"`)
	l.until("the app works", l.works)
}

// again waits for another Docker container than before, in which the app works.
func (l *life) again(before []string) {
	l.Helper()
	l.as.Wait(appPatience, l.title+" runs anew", func() bool {
		now := l.k.Containers(l.id)
		return len(now) == 1 && now[0] != before[0] && l.as.State(l.id) == "running"
	})
	l.as.Wait(appPatience, l.title+" answers", func() bool {
		status, _, err := l.as.Try(stepTimeout, http.MethodGet, "/containers/proxy/"+l.id+"/", nil)
		return err == nil && status == http.StatusOK
	})
	l.visit("/containers/proxy/lobby/" + l.id)
	l.atWork()
}

// restarts by the button and by an update.
func (l *life) restarts() {
	l.Helper()
	first := l.k.Containers(l.id)
	l.visit("/containers/detail/" + l.id)
	l.do(chromedp.Click(`form[action="/containers/restart/` + l.id + `"] button`))
	l.again(first)
	l.has("(Action) Restart", "(Task) Stopping succeeded", "(Task) Deleting succeeded", "(Task) Starting succeeded")

	second := l.k.Containers(l.id)
	l.visit("/containers/update/" + l.id)
	l.do(chromedp.SetValue("#f-description", "Now described"), chromedp.Submit("#f-title"))
	l.until("it is updated", `document.body.innerText.includes("Container updated and restarted.") && document.body.innerText.includes("Now described")`)
	l.again(second)
	l.has("(Object) Updated", "(Task) Starting succeeded")
	require.Contains(l, l.k.Docker("inspect", "-f", "{{json .Config.Env}}", l.k.Containers(l.id)[0])[0], "DESCRIPTION=Now")
}

func (l *life) pauses() {
	l.Helper()
	for _, c := range [][3]string{{"pause", "paused", "(Task) Pausing succeeded"}, {"unpause", "running", "(Task) Unpausing succeeded"}} {
		l.as.Act(c[0], l.id)
		l.as.WaitState(appPatience, l.id, c[1])
		l.has(c[2])
	}
	l.visit("/containers/proxy/lobby/" + l.id)
	l.atWork()
}

func (l *life) stopsAndStarts() {
	l.Helper()
	l.visit("/containers/detail/" + l.id)
	l.do(chromedp.Click(`form[action="/containers/stop/` + l.id + `"] button`))
	l.as.WaitState(appPatience, l.id, "exited")
	l.has("(Task) Unpausing succeeded", "(Action) Stop", "(Task) Stopping succeeded")
	status, _ := l.as.Request(http.MethodGet, "/containers/proxy/"+l.id+"/", nil)
	require.Equal(l, http.StatusServiceUnavailable, status)

	before := l.k.Containers(l.id)
	l.as.Act("start", l.id)
	l.again(before)
}

func (l *life) ends() {
	l.Helper()
	l.visit("/containers/delete/" + l.id)
	l.do(chromedp.Click(`form[action="/containers/delete/` + l.id + `"] button`))
	l.until("it is gone", `document.body.innerText.includes("Container deleted.")`)
	require.Empty(l, l.k.Containers(l.id))
	status, _ := l.as.Request(http.MethodGet, "/containers/api/detail/"+l.id, nil)
	require.Equal(l, http.StatusNotFound, status)
}

//go:build e2e

package e2e_test

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

// appPatience is how long R or Python may take to start.
const appPatience = 90 * time.Second

// startApp starts an app of the image that need-apps makes.
func startApp(k *testbed.Kiosc, title string, port int, command string, fields map[string]any) (path string) {
	k.Helper()
	all := map[string]any{"repository": "kiosc-e2e/apps", "tag": "1", "container_port": port, "command": command}
	for name, value := range fields {
		all[name] = value
	}
	id := k.Create(title, all)
	k.Act("start", id)
	k.WaitState(appPatience, id, "running")
	path = "/containers/proxy/" + id + "/"
	k.Wait(appPatience, title+" answers", func() bool {
		status, _, err := k.Try(stepTimeout, "GET", path, nil)
		return err == nil && status < 400
	})
	return path
}

func logIn(b *browser) {
	b.Helper()
	b.visit("/")
	b.do(chromedp.WaitVisible("#username"), chromedp.SendKeys("#username", "admin"), chromedp.SendKeys("#password", testbed.Password),
		chromedp.Click("form button"))
	b.until("the projects are listed", `document.body.innerText.includes("Demo")`)
}

// TestAppsThatNobodyHereWrote visits apps through the path form. Each would fail without WebSockets, cookies, redirects
// and links that lead below its path.
func TestAppsThatNobodyHereWrote(t *testing.T) {
	k := testbed.Start(t)
	b := open(t, "http://"+k.Addr)
	logIn(b)

	shiny := startApp(k, "Shiny", 3838, `Rscript -e "shiny::runApp('/apps', host='0.0.0.0', port=3838)"`, nil)
	b.visit(shiny)
	b.until("Shiny has drawn a plot", `document.querySelector("#plot img")?.src.startsWith("data:image/png")`)
	b.until("Shiny has calculated", `document.getElementById("sum")?.textContent === "sum = 385"`)
	before := eval[string](b, `document.querySelector("#plot img").src`)
	b.do(chromedp.SetValue("#n", ""), chromedp.SendKeys("#n", "20"))
	b.until("the input has changed the sum", `document.getElementById("sum").textContent === "sum = 2870"`)
	b.until("the input has changed the plot", `document.querySelector("#plot img")?.naturalWidth > 0 && !document.querySelector("#plot").classList.contains("recalculating")`)
	require.NotEqual(t, before, eval[string](b, `document.querySelector("#plot img").src`))
	b.shot("app-shiny")

	jupyter := startApp(k, "Jupyter", 8888, `sh -c 'exec jupyter notebook --allow-root --no-browser --ip=0.0.0.0 --port=8888 --notebook-dir=/apps --NotebookApp.token= --NotebookApp.base_url="$BASE_URL"'`,
		map[string]any{"environment": map[string]any{"BASE_URL": "__KIOSC_URL_PREFIX__"}, "keep_prefix": true})
	b.visit(jupyter)
	b.until("the files are listed", `document.querySelector("#notebook_list")?.innerText.includes("hello.ipynb")`)
	b.visit(jupyter + "notebooks/hello.ipynb")
	b.until("the kernel is connected", `Jupyter?.notebook?.kernel?.is_connected() && document.querySelector("#kernel_indicator_icon.kernel_idle_icon")`)
	b.do(chromedp.Click(`button[data-jupyter-action="jupyter-notebook:run-cell-and-select-next"]`))
	b.until("the cell has printed", `document.querySelector(".output_text pre, .output_stream pre")?.innerText.trim() === "42"`)
	b.shot("app-jupyter")
}

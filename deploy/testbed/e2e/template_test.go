//go:build e2e

package e2e_test

import (
	"testing"

	"github.com/chromedp/chromedp"

	"kiosc/deploy/testbed"
)

// TestTemplatesInABrowser makes a template, fills the form for a container from it, and updates the container.
func TestTemplatesInABrowser(t *testing.T) {
	k := testbed.Start(t)
	b := open(t, "http://"+k.Addr)
	b.visit("/")
	b.do(chromedp.WaitVisible("#username"), chromedp.SendKeys("#username", "admin"), chromedp.SendKeys("#password", testbed.Password), chromedp.Click("form button"))
	b.until("the projects are listed", `document.body.innerText.includes("Demo")`)

	b.visit("/containertemplates/site/create")
	b.do(chromedp.SendKeys("#f-title", "Demo template"), chromedp.SendKeys("#f-repository", "kiosc/demo"), chromedp.SendKeys("#f-tag", "1"),
		chromedp.SetValue("#f-container_port", "8080"), chromedp.SetValue("#f-environment", `{"LEVEL": "info", "KEY": "s3cret"}`),
		chromedp.SetValue("#f-environment_secret_keys", "KEY"), chromedp.Submit("#f-title"))
	b.until("the template is shown", `document.querySelector("h1")?.textContent === "Demo template"`)
	b.shot("20-template")
	b.do(chromedp.Click(`form[action^="/containertemplates/site/duplicate/"] button`))
	b.until("it is there twice", `document.body.innerText.includes("'Demo template (Duplicate)' from 'Demo template'")`)
	b.visit("/containertemplates/site")
	b.shot("21-site-templates")
	b.visit("/containertemplates/project/" + k.Project())
	b.do(chromedp.Click(`form[action^="/containertemplates/project/copy/"] button`))
	b.until("it is copied", `document.body.innerText.includes("Demo template (Copy)")`)
	b.visit("/containertemplates/project/" + k.Project())
	b.shot("22-project-templates")

	b.visit("/containers/create/" + k.Project())
	eval[string](b, `document.querySelector("#f-template").value = [...document.querySelectorAll("#f-template option")].find((o) => o.textContent.includes("Demo template (kiosc")).value`)
	b.do(chromedp.Click(".picker button"))
	b.until("the form is filled", `document.getElementById("f-repository")?.value === "kiosc/demo"`)
	b.do(chromedp.Submit("#f-title"))
	b.until("the secret value is asked for", `document.getElementById("e-environment")?.textContent.includes("Enter a value for the secret key")`)
	b.do(chromedp.Click("details.more summary"))
	b.shot("23-create-from-template")
	b.do(chromedp.SetValue("#f-environment", `{"LEVEL": "info", "KEY": "mine"}`), chromedp.Submit("#f-title"))
	b.until("the container is shown", `location.pathname.startsWith("/containers/detail/")`)
	b.until("with its template", `document.querySelector('dd a[href^="/containertemplates/site/detail/"]')?.textContent === "Demo template"`)
	b.do(chromedp.Click(`a[href^="/containers/update/"]`))
	b.until("the form is there", `document.getElementById("f-environment")?.value.includes("<masked>")`)
	b.do(chromedp.SetValue("#f-tag", "2"), chromedp.Submit("#f-title"))
	b.until("it is updated", `document.body.innerText.includes("Container updated.") && document.body.innerText.includes("kiosc/demo:2")`)
	b.shot("24-details")

	b.visit("/containers/registries/" + k.Project())
	b.do(chromedp.SendKeys("#f-host", "registry.example.org"), chromedp.SendKeys("#f-user", "robot"), chromedp.SendKeys("#f-password", "s3cret"),
		chromedp.Submit("#f-host"))
	b.until("the login is listed", `document.querySelector('td[data-label="User"]')?.textContent === "robot"`)
	b.do(chromedp.EmulateViewport(420, 900))
	b.shot("25-registries-narrow")
}

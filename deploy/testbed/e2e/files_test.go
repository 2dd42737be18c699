//go:build e2e

package e2e_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

func TestSmallFilesOnThePages(t *testing.T) {
	k := testbed.Start(t)
	b := open(t, "http://"+k.Addr)
	b.visit("/")
	b.do(chromedp.WaitVisible("#username"), chromedp.SendKeys("#username", "admin"), chromedp.SendKeys("#password", testbed.Password),
		chromedp.Click("form button"))
	b.until("the projects are listed", `document.body.innerText.includes("Demo")`)
	project := k.Project()
	b.visit("/containers/" + project)
	b.do(chromedp.Click(`a[href="/files/` + project + `"]`))
	b.until("there are no files yet", `document.body.innerText.includes("No files here yet.")`)
	b.do(chromedp.Click(`a[href^="/files/folder/add/"]`), chromedp.WaitVisible("#f-name"), chromedp.SendKeys("#f-name", "reference <data>"),
		chromedp.SendKeys("#f-description", "Tables that all apps of the project read"), chromedp.Submit("#f-name"))
	b.until("the folder is listed", `document.body.innerText.includes("reference <data>")`)

	dir := t.TempDir()
	name := func(file string, size int) string {
		path := filepath.Join(dir, file)
		require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("x,y\n"), size/4), 0o600))
		return path
	}
	table, picture, large := name("cells of all mice.csv", 3<<20), name("genes.tsv", 4096), name("too large.h5ad", 11<<20)
	b.do(chromedp.SetUploadFiles("#files", []string{table, large, picture}), chromedp.Click(".drop button"))
	b.until("the large one is refused, the others are stored", `document.querySelectorAll(".uploads .text-success").length === 2 &&
		document.querySelector(".uploads .text-danger")?.textContent === "is too large: a file may have 10MiB at most"`)
	b.shot("files-1-uploads")
	b.do(chromedp.Click(".uploads a"))
	b.until("the files are listed", `document.body.innerText.includes("genes.tsv") && !document.body.innerText.includes("too large")`)
	b.do(chromedp.SetUploadFiles("#files", []string{picture}), chromedp.Click(".drop button"))
	b.until("one of the same name is refused", `document.querySelector(".uploads .text-danger")?.textContent === "There is one of this name in this folder already."`)
	b.visit("/files/" + project)
	b.do(chromedp.Click("tbody tr:last-child summary"))
	b.shot("files-2-list")

	b.visit(b.href(`a[href^="/files/update/"]`))
	b.do(chromedp.SetValue("#f-name", "renamed.csv"), chromedp.SetUploadFiles("#f-file", []string{picture}))
	b.shot("files-3-change")
	b.do(chromedp.Submit("#f-name"))
	b.until("the change is listed", `document.body.innerText.includes("renamed.csv") && document.body.innerText.includes("File changed.")`)

	b.visit(b.href(`td a[href^="/files/folder/"]`))
	b.do(chromedp.SetUploadFiles("#files", []string{table}), chromedp.Click(".drop button"))
	b.until("the file is in the folder", `document.querySelector("td a[href^='/files/download/']")?.textContent === "cells of all mice.csv"`)
	folder := eval[string](b, `location.pathname`)
	b.visit("/files/folder/delete/" + filepath.Base(folder))
	b.shot("files-4-delete-folder")

	b.visit("/containers/create/" + project)
	b.do(chromedp.SetValue("#f-command", "--table  --lines 5"))
	eval[bool](b, `document.getElementById("f-command").setSelectionRange(8, 8) === undefined`)
	b.do(chromedp.Click("[data-insert] button"))
	b.until("the link is at the cursor", `document.getElementById("f-command").value.match(/^--table http:\/\/kiosc-web:8080\/containers\/file\/serve\/[0-9a-f-]{36}\/[^ ]+ --lines 5$/)`)
	b.do(chromedp.ScrollIntoView("[data-insert]"))
	b.shot("files-5-insert")

	b.visit("/files/" + project)
	b.do(chromedp.EmulateViewport(390, 800))
	eval[string](b, `document.documentElement.dataset.bsTheme = "dark"`)
	b.shot("files-6-narrow-dark")
	b.do(chromedp.EmulateViewport(1280, 800))
	b.visit("/files/folder/delete/" + filepath.Base(folder))
	b.do(chromedp.Click(".btn-danger"))
	b.until("the folder is gone", `document.body.innerText.includes("deleted.") && !document.body.innerText.includes("Tables that all")`)
}

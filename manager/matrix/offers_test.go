package matrix_test

import (
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/manager/auth"
	"kiosc/webui"
)

// shownPages are those whose links and buttons are tried.
var shownPages = []string{"/", "/project/{project}", "/project/members/{project}"}

// projectPages are those that categories don't have.
var projectPages = []string{"/containers/{project}", "/containers/detail/{container}", "/containers/detail/{running}",
	"/files/{project}", "/files/folder/{folder}", "/timeline/{project}", "/containers/registries/{project}", "/containertemplates/project/{project}", "/containertemplates/project/detail/{template}", "/containers/proxy/lobby/{container}"}

var (
	links = regexp.MustCompile(`<a [^>]*href="(/[^"]*)"`)
	forms = regexp.MustCompile(`<form [^>]*action="(/[^"]*)"[^>]*>`)
	// buttons that send a form to an address of their own
	buttons = regexp.MustCompile(`<button [^>]*formaction="(/[^"]*)"`)
	ids     = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	// forAll are forms that everybody has.
	forAll = []string{"/logout/", "/containers/bulk"}
)

// offers follows each link of the pages that somebody sees, and looks each button up in the table: a page offers nothing that
// its visitor may not do.
func (w *walk) offers() {
	pages := shownPages
	if !w.place.category {
		pages = append(slices.Clone(pages), projectPages...)
	}
	for _, name := range people {
		followed := make(map[string]bool)
		for _, page := range pages {
			c := w.cell(w.session[name], false)
			path := placeholder.ReplaceAllStringFunc(page, func(word string) string { return c.id(strings.Trim(word, "{}")) })
			status, text := w.get(name, path)
			if status != http.StatusOK {
				continue
			}
			for _, link := range links.FindAllStringSubmatch(text, -1) {
				to := html.UnescapeString(link[1])
				if !followed[to] && !strings.HasPrefix(to, "/containers/proxy/") { // apps, which aren't here
					followed[to] = true
					status, _ := w.get(name, to)
					w.cells.Add(1)
					if status >= http.StatusBadRequest {
						w.t.Errorf("%s offers %s to %s (%s), who gets %d", page, to, name, w.place.name, status)
					}
				}
			}
			for _, form := range forms.FindAllStringSubmatch(text, -1) {
				if strings.Contains(form[0], `method="post"`) {
					w.offered(page, html.UnescapeString(form[1]), name)
				}
			}
			for _, button := range buttons.FindAllStringSubmatch(text, -1) {
				w.offered(page, html.UnescapeString(button[1]), name)
			}
		}
	}
}

// offered compares a button with the manual. Of several operations behind one address the least is enough.
func (w *walk) offered(page, action, name string) {
	if slices.Contains(forAll, action) {
		return
	}
	like := "POST " + ids.ReplaceAllString(action, "*")
	found, may := false, false
	for _, op := range all() {
		for _, request := range op.pages {
			path := placeholder.ReplaceAllString(request, "*")
			method, rest, _ := strings.Cut(path, " ")
			rest, _, _ = strings.Cut(rest, " ")
			if method+" "+rest == like {
				found = true
				may = may || w.manual.expect(w.session[name], w.place, &op) == allowed
			}
		}
	}
	w.cells.Add(1)
	if !found {
		w.t.Errorf("%s has a form to %s, which is in no line of the table of operations", page, action)
	} else if !may {
		w.t.Errorf("%s offers %s to %s (%s)", page, action, name, w.place.name)
	}
}

func (w *world) get(name, path string) (status int, text string) {
	answer, text, err := w.Send(http.MethodGet, path, nil, http.Header{"Cookie": {webui.SessionCookie + "=" + w.session[name].secret}})
	require.NoError(w.T, err)
	return answer.StatusCode, text
}

// TestLists compares what lists show with who may find what.
func TestLists(t *testing.T) {
	w := newWorld(t)
	for _, name := range people {
		_, home := w.get(name, "/")
		_, listed := w.get(name, "/project/api/list")
		for _, p := range w.places {
			finds := w.manual.expect(w.session[name], p, &operation{right: auth.FindProject}) == allowed
			require.Equal(t, finds, strings.Contains(home, p.id), "%s finds the %s on the page", name, p.name)
			require.Equal(t, finds, strings.Contains(listed, p.id), "%s finds the %s by REST", name, p.name)
		}
	}
}

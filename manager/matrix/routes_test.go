package matrix_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// noRight are the routes that need no right of the matrix: they are for everybody, for who has the secret in the address, or
// are about oneself.
var noRight = []string{
	"GET /api/openapi.json", "GET /api/docs/", "GET /healthz", "GET /readyz", "GET /static/:name", "GET /login/", "POST /login/", "GET /logout/", "POST /logout/",
	"GET /account/", "POST /account/password", "POST /account/logout-everywhere", "GET /project/api/users/current",
	"POST /tokens/delete/:token",     // one's own; another's is not there
	"GET /", "GET /project/api/list", // shows what one may find, see TestLists
	"POST /containers/bulk",    // as by REST, and says in the answer what became of it
	"GET /kioscadmin/overview", // leads to a tab
	"GET /project/invites/accept/:secret", "POST /project/invites/accept/:secret", "POST /project/invites/new/:secret",
	"GET /project/api/remote/get/:secret", // for sites that show their secret
}

// onlyPost are addresses that say to use the button, whoever asks.
var onlyPost = regexp.MustCompile(`^GET /(account/:action|containers/bulk|tokens/delete/:token|kioscadmin/remote/\*)$`)

// TestEveryRoute finds routes of pages and API that nobody walks, and rights of the manual that no operation needs.
func TestEveryRoute(t *testing.T) {
	w := newWorld(t)
	w.everyRight(t)
	walked := make(map[string][]string) // by method, with * for each object
	for _, op := range all() {
		for _, request := range append(slices.Clone(op.rest), op.pages...) {
			method, rest, _ := strings.Cut(request, " ")
			path := placeholder.ReplaceAllString(rest, "*")
			path, _, _ = strings.Cut(path, " ")
			path, _, _ = strings.Cut(path, "?")
			walked[method] = append(walked[method], path)
		}
	}
	counts := make(map[string]int)
	routes := w.app.GetRoutes(true)
	for _, r := range routes {
		counts[r.Method+" "+r.Path]++
	}
	param := regexp.MustCompile(`:[a-z]+(<[a-z]+>)?`)
	for _, r := range routes {
		route := r.Method + " " + r.Path
		if r.Method == http.MethodHead || slices.Contains(noRight, route) || onlyPost.MatchString(route) || strings.HasSuffix(r.Path, "/api/*") {
			continue
		}
		if isAPI(r.Path) && counts[route] == 1 {
			continue // what answers that an address hasn't this method
		}
		like := regexp.MustCompile("^" + param.ReplaceAllString(regexp.QuoteMeta(param.ReplaceAllString(r.Path, ":x")), `[^/]+`) + "$")
		covered := slices.ContainsFunc(walked[r.Method], like.MatchString)
		if !covered && r.Method == http.MethodGet && slices.ContainsFunc(walked[http.MethodPost], like.MatchString) {
			path := param.ReplaceAllString(r.Path, "00000000-0000-0000-0000-000000000000")
			status, _ := w.get("root", path)
			covered = status == http.StatusMethodNotAllowed
		}
		if !covered {
			t.Errorf("%s is in no line of the table of operations", route)
		}
	}
	for _, route := range noRight {
		require.Positive(t, counts[route], "%s is no route any more", route)
	}
}

// unwalked are rights of the matrix that no operation has yet.
var unwalked = []string{"projectroles.view_project"}

// everyRight finds rights of the manual that no operation needs.
func (w *world) everyRight(t *testing.T) {
	for right := range w.manual {
		used := slices.ContainsFunc(all(), func(op operation) bool { return op.right == right })
		require.True(t, used || slices.Contains(unwalked, string(right)), "no operation needs the right %s", right)
	}
}

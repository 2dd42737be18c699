package matrix_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/webui"
)

// TestMatrix walks every role × every operation × every interface, in projects of every kind.
func TestMatrix(t *testing.T) {
	w := newWorld(t)
	var cells atomic.Int64
	var walks []*walk
	for _, p := range w.places {
		walks = append(walks, &walk{world: w, place: p, shared: make(map[string]string), cells: &cells})
	}
	inAll := func(name string, do func(*walk)) {
		t.Run(name, func(t *testing.T) {
			for _, walk := range walks {
				t.Run(strings.ReplaceAll(walk.place.name, " ", "-"), func(t *testing.T) {
					t.Parallel()
					walk.t = t
					do(walk)
				})
			}
		})
	}
	inAll("offers", (*walk).offers) // before projects come and go
	inAll("in", func(w *walk) {
		w.people()
		if w.place.name == "project" {
			w.scopes()
			w.strangers()
		}
	})
	t.Logf("compared %d cells of %d operations", cells.Load(), len(all()))
}

// walk is through all operations in one place.
type walk struct {
	*world
	t      *testing.T
	place  *place
	shared map[string]string
	cells  *atomic.Int64
	tries  int
}

// people has everybody do everything with a session, and with an API token that has all rights.
func (w *walk) people() {
	for _, op := range all() {
		for _, name := range people {
			if op.in.has(w.place) && (op.only == nil || slices.Contains(op.only, name)) {
				w.try(&op, w.session[name], true)
				w.try(&op, w.token[name], false)
			}
		}
	}
}

// scopes has tokens with limits do everything.
func (w *walk) scopes() {
	for _, name := range []string{"owner", "guest", "root"} {
		tokens := []who{w.newToken(name, state.ScopeOperate, ""), w.newToken(name, state.ScopeRead, ""),
			w.newToken(name, state.ScopeAll, w.place.id), w.newToken(name, state.ScopeRead, w.place.id), w.newToken(name, state.ScopeAll, w.places[2].id)}
		for _, op := range all() {
			for _, token := range tokens {
				if op.in.has(w.place) && (op.only == nil || slices.Contains(op.only, name)) {
					w.try(&op, token, true)
				}
			}
		}
	}
}

// try has somebody do an operation in all ways, and compares how that goes with the manual. Of everyTry tries one is made.
func (w *walk) try(op *operation, by who, service bool) {
	if w.tries++; w.tries%everyTry != 0 {
		return
	}
	want := w.manual.expect(by, w.place, op)
	if by.project == w.place.id && want == allowed && strings.Contains(fmt.Sprint(op.rest, op.pages), "{disposable}") {
		return // which the token is not for
	}
	if service && op.call != nil {
		limits := cmp.Or(op.limits, op.right)
		c := w.cell(by, want == allowed && w.manual[limits].least != state.ScopeRead)
		w.compare(op, by, "service", want, outcome(op.call(c, w.actor(by))))
		c.settle()
	}
	// The API asks for everybody in the same way, however they show who they are; so with sessions it is walked once.
	if by.token || !op.tokens && w.place.name == "project" {
		for _, request := range op.rest {
			c := w.cell(by, want == allowed && !reads(request))
			w.compare(op, by, request, want, c.request(request, op))
			c.settle()
		}
	}
	if !by.token {
		for _, request := range op.pages {
			c := w.cell(by, want == allowed && !reads(request))
			w.compare(op, by, request, want, c.request(request, op))
			c.settle()
		}
	}
}

// reads tells whether a request changes nothing. Starting by GET, which is for tokens, does.
func reads(request string) bool {
	return strings.HasPrefix(request, "GET ") && !strings.Contains(request, "/api/start/") && !strings.Contains(request, "/api/stop/")
}

func (w *walk) cell(by who, fresh bool) *cell {
	return &cell{world: w.world, who: by, place: w.place, made: make(map[string]string), shared: w.shared, fresh: fresh}
}

func (w *walk) compare(op *operation, by who, way string, want, got verdict) {
	w.cells.Add(1)
	if want != got {
		w.t.Errorf("%s by %s %s: %s (%s) is %q, and should be %q", op.name, by.name, by.limits(), way, w.place.name, got, want)
	}
}

func (w who) limits() string {
	switch {
	case !w.token:
		return "in a browser"
	case w.project != "":
		return "with a token of scope " + string(w.scope) + " for one project"
	}
	return "with a token of scope " + string(w.scope)
}

func outcome(err error) verdict {
	switch state.CodeOf(err) {
	case "":
		return allowed
	case state.Forbidden:
		return refused
	case state.NotFound:
		return notThere
	case state.Unauthenticated:
		return login
	}
	return verdict(err.Error())
}

var placeholder = regexp.MustCompile(`\{([a-z ]+)\}`)

// request sends what a line of the table says.
func (c *cell) request(line string, op *operation) verdict {
	parts := strings.SplitN(line, " ", 2)
	method, target := parts[0], parts[1]
	path, body, _ := strings.Cut(target, " ")
	if strings.Contains(path, "{") { // whose words may have blanks
		end := strings.LastIndex(path, "{")
		if !strings.Contains(path[end:], "}") {
			at := strings.Index(target, "}") + 1
			for strings.HasPrefix(target[at:], "/{") {
				at += strings.Index(target[at:], "}") + 1
			}
			path, body = target[:at], strings.TrimPrefix(target[at:], " ")
		}
	}
	fill := func(text string) string {
		return placeholder.ReplaceAllStringFunc(text, func(word string) string {
			if word = strings.Trim(word, "{}"); word == "n" {
				return title()
			}
			return c.id(word)
		})
	}
	path, body = fill(path), fill(body)
	return c.send(method, path, body, op)
}

func isAPI(path string) bool { return strings.Contains(path, "/api/") }

func (c *cell) send(method, path, body string, op *operation) verdict {
	kind := "application/x-www-form-urlencoded"
	if file, is := strings.CutPrefix(body, "file:"); is {
		body, kind = withFile(file)
	} else if isAPI(path) {
		kind = "application/json"
	} else if body != "" {
		form := url.Values{}
		for _, pair := range strings.Split(body, "&") {
			name, value, _ := strings.Cut(pair, "=")
			form.Set(name, value)
		}
		body = form.Encode()
	}
	header := make(http.Header)
	if body != "" {
		header.Set("Content-Type", kind)
	}
	switch {
	case c.who.token:
		header.Set("Authorization", "token "+c.who.secret)
	case c.who.secret != "":
		header.Set("Cookie", webui.SessionCookie+"="+c.who.secret)
		if method != http.MethodGet {
			header.Set("X-CSRF-Token", auth.CSRFToken(c.who.secret))
		}
	}
	response, text, err := c.Send(method, path, strings.NewReader(body), header)
	require.NoError(c.T, err, "%s %s", method, path)
	return judge(response, text, op)
}

// judge says how somebody has fared by the answer.
func judge(r *http.Response, text string, op *operation) verdict {
	switch {
	case op != nil && op.bulk && r.StatusCode == http.StatusOK:
		var out struct {
			Results []struct {
				Submitted bool
				Detail    string
			}
		}
		switch err := json.Unmarshal([]byte(text), &out); {
		case err != nil || len(out.Results) != 1:
			return verdict(text)
		case out.Results[0].Submitted:
			return allowed
		case strings.HasPrefix(out.Results[0].Detail, "There is no such container"):
			return notThere
		}
		return refused
	case r.StatusCode == http.StatusUnauthorized, strings.HasPrefix(r.Header.Get("Location"), "/login/"):
		return login
	case r.StatusCode < 400:
		return allowed
	case r.StatusCode == http.StatusForbidden:
		return refused
	case r.StatusCode == http.StatusNotFound:
		return notThere
	}
	return verdict(fmt.Sprintf("%d %.2000s", r.StatusCode, text))
}

// withFile is a form with a field and a file.
func withFile(field string) (body, kind string) {
	var out bytes.Buffer
	form := multipart.NewWriter(&out)
	name, value, _ := strings.Cut(field, "=")
	_ = form.WriteField(name, value) // writing to memory doesn't fail
	file, _ := form.CreateFormFile("file", "hello.txt")
	_, _ = file.Write([]byte("hello"))
	_ = form.Close()
	return out.String(), form.FormDataContentType()
}

// strangers are not logged in, or no longer: nothing is done for them, and they learn nothing.
func (w *walk) strangers() {
	gone := w.User("gone", false)
	secret := w.Login(gone.ID)
	w.Do(&state.UserChanged{ID: gone.ID, Active: new(false)})
	for _, by := range []who{{name: "nobody"}, {name: "nobody", secret: secret}, {name: "nobody", token: true, secret: "kiosc_" + secret}} {
		for _, op := range all() {
			for _, request := range append(slices.Clone(op.rest), op.pages...) {
				if w.tries++; w.tries%everyTry == 0 && op.in.has(w.place) && (isAPI(request) || !by.token) {
					w.compare(&op, by, request, login, w.cell(by, false).request(request, &op))
				}
			}
		}
	}
}

package webui_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var rowOf = regexp.MustCompile(`<tr data-container="([^"]*)"`)

// rows are the containers on a page, in order.
func rows(body string) (ids []string) {
	for _, m := range rowOf.FindAllStringSubmatch(body, -1) {
		ids = append(ids, m[1])
	}
	return ids
}

// next is where a page's link to another leads; empty where it has none.
func next(body, rel string) string {
	m := regexp.MustCompile(`rel="` + rel + `" href="([^"]*)"`).FindStringSubmatch(body)
	if m == nil {
		return ""
	}
	return strings.ReplaceAll(m[1], "&amp;", "&")
}

func TestLongListsHavePages(t *testing.T) {
	s := newSite(t)
	made := make(map[string]bool)
	for i := range 405 {
		made[s.Container(fmt.Sprintf("App %03d", i))] = true
	}
	for _, list := range []string{"/containers/" + s.Project, "/containerlist/?sort=-title", "/kioscadmin/overview/containers?sort=title"} {
		seen, at, former := make(map[string]bool), list, []string(nil)
		for _, want := range []struct {
			rows int
			text string
		}{{200, "1–200 of 405"}, {200, "201–400 of 405"}, {5, "401–405 of 405"}} {
			body := s.get("root", at).body
			require.Len(t, rows(body), want.rows, at)
			require.Contains(t, body, want.text, at)
			for _, id := range rows(body) {
				require.False(t, seen[id], at)
				seen[id] = true
			}
			if at != list {
				require.Equal(t, former, rows(s.get("root", next(body, "prev")).body))
			}
			former = rows(body)
			at = next(body, "next")
		}
		require.Empty(t, at, list)
		require.Equal(t, made, seen, list)
	}
	require.Contains(t, s.get("root", "/containerlist/?sort=title&page=2").body, `name="back" value="/containerlist/?page=2&amp;sort=title"`,
		"actions on a selection lead back to the page")

	// Pages that there aren't are the nearest ones.
	for page, text := range map[string]string{"0": "1–200 of 405", "-3": "1–200 of 405", "x": "1–200 of 405", "99": "401–405 of 405"} {
		require.Contains(t, s.get("root", "/containerlist/?page="+page).body, text)
	}

	for find, want := range map[string]int{"app 40": 5, "APP+404": 1, "mice": 200, "demo": 0, "%3Cscript%3E": 0} {
		for _, list := range []string{"/containerlist/?sort=title&find=", "/containers/" + s.Project + "?find="} {
			body := s.get("root", list+strings.ReplaceAll(find, " ", "+")).body
			require.Len(t, rows(body), want, list+find)
			require.Contains(t, body, `type="search"`, "one can look for something else")
			require.NotContains(t, body, "<script>")
		}
	}
	require.Contains(t, s.get("root", "/containerlist/?find=app+40").body, `href="/containerlist/?find=app&#43;40&amp;sort=title"`, "sorting keeps what was looked for")
}

func TestShortListsHaveNoPages(t *testing.T) {
	s := newSite(t)
	s.Container("App")
	for _, page := range []string{"/containers/" + s.Project, "/containerlist/", "/containerlist/?page=7"} {
		body := s.get("root", page).body
		require.Len(t, rows(body), 1)
		require.NotContains(t, body, `type="search"`)
		require.NotContains(t, body, " of 1<")
	}
}

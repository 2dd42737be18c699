package webui_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLongListsStayLight keeps what a row of a list costs small: lists of a thousand containers are opened in one piece.
func TestLongListsStayLight(t *testing.T) {
	const most = 2200 // bytes a row
	s := newSite(t)
	s.Container("App 000")
	pages := []string{"/containers/" + s.Project, "/containerlist/"}
	short := make(map[string]string)
	for _, page := range pages {
		short[page] = s.get("contributor", page).body
	}
	for i := range 100 {
		s.Container(fmt.Sprintf("App %03d", 1+i))
	}
	for _, page := range pages {
		got := s.get("contributor", page)
		require.Equal(t, http.StatusOK, got.status)
		require.Less(t, (len(got.body)-len(short[page]))/100, most, page)
		for _, once := range []string{"<form", "csrf_token"} {
			require.Equal(t, strings.Count(short[page], once), strings.Count(got.body, once), "%s %s: all rows share it", page, once)
		}
		require.Equal(t, 101, strings.Count(got.body, `formaction="/containers/start/`), page)
		require.NotContains(t, got.body, `data-action="stop" hidden`, "what can't be done now is no part of a row")
	}
}

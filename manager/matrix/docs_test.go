package matrix_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAPIPage looks at the page about the REST API, which is made of what programs get.
func TestAPIPage(t *testing.T) {
	w := newWorld(t)
	status, page := w.get("nobody", "/api/docs/")
	require.Equal(t, http.StatusOK, status, page)
	for _, op := range all() {
		for _, request := range op.rest {
			_, path, _ := strings.Cut(request, " ")
			at, _, _ := strings.Cut(path, "{")
			at, _, _ = strings.Cut(at, " ")
			require.Contains(t, page, at, "%s is described", request)
		}
	}
	require.Contains(t, page, "containers.view_container")
	require.Contains(t, page, "PageOfContainer")
	require.Empty(t, regexp.MustCompile("<script>|style=").FindString(page))
	_, tokens := w.get("nobody", "/tokens/")
	require.Contains(t, tokens, `href="/api/docs/"`)
}

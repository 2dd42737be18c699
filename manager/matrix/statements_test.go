package matrix_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// proof is a test as docs/statements.md names it: a package, and a test or one of its subtests.
var proof = regexp.MustCompile("^`([a-z0-9/]+) (Test[A-Za-z0-9]+)(?:/([A-Za-z0-9]+))?`$")

// TestTheTableOfStatementsNamesRealTests keeps docs/statements.md from naming tests that there are no more.
func TestTheTableOfStatementsNamesRealTests(t *testing.T) {
	const root = "../.."
	page, err := os.ReadFile(filepath.Join(root, "docs", "statements.md"))
	require.NoError(t, err)
	sources := map[string]string{} // the tests of each package
	rows := 0
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| Statement") || strings.HasPrefix(line, "|---") {
			continue
		}
		rows++
		cells := strings.Split(strings.TrimSpace(line), "|")
		require.Len(t, cells, 5, line)
		here := strings.TrimSpace(cells[2])
		require.True(t, strings.HasPrefix(here, "same") || strings.HasPrefix(here, "differs: "), line)
		for named := range strings.SplitSeq(cells[3], ",") {
			found := proof.FindStringSubmatch(strings.TrimSpace(named))
			require.NotNil(t, found, "%q in %s", named, line)
			dir, test, sub := found[1], found[2], found[3]
			if _, read := sources[dir]; !read {
				files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
				require.NoError(t, err)
				for _, file := range files {
					source, err := os.ReadFile(file)
					require.NoError(t, err)
					sources[dir] += string(source)
				}
			}
			require.Contains(t, sources[dir], "\nfunc "+test+"(t *testing.T) {", line)
			if sub != "" {
				require.Contains(t, sources[dir], `"`+sub+`":`, line)
			}
		}
	}
	require.Greater(t, rows, 90)
}

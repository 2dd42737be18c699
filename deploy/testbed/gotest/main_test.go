package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// events is what "go test -json" says of a test, or of its package where the test's name is empty.
func events(t *testing.T, test, result, output string) string {
	t.Helper()
	var all strings.Builder
	write := func(e event) {
		e.Package, e.Test = "kiosc/proxy", test
		line, err := json.Marshal(e)
		require.NoError(t, err)
		all.Write(append(line, '\n'))
	}
	for line := range strings.Lines(output) {
		write(event{Action: "output", Output: line})
	}
	write(event{Action: result})
	return all.String()
}

const (
	unequal = "=== RUN   TestHeads/long\n" +
		"time=2026-11-26T19:00:00.000Z level=ERROR msg=\"not this\"\n" +
		"    heads_test.go:30: \n" +
		"        \tError Trace:\t/kiosc/proxy/heads_test.go:30\n" +
		"        \tError:      \tNot equal: \n" +
		"        \t            \texpected: \"a\\nb\"\n" +
		"        \t            \tactual  : \"a\\nc\"\n" +
		"        \t            \t\n" +
		"        \t            \tDiff:\n" +
		"        \t            \t--- Expected\n" +
		"        \tTest:       \tTestHeads/long\n" +
		"        \tMessages:   \twhat was sent\n" +
		"--- FAIL: TestHeads/long (0.00s)\n"
	plain = "=== RUN   TestPlain\n    plain_test.go:7: one\n    plain_test.go:8: two\n    other_test.go:9: three\n" +
		"    other_test.go:9: four\n    other_test.go:9: five\n    other_test.go:9: six\n    other_test.go:9: seven\n"
	crashed = "=== RUN   TestCrash\npanic: oh [recovered, repanicked]\n\ngoroutine 27 [running]:\n" +
		"testing.tRunner.func1.2({0x616880, 0x681820})\n\t/go/src/testing/testing.go:1974 +0x232\n" +
		"kiosc/proxy.TestCrash(0x31dbf05a3448?)\n\t/kiosc/proxy/crash_test.go:7 +0x25\n"
)

func TestTheEndSaysInShortWhatFailed(t *testing.T) {
	var out strings.Builder
	r := newReport(&out)
	r.read(strings.NewReader(events(t, "TestHeads/long", "fail", unequal) +
		events(t, "TestHeads", "fail", "=== RUN   TestHeads\ntime=now level=INFO msg=hello\n--- FAIL: TestHeads (0.00s)\n") +
		events(t, "TestPlain", "fail", plain) + events(t, "TestCrash", "fail", crashed) +
		events(t, "TestGood", "pass", "    good_test.go:3: only a log\n") +
		events(t, "", "fail", "FAIL\tkiosc/proxy\t0.032s\n")))
	middle := out.String()
	require.Contains(t, middle, "not this", "where it failed is all of its output")
	require.False(t, r.end(true))
	require.Equal(t, `failed: kiosc/proxy TestHeads/long
    Error Trace:	/kiosc/proxy/heads_test.go:30
    Error:      	Not equal:
    expected: "a\nb"
    actual  : "a\nc"
    Messages:   	what was sent
failed: kiosc/proxy TestPlain
    plain_test.go:7: one
    plain_test.go:8: two
    other_test.go:9: three
    other_test.go:9: four
    other_test.go:9: five
    other_test.go:9: six
failed: kiosc/proxy TestCrash
    panic: oh [recovered, repanicked]
    /kiosc/proxy/crash_test.go:7 +0x25
1 passed, 4 failed, 0 skipped
`, strings.TrimPrefix(out.String(), middle))
}

func TestOnlyPassedTestsAreGood(t *testing.T) {
	for name, c := range map[string]struct {
		events string
		failed bool
		good   bool
		last   string
	}{
		"passed":             {events: events(t, "TestA", "pass", "") + events(t, "", "pass", ""), good: true, last: "1 passed, 0 failed, 0 skipped"},
		"skipped":            {events: events(t, "TestA", "pass", "") + events(t, "TestB", "skip", ""), last: "1 passed, 0 failed, 1 skipped"},
		"none":               {events: events(t, "", "skip", ""), last: "0 passed, 0 failed, 0 skipped"},
		"go says that it is": {events: events(t, "TestA", "pass", ""), failed: true, last: "1 passed, 0 failed, 0 skipped"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			r := newReport(&out)
			r.read(strings.NewReader(c.events))
			require.Equal(t, c.good, r.end(c.failed))
			require.True(t, strings.HasSuffix(out.String(), c.last+"\n"), out.String())
		})
	}
}

// What the compiler says comes as text between the events.
func TestWhatDoesNotBuildIsShown(t *testing.T) {
	var out strings.Builder
	r := newReport(&out)
	r.read(strings.NewReader("kiosc/proxy: no Go files\n" + events(t, "", "build-fail", "")))
	require.False(t, r.end(true))
	require.Contains(t, out.String(), "no Go files")
}

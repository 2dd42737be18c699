package main

import (
	"regexp"
	"strings"
)

const (
	briefLines = 6
	errorLines = 3   // of testify's "Error", so that "Messages" has room
	briefWidth = 200 // characters of a line
)

var (
	// said is a line that a test wrote by t.Error and the like; with no text, testify's fields follow.
	said = regexp.MustCompile(`^\s*[\w.-]+_test\.go:\d+: ?(.*)`)
	// field is a line of testify's.
	field = regexp.MustCompile(`^\s*(Error Trace|Error|Messages|Test):\s`)
	// crash is a line that tells why a test binary ended, or what the race detector found.
	crash = regexp.MustCompile(`^(panic: |fatal error: |WARNING: DATA RACE|\s*\S+_test\.go:\d+ \+0x)`)
	// logged is a line of the program's own log.
	logged = regexp.MustCompile(`time=\S+ level=`)
)

// brief picks the assertion's own lines out of a test's output. What else the test wrote, and the log of the program,
// is left out. It is empty for a test that only failed because one of its subtests has.
func brief(output string) (lines []string) {
	more := 0 // how many lines of a field's value may follow
	for line := range strings.Lines(output) {
		text := strings.TrimSpace(line)
		name := field.FindStringSubmatch(line)
		own := said.FindStringSubmatch(line)
		switch {
		case text == "" || logged.MatchString(line):
			continue
		case name != nil:
			if more = 0; name[1] == "Error" {
				more = errorLines - 1
			}
			if name[1] == "Test" {
				continue
			}
		case own != nil:
			if more = 0; own[1] == "" { // "Error Trace" says the place as well
				continue
			}
		case crash.MatchString(line):
			more = 0
		case more > 0 && strings.HasPrefix(line, "    ") && text != "Diff:":
			more--
		default:
			more = 0
			continue
		}
		if runes := []rune(text); len(runes) > briefWidth {
			text = string(runes[:briefWidth]) + "…"
		}
		lines = append(lines, text)
	}
	return lines[:min(len(lines), briefLines)]
}

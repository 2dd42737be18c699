// Command gotest runs "go test -json" with its arguments, shows what failed and how many tests ran, and fails when one
// failed, was skipped or none ran: a skipped test would look like a passed one. Last, where the end of a log is all that
// is shown, come what each failed test says about itself in a few lines, and the totals.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

func main() {
	cmd := exec.Command("go", append([]string{"test", "-json"}, os.Args[1:]...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(2)
	}
	r := newReport(os.Stdout)
	r.read(out)
	if !r.end(cmd.Wait() != nil) {
		os.Exit(1)
	}
}

// report gathers what "go test -json" says, and writes it for people.
type report struct {
	to     io.Writer
	counts map[string]int
	output map[string]*strings.Builder // of what still runs
	failed []failure
}

// failure is what a failed test, or a package without its tests, says about itself.
type failure struct {
	name string
	text []string
}

func newReport(to io.Writer) *report {
	return &report{to: to, counts: make(map[string]int), output: make(map[string]*strings.Builder)}
}

func (r *report) read(from io.Reader) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(r.to, lines.Text()) // what the compiler says
			continue
		}
		r.take(e)
	}
}

func (r *report) take(e event) {
	name := strings.TrimSpace(e.Package + " " + e.Test)
	switch e.Action {
	case "output", "build-output":
		if r.output[name] == nil {
			r.output[name] = new(strings.Builder)
		}
		r.output[name].WriteString(e.Output)
	case "pass", "fail", "skip":
		if e.Test != "" {
			r.counts[e.Action]++
		} else if e.Action != "skip" { // a package without tests is "skipped"
			fmt.Fprintf(r.to, "%-5s %s (%.1f s)\n", e.Action, e.Package, e.Elapsed)
		}
		if text := r.output[name]; text != nil && (e.Action == "fail" || e.Action == "skip" && e.Test != "") {
			fmt.Fprint(r.to, text)
			if lines := brief(text.String()); len(lines) > 0 {
				r.failed = append(r.failed, failure{name, lines})
			}
		}
		delete(r.output, name)
	case "build-fail":
		for name, text := range r.output {
			fmt.Fprint(r.to, text)
			delete(r.output, name)
		}
	}
}

// end writes what failed in short and the totals, and tells whether all is well.
func (r *report) end(failed bool) bool {
	for _, f := range r.failed {
		fmt.Fprintln(r.to, "failed:", f.name)
		for _, line := range f.text {
			fmt.Fprintln(r.to, "   ", line)
		}
	}
	fmt.Fprintf(r.to, "%d passed, %d failed, %d skipped\n", r.counts["pass"], r.counts["fail"], r.counts["skip"])
	return !failed && r.counts["fail"]+r.counts["skip"] == 0 && r.counts["pass"] > 0
}

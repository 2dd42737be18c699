// Command gotest runs "go test -json" with its arguments, shows what failed and how many tests ran, and fails when one
// failed, was skipped or none ran: a skipped test would look like a passed one.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
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
	counts := map[string]int{}
	output := map[string]*strings.Builder{}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text()) // what the compiler says
			continue
		}
		take(e, counts, output)
	}
	failed := cmd.Wait() != nil
	fmt.Printf("%d passed, %d failed, %d skipped\n", counts["pass"], counts["fail"], counts["skip"])
	if failed || counts["fail"]+counts["skip"] > 0 || counts["pass"] == 0 {
		os.Exit(1)
	}
}

func take(e event, counts map[string]int, output map[string]*strings.Builder) {
	name := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		if output[name] == nil {
			output[name] = new(strings.Builder)
		}
		output[name].WriteString(e.Output)
	case "pass", "fail", "skip":
		if e.Test != "" {
			counts[e.Action]++
		} else if e.Action != "skip" { // a package without tests is "skipped"
			fmt.Printf("%-5s %s (%.1f s)\n", e.Action, e.Package, e.Elapsed)
		}
		if output[name] != nil && (e.Action == "fail" || e.Action == "skip" && e.Test != "") {
			fmt.Print(output[name])
		}
		delete(output, name)
	case "build-fail":
		for name, text := range output {
			fmt.Print(text)
			delete(output, name)
		}
	}
}

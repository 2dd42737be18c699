package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"kiosc/manager/service"
)

// shortID is how much of an id a table shows; it is enough to name a node by.
const shortID = 8

// table writes rows in columns; an empty head is left out.
func table(w io.Writer, head string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if head != "" {
		fmt.Fprintln(t, strings.ReplaceAll(head, " | ", "\t"))
	}
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, plain(cell))
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// plain keeps what users have named from steering the terminal of an operator, and from breaking a table.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

// printJSON writes JSON as it has come, indented.
func printJSON(w io.Writer, raw json.RawMessage) error {
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return fmt.Errorf("reading the manager's answer: %w", err)
	}
	out.WriteByte('\n')
	_, err := out.WriteTo(w)
	return err
}

const (
	managerHead = "NAME | ID | ROLE | HEALTH | LAST CONTACT | INDEX | LAG | ADDRESS | VERSION"
	agentHead   = "NAME | ID | HEALTH | AVAILABILITY | LAST CONTACT | DOCKER | CPUS | MEMORY | CONTAINERS | LABELS | VERSION"
	nodeHead    = "NAME | ID | ROLE | HEALTH | AVAILABILITY | LAST CONTACT | CONTAINERS | VERSION"
)

func managerRow(n service.NodeStatus, now time.Time) []string {
	index, lag := "-", "-"
	if n.LastContact != nil { // a manager that was never heard of is not known to be behind
		index, lag = fmt.Sprint(n.Index), fmt.Sprint(n.Lag)
	}
	return []string{n.Name, short(n.ID), raftRole(n), n.Health, ago(n.LastContact, now), index, lag, orDash(n.Address), orDash(n.Version)}
}

func agentRow(n service.NodeStatus, now time.Time) []string {
	cpus, memory := "-", "-"
	if n.CPUs > 0 {
		cpus, memory = fmt.Sprintf("%.3g/%d", n.ReservedCPUs, n.CPUs), fmt.Sprintf("%.1f/%s", float64(n.ReservedBytes)/(1<<30), gib(n.MemoryBytes))
	}
	return []string{n.Name, short(n.ID), n.Health, orDash(n.Availability), ago(n.LastContact, now), orDash(n.DockerVersion), cpus,
		memory, containers(n), labels(n.Labels), orDash(n.Version)}
}

func nodeRow(n service.NodeStatus, now time.Time) []string {
	role := "agent"
	if n.Role == "manager" {
		role = "manager (" + raftRole(n) + ")"
	}
	return []string{n.Name, short(n.ID), role, n.Health, orDash(n.Availability), ago(n.LastContact, now), containers(n), orDash(n.Version)}
}

// raftRole is a manager's part in Raft.
func raftRole(n service.NodeStatus) string {
	switch {
	case n.Leader:
		return "leader"
	case n.Voter:
		return "voter"
	}
	return "non-voter"
}

// containers are the active ones of those placed, as CPUs and memory are what is reserved of what there is.
func containers(n service.NodeStatus) string {
	if n.Role == "manager" {
		return "-"
	}
	return fmt.Sprintf("%d/%d", n.Active, n.Containers)
}

func short(id string) string { return id[:min(len(id), shortID)] }

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// ago is how long ago something was, in its largest unit.
func ago(at *time.Time, now time.Time) string {
	if at == nil {
		return "never"
	}
	d := max(0, now.Sub(*at))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", d/time.Hour)
	}
	return fmt.Sprintf("%dd ago", d/(24*time.Hour))
}

// clock is a moment on this machine's clock.
func clock(at time.Time) string { return at.Local().Format("2006-01-02 15:04:05 MST") }

func gib(bytes int64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }

func labels(all map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		out = append(out, k+"="+all[k])
	}
	return orDash(strings.Join(out, ","))
}

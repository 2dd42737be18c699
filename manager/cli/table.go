package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"kiosc/manager/service"
)

// shortID is how much of an id a table shows; it is enough to name a node by.
const shortID = 8

// table writes rows in columns.
func table(w io.Writer, head string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.ReplaceAll(head, " | ", "\t"))
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// printJSON writes v as indented JSON.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

const (
	managerHead = "NAME | ID | ROLE | HEALTH | LAST CONTACT | INDEX | LAG | ADDRESS | VERSION"
	agentHead   = "NAME | ID | HEALTH | AVAILABILITY | LAST CONTACT | DOCKER | CPUS | MEMORY | CONTAINERS | LABELS | VERSION"
	nodeHead    = "NAME | ID | ROLE | HEALTH | AVAILABILITY | LAST CONTACT | CONTAINERS | VERSION"
)

func managerRow(n service.NodeStatus, now time.Time) []string {
	return []string{n.Name, short(n.ID), raftRole(n), n.Health, ago(n.LastContact, now), fmt.Sprint(n.Index), fmt.Sprint(n.Lag), n.Address, n.Version}
}

func agentRow(n service.NodeStatus, now time.Time) []string {
	return []string{n.Name, short(n.ID), n.Health, n.Availability, ago(n.LastContact, now), orDash(n.DockerVersion), fmt.Sprint(n.CPUs),
		gib(n.MemoryBytes), containers(n), labels(n.Labels), orDash(n.Version)}
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

// containers are the active ones of those placed.
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

func ago(at *time.Time, now time.Time) string {
	if at == nil {
		return "-"
	}
	d := max(0, now.Sub(*at))
	if d < time.Minute {
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	}
	return d.Round(time.Minute).String() + " ago"
}

func gib(bytes int64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }

func labels(all map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		out = append(out, k+"="+all[k])
	}
	return orDash(strings.Join(out, ","))
}

package webui

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

// liveState is what changes of a container while people look at it. Its JSON is what the pages' scripts, and those
// that people wrote for the original Kiosc, read.
type liveState struct {
	State state.State `json:"state"`
	// Color is Bootstrap's name of the colour.
	Color string `json:"state_color"`
	Shown string `json:"state_shown"`
	// Bell tells that the state isn't what the last action should have made of it; null where it is.
	Bell        *string `json:"state_bell"`
	ContainerID string  `json:"container_id"`
	ContainerIP string  `json:"container_ip"`
	// LastDockerLog is null for never.
	LastDockerLog *string `json:"date_last_docker_log"`
	Retries       int     `json:"retries"`
	// Answering is false while the container runs and doesn't answer at its heartbeat URL.
	Answering bool `json:"answering"`
	// LastAction is what was wanted last; ImageID and the others are as the details show them.
	LastAction string `json:"last_action"`
	ImageID    string `json:"image_id"`
	Node       string `json:"node"`
	HostPort   string `json:"host_port"`
	Step       string `json:"step"`
	Percent    int    `json:"percent"` // -1 where it can't be told
	// Ongoing says that the state will change without anybody doing something.
	Ongoing bool           `json:"ongoing"`
	Allowed []state.Action `json:"allowed"`
}

// dynamicDetails is liveState with the log.
type dynamicDetails struct {
	liveState
	Logs string `json:"logs"`
}

// stateColors are the colours of states; all others are dark.
var stateColors = map[state.State]string{
	state.Initial: "primary",
	state.Running: "success",
	state.Failed:  "danger",
	state.Exited:  "secondary",
}

func (ui *UI) liveState(view service.ContainerView) liveState {
	l := liveState{State: view.State, Shown: view.Shown(), Color: "dark", ContainerID: view.DockerID, ContainerIP: view.IP,
		Step: view.Step, Percent: view.Percent, Allowed: []state.Action{}}
	l.Ongoing = view.Pending() || view.State == state.Pulling || view.State == state.Restarting || view.State == state.Deleting
	if color := stateColors[view.State]; color != "" && !l.Ongoing {
		l.Color = color
	}
	l.ImageID, l.Node = view.ImageID, view.NodeName
	if view.HostPort != 0 {
		l.HostPort = strconv.Itoa(view.HostPort)
	}
	l.Retries, l.Answering = view.Retries, view.State != state.Running || !view.Silent
	if view.Action != "" {
		l.LastAction = fmt.Sprintf("%s (%d/%d)", view.Action, view.Retries, view.MaxRetries)
	}
	if view.Differs() {
		text := "Should be " + string(view.Expected())
		l.Bell = &text
	}
	if view.State == state.Running && view.Silent && !l.Ongoing {
		l.Color = "warning"
	}
	if text := ui.date(view.LastDockerLog); text != "" {
		l.LastDockerLog = &text
	}
	for _, a := range []state.Action{state.Start, state.Unpause, state.Pause, state.Restart, state.Stop, state.Delete} {
		if view.Allowed[a] {
			l.Allowed = append(l.Allowed, a)
		}
	}
	return l
}

func (ui *UI) dynamicDetails(v *visit) error {
	view, err := ui.container(v)
	if err != nil {
		return err
	}
	d := dynamicDetails{liveState: ui.liveState(view)}
	if n := shownLines(v.Ctx); n > 0 && view.Rights[auth.ViewLogs] {
		entries, _, err := ui.svc.Logs(v.Actor, view.ID, service.LogFilter{}, n)
		if err != nil {
			return err
		}
		d.Logs = strings.Join(ui.format(entries), "\n")
	}
	return v.JSON(d)
}

// shownLines is how many log lines somebody wants: as the address says, else as the cookie remembers.
func shownLines(c *fiber.Ctx) int {
	for _, text := range []string{c.Query("log_lines"), c.Cookies("log_lines")} {
		if n, err := strconv.Atoi(text); err == nil {
			return min(max(n, 0), service.MaxShownLines)
		}
	}
	return service.DefaultShownLines
}

// format gives log lines as people know them.
func (ui *UI) format(entries []state.LogEntry) []string {
	lines := make([]string, len(entries))
	for i, e := range entries {
		if e.Process == "" {
			e.Process = state.ProcessObject
		}
		lines[i] = e.Format(ui.opts.Zone)
	}
	return lines
}

// appURL is where the proxy serves a container's app, opened at its own path.
func appURL(container, path string) string {
	return "/containers/proxy/" + container + "/" + escapePath(path)
}

// escapePath escapes what can't stand in an address and keeps what is escaped already. A path that would lead out of
// the app's address is dropped.
func escapePath(path string) string {
	u := url.URL{Path: path}
	if plain, err := url.PathUnescape(path); err == nil {
		u = url.URL{Path: plain, RawPath: path}
	}
	for _, part := range strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' || r == '\\' }) {
		if part == ".." || part == "." {
			return ""
		}
	}
	return strings.TrimLeft(u.EscapedPath(), "/")
}

package webui

import (
	"net/url"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

// choice is one of several.
type choice struct {
	Value, Label string
	Chosen       bool
}

// logSearch is what the details show of a log, and how that is chosen.
type logSearch struct {
	filter  service.LogFilter
	Text    string
	Sources []choice
	Levels  []choice
	// Query is the choice for the events and the downloads; empty for everything.
	Query string
	// LeftOut says how many lines the log doesn't have; empty for none.
	LeftOut string
}

// logFilter reads which lines somebody wants. A choice that isn't offered is refused by the service.
func logFilter(c *fiber.Ctx) (f service.LogFilter) {
	f.Text, f.Least = c.Query("text"), state.Level(c.Query("level"))
	if source := c.Query("source"); source != "" {
		f.Sources = []state.Process{state.Process(source)}
	}
	return f
}

var sourceLabels = []choice{{"", "All sources", false}, {"task", "Task", false}, {"docker", "Docker", false}, {"action", "Action", false},
	{"proxy", "Proxy", false}, {"object", "Object", false}}

func searchOf(v *visit, view service.ContainerView) logSearch {
	s := logSearch{filter: logFilter(v.Ctx)}
	s.Text = s.filter.Text
	levels := []choice{{"", "All levels", false}, {"warning", "Warnings and errors", false}, {"error", "Errors", false}}
	if v.Actor.User.Superuser {
		levels = []choice{{"", "All levels", false}, {"info", "Without debug", false}, {"warning", "Warnings and errors", false}, {"error", "Errors", false}}
	}
	source := ""
	if len(s.filter.Sources) > 0 {
		source = string(s.filter.Sources[0])
	}
	s.Sources, s.Levels = chosen(sourceLabels, source), chosen(levels, string(s.filter.Least))
	query := url.Values{}
	for name, value := range map[string]string{"text": s.Text, "source": source, "level": string(s.filter.Least)} {
		if value != "" {
			query.Set(name, value)
		}
	}
	s.Query = query.Encode()
	switch n := view.LeftOutLines; n {
	case 0:
	case 1:
		s.LeftOut = "One line was left out, because the container wrote too much at once."
	default:
		s.LeftOut = strconv.FormatUint(n, 10) + " lines were left out, because the container wrote too much at once."
	}
	return s
}

func chosen(from []choice, value string) []choice {
	all := append([]choice(nil), from...)
	for i := range all {
		all[i].Chosen = all[i].Value == value
	}
	return all
}

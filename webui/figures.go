package webui

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/gofiber/fiber/v2"

	"kiosc/manager/figures"
	"kiosc/manager/service"
)

func (ui *UI) registerFigures(app *fiber.App) {
	app.Get("/containers/ajax/figures/container/:id", ui.data(ui.figuresBy((*service.Service).ContainerFigures)))
	app.Get("/containers/ajax/figures/project/:id", ui.data(ui.figuresBy((*service.Service).ProjectFigures)))
	app.Get("/containers/ajax/figures/node/:id", ui.data(ui.figuresBy((*service.Service).NodeFigures)))
}

// figuresWait bounds how long a page waits for the leader's figures. It gets them later by itself.
const figuresWait = 300 * time.Millisecond

// figuresPart is a page's part with what containers use, and its JSON is how a page brings it up to date.
type figuresPart struct {
	// Source is where the page gets it anew, and Every how often, in seconds.
	Source string `json:"-"`
	Every  int    `json:"every"`
	// Notice tells why there is nothing, or too little, to see; empty for nothing.
	Notice string `json:"notice"`
	Plots  []plot `json:"plots"`
}

// plot is one small picture with a value. Its lines are paths of SVG in a box of plotWidth by plotHeight.
type plot struct {
	Key   string `json:"key"`
	Label string `json:"-"`
	Value string `json:"value"`
	Note  string `json:"note"`
	Line  string `json:"line"`
	Area  string `json:"area"`
}

const (
	plotWidth  = figures.Kept
	plotHeight = 40
)

// noFigures is what a page shows before there are any.
const noFigures = "No figures yet."

type figuresOf func(s *service.Service, ctx context.Context, a service.Actor, id string) (figures.Report, error)

// figuresBy serves the figures of something.
func (ui *UI) figuresBy(of figuresOf) handler {
	return func(v *visit) error {
		what, err := id(v.Ctx, "id")
		if err != nil {
			return err
		}
		report, err := of(ui.svc, v.UserContext(), v.Actor, what)
		if err != nil {
			return err
		}
		return v.JSON(drawFigures(report))
	}
}

// figures is the part for a page; kind is container, project or node.
func (ui *UI) figures(v *visit, kind, id string, of figuresOf) figuresPart {
	ctx, cancel := context.WithTimeout(v.UserContext(), figuresWait)
	defer cancel()
	report, err := of(ui.svc, ctx, v.Actor, id)
	if err != nil {
		report = figures.Report{}
	}
	part := drawFigures(report)
	part.Source = "/containers/ajax/figures/" + kind + "/" + id
	return part
}

func drawFigures(r figures.Report) figuresPart {
	step := r.Step
	if step == 0 {
		step = int(figures.DefaultEvery.Seconds())
	}
	part := figuresPart{Every: max(step, 2)}
	if len(r.Points) == 0 {
		part.Notice = noFigures
	}
	span := "the last hour"
	if minutes := step * figures.Kept / 60; minutes != 60 {
		span = strconv.Itoa(minutes) + " minutes"
	}
	for _, q := range quantities {
		p := plot{Key: q.key, Label: q.label, Value: "–", Note: "no figures"}
		if r.Now != nil {
			p.Value = q.text(q.of(*r.Now))
		}
		most := 0.0
		for _, at := range r.Points {
			most = max(most, q.of(at.Usage))
		}
		if len(r.Points) > 0 {
			p.Note = "at most " + q.text(most) + " in " + span
			p.Line, p.Area = draw(r.Points, step, max(most, q.least), q.of)
		}
		if q.key == "memory" && r.Now != nil && r.Containers == 1 && r.MemoryLimit > 0 {
			p.Note = "of " + memoryText(int64(r.MemoryLimit)) + "; " + p.Note
		}
		part.Plots = append(part.Plots, p)
	}
	if r.Restarts > 0 {
		times := "once"
		if r.Restarts > 1 {
			times = strconv.Itoa(r.Restarts) + " times"
		}
		part.Notice = "Started anew " + times + " in " + span + "."
	}
	return part
}

// quantities are what is plotted. least is the height of a plot at least, so that what is next to nothing looks like it.
var quantities = []struct {
	key, label string
	least      float64
	of         func(figures.Usage) float64
	text       func(float64) string
}{
	{"cpu", "CPU", 0.05, func(u figures.Usage) float64 { return u.CPU }, cpusText},
	{"memory", "Memory", 8 << 20, func(u figures.Usage) float64 { return u.Memory }, func(n float64) string { return units.BytesSize(n) }},
	{"received", "Network in", 2000, func(u figures.Usage) float64 { return u.Received }, rateText},
	{"sent", "Network out", 2000, func(u figures.Usage) float64 { return u.Sent }, rateText},
}

func cpusText(n float64) string {
	digits := 2
	if n >= 10 {
		digits = 1
	}
	text := strconv.FormatFloat(n, 'f', digits, 64)
	if text == "1.00" {
		return text + " CPU"
	}
	return text + " CPUs"
}

func rateText(n float64) string {
	return units.CustomSize("%.3g %s", n, 1000, []string{"B/s", "kB/s", "MB/s", "GB/s", "TB/s"})
}

// draw gives the points' line, and the area below it. The last point is at the right; where points are missing, both have
// a gap.
func draw(points []figures.Point, step int, most float64, of func(figures.Usage) float64) (line, area string) {
	last := points[len(points)-1].At
	var l, a strings.Builder
	begin := -1.0
	for i, p := range points {
		x := float64(plotWidth) - float64(last-p.At)/float64(step)
		y := plotHeight - 1 - of(p.Usage)/most*(plotHeight-2)
		if begin < 0 {
			begin = x - 1 // a point stands for the time since the one before
			fmt.Fprintf(&l, "M%.4g %.4g", begin, y)
			fmt.Fprintf(&a, "M%.4g %dV%.4g", begin, plotHeight, y)
		}
		fmt.Fprintf(&l, "L%.4g %.4g", x, y)
		fmt.Fprintf(&a, "L%.4g %.4g", x, y)
		if i == len(points)-1 || points[i+1].At-p.At > int64(step)*3/2 {
			fmt.Fprintf(&a, "V%dZ", plotHeight)
			begin = -1
		}
	}
	return l.String(), a.String()
}

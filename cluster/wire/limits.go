package wire

import (
	"fmt"
	"unicode/utf8"
)

// The limits on what a side takes. Sizes are in bytes.
const (
	maxMessage    = 4 << 20
	maxHeader     = 4 << 10
	maxID         = 128
	maxName       = 256
	maxText       = 16 << 10
	maxContainers = 20_000
	maxLabels     = 256
	maxTaskLines  = 10_000
	maxLogLines   = 10_000
	maxCSR        = 16 << 10
)

// check enforces the limits on what nodes with fewer rights send: agents to managers, and whoever wants to join.
func check(msg any) error {
	var c checker
	switch m := msg.(type) {
	case *Hello:
		c.text("name", m.Name, maxName)
		c.text("build", m.Build, maxName)
		c.text("engine version", m.Engine.Version+m.Engine.APIVersion+m.Engine.NetworkMode, maxName)
		c.text("engine's exposure", m.Engine.Exposed, maxText)
		c.count("labels", len(m.Labels), maxLabels)
		for k, v := range m.Labels {
			c.text("label", k+v, 2*maxName)
		}
	case *Inventory:
		c.count("containers", len(m.Containers), maxContainers)
		for i := range m.Containers {
			c.observed(&m.Containers[i])
		}
	case *Report:
		c.text("container", m.Container, maxID)
		c.text("state", m.State, maxID)
		c.observed(&m.Observed)
		c.count("lines", len(m.Lines), maxTaskLines)
		for _, line := range m.Lines {
			c.text("line", line.Text, maxText)
			c.text("process and level", line.Process+line.Level, maxID)
			c.process(line)
		}
	case *Progress:
		c.text("container", m.Container, maxID)
		c.text("text", m.Text, maxText)
	case *LogBatch:
		c.count("lines", len(m.Lines), maxLogLines)
		for _, line := range m.Lines {
			c.text("line", line.Text, MaxLine)
		}
	case *Figures:
		c.count("containers", len(m.Containers), maxContainers)
		for i := range m.Containers {
			c.text("container", m.Containers[i].Container, maxID)
			c.text("Docker id", m.Containers[i].DockerID, maxID)
		}
	case *FileHeader:
		c.text("container", m.Container, maxID)
		c.text("file", m.File, maxID)
	case *JoinRequest:
		c.text("name", m.Name, maxName)
		c.text("secret", m.Secret, maxName)
		c.text("role and address", m.Role+m.Address, maxName)
		c.count("request bytes", len(m.CSR)+len(m.Former), maxCSR)
	case *RenewRequest:
		c.count("request bytes", len(m.CSR), maxCSR)
	}
	return c.err
}

// checker keeps the first broken limit.
type checker struct{ err error }

func (c *checker) text(what, text string, limit int) {
	switch {
	case c.err != nil:
	case len(text) > limit:
		c.err = fmt.Errorf("%s has %d bytes, at most %d may come", what, len(text), limit)
	case !utf8.ValidString(text):
		c.err = fmt.Errorf("%s is not UTF-8", what)
	}
}

func (c *checker) count(what string, n, limit int) {
	if c.err == nil && n > limit {
		c.err = fmt.Errorf("%d %s, at most %d may come", n, what, limit)
	}
}

func (c *checker) observed(o *Observed) {
	c.text("container", o.Container, maxID)
	c.text("Docker id", o.DockerID, maxID)
	c.text("image id", o.ImageID, maxID)
	c.text("state and address", o.State+o.IP, maxID)
}

// process refuses lines that would pass as written by somebody else than Kiosc's tasks or Docker.
func (c *checker) process(line TaskLine) {
	if c.err == nil && line.Process != "task" && line.Process != "docker" {
		c.err = fmt.Errorf("process %q may not come from an agent", line.Process)
	}
}

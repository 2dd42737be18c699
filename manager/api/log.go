package api

import (
	"bufio"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

// logPage is a part of a container's log.
type logPage struct {
	Next  uint64   `json:"next"` // where the next part begins
	Lines []string `json:"lines"`
}

var logQueries = []query{{"text", "string", "what the lines contain"}, {"source", "string", "task, docker, action, proxy, object; several with commas"},
	{"level", "string", "the least level: debug, info, warning or error"}}

// logFilter reads which lines are wanted.
func logFilter(c *fiber.Ctx) service.LogFilter {
	f := service.LogFilter{Text: c.Query("text"), Least: state.Level(strings.ToLower(c.Query("level")))}
	for _, source := range strings.Split(c.Query("source"), ",") {
		if source = strings.ToLower(strings.TrimSpace(source)); source != "" {
			f.Sources = append(f.Sources, state.Process(source))
		}
	}
	return f
}

// showLog returns what was stored after the place in the query, from the beginning without one, or the last lines that are
// wanted. The original has no such address.
func (a *API) showLog(c *fiber.Ctx, actor service.Actor) error {
	container := id(c, "container")
	var entries []state.LogEntry
	var next uint64
	if last := c.Query("last"); last != "" {
		n, err := strconv.Atoi(last)
		if err != nil || n < 0 {
			return invalid("last", "A valid integer is required.")
		}
		if entries, next, err = a.service.Logs(actor, container, logFilter(c), n); err != nil {
			return err
		}
	} else {
		place, err := strconv.ParseUint(c.Query("after", "0"), 10, 64)
		if err != nil {
			return invalid("after", "A valid integer is required.")
		}
		if entries, next, _, err = a.service.LogsSince(actor, container, logFilter(c), place); err != nil {
			return err
		}
	}
	out := logPage{Next: next, Lines: make([]string, len(entries))}
	for i, e := range entries {
		out.Lines[i] = e.Format(time.Local)
	}
	return render(c, fiber.StatusOK, out)
}

const (
	// maxDownloads bounds the downloads of logs under way: each holds up to some MiB.
	maxDownloads = 32
	// downloadWait is how long a client may not read.
	downloadWait = time.Minute
)

var errDownloads = state.Errorf(state.TooMany, "Too many logs are being downloaded at the moment. Try again later.")

// downloadLog sends the whole log as a file, piece by piece.
func (a *API) downloadLog(c *fiber.Ctx, actor service.Actor) error {
	container := id(c, "container")
	format := c.Query("format", "text")
	if format != "text" && format != "jsonl" {
		return invalid("format", "A format is one of text and jsonl.")
	}
	filter := logFilter(c)
	if err := filter.Validate(); err != nil {
		return err
	}
	if _, _, err := a.service.Logs(actor, container, service.LogFilter{}, 0); err != nil {
		return err
	}
	name, kind := container+".log", "text/plain; charset=utf-8"
	if format == "jsonl" {
		name, kind = container+".jsonl", "application/jsonl; charset=utf-8"
	}
	c.Set(fiber.HeaderContentType, kind)
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="`+name+`"`)
	if c.Method() == fiber.MethodHead {
		return nil
	}
	select {
	case a.downloads <- struct{}{}:
	default:
		c.Response().Header.Del(fiber.HeaderContentDisposition)
		return errDownloads
	}
	conn := c.Context().Conn()
	c.Context().SetBodyStreamWriter(func(out *bufio.Writer) {
		defer func() { <-a.downloads }()
		defer conn.SetWriteDeadline(time.Time{}) // the connection may serve another request
		to := bufio.NewWriterSize(&patient{out, conn}, 64<<10)
		if a.service.WriteLog(to, actor, container, filter, format == "jsonl", time.Local) == nil {
			_ = to.Flush() // fails where the client has gone
		}
	})
	return nil
}

// patient gives each piece its own time to be read.
type patient struct {
	out  *bufio.Writer
	conn net.Conn
}

func (p *patient) Write(piece []byte) (int, error) {
	if err := p.conn.SetWriteDeadline(time.Now().Add(downloadWait)); err != nil {
		return 0, err
	}
	n, err := p.out.Write(piece)
	if err == nil {
		err = p.out.Flush()
	}
	return n, err
}

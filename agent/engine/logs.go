package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"kiosc/cluster/wire"
)

const (
	// maxFrame is far above what Docker puts into one frame, 16 KiB and a time.
	maxFrame  = 1 << 20
	frameHead = 8
	// overlap is how far before the known places Docker is asked to begin. Docker writes the lines of both outputs into
	// one file, in an order in which their times can differ by scheduling only, and what is stored is always a beginning
	// of that file. So whatever either output wrote longer ago than this is stored already.
	overlap = 2 * time.Second
	// endTimeout is how long after the end of a log Docker may take to say that the process has ended; endLook is how
	// often it is asked.
	endTimeout = 2 * time.Second
	endLook    = 50 * time.Millisecond
	// rereadSpan is how far back Docker may begin a file again that it was in the middle of: it does so where a flood has
	// made it change files twice while it was behind. A time further back is a clock that was set.
	rereadSpan = time.Minute
)

// Logs calls f for each line after from, with the place behind it, and follows until the process has ended: then it
// returns nil. A frame of Docker's is one line, or a piece of one of more than 16 KiB; the pieces are put together. A line
// of more than maxLine bytes, 0 for wire.ShortLine, comes as several.
//
// A place counts the lines that f was called with, so that one is taken up again only with the maxLine it was left with;
// with another, what is left of the one line in which it lies is lost or comes again.
func (e *Engine) Logs(ctx context.Context, dockerID string, from wire.Cursor, maxLine int, f func(line wire.LogLine, after wire.Cursor) error) error {
	if maxLine <= 0 {
		maxLine = wire.ShortLine
	}
	maxLine = min(maxLine, wire.MaxLine)
	if err := e.own(ctx, dockerID); err != nil {
		return err
	}
	at, err := e.readLog(ctx, dockerID, from, true, maxLine, f)
	for errors.Is(err, errStalled) {
		e.logger.Debug("a log is followed anew", "id", dockerID, "reason", err)
		at, err = e.readLog(ctx, dockerID, at, true, maxLine, f)
	}
	if err == nil {
		err = e.awaitEnd(ctx, dockerID)
	}
	if err == nil {
		// Docker stops to follow as soon as the process has ended, also where its reader is behind.
		_, err = e.readLog(ctx, dockerID, at, false, maxLine, f)
	}
	return err
}

// readLog reads what Docker has, and follows if that is wanted. It returns the place that it has come to.
func (e *Engine) readLog(ctx context.Context, dockerID string, from wire.Cursor, follow bool, maxLine int, f func(wire.LogLine, wire.Cursor) error) (wire.Cursor, error) {
	options := container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: follow}
	if last := max(from.Stdout.Time, from.Stderr.Time); last > 0 {
		since := time.Unix(0, last).Add(-overlap)
		options.Since = fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond())
	}
	stream, err := e.docker.ContainerLogs(ctx, dockerID, options)
	if errdefs.IsNotFound(err) {
		return from, ErrNotFound
	}
	if err != nil {
		return from, explain(err, "reading the Docker container's log")
	}
	defer stream.Close()
	reading, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(reading, func() { stream.Close() })
	defer stop()
	r := &logReader{from: from, at: from, maxLine: maxLine, f: f, warn: func(text string) { e.logger.Warn("a line of a log has no time", "id", dockerID, "line", text) }}
	r.progress.newest = max(from.Stdout.Time, from.Stderr.Time)
	var check sync.WaitGroup
	if follow {
		check.Go(func() { e.checkLog(reading, dockerID, &r.progress, func() { cancel(errStalled) }) })
	}
	err = r.readAll(bufio.NewReaderSize(stream, 64<<10))
	if err == nil && !follow {
		err = r.finish()
	}
	if reading.Err() != nil {
		err = context.Cause(reading)
	}
	cancel(nil)
	check.Wait()
	return r.at, err
}

// awaitEnd tells a log that ended with its process from one that Docker cut off, as it does when it is restarted. Docker
// closes the log a moment before it says that the process has ended, and once it says so the log is whole.
func (e *Engine) awaitEnd(ctx context.Context, dockerID string) error {
	for end := time.Now().Add(endTimeout); ; {
		info, err := e.inspect(ctx, dockerID)
		if err != nil {
			return err
		}
		if !info.State.Running {
			return nil
		}
		if time.Now().After(end) {
			return errors.New("reading a log: it ended, but the Docker container is running")
		}
		select {
		case <-time.After(endLook):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// logReader turns Docker's frames into lines.
type logReader struct {
	from wire.Cursor // lines up to here are stored
	at   wire.Cursor // the place behind the last line
	// skipped counts the stored lines with the very time of from, by output.
	skipped struct{ stdout, stderr uint32 }
	// again are the lines that come a second time, by output.
	again struct{ stdout, stderr reread }
	// begun are the lines whose end is still to come.
	begun    struct{ stdout, stderr piece }
	maxLine  int
	progress progress
	f        func(wire.LogLine, wire.Cursor) error
	warn     func(text string)
}

func (r *logReader) readAll(in io.Reader) error {
	var head [frameHead]byte
	for {
		r.progress.wait()
		if _, err := io.ReadFull(in, head[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("reading a log: %w (%w)", ErrUnavailable, err)
		}
		size := binary.BigEndian.Uint32(head[4:])
		if size > maxFrame {
			return fmt.Errorf("reading a log: a frame of %d bytes", size)
		}
		frame := make([]byte, size)
		if _, err := io.ReadFull(in, frame); err != nil {
			return fmt.Errorf("reading a log: %w (%w)", ErrUnavailable, err)
		}
		if err := r.take(head[0] == 2, frame); err != nil {
			return err
		}
	}
}

// piece is the beginning of a line.
type piece struct {
	at   int64
	text []byte
}

// take handles one frame: a time, a blank and the text, which has the line's end unless Docker has cut the line there.
func (r *logReader) take(stderr bool, frame []byte) error {
	stamp, text, ok := bytes.Cut(frame, []byte(" "))
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if !ok || err != nil {
		r.progress.got(0)
		r.warn(string(frame[:min(len(frame), 200)]))
		return nil
	}
	r.progress.got(at.UnixNano())
	begun := &r.begun.stdout
	if stderr {
		begun = &r.begun.stderr
	}
	if len(begun.text) == 0 {
		begun.at = at.UnixNano()
	}
	begun.text = append(begun.text, text...)
	line, whole := bytes.CutSuffix(begun.text, []byte("\n"))
	for len(line) > r.maxLine {
		cut := r.maxLine
		for cut > r.maxLine-utf8.UTFMax && !utf8.RuneStart(line[cut]) {
			cut--
		}
		if err := r.give(stderr, begun.at, line[:cut]); err != nil {
			return err
		}
		line = line[cut:]
	}
	if whole {
		err := r.give(stderr, begun.at, bytes.TrimSuffix(line, []byte("\r")))
		begun.reset(nil)
		return err
	}
	begun.reset(line)
	return nil
}

// reset keeps the rest of a line.
func (p *piece) reset(rest []byte) {
	p.text = append(p.text[:0], rest...)
	if len(rest) == 0 && cap(p.text) > keptPiece {
		p.text = nil
	}
}

// finish takes what has no line end for a line: the process was ended there.
func (r *logReader) finish() error {
	for _, stderr := range []bool{false, true} {
		begun := &r.begun.stdout
		if stderr {
			begun = &r.begun.stderr
		}
		if len(begun.text) == 0 {
			continue
		}
		if err := r.give(stderr, begun.at, begun.text); err != nil {
			return err
		}
		begun.reset(nil)
	}
	return nil
}

// give gives a line away, unless it is stored already.
func (r *logReader) give(stderr bool, now int64, line []byte) error {
	from, place, skipped, again := r.from.Stdout, &r.at.Stdout, &r.skipped.stdout, &r.again.stdout
	if stderr {
		from, place, skipped, again = r.from.Stderr, &r.at.Stderr, &r.skipped.stderr, &r.again.stderr
	}
	for _, part := range split(string(line), r.maxLine) {
		if now < from.Time {
			continue
		}
		if now == from.Time && *skipped < from.Count {
			*skipped++
			continue
		}
		if again.has(now, *place) {
			continue
		}
		if now == place.Time {
			place.Count++
		} else {
			*place = wire.Place{Time: now, Count: 1}
		}
		if err := r.f(wire.LogLine{Time: now, Stderr: stderr, Text: part}, r.at); err != nil {
			return err
		}
	}
	return nil
}

// reread is where Docker is in a file that it has begun again, of one output.
type reread struct {
	on   bool
	seen uint32 // lines with the very time of the place
}

// has tells whether a line has come already, the last one being at place.
func (a *reread) has(now int64, place wire.Place) bool {
	switch {
	case now < place.Time && now >= place.Time-int64(rereadSpan):
		*a = reread{on: true}
		return true
	case a.on && now == place.Time && a.seen < place.Count:
		a.seen++
		return true
	}
	*a = reread{}
	return false
}

// keptPiece is the memory for a line that is kept for the next one, in bytes; few are longer.
const keptPiece = 4 << 10

// split makes valid text of at most maxLine bytes a piece.
func split(text string, maxLine int) (parts []string) {
	text = strings.ToValidUTF8(text, "\uFFFD")
	for len(text) > maxLine {
		cut := maxLine
		for !utf8.RuneStart(text[cut]) {
			cut--
		}
		parts, text = append(parts, text[:cut]), text[cut:]
	}
	return append(parts, text)
}

package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
)

// accept takes the streams that the agent opens: on which it sends what Docker containers write, and on which it asks for
// small files.
func (s *session) accept(ctx context.Context, streams *sync.WaitGroup) {
	logs, files := make(chan struct{}, maxLogStreams), make(chan struct{}, maxFileStreams)
	for {
		kind, raw, stream, err := s.link.Accept(ctx)
		if err != nil {
			return
		}
		var log wire.LogsHeader
		var file wire.FileHeader
		switch {
		case kind == wire.Logs && wire.DecodeHeader(raw, &log) == nil:
			s.serve(streams, logs, stream, "container", log.Container, func() error { return s.takeLogs(ctx, stream, log) })
		case kind == wire.File && wire.DecodeHeader(raw, &file) == nil:
			s.serve(streams, files, stream, "file", file.File, func() error { return s.sendFile(ctx, stream, file) })
		default:
			s.logger.Warn("an agent opened a stream that it may not open", "kind", kind)
			stream.Kill()
		}
	}
}

// serve runs f for a stream, in a goroutine of streams, if there is room. f ends the stream.
func (s *session) serve(streams *sync.WaitGroup, room chan struct{}, stream *wire.Stream, what, id string, f func() error) {
	select {
	case room <- struct{}{}:
	default:
		s.logger.Warn("an agent has opened too many streams at once", "for", what, "limit", cap(room))
		stream.Kill()
		return
	}
	streams.Add(1)
	go func() {
		defer streams.Done()
		defer func() { <-room }()
		err := f()
		s.logger.Debug("a stream of an agent's ended", what, id, "reason", err)
	}()
}

// takeLogs tells the agent where the stored log ends and stores what follows, batch by batch. It returns why it ended.
func (s *session) takeLogs(ctx context.Context, stream *wire.Stream, head wire.LogsHeader) error {
	defer stream.Kill()
	var at state.Cursor
	// On a manager that doesn't lead the state may be behind what the leader has stored of this log.
	if err := s.hub.node.Sync(ctx); err != nil {
		return err
	}
	err := s.hub.store.View(func(tx *state.Tx) error {
		c, ok, err := tx.Container(head.Container)
		if err != nil {
			return err
		}
		if !ok || c.Node != s.node {
			return errors.New("the container is not on this node")
		}
		at, err = tx.LogCursor(head.Container, head.DockerID)
		return err
	})
	if err != nil {
		return err
	}
	if err := wire.Write(stream, &wire.LogsCursor{Cursor: toWire(at), MaxLine: wire.MaxLine}); err != nil {
		return fmt.Errorf("sending the cursor: %w", err)
	}
	for {
		batch, err := wire.ReadAs[*wire.LogBatch](stream)
		if err != nil {
			return err
		}
		outcome, err := s.storeLines(ctx, head, batch)
		if err != nil {
			return err
		}
		ack := &wire.LogAck{Stored: outcome.Stored, Cursor: toWire(outcome.Cursor)}
		if err := wire.Write(stream, ack); err != nil {
			return fmt.Errorf("acknowledging log lines: %w", err)
		}
	}
}

func (s *session) storeLines(ctx context.Context, head wire.LogsHeader, batch *wire.LogBatch) (state.LogOutcome, error) {
	if len(batch.Lines) == 0 {
		return state.LogOutcome{}, errors.New("a batch without lines")
	}
	entries := make([]state.LogEntry, len(batch.Lines))
	var last time.Time
	for i, line := range batch.Lines {
		entries[i] = state.LogEntry{Time: time.Unix(0, line.Time).UTC(), Process: state.ProcessDocker, Text: line.Text}
		if entries[i].Time.After(last) {
			last = entries[i].Time
		}
	}
	chunk, err := state.PackLog(entries)
	if err != nil {
		return state.LogOutcome{}, err
	}
	got, err := s.hub.node.Propose(ctx, &state.LogAppended{
		Container: head.Container, Node: s.node, DockerID: head.DockerID, From: fromWire(batch.From), To: fromWire(batch.To),
		Last: last, Chunk: chunk, LeftOut: batch.LeftOut,
	})
	if err != nil {
		return state.LogOutcome{}, fmt.Errorf("storing log lines: %w", err)
	}
	outcome := got.(state.LogOutcome)
	if outcome.Stored {
		s.hub.lines.stored.Add(float64(len(entries)))
		s.hub.lines.leftOut.Add(float64(batch.LeftOut))
	}
	return outcome, nil
}

func toWire(c state.Cursor) wire.Cursor {
	return wire.Cursor{Stdout: wire.Place(c.Stdout), Stderr: wire.Place(c.Stderr)}
}

func fromWire(c wire.Cursor) state.Cursor {
	return state.Cursor{Stdout: state.Place(c.Stdout), Stderr: state.Place(c.Stderr)}
}

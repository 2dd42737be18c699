package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
)

const (
	// fileSync bounds the wait for the newest state where this manager's has no such file for the container.
	fileSync = 5 * time.Second
	// fileTimeout bounds the whole of one file. The largest, over a slow connection, takes minutes.
	fileTimeout = 10 * time.Minute
)

// alive are the states in which a process of the container may ask for a file, besides those of an action under way.
var alive = []state.State{state.Running, state.Restarting, state.Paused}

// errNotFor says that the container can't have the file.
var errNotFor = errors.New("there is no such file in the project of a container that runs on this node")

// sendFile gives the agent a small file for one of its containers.
func (s *session) sendFile(ctx context.Context, stream *wire.Stream, head wire.FileHeader) (err error) {
	defer func() {
		if err != nil {
			stream.Kill()
		} else {
			stream.Close() // the agent has to read what was written last
		}
	}()
	stream.SetDeadline(time.Now().Add(fileTimeout))
	f, err := s.fileFor(ctx, head)
	if err != nil {
		s.logger.Debug("an agent's container gets no small file", "container", head.Container, "file", head.File, "reason", err)
		return wire.Write(stream, &wire.FileAnswer{Error: err.Error(), Missing: errors.Is(err, errNotFor)})
	}
	err = wire.Write(stream, &wire.FileAnswer{Hash: f.Hash, Size: f.Size, ContentType: f.ContentType})
	if err != nil {
		return fmt.Errorf("telling what the file is: %w", err)
	}
	if _, err := wire.ReadAs[*wire.FileWanted](stream); err != nil {
		if errors.Is(err, io.EOF) {
			return nil // the agent has it
		}
		return err
	}
	if _, err := io.Copy(stream, s.hub.store.FileContent(&f)); err != nil {
		return fmt.Errorf("sending the file: %w", err)
	}
	return nil
}

// fileFor looks up a file for a container of the node. A manager that doesn't lead may not know yet that the container is
// here, so that a refusal counts only once it knows all that was confirmed.
func (s *session) fileFor(ctx context.Context, head wire.FileHeader) (state.File, error) {
	f, err := s.lookUpFile(head)
	if !errors.Is(err, errNotFor) {
		return f, err
	}
	ctx, cancel := context.WithTimeout(ctx, fileSync)
	defer cancel()
	if err := s.hub.node.Sync(ctx); err != nil {
		return f, err
	}
	return s.lookUpFile(head)
}

func (s *session) lookUpFile(head wire.FileHeader) (f state.File, err error) {
	err = s.hub.store.View(func(tx *state.Tx) error {
		c, there, err := tx.Container(head.Container)
		if err != nil {
			return err
		}
		if !there || c.Node != s.node || !c.Pending() && !slices.Contains(alive, c.State) {
			return errNotFor
		}
		f, there, err = tx.File(head.File)
		if err == nil && (!there || f.Project != c.Project) {
			err = errNotFor
		}
		return err
	})
	return f, err
}

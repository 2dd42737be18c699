package agent

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/wire"
)

// figures opens a stream of figures as a leader does.
func (s *talk) figures(every time.Duration) *wire.Stream {
	s.w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stream, err := s.link.Open(ctx, wire.Usage, wire.UsageHeader{Every: every})
	require.NoError(s.w, err)
	s.w.Cleanup(stream.Kill)
	return stream
}

func TestFiguresComeAsOftenAsTheLeaderWants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.newBoss("a")
	gateway := w.newGateway()
	w.start(w.config(gateway.host(), m.addr))
	s := m.session()
	leader := s.lead(1)
	leader.has()
	id := randomHex(6)
	leader.order(id, 1, 1, "start", "wait")
	docker := leader.done(id, 1).Observed.DockerID
	stream := s.figures(0) // no more often than once a second
	next := func() []wire.Figure {
		stream.SetReadDeadline(time.Now().Add(patience))
		msg, err := wire.ReadAs[*wire.Figures](stream)
		require.NoError(t, err)
		return msg.Containers
	}
	began := time.Now()
	for range 3 {
		got := next()
		require.Len(t, got, 1)
		require.Equal(t, id, got[0].Container)
		require.Equal(t, docker, got[0].DockerID)
		require.NotZero(t, got[0].CPU)
	}
	require.GreaterOrEqual(t, time.Since(began), minFigures)

	// Another leader's stream doesn't disturb; nor does the end of one.
	other := s.figures(time.Hour)
	_, err := wire.ReadAs[*wire.Figures](other)
	require.NoError(t, err)
	other.Kill()
	require.Len(t, next(), 1)

	// Docker goes away and comes back: nothing is known meanwhile, and the stream goes on.
	gateway.close()
	eventually(t, "no figures", func() bool { return len(next()) == 0 })
	gateway.open()
	eventually(t, "figures again", func() bool { return len(next()) == 1 })
}

package agent

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/wire"
)

func TestAManagerLearnsWhatDockerHas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.newBoss("a")
	w.start(w.config("", a.addr))
	s := a.session()
	leader := s.lead(5)
	leader.inventory()
	id := randomHex(6)
	leader.order(id, 1, 1, "start", "wait")
	made := leader.done(id, 1).Observed
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stream, err := s.link.Open(ctx, wire.DockerStock, wire.StockHeader{})
	require.NoError(t, err)
	stock, err := read[*wire.Stock](stream)
	require.NoError(t, err)
	require.Empty(t, stock.Error)
	var found bool
	for _, c := range stock.Containers {
		if c.DockerID == made.DockerID {
			found = true
			require.Equal(t, id, c.Container)
			require.Equal(t, clusterID, c.Cluster)
			require.Equal(t, "running", c.State)
		}
	}
	require.True(t, found)
	used, ours := 0, 0
	for _, i := range stock.Images {
		if i.ID == made.ImageID {
			used = i.Used
		}
	}
	for _, n := range stock.Networks {
		if n.Ours && len(n.Containers) > 0 {
			ours++
		}
	}
	require.Positive(t, used)
	require.Positive(t, ours)
	leader.order(id, 2, 1, "delete")
	leader.done(id, 2)
}

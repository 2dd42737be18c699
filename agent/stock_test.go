package agent

import (
	"context"
	"testing"

	"github.com/docker/docker/api/types/volume"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/wire"
)

// withApp starts an agent with an app, which is deleted when the test is over.
func withApp(t *testing.T) (s *talk, made wire.Observed) {
	w := newWorld(t)
	a := w.newBoss("a")
	w.start(w.config("", a.addr))
	s = a.session()
	leader := s.lead(5)
	leader.inventory()
	id := randomHex(6)
	leader.order(id, 1, 1, "start", "wait")
	made = leader.done(id, 1).Observed
	t.Cleanup(func() {
		leader.order(id, 2, 1, "delete")
		leader.done(id, 2)
	})
	return s, made
}

func TestAManagerLearnsWhatDockerHas(t *testing.T) {
	t.Parallel()
	s, made := withApp(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stream, err := s.link.Open(ctx, wire.DockerStock, wire.StockHeader{})
	require.NoError(t, err)
	stock, err := wire.ReadAs[*wire.Stock](stream)
	require.NoError(t, err)
	require.Empty(t, stock.Error)
	var found bool
	for _, c := range stock.Containers {
		if c.DockerID == made.DockerID {
			found = true
			require.Equal(t, made.Container, c.Container)
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
}

func TestAManagerHasThingsRemoved(t *testing.T) {
	t.Parallel()
	s, made := withApp(t)
	remove := func(what *wire.RemoveStock) (out []wire.StockRemoved) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		stream, err := s.link.Open(ctx, wire.StockRemoval, wire.StockRemovalHeader{})
		require.NoError(t, err)
		defer stream.Kill()
		require.NoError(t, wire.Write(stream, what))
		for {
			one, err := wire.ReadAs[*wire.StockRemoved](stream)
			if err != nil {
				return out
			}
			out = append(out, *one)
		}
	}
	nameless, err := docker.VolumeCreate(t.Context(), volume.CreateOptions{})
	require.NoError(t, err)
	got := remove(&wire.RemoveStock{Images: []wire.StockImageRemoval{{ID: made.ImageID, Tags: []string{appImage}}, {ID: "sha256:" + randomHex(32)}},
		Volumes: []string{nameless.Name, "absent-" + randomHex(8)}})
	require.Len(t, got, 4)
	require.Equal(t, made.ImageID, got[0].ID)
	require.Contains(t, got[0].Refused, "It is used by the Docker container")
	require.True(t, got[1].Gone)
	require.Equal(t, wire.StockRemoved{ID: nameless.Name}, got[2])
	require.True(t, got[3].Gone)
	require.Empty(t, remove(&wire.RemoveStock{Volumes: make([]string, wire.MaxStockRemoval+1)}), "too many at once")
}

package state_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

func withVolumes(id string, pairs ...string) state.Container {
	c := container(id)
	volume(pairs...)(&c.Spec)
	return c
}

func (f *fixture) homes(id string) (homes []string) {
	f.Helper()
	c, _ := f.container(id)
	require.NoError(f, f.store.View(func(tx *state.Tx) (err error) {
		homes, err = tx.HomesOf(&c)
		return err
	}))
	return homes
}

func (f *fixture) own(id string) (names []string) {
	f.Helper()
	c, _ := f.container(id)
	require.NoError(f, f.store.View(func(tx *state.Tx) error {
		own, err := tx.OwnVolumes(&c)
		for _, v := range own {
			names = append(names, v.Name)
		}
		return err
	}))
	return names
}

func TestVolumesStayWhereTheyWereMade(t *testing.T) {
	f := newFixture(t)
	f.must(&state.NodeRegistered{Node: state.Node{ID: "n2", Name: "host2", Role: state.AgentNode}})
	f.must(&state.ContainerCreated{Container: withVolumes("c1", "data", "/data")})
	f.must(&state.ContainerCreated{Container: withVolumes("c2", "data", "/in", "other", "/other")})
	require.Empty(t, f.homes("c2"), "no volume is anywhere yet")
	f.start("c1", "d1")
	require.Equal(t, []string{"n1"}, f.homes("c2"), "they share it")
	require.Empty(t, f.own("c1"))
	require.Equal(t, []string{"other"}, f.own("c2"))

	f.must(&state.ContainerPlaced{Container: "c2", Generation: 0, Node: "n2"})
	require.Equal(t, []string{"n1", "n2"}, f.homes("c2"), "the first place of a volume is its place")

	f.must(&state.ActionRequested{Container: "c1", Action: state.Delete, Time: t0})
	require.Equal(t, []string{"data", "other"}, f.own("c2"), "the other one goes, too")
	f.must(&state.ContainerReported{Container: "c1", Node: "n1", Generation: 2, Seq: 1, Done: true, State: state.Failed, Time: t0})
	require.Equal(t, []string{"other"}, f.own("c2"), "its deletion has failed")

	// The record of a volume goes with the last container that names it.
	f.must(&state.ActionRequested{Container: "c2", Action: state.Delete, Time: t0})
	f.must(&state.ContainerReported{Container: "c2", Node: "n2", Generation: 1, Seq: 1, Done: true, State: state.Deleted, Time: t0})
	f.must(&state.ContainerCreated{Container: withVolumes("c3", "data", "/data", "other", "/other")})
	require.Equal(t, []string{"n1"}, f.homes("c3"))
}

func TestVolumesOfARemovedHostAreMadeAnew(t *testing.T) {
	f := newFixture(t)
	f.must(&state.NodeRegistered{Node: state.Node{ID: "n2", Name: "host2", Role: state.AgentNode}})
	f.must(&state.ContainerCreated{Container: withVolumes("c1", "data", "/data")})
	f.must(&state.ContainerPlaced{Container: "c1", Generation: 0, Node: "n2"})
	require.Equal(t, []string{"n2"}, f.homes("c1"))
	f.must(&state.NodeHealthChanged{Node: "n2", Health: state.Down, At: t0})
	f.must(&state.NodeRemoved{Node: "n2", At: t0})
	require.Empty(t, f.homes("c1"))
	f.must(&state.ContainerPlaced{Container: "c1", Generation: 0, Node: "n1"})
	require.Equal(t, []string{"n1"}, f.homes("c1"))
}

func TestAnUpdateSettlesNewVolumes(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ContainerCreated{Container: container("c1")})
	f.start("c1", "d1")
	more := f.update("c1", "1")
	volume("data", "/data")(&more.Spec)
	f.must(more)
	require.Equal(t, []string{"n1"}, f.homes("c1"))
}

func TestAVolumeIsGivenUpOnceNobodyNamesIt(t *testing.T) {
	f := newFixture(t)
	f.must(&state.NodeRegistered{Node: state.Node{ID: "n2", Name: "host2", Role: state.AgentNode}})
	f.must(&state.ContainerCreated{Container: withVolumes("c1", "data", "/data")})
	f.start("c1", "d1")
	require.Equal(t, []string{"n1"}, f.homes("c1"))
	giveUp := &state.VolumeGivenUp{Project: "p1", Name: "data", Node: "n1"}
	f.refused(state.Conflict, giveUp)
	f.must(&state.ActionRequested{Container: "c1", Action: state.Delete, Time: t0})
	f.refused(state.Conflict, giveUp)
	require.Equal(t, []string{"n1"}, f.homes("c1"), "a container names it until it is gone")

	f = newFixture(t)
	f.must(&state.ContainerCreated{Container: withVolumes("c1", "data", "/data")})
	f.start("c1", "d1")
	without := f.update("c1", "1")
	without.Spec.Volumes = nil
	f.must(without)
	homes := func(id string) []string {
		f.must(&state.ContainerCreated{Container: withVolumes(id, "data", "/data")})
		return f.homes(id)
	}
	f.must(&state.VolumeGivenUp{Project: "p1", Name: "data", Node: "n2"})
	f.must(&state.VolumeGivenUp{Project: "p1", Name: "other", Node: "n1"})
	require.Equal(t, []string{"n1"}, homes("c2"), "it was another volume, or one elsewhere")
	without = f.update("c2", "1")
	without.Spec.Volumes = nil
	f.must(without)
	f.must(giveUp)
	f.must(giveUp)
	require.Empty(t, homes("c3"), "a new one may be made anywhere")
}

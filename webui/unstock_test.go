package webui_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
	"kiosc/manager/service"
)

// dockerID is the node in whose Docker things are removed; addresses have ids of this form.
const dockerID = "9d0f6a0e-53a1-4b0a-8f0e-6f6f2d0c7a10"

const removePath = "/kioscadmin/docker/remove/" + dockerID

// newDocker is a site with a Docker host that has one of each kind of image and volume.
func newDocker(t *testing.T) *site {
	s := newSite(t)
	s.Do(&state.NodeRegistered{Node: state.Node{ID: dockerID, Name: "docker-9", Role: state.AgentNode}})
	require.NoError(t, s.Store().View(func(tx *state.Tx) error {
		cluster, _, err := tx.Cluster()
		s.cluster.id = cluster.ID
		return err
	}))
	size := int64(3 << 20)
	ours := func(name, project string) wire.StockVolume {
		return wire.StockVolume{Name: "kiosc-" + name, Ours: true, Cluster: s.cluster.id, Project: project, Volume: name}
	}
	s.cluster.stock = &wire.Stock{
		Images: []wire.StockImage{
			{ID: "sha256:used", Tags: []string{"postgres:17"}, Size: 9 << 20, Used: 12, UsedBy: []string{"db", "db2"}},
			{ID: "sha256:named", Tags: []string{"nginx:latest"}, Size: 7 << 20},
			{ID: "sha256:digest", Digests: []string{"app@sha256:" + strings.Repeat("ab", 32)}, Size: 1},
			{ID: "sha256:old", Tags: []string{"old:1", "old:2"}, Size: 5 << 20},
			{ID: "sha256:0123456789abcdef", Size: 2 << 20},
		},
		Volumes: []wire.StockVolume{
			{Name: "nameless", Anonymous: true, Size: &size},
			{Name: "nameless-used", Anonymous: true, Used: 1, UsedBy: []string{"db"}},
			{Name: "somebodys"},
			{Name: "other-kiosc", Cluster: "another", Project: s.Project, Volume: "data"},
			{Name: "old-agents", Ours: true},
			ours("data", s.Project), ours("forgotten", s.Project), ours("lost", "no project any more"),
		},
	}
	c := state.Container{ID: "5a1f0a0e-53a1-4b0a-8f0e-6f6f2d0c7a11", Project: s.Project, CreatedAt: time.Now().UTC(), Spec: state.Spec{Title: "App",
		Repository: "docker.io/library/nginx", Port: 80, Timeout: 60, MaxRetries: 5, InactivityDays: 7, Volumes: []state.Volume{{Name: "data", Path: "/data"}}}}
	s.Do(&state.ContainerCreated{Container: c, User: "owner"})
	c.ID, c.Title, c.Volumes = "5a1f0a0e-53a1-4b0a-8f0e-6f6f2d0c7a12", "Pinned", nil
	c.Repository, c.Tag = "app@sha256", strings.Repeat("ab", 32)
	s.Do(&state.ContainerCreated{Container: c, User: "owner"})
	return s
}

func (s *site) admin() service.Actor {
	a, err := s.Service.BySession(s.Sessions["root"])
	require.NoError(s.T, err)
	return a
}

// removal says what would become of one thing, or what has become of it.
func (s *site) removal(kind, id string, really bool) service.DockerRemoved {
	s.T.Helper()
	things := service.DockerThings{Volumes: []string{id}}
	if kind == service.KindImage {
		things = service.DockerThings{Images: []string{id}}
	}
	out, err := s.Service.RemoveFromDocker(s.T.Context(), s.admin(), dockerID, things, really)
	require.NoError(s.T, err)
	require.Len(s.T, out.Results, 1)
	return out.Results[0]
}

func TestWhatMayBeRemovedFromDocker(t *testing.T) {
	s := newDocker(t)
	hosts, err := s.Service.Docker(t.Context(), s.admin(), true)
	require.NoError(t, err)
	swept := make(map[string]bool)
	for _, host := range hosts {
		if host.ID == dockerID {
			for _, i := range host.Images {
				swept[i.ID] = i.Sweep
			}
			for _, v := range host.Volumes {
				swept[v.Name] = v.Sweep
			}
		}
	}
	for _, one := range []struct {
		kind, id, note, refused string
		swept                   bool
	}{
		{"image", "sha256:used", "", "It is used by the Docker container db.", false},
		{"image", "sha256:named", "Named by the container Mice / App, which needs it to start.", "", false},
		{"image", "sha256:digest", "Named by the container Mice / Pinned, which needs it to start.", "", false},
		{"image", "sha256:old", "", "", true},
		{"image", "sha256:0123456789abcdef", "", "", true},
		{"volume", "nameless", "", "", true},
		{"volume", "nameless-used", "", "It is used by the Docker container db.", false},
		{"volume", "somebodys", "Not made by Kiosc. It may hold somebody's data.", "", false},
		{"volume", "other-kiosc", "Of another Kiosc, which removes it itself.", "Of another Kiosc, which removes it itself.", false},
		{"volume", "old-agents", "Of this Kiosc. The agent there is too old to tell of which container.", "Of this Kiosc. The agent there is too old to tell of which container.", false},
		{"volume", "kiosc-data", "Of the container Mice / App.", "Of the container Mice / App.", false},
		{"volume", "kiosc-forgotten", "Of the project Mice, where no container names it any more. It may hold data of theirs.", "", false},
		{"volume", "kiosc-lost", "Of a project that is gone. It may hold data of theirs.", "", false},
	} {
		got := s.removal(one.kind, one.id, false)
		require.Equal(t, one.refused, got.Detail, one.id)
		require.Equal(t, one.note, got.Note, one.id)
		require.False(t, got.Removed)
		require.Equal(t, one.swept, swept[one.id], one.id)
		if one.refused != "" {
			require.Equal(t, one.refused, s.removal(one.kind, one.id, true).Detail, "also who asks past the page is refused")
		}
	}
	require.Empty(t, s.cluster.done, "the host was asked for nothing")
	got := s.removal("volume", "never", true)
	require.True(t, got.Removed)
	require.Equal(t, "It was not there any more.", got.Detail)
	require.Empty(t, s.cluster.done)
}

func TestAnUnusedImageIsRemovedAfterAConfirmation(t *testing.T) {
	s := newDocker(t)
	list := s.get("root", "/kioscadmin/overview/docker").body
	for _, text := range []string{"db, db2 and 10 more", "5MiB", "3MiB", "unknown", "Of the container Mice / App.", removePath + "?image=sha256%3aold",
		removePath + "?volume=somebodys", removePath + "?unused=images", removePath + "?unused=volumes"} {
		require.Contains(t, list, text)
	}
	for _, text := range []string{"?image=sha256%3aused", "?volume=kiosc-data", "?volume=other-kiosc", "?volume=nameless-used"} {
		require.NotContains(t, list, removePath+text)
	}
	page := s.get("root", removePath+"?image=sha256:old").body
	require.Contains(t, page, "the image old:1, old:2 (5MiB)")
	require.Contains(t, page, "which frees up to 5MiB")
	require.Contains(t, page, `name="image" value="sha256:old"`)
	require.NotContains(t, page, "can&#39;t be had back", "nobody misses it")
	require.Empty(t, s.cluster.done, "a look removes nothing")

	require.Equal(t, http.StatusForbidden, s.send("root", http.MethodPost, removePath, url.Values{"image": {"sha256:old"}}).status, "no token")
	require.Empty(t, s.cluster.done)
	got := s.post("root", removePath, "image", "sha256:old")
	require.Equal(t, http.StatusFound, got.status)
	require.Equal(t, []string{"remove sha256:old"}, s.cluster.done)

	events, err := s.Service.Timeline(s.admin(), "", service.EventFilter{Object: dockerID})
	require.NoError(t, err)
	require.Len(t, events, 2)
	require.Equal(t, "remove the image {image} (5MiB) from the Docker host {node}", events[0].Description)
	require.Equal(t, "old:1, old:2", events[0].Objects[0].Name)
	require.Equal(t, "docker-9", events[0].Objects[1].Name)
	require.Equal(t, "root", events[0].User)
	require.Equal(t, events[1].ID, events[0].Of)
	require.Equal(t, "remove 1 image from the Docker host {node}", events[1].Description)
	require.Equal(t, state.EventSubmit, events[1].Status)
}

func TestAllUnusedAreNamedBeforeTheyGo(t *testing.T) {
	s := newDocker(t)
	page := s.get("root", removePath+"?unused=images").body
	require.Contains(t, page, "the image old:1, old:2 (5MiB)")
	require.Contains(t, page, "the image 0123456789ab (2MiB)")
	require.Contains(t, page, "which frees up to 7MiB")
	for _, kept := range []string{"sha256:named", "sha256:used", "sha256:digest"} {
		require.NotContains(t, page, kept)
	}
	page = s.get("root", removePath+"?unused=volumes").body
	require.Equal(t, 1, strings.Count(page, `name="volume"`))
	require.Contains(t, page, `value="nameless"`)
	require.Contains(t, page, "which frees 3MiB")

	// What is confirmed goes, whatever has come to be unused since.
	s.cluster.removed = map[string]wire.StockRemoved{"sha256:old": {Refused: "A Docker container uses it."}, "nameless": {Gone: true}}
	got := s.post("root", removePath, "image", "sha256:old", "image", "sha256:0123456789abcdef", "volume", "nameless", "volume", "gone")
	require.Equal(t, http.StatusOK, got.status)
	require.ElementsMatch(t, []string{"remove sha256:0123456789abcdef", "remove sha256:old", "remove nameless"}, s.cluster.done)
	for _, text := range []string{"Removed.", "A Docker container uses it.", "It was not there any more."} {
		require.Contains(t, got.body, text)
	}
	var told []string
	events, err := s.Service.Timeline(s.admin(), "", service.EventFilter{Object: dockerID})
	require.NoError(t, err)
	for _, e := range events {
		told = append(told, e.Name+" "+string(e.Status)+" "+e.Extra["detail"])
	}
	require.ElementsMatch(t, []string{"docker_remove SUBMIT ", "docker_remove_image OK ", "docker_remove_image FAILED A Docker container uses it."}, told,
		"what was gone before isn't told twice")

	s.cluster.done = nil
	s.cluster.stock = &wire.Stock{}
	require.Contains(t, s.get("root", removePath+"?unused=images").body, "There is nothing to be removed.")
	require.Equal(t, http.StatusFound, s.post("root", removePath).status)
	require.Empty(t, s.cluster.done)
}

func TestAVolumeThatMayHoldDataHasAWarning(t *testing.T) {
	s := newDocker(t)
	page := s.get("root", removePath+"?volume=somebodys").body
	require.Contains(t, page, "The volume somebodys: Not made by Kiosc. It may hold somebody&#39;s data. What is removed can&#39;t be had back.")
	require.Contains(t, page, "which frees an unknown size")
	page = s.get("root", removePath+"?volume=kiosc-data").body
	require.Contains(t, page, "The volume kiosc-data: Of the container Mice / App.")
	require.NotContains(t, page, ">Remove</button>")
	require.Equal(t, http.StatusFound, s.post("root", removePath, "volume", "kiosc-forgotten").status)
	require.Equal(t, []string{"remove kiosc-forgotten"}, s.cluster.done)
}

func TestADockerHostThatIsLostBeforeARemoval(t *testing.T) {
	s := newDocker(t)
	s.cluster.lost = true
	got := s.post("root", removePath, "image", "sha256:old")
	require.Equal(t, http.StatusOK, got.status)
	require.Contains(t, got.body, "has not told what became of it")
	s.cluster.stock = &wire.Stock{Error: "Its Docker Engine does not answer."}
	for _, got := range []answer{s.get("root", removePath+"?image=sha256:old"), s.post("root", removePath, "image", "sha256:old")} {
		require.Equal(t, http.StatusFound, got.status)
	}
	require.Contains(t, s.get("root", "/kioscadmin/overview/docker").body, "Its Docker Engine does not answer.")
}

func TestRemovalsAreForAdministrators(t *testing.T) {
	s := newDocker(t)
	for _, user := range []string{"owner", "outsider"} {
		require.Equal(t, http.StatusForbidden, s.get(user, removePath+"?image=sha256:old").status)
		require.Equal(t, http.StatusForbidden, s.post(user, removePath, "image", "sha256:old").status)
	}
	require.Empty(t, s.cluster.done)
	require.Equal(t, http.StatusNotFound, s.get("root", "/kioscadmin/docker/remove/nonsense?image=a").status)
	require.Equal(t, http.StatusNotFound, s.post("root", "/kioscadmin/docker/remove/"+hostID, "image", "a").status)
	_, err := s.Service.RemoveFromDocker(t.Context(), s.admin(), dockerID, service.DockerThings{Images: make([]string, service.MaxDockerRemoval+1)}, true)
	require.Equal(t, state.Invalid, state.CodeOf(err))
}

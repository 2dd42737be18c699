package cli_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/manager/service"
)

func TestWhatDockerHostsHave(t *testing.T) {
	f := newFake(t)
	size := int64(2048)
	f.answer("docker-ls", []service.DockerHost{
		{Name: "d1", Images: []service.DockerImage{{ID: "sha256:0123456789abcdef", Size: 1 << 20, Used: 12, UsedBy: []string{"a", "b"}}},
			Volumes: []service.DockerVolume{{Name: "data\x1b[1m", Removal: service.Removal{Note: "Of another Kiosc."}}, {Name: "v", Size: &size}}},
		{Name: "d2", Error: "The Docker host does not answer."}})
	stdout, _ := f.ok("docker", "ls")
	require.Equal(t, "NODE  KIND    NAME          SIZE          USED BY   NOTE\n"+
		"d1    image   0123456789ab  1MiB          a, b +10  -\n"+
		"d1    volume  data [1m      size unknown  -         Of another Kiosc.\n"+
		"d1    volume  v             2KiB          -         -\n"+
		"d2    -       -             -             -         The Docker host does not answer.\n", stdout)
	f.ok("docker", "ls", "d2", "--json")
	require.JSONEq(t, `{"node":"d2","remove":false}`, f.requests()[1].body)
}

func TestPruningADockerHost(t *testing.T) {
	f := newFake(t)
	size := int64(2048)
	image := service.DockerRemoved{Kind: "image", ID: "i", Name: "old:1", Size: &size}
	f.answer("docker-prune", service.DockerRemoval{Results: []service.DockerRemoved{image}})
	stdout, _ := f.ok("docker", "prune", "d1")
	require.Equal(t, "KIND   NAME   SIZE  RESULT\nimage  old:1  2KiB  would be removed\n", stdout)
	require.JSONEq(t, `{"node":"d1","remove":false}`, f.requests()[0].body)

	gone := image
	gone.Removed = true
	f.answer("docker-prune", service.DockerRemoval{Results: []service.DockerRemoved{gone, {Kind: "volume", Name: "v", Detail: "A Docker container uses it."}}})
	stdout, stderr, code := f.run("docker", "prune", "d1", "--remove")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "removed\n")
	require.Contains(t, stdout, "REFUSED: A Docker container uses it.")
	require.Contains(t, stderr, "1 of 2 were refused")
	require.JSONEq(t, `{"node":"d1","remove":true}`, f.requests()[1].body)
	f.answer("docker-prune", service.DockerRemoval{Results: []service.DockerRemoved{}})
	stdout, _ = f.ok("docker", "prune", "d1", "--remove")
	require.Equal(t, "There is nothing to be removed.\n", stdout)
}

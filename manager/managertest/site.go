package managertest

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
	"kiosc/cluster/state"
	"kiosc/manager/service"
)

const (
	// Host is the node id of the Docker host that Fill registers.
	Host = "6c1f3a52-7d1c-4d1f-9a53-0d7a8d1f7b11"
	// DockerID is what Docker containers are called there.
	DockerID = "d0c4e7"
)

// reported is when all that the Docker host tells has happened.
var reported = time.Unix(1_700_000_000, 123456789).UTC()

// Site is a Kiosc of one node.
type Site struct {
	*Node
	*server
	Service *service.Service
	// What Fill has made. Users have their ids by name, Sessions the secrets of their sessions.
	Project  string
	Users    map[string]string
	Sessions map[string]string
}

// New opens a Kiosc with an empty state until the end of the test.
func New(t *testing.T, settings service.Settings) *Site {
	t.Helper()
	n := NewNode(t)
	return &Site{Node: n, Service: service.New(n.Node, make(pki.Key, 32), Progress{}, settings, slog.New(slog.DiscardHandler)),
		Users: make(map[string]string), Sessions: make(map[string]string)}
}

// Bootstrap makes the cluster and its Docker host.
func (s *Site) Bootstrap() {
	s.T.Helper()
	s.Do(&state.ClusterInitialized{Cluster: state.Cluster{ID: uuid.NewString(), CreatedAt: time.Now().UTC()}})
	s.Do(&state.NodeRegistered{Node: state.Node{ID: Host, Name: "docker-1", Role: state.AgentNode}})
}

// Fill is Bootstrap, and makes a project with people, who all have a session: owner, contributor and guest are that in the
// project, outsider has no role, and root is a superuser.
func (s *Site) Fill() {
	s.T.Helper()
	s.Bootstrap()
	for _, name := range []string{"owner", "contributor", "guest", "outsider", "root"} {
		s.Users[name] = s.User(name, name == "root").ID
		s.Sessions[name] = s.Login(s.Users[name])
	}
	s.Project = uuid.NewString()
	s.Do(&state.ProjectCreated{Owner: s.Users["owner"], Project: state.Project{ID: s.Project, Title: "Mice", Type: state.TypeProject,
		Description: "About <i>mice</i>"}})
	for user, role := range map[string]state.Role{"contributor": state.Contributor, "guest": state.Guest} {
		s.Do(&state.RoleAssigned{ID: uuid.NewString(), Project: s.Project, User: s.Users[user], Role: role})
	}
}

// Container makes one in the project that was never started, and returns its id.
func (s *Site) Container(title string) string {
	s.T.Helper()
	at := time.Now().UTC()
	c := state.Container{ID: uuid.NewString(), Project: s.Project, CreatedAt: at, ModifiedAt: at, Spec: state.Spec{
		Title: title, Repository: "nginx", Tag: "latest", Port: 80, Path: "app/", Timeout: 60, MaxRetries: 5, InactivityDays: 7,
		Environment: []byte(`{"B":"<masked>","A":1}`), SecretKeys: []string{"B"}}, Secrets: map[string][]byte{"B": []byte("sealed")}}
	s.Do(&state.ContainerCreated{Container: c, User: "owner"})
	return c.ID
}

// Running makes a container that runs.
func (s *Site) Running(title string) string {
	s.T.Helper()
	id := s.Container(title)
	s.Report(id, state.Running)
	return id
}

// Read returns a container; ok is false where there is none.
func (n *Node) Read(container string) (c state.Container, ok bool) {
	n.T.Helper()
	n.View(func(tx *state.Tx) (err error) {
		c, ok, err = tx.Container(container)
		return err
	})
	return c, ok
}

// Report says for the Docker host that the action under way is over and has led to a state. Where none is, the container
// is started first.
func (s *Site) Report(container string, to state.State) {
	s.T.Helper()
	c, ok := s.Read(container)
	require.True(s.T, ok)
	if !c.Pending() {
		s.Do(&state.ActionRequested{Container: container, Action: state.Start, User: "owner", Time: reported})
		c, _ = s.Read(container)
	}
	s.Do(&state.ContainerPlaced{Container: container, Generation: c.Generation, Node: Host})
	s.Do(&state.ContainerReported{Container: container, Node: Host, Generation: c.Generation, Seq: c.ReportSeq + 1, Done: true, State: to,
		DockerID: DockerID, ImageID: "sha256:1234", IP: "172.30.0.2", HostPort: 32768, Time: reported})
}

// Progress tells of every action that its image is being pulled.
type Progress struct{}

// Progress implements service.Progress.
func (Progress) Progress(string) (string, int) { return "Pulling image <1/2>", 50 }

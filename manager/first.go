package manager

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"

	"kiosc/cluster/pki"
	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// AdminName is the name of the first user, who may do everything.
const AdminName = "admin"

// caContext binds the sealed key of the CA to its purpose.
const caContext = "cluster-ca"

// initialize makes what a new cluster has: an admin, and a first project with a container that shows what Kiosc does.
// One that is cut off begins from nothing at the next start.
func (m *Manager) initialize(ctx context.Context, ca *pki.CA) error {
	if err := m.initializeCluster(ctx, ca); err != nil {
		return err
	}
	admin, err := m.initializeAdmin(ctx)
	if err != nil {
		return err
	}
	if err := m.initializeDemo(ctx, admin); err != nil {
		return err
	}
	if err := m.credentials.Identity().Save(m.path(nodeDir)); err != nil {
		return err
	}
	if err := os.Remove(m.path(firstStartFile)); err != nil {
		return fmt.Errorf("completing the first start: %w", err)
	}
	return nil
}

func (m *Manager) initializeCluster(ctx context.Context, ca *pki.CA) error {
	key, err := ca.MarshalKey()
	if err != nil {
		return err
	}
	sealed, err := m.key.Seal(key, caContext)
	if err != nil {
		return err
	}
	if err := pki.SaveCA(m.cfg.DataDir, ca.Certificate.Raw, sealed); err != nil {
		return err
	}
	_, err = m.node.Propose(ctx, &state.ClusterInitialized{Cluster: state.Cluster{
		ID: m.credentials.Peer().ClusterID, CreatedAt: time.Now().UTC(), CACertificate: ca.Certificate.Raw, SealedCAKey: sealed,
	}})
	if err != nil {
		return fmt.Errorf("initializing the cluster: %w", err)
	}
	return nil
}

// initializeAdmin makes the first user and returns its id.
func (m *Manager) initializeAdmin(ctx context.Context) (id string, err error) {
	password := m.cfg.AdminPassword
	if password == "" {
		password, _ = auth.NewSecret("")
		password = password[:20]
		m.FirstPassword = password
	}
	if err := auth.CheckPassword(AdminName, password); err != nil {
		return "", fmt.Errorf("the admin's first password (KIOSC_ADMIN_PASSWORD) is refused: %w", err)
	}
	hash, err := auth.HashPassword(password)
	if err != nil {
		return "", err
	}
	id = uuid.NewString()
	_, err = m.node.Propose(ctx, &state.UserCreated{User: state.User{
		ID: id, Name: AdminName, FullName: "Administrator", PasswordHash: hash, Superuser: true, Active: true,
		CreatedAt: time.Now().UTC(),
	}})
	return id, err
}

// The image of the demo container, which an agent makes of its own binary.
const (
	DemoRepository = "kiosc/demo"
	DemoTag        = "1"
)

// demoDescription is what people read about the demo container.
const demoDescription = "A small page with live data over WebSocket and server-sent events. Its image is made of the kiosc program itself."

func (m *Manager) initializeDemo(ctx context.Context, owner string) error {
	at := time.Now().UTC()
	project := state.Project{ID: uuid.NewString(), Title: "Demo", Type: state.TypeProject, CreatedAt: at,
		Description: "A first project to try Kiosc."}
	if _, err := m.node.Propose(ctx, &state.ProjectCreated{Project: project, Owner: owner}); err != nil {
		return fmt.Errorf("making the demo project: %w", err)
	}
	_, err := m.node.Propose(ctx, &state.ContainerCreated{User: AdminName, Container: state.Container{
		ID: uuid.NewString(), Project: project.ID, CreatedAt: at, ModifiedAt: at, Spec: state.Spec{Title: "Demo app",
			Description: demoDescription, Repository: DemoRepository, Tag: DemoTag, Port: 8080, Timeout: 60, MaxRetries: 5, InactivityDays: 7},
	}})
	if err != nil {
		return fmt.Errorf("making the demo container: %w", err)
	}
	return nil
}

var errNoCA = errors.New("this manager has no certificate authority yet")

// ca is the cluster's certificate authority, opened with the cluster key.
func (m *Manager) ca() (*pki.CA, error) {
	var cluster state.Cluster
	var known bool
	err := m.store.View(func(tx *state.Tx) (err error) {
		cluster, known, err = tx.Cluster()
		return err
	})
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, errNoCA
	}
	key, err := m.key.Open(cluster.SealedCAKey, caContext)
	if err != nil {
		return nil, fmt.Errorf("opening the certificate authority's key; is cluster.key that of this cluster?: %w", err)
	}
	return pki.ParseCA(cluster.CACertificate, key)
}

package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/upstream"
)

// dying is a leader that loses its leadership after some commands.
type dying struct {
	upstream.Node
	left int
}

var errDead = errors.New("the leader is dead")

func (d *dying) Propose(ctx context.Context, c state.Command) (any, error) {
	if d.left == 0 {
		return nil, errDead
	}
	d.left--
	return d.Node.Propose(ctx, c)
}

// large is an answer that takes several commands.
func large(users, projects, members int) *answer {
	a := newAnswer()
	for i := range users {
		a.user(fmt.Sprintf("user%d@ACME", i), "acme")
	}
	for i := range projects {
		category := fmt.Sprintf("Category %d/", i/50)
		if i%50 == 0 {
			a.project(category, "", fmt.Sprintf("user%d@ACME=owner", i%users))
		}
		roles := []string{fmt.Sprintf("user%d@ACME=owner", i%users)}
		for k := 1; k < members; k++ {
			roles = append(roles, fmt.Sprintf("user%d@ACME=contributor", (i+k*7)%users))
		}
		a.project(fmt.Sprintf("Project %d", i), category, roles...)
	}
	return a
}

func TestTheNextLeaderCompletesASync(t *testing.T) {
	t.Parallel()
	a := large(1500, 600, 6)
	url := a.serve(t)
	whole := newSite(t)
	whole.mustSync(url, options)
	s := newSite(t)
	cuts := 0
	for allowed := 1; ; allowed++ {
		node := &dying{s.node, allowed % 3}
		_, err := s.syncer(node, url, options).Run(context.Background())
		s.node.View(func(tx *state.Tx) error {
			all, err := tx.Projects()
			for _, p := range all {
				owners := 0
				roles, _ := tx.RolesOf(p.ID)
				for _, r := range roles {
					_, known, _ := tx.User(r.User)
					require.True(t, known)
					if r.Role == state.Owner {
						owners++
					}
				}
				require.Equal(t, 1, owners, "at each cut")
			}
			return err
		})
		if err == nil {
			break
		}
		require.ErrorIs(t, err, errDead)
		cuts++
	}
	require.Greater(t, cuts, 1, "it took several commands")
	require.Equal(t, whole.tree(), s.tree())
	s.mustSync(url, options)
}

func TestALargeSiteIsTakenOverWithinSeconds(t *testing.T) {
	a := large(5000, 2000, 10)
	raw := a.json()
	url := serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(raw) })
	s := newSite(t)
	began := time.Now()
	summary, err := s.sync(url, options)
	require.NoError(t, err)
	t.Logf("%d MiB, first run %s: %s", len(raw)>>20, time.Since(began), summary)
	require.Less(t, time.Since(began), soon)
	require.Equal(t, "users: 5000 created, 0 changed, 0 unchanged; projects: 2040 created, 0 changed, 0 unchanged; "+
		"roles: 18000 created, 0 changed, 0 removed, 2040 unchanged; 0 skipped", summary)
	before := s.node.Store().AppliedIndex()
	began = time.Now()
	summary, err = s.sync(url, options)
	require.NoError(t, err)
	t.Logf("second run %s: %s", time.Since(began), summary)
	require.Equal(t, "users: 0 created, 0 changed, 5000 unchanged; projects: 0 created, 0 changed, 2040 unchanged; "+
		"roles: 0 created, 0 changed, 0 removed, 20040 unchanged; 0 skipped", summary)
	require.Equal(t, before, s.node.Store().AppliedIndex())
}

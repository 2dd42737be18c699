package service

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
)

// stockPatience is how long a page waits for the Docker hosts to tell what they have.
const stockPatience = 8 * time.Second

// Stocks reaches Docker hosts.
type Stocks interface {
	// Stock tells what a host's Docker Engine has, and with sizes also how large its volumes are.
	Stock(ctx context.Context, node string, sizes bool) (*wire.Stock, error)
	// RemoveStock has it remove things, and calls told with what became of each. After an error that isn't known of those
	// that told wasn't called with.
	RemoveStock(ctx context.Context, node string, what *wire.RemoveStock, told func(wire.StockRemoved)) error
}

// UseStocks says whom to ask. It must be called before the service is used.
func (s *Service) UseStocks(from Stocks) { s.stocks = from }

// DockerHost is what the Docker Engine of a host has.
type DockerHost struct {
	ID   string `json:"node"`
	Name string `json:"name"`
	// Error says in a sentence why nothing is known of it; empty where the lists tell.
	Error      string            `json:"error"`
	Containers []DockerContainer `json:"containers"`
	Networks   []DockerNetwork   `json:"networks"`
	Images     []DockerImage     `json:"images"`
	Volumes    []DockerVolume    `json:"volumes"`
}

// Kinship says what a Docker container is to this Kiosc.
type Kinship string

const (
	Known   Kinship = "known"   // of a container that there is
	Orphan  Kinship = "orphan"  // of this cluster, and of no container; it is removed soon
	Sibling Kinship = "sibling" // of another Kiosc
	Self    Kinship = "self"    // Kiosc itself: a manager or an agent runs in it
	Foreign Kinship = "foreign" // of nobody that Kiosc knows
)

// DockerContainer is what Docker calls a container.
type DockerContainer struct {
	ID    string  `json:"id"`
	Name  string  `json:"name"`
	Image string  `json:"image"`
	State string  `json:"state"`
	Kin   Kinship `json:"kinship"`
}

// DockerNetwork is a network with the names of the first Docker containers in it; Used counts them all.
type DockerNetwork struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Driver  string   `json:"driver"`
	Subnet  string   `json:"subnet"`
	Gateway string   `json:"gateway"`
	Ours    bool     `json:"kiosc"`
	Used    int      `json:"used"`
	UsedBy  []string `json:"used_by"`
}

// Removal says whether administrators can remove something that no Docker container uses.
type Removal struct {
	Can bool `json:"removable"`
	// Sweep says that it goes with all unused ones, not only when it is named.
	Sweep bool `json:"unused"`
	// Note is what to know before, or why it can't be removed though no Docker container uses it; empty for nothing.
	Note string `json:"note"`
}

// DockerImage is an image. Used counts the Docker containers that are made of it; UsedBy has the names of the first.
type DockerImage struct {
	ID     string   `json:"id"`
	Tags   []string `json:"tags"`
	Size   int64    `json:"size"` // bytes, with layers that it shares with other images
	Used   int      `json:"used"`
	UsedBy []string `json:"used_by"`
	Removal
}

// DockerVolume is a volume. Used counts the Docker containers that have it; UsedBy has the names of the first.
type DockerVolume struct {
	Name       string   `json:"name"`
	Driver     string   `json:"driver"`
	Mountpoint string   `json:"mountpoint"`
	Size       *int64   `json:"size"` // bytes; nil where it isn't known
	Ours       bool     `json:"kiosc"`
	Used       int      `json:"used"`
	UsedBy     []string `json:"used_by"`
	Removal

	project, volume string // of Kiosc's
}

// Docker asks all Docker hosts at once what they have, for administrators, and with sizes also how large volumes are. One
// that doesn't answer is told as such.
func (s *Service) Docker(ctx context.Context, a Actor, sizes bool) ([]DockerHost, error) {
	if err := administer(a); err != nil {
		return nil, err
	}
	var nodes []state.Node
	var claims claims
	err := s.store.View(func(tx *state.Tx) (err error) {
		if nodes, err = tx.Agents(); err == nil {
			claims, err = readClaims(tx)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(nodes, func(a, b state.Node) int { return cmp.Compare(a.Name, b.Name) })
	all := make([]DockerHost, len(nodes))
	var asking sync.WaitGroup
	for i, n := range nodes {
		asking.Go(func() { all[i] = s.askDocker(ctx, n, &claims, sizes) })
	}
	asking.Wait()
	return all, nil
}

// DockerOf is Docker for one host.
func (s *Service) DockerOf(ctx context.Context, a Actor, node string) (host DockerHost, err error) {
	if err := administer(a); err != nil {
		return host, err
	}
	var n state.Node
	var claims claims
	err = s.store.View(func(tx *state.Tx) (err error) {
		var known bool
		if n, known, err = tx.Node(node); err != nil {
			return err
		}
		if !known || n.Role == state.ManagerNode {
			return state.Errorf(state.NotFound, "There is no such Docker host.")
		}
		claims, err = readClaims(tx)
		return err
	})
	if err != nil {
		return host, err
	}
	return s.askDocker(ctx, n, &claims, true), nil
}

func (s *Service) askDocker(ctx context.Context, n state.Node, claims *claims, sizes bool) DockerHost {
	ctx, cancel := context.WithTimeout(ctx, stockPatience)
	defer cancel()
	host := DockerHost{ID: n.ID, Name: n.Name, Containers: []DockerContainer{}, Networks: []DockerNetwork{}, Images: []DockerImage{}, Volumes: []DockerVolume{}}
	stock, err := s.stocks.Stock(ctx, n.ID, sizes)
	switch {
	case err != nil:
		s.logger.Debug("a Docker host does not tell what it has", "node", n.Name, "error", err)
		host.Error = "The Docker host does not answer."
	case stock.Error != "":
		host.Error = stock.Error
	default:
		claims.fill(&host, stock)
	}
	return host
}

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

// Stocks asks Docker hosts what they have.
type Stocks interface {
	Stock(ctx context.Context, node string) (*wire.Stock, error)
}

// UseStocks says whom to ask. It must be called before the service is used.
func (s *Service) UseStocks(from Stocks) { s.stocks = from }

// NodeStock is what a Docker host has.
type NodeStock struct {
	Node string // name
	// Error says in a sentence why nothing is known of it; empty where Stock tells.
	Error string
	wire.Stock
}

// Kinship says what a Docker container is to this Kiosc.
type Kinship string

const (
	Known   Kinship = "known"   // of a container that there is
	Orphan  Kinship = "orphan"  // of this cluster, and of no container; it is removed soon
	Sibling Kinship = "sibling" // of another Kiosc
	Foreign Kinship = "foreign" // of nobody that Kiosc knows
)

// Docker asks all Docker hosts at once what they have, for administrators. One that doesn't answer is told as such.
func (s *Service) Docker(ctx context.Context, a Actor) ([]NodeStock, error) {
	if err := administer(a); err != nil {
		return nil, err
	}
	var nodes []state.Node
	err := s.store.View(func(tx *state.Tx) (err error) {
		nodes, err = tx.Agents()
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(nodes, func(a, b state.Node) int { return cmp.Compare(a.Name, b.Name) })
	ctx, cancel := context.WithTimeout(ctx, stockPatience)
	defer cancel()
	all := make([]NodeStock, len(nodes))
	var asking sync.WaitGroup
	for i, n := range nodes {
		all[i].Node = n.Name
		asking.Go(func() {
			stock, err := s.stocks.Stock(ctx, n.ID)
			if err != nil {
				s.logger.Debug("a Docker host does not tell what it has", "node", n.Name, "error", err)
				all[i].Error = "The Docker host does not answer."
				return
			}
			all[i].Stock, all[i].Error = *stock, stock.Error
		})
	}
	asking.Wait()
	return all, nil
}

// KinshipOf tells what a Docker container is to this Kiosc.
func (s *Service) KinshipOf(c wire.StockContainer) (kin Kinship, err error) {
	if c.Cluster == "" {
		return Foreign, nil
	}
	err = s.store.View(func(tx *state.Tx) error {
		cluster, _, err := tx.Cluster()
		if err != nil {
			return err
		}
		_, known, err := tx.Container(c.Container)
		switch {
		case c.Cluster != cluster.ID:
			kin = Sibling
		case known:
			kin = Known
		default:
			kin = Orphan
		}
		return err
	})
	return kin, err
}

package figures

import (
	"context"
	"encoding/json"
	"time"

	"kiosc/cluster/state"
)

// Method is the call by which other managers ask the leader; see Serve.
const Method = "figures"

// askTimeout bounds the question to the leader: pages wait for it.
const askTimeout = time.Second

// Of says of what to report: exactly one of these.
type Of struct {
	Container string `json:",omitempty"`
	Project   string `json:",omitempty"`
	Node      string `json:",omitempty"`
}

// Report tells what something uses and has used. Another manager than the leader asks that; the error has code Unavailable
// where it can't be asked.
func (b *Book) Report(ctx context.Context, of Of) (r Report, err error) {
	leader := b.cfg.Leader()
	switch leader {
	case b.cfg.Self:
		return b.here(of)
	case "":
		return r, state.Errorf(state.Unavailable, "No leader is elected at the moment, so that no figures are known. Try again in a few seconds.")
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	err = b.cfg.Call(ctx, leader, Method, of, &r)
	return r, err
}

// Serve answers another manager.
func (b *Book) Serve(body []byte) ([]byte, error) {
	var of Of
	if err := json.Unmarshal(body, &of); err != nil {
		return nil, state.Errorf(state.Invalid, "The request of the other manager can't be read. Bring all managers to one version.")
	}
	r, err := b.here(of)
	if err != nil {
		return nil, err
	}
	return json.Marshal(r)
}

func (b *Book) here(of Of) (Report, error) {
	var ids []string
	err := b.cfg.Store.View(func(tx *state.Tx) error {
		var list []state.Container
		var err error
		switch {
		case of.Container != "":
			ids = []string{of.Container}
		case of.Project != "":
			list, err = tx.ContainersOf(of.Project)
		case of.Node != "":
			list, err = tx.ContainersOn(of.Node)
		}
		for _, c := range list {
			ids = append(ids, c.ID)
		}
		return err
	})
	if err != nil {
		return Report{}, err
	}
	return b.sum(ids, time.Now()), nil
}

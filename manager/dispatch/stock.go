package dispatch

import (
	"context"

	"kiosc/cluster/wire"
)

// Stock asks a Docker host what its Docker Engine has.
func (h *Hub) Stock(ctx context.Context, node string) (*wire.Stock, error) {
	stream, err := h.Reach(ctx, node, wire.DockerStock, wire.StockHeader{})
	if err != nil {
		return nil, err
	}
	defer stream.Kill()
	stop := context.AfterFunc(ctx, stream.Kill)
	defer stop()
	return read[*wire.Stock](stream)
}

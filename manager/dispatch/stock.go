package dispatch

import (
	"context"

	"kiosc/cluster/wire"
)

// Stock asks a Docker host what its Docker Engine has, and with sizes also how large its volumes are.
func (h *Hub) Stock(ctx context.Context, node string, sizes bool) (*wire.Stock, error) {
	stream, err := h.Reach(ctx, node, wire.DockerStock, wire.StockHeader{Sizes: sizes})
	if err != nil {
		return nil, err
	}
	defer stream.Kill()
	stop := context.AfterFunc(ctx, stream.Kill)
	defer stop()
	return wire.ReadAs[*wire.Stock](stream)
}

// RemoveStock has a Docker host remove what no Docker container uses there. It calls told with what became of each, as it is
// told. After an error it is not known what became of those that weren't.
func (h *Hub) RemoveStock(ctx context.Context, node string, what *wire.RemoveStock, told func(wire.StockRemoved)) error {
	stream, err := h.Reach(ctx, node, wire.StockRemoval, wire.StockRemovalHeader{})
	if err != nil {
		return err
	}
	defer stream.Kill()
	stop := context.AfterFunc(ctx, stream.Kill)
	defer stop()
	if err := wire.Write(stream, what); err != nil {
		return err
	}
	for range len(what.Images) + len(what.Volumes) {
		one, err := wire.ReadAs[*wire.StockRemoved](stream)
		if err != nil {
			return err
		}
		told(*one)
	}
	return nil
}

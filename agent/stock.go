package agent

import (
	"context"
	"time"

	"kiosc/cluster/wire"
)

// serveStock tells once what Docker has.
func (a *Agent) serveStock(ctx context.Context, stream *wire.Stream, header wire.StockHeader) {
	defer stream.Close()
	stock, err := a.engine.Stock(ctx, header.Sizes)
	if err != nil {
		a.logger.Warn("Docker does not tell what it has", "error", err)
		stock = &wire.Stock{Error: "Its Docker Engine does not answer."}
	}
	stream.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err := wire.Write(stream, stock); err != nil {
		a.logger.Debug("what Docker has could not be told", "error", err)
	}
}

// removalTime is how long one wish for removals may take. What it isn't enough for is left.
const removalTime = 20 * time.Second

// serveRemoval removes what a manager names, one after the other, and tells each time what became of it. Where
// nobody listens any more the rest is left.
func (a *Agent) serveRemoval(ctx context.Context, stream *wire.Stream) {
	defer stream.Close()
	stream.SetReadDeadline(time.Now().Add(writeTimeout))
	wish, err := wire.ReadAs[*wire.RemoveStock](stream)
	if err != nil || len(wish.Images)+len(wish.Volumes) > wire.MaxStockRemoval {
		a.logger.Warn("a wish for removals can't be read", "error", err)
		stream.Kill()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, removalTime)
	defer cancel()
	tell := func(id string, remove func() wire.StockRemoved) (heard bool) {
		out := wire.StockRemoved{ID: id, Refused: "There was no time for it. Ask for it once more."}
		if ctx.Err() == nil {
			out = remove()
		}
		a.logger.Info("a removal was asked for", "id", id, "refused", out.Refused, "gone", out.Gone)
		stream.SetWriteDeadline(time.Now().Add(writeTimeout))
		if err := wire.Write(stream, &out); err != nil {
			a.logger.Warn("what became of a removal could not be told", "id", id, "error", err)
			return false
		}
		return true
	}
	for _, one := range wish.Images {
		if !tell(one.ID, func() wire.StockRemoved { return a.engine.RemoveImage(ctx, one) }) {
			return
		}
	}
	for _, name := range wish.Volumes {
		if !tell(name, func() wire.StockRemoved { return a.engine.RemoveUnusedVolume(ctx, name) }) {
			return
		}
	}
}

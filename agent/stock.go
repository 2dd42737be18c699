package agent

import (
	"context"
	"time"

	"kiosc/cluster/wire"
)

// serveStock tells once what Docker has.
func (a *Agent) serveStock(ctx context.Context, stream *wire.Stream) {
	defer stream.Close()
	stock, err := a.engine.Stock(ctx)
	if err != nil {
		a.logger.Warn("Docker does not tell what it has", "error", err)
		stock = &wire.Stock{Error: "Its Docker Engine does not answer."}
	}
	stream.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err := wire.Write(stream, stock); err != nil {
		a.logger.Debug("what Docker has could not be told", "error", err)
	}
}

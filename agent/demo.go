package agent

import (
	"context"
	"fmt"
)

// buildDemo makes the demo image if that is the one wanted and it isn't there or is of another binary. No registry has
// it.
func (a *Agent) buildDemo(ctx context.Context, image string) error {
	if a.cfg.DemoImage == "" || image != a.cfg.DemoImage {
		return nil
	}
	if err := a.engine.BuildFromBinary(ctx, image, a.cfg.Binary, []string{"/kiosc", "demo"}, nil); err != nil {
		return fmt.Errorf("building the demo image: %w", err)
	}
	return nil
}

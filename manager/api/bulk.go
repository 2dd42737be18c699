package api

import (
	"errors"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

// submittedTexts are the answers to actions that the original's API doesn't have, in its style.
var submittedTexts = map[state.Action]string{
	state.Restart: "container restarting job submitted",
	state.Pause:   "container pausing job submitted",
	state.Unpause: "container unpausing job submitted",
}

func (a *API) acting(action state.Action, submitted string) handler {
	return func(c *fiber.Ctx, actor service.Actor) error { return a.act(c, actor, action, submitted) }
}

// outcomeJSON is what became of an action on one container of a selection.
type outcomeJSON struct {
	UUID  string  `json:"sodar_uuid"`
	Title *string `json:"title"`
	// Submitted tells whether the action is under way; Detail says why not.
	Submitted bool    `json:"submitted"`
	Detail    *string `json:"detail"`
}

type bulkJSON struct {
	Results []outcomeJSON `json:"results"`
}

// bulkInput is what a request says of a selection.
type bulkInput struct {
	Action     string   `json:"action"` // start, stop, restart or delete
	Containers []string `json:"containers"`
}

// actOnSelection asks for an action on several containers. The answer is 200 also where some were refused.
func (a *API) actOnSelection(c *fiber.Ctx, actor service.Actor) error {
	in, err := decode(c)
	if err != nil {
		return err
	}
	in.require("action", "containers")
	action, ids := state.Action(in.text("action")), in.texts("containers")
	for i, id := range ids {
		parsed, err := uuid.Parse(id)
		if err != nil {
			in.fault("containers", "Must be UUIDs of containers.")
			break
		}
		ids[i] = parsed.String()
	}
	if err := in.err(); err != nil {
		return err
	}
	outcomes, err := a.service.ActAll(c.UserContext(), actor, ids, action)
	if err != nil {
		return err
	}
	out := bulkJSON{Results: make([]outcomeJSON, len(outcomes))}
	for i, o := range outcomes {
		out.Results[i] = outcomeJSON{UUID: o.Container, Title: orNull(o.Title), Submitted: o.Err == nil, Detail: a.detailOf(o.Err)}
	}
	return render(c, fiber.StatusOK, out)
}

// detailOf is what a client sees of an error; nil for none.
func (a *API) detailOf(err error) *string {
	if err == nil {
		return nil
	}
	var refused *state.Error
	if errors.As(err, &refused) && refused.Code != state.Internal {
		return &refused.Message
	}
	a.opts.Logger.Error("an action on a selection failed", "error", err)
	text := generalText
	return &text
}

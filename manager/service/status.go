package service

import "kiosc/cluster/state"

// statuses maps error codes to HTTP statuses, for every interface alike.
var statuses = map[state.Code]int{
	"":                    200,
	state.Invalid:         400,
	state.Unauthenticated: 401,
	state.Forbidden:       403,
	state.NotFound:        404,
	state.Conflict:        409,
	state.TooMany:         429,
	state.Unavailable:     503,
	state.Internal:        500,
}

// Status is the HTTP status of an error, 200 for nil.
func Status(err error) int { return statuses[state.CodeOf(err)] }

// RetryAfter is what to tell clients that got 429 or 503, in seconds.
const RetryAfter = "5"

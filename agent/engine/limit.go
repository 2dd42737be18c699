package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrTooLong says that Docker answers, and has not done something in the time that it may take.
var ErrTooLong = errors.New("not done by Docker in time")

type limitKey struct{}

// Limited gives each call that changes something in Docker a time of its own, in place of the default; a stop has its grace
// besides. For a pull it is the time in which nothing comes. Limits that are 0 or less are none.
func Limited(ctx context.Context, limit time.Duration) context.Context {
	if limit <= 0 {
		return ctx
	}
	return context.WithValue(ctx, limitKey{}, limit)
}

// limitOf is the limit of ctx, or else another.
func limitOf(ctx context.Context, other time.Duration) time.Duration {
	if limit, ok := ctx.Value(limitKey{}).(time.Duration); ok {
		return limit
	}
	return other
}

// tooLong tells people what they can do.
func tooLong(limit time.Duration) error {
	return fmt.Errorf("%w, which is %s; try again, or give the container a longer timeout", ErrTooLong, limit)
}

// judge is explain for a call that has a deadline of limit. Where that has passed while Docker answers something else, it is this
// call that takes too long; else Docker is away.
func (e *Engine) judge(ctx context.Context, limit time.Duration, err error, doing string) error {
	if errors.Is(err, context.DeadlineExceeded) && check(context.WithoutCancel(ctx), e.docker) == nil {
		return fmt.Errorf("%s: %w", doing, tooLong(limit))
	}
	return explain(err, doing)
}

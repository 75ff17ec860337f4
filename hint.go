package querycache

import (
	"context"
	"time"
)

// hints are what a context asks of the cache. They are immutable: each
// function below derives new ones.
type hints struct {
	bypass  bool
	refresh bool
	ttl     time.Duration // 0: that of the configuration
}

type hintsKey struct{}

func hintsOf(ctx context.Context) *hints {
	h, _ := ctx.Value(hintsKey{}).(*hints)
	return h
}

func withHints(ctx context.Context, change func(*hints)) context.Context {
	var h hints
	if before := hintsOf(ctx); before != nil {
		h = *before
	}
	change(&h)
	return context.WithValue(ctx, hintsKey{}, &h)
}

// Bypass returns a context whose queries go to the database and leave the
// cache as it is. It wins over every other hint.
func Bypass(ctx context.Context) context.Context {
	return withHints(ctx, func(h *hints) { h.bypass = true })
}

// Refresh returns a context whose queries go to the database and replace what
// the cache holds for them.
func Refresh(ctx context.Context) context.Context {
	return withHints(ctx, func(h *hints) { h.refresh = true })
}

// WithTTL returns a context whose queries are cached for at most ttl when they
// are filled, instead of [Config.TTL]. Negative: no expiry. Zero takes the
// hint back.
func WithTTL(ctx context.Context, ttl time.Duration) context.Context {
	return withHints(ctx, func(h *hints) { h.ttl = ttl })
}

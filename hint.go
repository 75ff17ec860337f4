package querycache

import (
	"context"
	"slices"
	"time"
)

// hints are what a context asks of the cache. They are immutable: each
// function below derives new ones.
type hints struct {
	hinted  bool // they ask for something, besides a trace
	bypass  bool
	refresh bool
	ttl     time.Duration // 0: not set

	tables, tags []string // sorted
	extra        string   // names both; part of the key
	hash         uint64   // of extra

	trace func(Outcome)

	background bool // nobody waits for the result, and what it replaces is still served
}

// noHints are those of a context that has none.
var noHints hints

type hintsKey struct{}

func hintsOf(ctx context.Context) *hints {
	h, _ := ctx.Value(hintsKey{}).(*hints)
	return h
}

func withHints(ctx context.Context, change func(*hints)) context.Context {
	return derive(ctx, func(h *hints) {
		change(h)
		h.hinted = h.bypass || h.refresh || h.ttl != 0 || h.extra != ""
	})
}

// derive returns a context with other hints. The functions that are called on the
// way to a hit know its hints by one look-up.
func derive(ctx context.Context, change func(*hints)) context.Context {
	h := noHints
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
// are filled, instead of [Config.TTL], and are served nothing older than that but
// what swr or stale-if-error allow. Negative: no expiry. Zero takes the hint back.
func WithTTL(ctx context.Context, ttl time.Duration) context.Context {
	return withHints(ctx, func(h *hints) { h.ttl = ttl })
}

// WithTables returns a context whose queries depend on these tables too: a write
// to one of them makes the results invalid. It adds to what the queries are known
// to read and to the tables of the contexts that ctx was derived from. A view stands
// for the tables behind it. Names are compared without a schema and whatever their
// case; each is remembered for good, up to 65,536. It means nothing to a statement
// that writes.
func WithTables(ctx context.Context, tables ...string) context.Context {
	return withHints(ctx, func(h *hints) {
		h.tables = sorted(slices.Concat(h.tables, fold(tables)))
		h.depend()
	})
}

// WithTags returns a context whose results carry these tags too, beside those of
// the contexts that ctx was derived from: see [Cache.InvalidateTags]. It means
// nothing to a statement that writes.
func WithTags(ctx context.Context, tags ...string) context.Context {
	return withHints(ctx, func(h *hints) {
		h.tags = sorted(slices.Concat(h.tags, tags))
		h.depend()
	})
}

func (h *hints) depend() {
	if h.extra = dependencies(h.tables, h.tags); h.extra != "" {
		h.hash = hashString(0, h.extra)
	}
}

package querycache

import (
	"context"
	"database/sql"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/querycache/querycache/internal/fakedb"
)

// harness is a fake database behind a cache, with one table t of one row.
type harness struct {
	*sql.DB
	t     testing.TB
	cache *Cache
	fake  *fakedb.DB
}

const (
	harnessRead  = "SELECT a FROM t"
	harnessWrite = "UPDATE t SET a = ?"
)

func newHarness(t testing.TB, cfg Config) *harness {
	t.Helper()
	return newHarnessOn(t, cfg, fakedb.SQLite3())
}

func newHarnessOn(t testing.TB, cfg Config, profile fakedb.Profile) *harness {
	t.Helper()
	cfg.Dialect, cfg.NoCatalog = SQLite, true
	cache, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	fake, err := fakedb.New(profile)
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{t: t, cache: cache, fake: fake}
	h.seed("CREATE TABLE t (a); INSERT INTO t VALUES (1); CREATE TABLE u (a); INSERT INTO u VALUES (1)")
	h.DB = sql.OpenDB(cache.WrapConnector(fake.Connector("x")))
	h.SetMaxIdleConns(32)
	return h
}

// close ends the harness. Within a synctest bubble this must be before the end
// of its function, not in a cleanup.
func (h *harness) close() {
	h.t.Helper()
	if err := h.Close(); err != nil {
		h.t.Error(err)
	}
	if err := h.cache.Close(); err != nil {
		h.t.Error(err)
	}
}

// inBubble runs f on a harness whose time is that of a synctest bubble, and
// whose t is of the bubble too.
func inBubble(t *testing.T, cfg Config, f func(h *harness)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, cfg)
		defer h.close()
		f(h)
	})
}

// seed changes the database as another process would.
func (h *harness) seed(statements string) {
	h.t.Helper()
	if err := h.fake.Seed("x", statements); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) query(ctx context.Context, text string, args ...any) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Hour) // Rather than wait for ever.
	defer cancel()
	var v int64
	err := h.QueryRowContext(ctx, text, args...).Scan(&v)
	return v, err
}

// read reads one value, and reports whether it was a hit.
func (h *harness) read(ctx context.Context, text string, args ...any) (value int64, hit bool) {
	h.t.Helper()
	before := h.cache.Stats().Hits
	value, err := h.query(ctx, text, args...)
	if err != nil {
		h.t.Fatal(err)
	}
	return value, h.cache.Stats().Hits > before
}

// wantHit reads, and wants the value from the cache; wantAsked wants it from
// the database.
func (h *harness) wantHit(what string, want int64) {
	h.t.Helper()
	if got, hit := h.read(h.t.Context(), harnessRead); got != want || !hit {
		h.t.Errorf("%s: read %d (hit %v), want %d from the cache", what, got, hit, want)
	}
}

func (h *harness) wantAsked(what string, want int64) {
	h.t.Helper()
	if got, hit := h.read(h.t.Context(), harnessRead); got != want || hit {
		h.t.Errorf("%s: read %d (hit %v), want %d from the database", what, got, hit, want)
	}
}

func (h *harness) exec(text string, args ...any) {
	h.t.Helper()
	if _, err := h.ExecContext(h.t.Context(), text, args...); err != nil {
		h.t.Fatal(err)
	}
}

// asked is how often the database ran harnessRead.
func (h *harness) asked() int {
	n := 0
	for _, q := range h.fake.Executed() {
		if q == harnessRead {
			n++
		}
	}
	return n
}

func wantSame[T any](t testing.TB, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: (-want +got)\n%s", what, diff)
	}
}

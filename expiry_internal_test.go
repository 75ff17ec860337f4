package querycache

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/querycache/querycache/internal/fakedb"
)

// TestTTL lets entries that were filled together grow old: none expires before
// nine tenths of the TTL have passed, none lives longer than it, and they do
// not all expire at once.
func TestTTL(t *testing.T) {
	inBubble(t, Config{TTL: 100 * time.Second}, func(h *harness) {
		t := h.t
		const entries = 300
		const text = "SELECT a + ? FROM t"
		for i := range entries {
			h.read(t.Context(), text, i)
		}
		alive := func() (n int) {
			for i := range entries {
				if it := h.cache.store.Find(h.hashOf(text, i)); it != nil && h.cache.now() < it.Expires {
					n++
				}
			}
			return n
		}
		wantSame(t, "filled", entries, alive())
		time.Sleep(90 * time.Second)
		wantSame(t, "after nine tenths", entries, alive())
		h.seed("UPDATE t SET a = 5") // Nobody tells the cache.
		if v, hit := h.read(t.Context(), text, 0); v != 1 || !hit {
			t.Errorf("read %d (hit %v) after nine tenths", v, hit)
		}
		time.Sleep(5 * time.Second)
		if n := alive(); n < entries/4 || n > entries*3/4 {
			t.Errorf("%d of %d are left in the middle of the jitter", n, entries)
		}
		time.Sleep(5 * time.Second)
		wantSame(t, "after the TTL", 0, alive())
		if v, hit := h.read(t.Context(), text, 0); v != 5 || hit {
			t.Errorf("read %d (hit %v) after the TTL", v, hit)
		}
		time.Sleep(time.Minute) // Their memory comes back although nobody asks.
		if n := h.cache.Stats().Entries; n > 1 {
			t.Errorf("%d entries are held", n)
		}
	})
}

// hashOf is the hash of a query's entry, as a call on the shared scope has it.
func (h *harness) hashOf(text string, values ...any) uint64 {
	h.t.Helper()
	hash, ok := queryHash(text, values)
	if !ok {
		h.t.Fatal("not keyed")
	}
	var found uint64
	h.cache.eachScope(func(s *scope) { found = s.hash(hash) })
	return found
}

// TestHintTTL sets the TTL of one query from its context.
func TestHintTTL(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config time.Duration
		hint   func(context.Context) context.Context
		hit    time.Duration // still a hit then
		miss   time.Duration // not any more then; 0: a hit for ever
	}{
		{"the default", 0, nil, 53 * time.Second, time.Minute},
		{"shorter", 0, func(ctx context.Context) context.Context { return WithTTL(ctx, time.Second) }, 890 * time.Millisecond, time.Second},
		{"longer", time.Second, func(ctx context.Context) context.Context { return WithTTL(ctx, time.Hour) }, 53 * time.Minute, time.Hour},
		{"none", time.Second, func(ctx context.Context) context.Context { return WithTTL(ctx, -1) }, 20 * time.Hour, 0},
		{"none by configuration", -1, nil, 20 * time.Hour, 0},
		{"none by configuration, some by hint", -1, func(ctx context.Context) context.Context { return WithTTL(ctx, time.Minute) }, 53 * time.Second, time.Minute},
		{"taken back", time.Second, func(ctx context.Context) context.Context { return WithTTL(WithTTL(ctx, time.Hour), 0) }, 890 * time.Millisecond, time.Second},
		{"of a refresh", time.Second, func(ctx context.Context) context.Context { return Refresh(WithTTL(ctx, time.Hour)) }, 53 * time.Minute, time.Hour},
		{"less than the clock can tell", 0, func(ctx context.Context) context.Context { return WithTTL(ctx, 2) }, 0, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, Config{TTL: tt.config}, func(h *harness) {
				t := h.t
				ctx := t.Context()
				if tt.hint != nil {
					ctx = tt.hint(ctx)
				}
				h.read(ctx, harnessRead)
				time.Sleep(tt.hit)
				again := t.Context()
				if hs := hintsOf(ctx); hs != nil {
					again = WithTTL(again, hs.ttl)
				}
				if _, hit := h.read(again, harnessRead); !hit {
					t.Error("before the end: no hit")
				}
				if tt.miss > 0 {
					time.Sleep(tt.miss - tt.hit)
					h.wantAsked("after the end", 1)
				}
			})
		})
	}
}

// TestTTLCountsFromTheQuery has a slow query: its entry is as old as the query,
// not as its end.
func TestTTLCountsFromTheQuery(t *testing.T) {
	inBubble(t, Config{TTL: time.Minute}, func(h *harness) {
		t := h.t
		h.fake.Inject(fakedb.Fault{Method: "Query", Delay: 40 * time.Second})
		h.wantAsked("slow", 1)
		time.Sleep(13 * time.Second)
		h.wantHit("53 s after it began", 1)
		time.Sleep(7 * time.Second)
		h.wantAsked("60 s after it began", 1)

		h.cache.Purge()
		rejected := h.cache.Stats().RejectedFills
		h.fake.Inject(fakedb.Fault{Method: "Query", Delay: 2 * time.Minute})
		h.wantAsked("slower than its TTL", 1)
		wantSame(t, "rejected fills", rejected+1, h.cache.Stats().RejectedFills)
		h.wantAsked("again", 1)
	})
}

// TestHintsCombine derives hints from each other in both orders.
func TestHintsCombine(t *testing.T) {
	ctx := t.Context()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		want hints
	}{
		{"bypass and ttl", Bypass(WithTTL(ctx, time.Second)), hints{hinted: true, bypass: true, ttl: time.Second}},
		{"ttl and bypass", WithTTL(Bypass(ctx), time.Second), hints{hinted: true, bypass: true, ttl: time.Second}},
		{"all", Refresh(Bypass(WithTTL(ctx, 1))), hints{hinted: true, bypass: true, refresh: true, ttl: 1}},
		{"the last ttl", WithTTL(WithTTL(ctx, 1), 2), hints{hinted: true, ttl: 2}},
	} {
		if got := hintsOf(tt.ctx); got == nil || !reflect.DeepEqual(*got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	if hintsOf(ctx) != nil {
		t.Error("hints where there are none")
	}
	first := WithTTL(ctx, 1)
	Bypass(first)
	if h := hintsOf(first); h.bypass {
		t.Error("a hint reached the context that it was derived from")
	}
}

func TestBypassBeatsRefresh(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		t := h.t
		h.wantAsked("first", 1)
		h.seed("UPDATE t SET a = 2")
		time.Sleep(time.Millisecond)
		for _, ctx := range []context.Context{Bypass(Refresh(t.Context())), Refresh(Bypass(t.Context()))} {
			if v, hit := h.read(ctx, harnessRead); v != 2 || hit {
				t.Errorf("read %d (hit %v)", v, hit)
			}
		}
		h.wantHit("the entry is as it was", 1)
	})
}

// TestWritesInDoubt loses a write's outcome in every way that leaves it open,
// with the effect before the error, long after it, or never. Its table is asked
// until InDoubt has passed, and cached again afterwards. With doubt releasing at
// once (controlInDoubtReleased) the reads in between are hits, and where the
// effect comes late, stale ones.
func TestWritesInDoubt(t *testing.T) {
	const inDoubt = 10 * time.Second
	type ending struct {
		name  string
		fault fakedb.Fault
	}
	commit := func(h *harness) error {
		tx, err := h.BeginTx(h.t.Context(), nil)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(h.t.Context(), harnessWrite, 2); err != nil {
			return err
		}
		return tx.Commit()
	}
	auto := func(h *harness) error {
		_, err := h.ExecContext(h.t.Context(), harnessWrite, 2)
		return err
	}
	for _, tt := range []struct {
		name   string
		write  func(*harness) error
		method string
		err    error
	}{
		{"COMMIT cancelled", commit, "Commit", context.Canceled},
		{"COMMIT timed out", commit, "Commit", context.DeadlineExceeded},
		{"COMMIT on a broken connection", commit, "Commit", errReset{}},
		{"statement cancelled", auto, "Exec", context.Canceled},
		{"statement on a broken connection", auto, "Exec", errReset{}},
	} {
		for _, end := range []ending{
			{"took effect", fakedb.Fault{Method: tt.method, Err: tt.err, After: true}},
			{"takes effect later", fakedb.Fault{Method: tt.method, Err: tt.err}},
		} {
			t.Run(tt.name+", "+end.name, func(t *testing.T) {
				inBubble(t, Config{InDoubt: inDoubt}, func(h *harness) {
					t := h.t
					h.cache.Networked()
					h.wantAsked("before", 1)
					h.wantHit("before", 1)
					h.fake.Inject(end.fault)
					if err := tt.write(h); !errors.Is(err, tt.err) {
						t.Fatalf("error %v, want %v", err, tt.err)
					}
					wantSame(t, "doubts", 1, h.doubts())
					// A connection whose COMMIT failed, and that cannot be asked, bypasses.
					h.SetMaxIdleConns(-1)
					now := int64(2)
					if !end.fault.After {
						now = 1
					}
					h.wantAsked("in doubt", now)
					h.wantAsked("in doubt, again", now)
					if _, hit := h.read(t.Context(), "SELECT a FROM u"); hit {
						t.Error("a hit on what was not read before")
					}
					if _, hit := h.read(t.Context(), "SELECT a FROM u"); !hit {
						t.Error("another table is in doubt too")
					}
					time.Sleep(inDoubt - time.Second)
					h.wantAsked("still in doubt", now)
					h.seed("UPDATE t SET a = 2") // The server is done with it at last.
					h.wantAsked("it took effect", 2)
					time.Sleep(2 * time.Second)
					wantSame(t, "doubts", 0, h.doubts())
					h.wantAsked("out of doubt", 2)
					h.wantHit("out of doubt", 2)
				})
			})
		}
	}
}

func (h *harness) doubts() int {
	h.cache.mu.Lock()
	defer h.cache.mu.Unlock()
	return len(h.cache.doubts)
}

// errReset is what a broken connection to a server looks like.
type errReset struct{}

func (errReset) Error() string   { return "connection reset by peer" }
func (errReset) Timeout() bool   { return false }
func (errReset) Temporary() bool { return false }

// TestNotInDoubt ends writes in ways that leave nothing open.
func TestNotInDoubt(t *testing.T) {
	broken := errors.New("constraint failed")
	inBubble(t, Config{}, func(h *harness) {
		t := h.t
		h.cache.Networked()
		h.wantAsked("before", 1)

		// COMMIT never reaches the driver once its context has ended.
		ctx, cancel := context.WithCancel(t.Context())
		tx, err := h.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(t.Context(), harnessWrite, 2); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := tx.Commit(); err == nil {
			t.Fatal("committed")
		}
		time.Sleep(time.Millisecond) // database/sql rolls back in the background.
		wantSame(t, "doubts after a COMMIT that was not sent", 0, h.doubts())
		h.wantHit("after a COMMIT that was not sent", 1)

		// The server says that it refused.
		h.fake.Inject(fakedb.Fault{Method: "Exec", Err: broken})
		if _, err := h.ExecContext(t.Context(), harnessWrite, 2); !errors.Is(err, broken) {
			t.Fatal(err)
		}
		wantSame(t, "doubts after a definite error", 0, h.doubts())
		if v, _ := h.read(t.Context(), harnessRead); v != 1 {
			t.Errorf("read %d", v)
		}
		h.wantHit("after a definite error", 1)
	})
	// What SQLite returns is settled.
	inBubble(t, Config{}, func(h *harness) {
		t := h.t
		h.wantAsked("before", 1)
		h.fake.Inject(fakedb.Fault{Method: "Exec", Err: context.Canceled, After: true})
		if _, err := h.ExecContext(t.Context(), harnessWrite, 2); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		wantSame(t, "doubts", 0, h.doubts())
		h.wantAsked("settled", 2)
		h.wantHit("settled", 2)
	})
}

// TestCloseWithDoubts closes the cache while writes are in doubt: no timer
// fires afterwards, and nothing stays behind.
func TestCloseWithDoubts(t *testing.T) {
	inBubble(t, Config{InDoubt: time.Second}, func(h *harness) {
		t := h.t
		h.cache.Networked()
		for range 5 {
			h.fake.Inject(fakedb.Fault{Method: "Exec", Err: errReset{}, After: true})
			if _, err := h.ExecContext(t.Context(), harnessWrite, 2); err == nil {
				t.Fatal("no error")
			}
		}
		wantSame(t, "doubts", 5, h.doubts())
		invalidations := h.cache.Stats().Invalidations
		if err := h.cache.Close(); err != nil {
			t.Fatal(err)
		}
		wantSame(t, "doubts after Close", 0, h.doubts())
		h.fake.Inject(fakedb.Fault{Method: "Exec", Err: errReset{}, After: true})
		if _, err := h.ExecContext(t.Context(), harnessWrite, 3); err == nil {
			t.Fatal("no error")
		}
		wantSame(t, "doubts of a closed cache", 0, h.doubts())
		time.Sleep(time.Minute)
		wantSame(t, "invalidations after Close", invalidations, h.cache.Stats().Invalidations)
		if v, hit := h.read(t.Context(), harnessRead); v != 3 || hit {
			t.Errorf("read %d (hit %v)", v, hit)
		}
	})
}

// TestDoubtHoldsTheSchema changes the schema while a write is in doubt: the
// write may still fire a trigger that its plan does not know, so that everything
// waits for it.
func TestDoubtHoldsTheSchema(t *testing.T) {
	inBubble(t, Config{InDoubt: time.Minute}, func(h *harness) {
		t := h.t
		h.cache.Networked()
		h.fake.Inject(fakedb.Fault{Method: "Exec", Text: "UPDATE", Err: errReset{}})
		if _, err := h.ExecContext(t.Context(), harnessWrite, 2); err == nil {
			t.Fatal("no error")
		}
		h.exec("CREATE TABLE other (a)")
		for range 3 {
			if _, hit := h.read(t.Context(), "SELECT a FROM u"); hit {
				t.Error("a hit while an older write may fire what the schema change has made")
			}
			time.Sleep(20 * time.Second)
		}
		time.Sleep(time.Second)
		h.read(t.Context(), "SELECT a FROM u")
		if _, hit := h.read(t.Context(), "SELECT a FROM u"); !hit {
			t.Error("not cached after the doubt")
		}
	})
}

package querycache

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/querycache/querycache/internal/fakedb"
)

const (
	swrRead = "/* querycache: ttl=60s swr=30s */ SELECT a FROM t"
	sieRead = "/* querycache: ttl=60s stale-if-error=30s */ SELECT a FROM t"
)

// expire lets entries of a minute expire.
func expire() { time.Sleep(61 * time.Second) }

// want reads and compares value, whether it was a hit, and whether a stale one.
func (h *harness) want(what, text string, want int64, hit, stale bool) {
	h.t.Helper()
	before := h.cache.Stats().Stale
	got, wasHit := h.read(h.t.Context(), text)
	if got != want || wasHit != hit || (h.cache.Stats().Stale > before) != stale {
		h.t.Errorf("%s: read %d (hit %v, stale %v), want %d (hit %v, stale %v)",
			what, got, wasHit, h.cache.Stats().Stale > before, want, hit, stale)
	}
}

// An entry that expired by its TTL is served while it is refreshed, within its window
// and to nobody who does not ask for that; then it is fresh. Seen to fail with
// lookLate always nil, with it not asking for a refresh, with within looking at
// the item's end alone, and without window in fill.
func TestSWR(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		h.want("cold", swrRead, 1, false, false)
		expire()
		h.seed("UPDATE t SET a = 2") // Nobody tells the cache.
		h.want("expired, without the hint", "/* querycache: refresh */ "+harnessRead, 2, false, false)
		h.seed("UPDATE t SET a = 3")
		h.want("refreshed by another", swrRead, 2, true, false)

		h.cache.Purge()
		h.want("cold", swrRead, 3, false, false)
		expire()
		h.seed("UPDATE t SET a = 4")
		h.want("expired", swrRead, 3, true, true)
		synctest.Wait()
		h.want("refreshed", swrRead, 4, true, false)
		wantSame(h.t, "refreshes", 1, h.cache.Stats().Refreshes)

		time.Sleep(91 * time.Second)
		h.seed("UPDATE t SET a = 5")
		h.want("after the window", swrRead, 5, false, false)
		wantSame(h.t, "refreshes", 1, h.cache.Stats().Refreshes)

		h.cache.Purge()
		h.want("stored with a longer window", "/* querycache: ttl=60s swr=1h */ "+harnessRead, 5, false, false)
		time.Sleep(91 * time.Second)
		h.want("after the reader's window", swrRead, 5, false, false)

		h.cache.Purge()
		h.want("stored without a window", harnessRead, 5, false, false)
		expire()
		h.want("expired", swrRead, 5, false, false)
	})
}

// Only the TTL is relaxed: what was written, invalidated or is being written is not
// served late, and a refresh that began before a write ended stores nothing. Seen to
// fail with lookup asking for valid after lookLate, and with controlRefreshLate.
func TestSWRNeverAfterAWrite(t *testing.T) {
	for name, write := range map[string]func(h *harness){
		"write":      func(h *harness) { h.exec(harnessWrite, 9) },
		"tables":     func(h *harness) { h.seed("UPDATE t SET a = 9"); h.cache.InvalidateTables("t") },
		"query":      func(h *harness) { h.seed("UPDATE t SET a = 9"); h.cache.InvalidateQuery(harnessRead) },
		"purge":      func(h *harness) { h.seed("UPDATE t SET a = 9"); h.cache.Purge() },
		"everything": func(h *harness) { h.exec(harnessWrite, 9); h.exec("CREATE TABLE v (a)") },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{}, func(h *harness) {
				h.want("cold", swrRead, 1, false, false)
				expire()
				write(h)
				h.want("written after it expired", swrRead, 9, false, false)

				// The refresh is on its way when the write comes.
				expire()
				gate := fakedb.NewGate()
				h.fake.Inject(fakedb.Fault{Method: "Query", Gate: gate, After: true})
				h.want("expired", swrRead, 9, true, true)
				synctest.Wait()
				h.exec(harnessWrite, 10)
				gate.Release()
				synctest.Wait()
				h.want("its refresh read the old row", swrRead, 10, false, false)
			})
		})
	}
}

// Sixteen readers of one expired entry make one refresh, and sixteen entries take
// all there are: the next one is a miss. Seen to fail with ask not looking at
// running, and without maxRefreshes.
func TestSWRIsBounded(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		text := func(i int) string {
			return fmt.Sprintf("/* querycache: ttl=60s swr=1h */ SELECT a + %d - %d FROM t", i, i)
		}
		for i := range maxRefreshes + 1 {
			h.want("cold", text(i), 1, false, false)
		}
		expire()
		gate := fakedb.NewGate()
		h.fake.Inject(fakedb.Fault{Method: "Query", Gate: gate, Times: -1})
		for i := range maxRefreshes {
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() { h.want("expired", text(i), 1, true, true) })
			}
			wg.Wait()
		}
		synctest.Wait()
		wantSame(h.t, "running", maxRefreshes, h.refreshing())
		go func() {
			time.Sleep(time.Second)
			gate.Release()
		}()
		h.want("one too many", text(maxRefreshes), 1, false, false)
		synctest.Wait()
		wantSame(h.t, "refreshes", maxRefreshes, h.cache.Stats().Refreshes)
		for i := range maxRefreshes {
			h.want("refreshed", text(i), 1, true, false)
		}
	})
}

// refreshing is how many refreshes run.
func (h *harness) refreshing() int {
	r := &h.cache.refreshes
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// A refresh that hangs ends by itself, and Close of the cache and of the database end
// it and wait for it. Seen to fail without refreshTime, without refreshes.close, and
// without leave in connector.Close.
func TestSWREnds(t *testing.T) {
	hang := func(h *harness) {
		h.t.Helper()
		h.want("cold", swrRead, 1, false, false)
		expire()
		h.fake.Inject(fakedb.Fault{Method: "Query", Gate: fakedb.NewGate()})
		h.want("expired", swrRead, 1, true, true)
		synctest.Wait()
		wantSame(h.t, "running", 1, h.refreshing())
	}
	inBubble(t, Config{}, func(h *harness) {
		hang(h)
		time.Sleep(refreshTime)
		synctest.Wait()
		wantSame(h.t, "running after its time", 0, h.refreshing())
	})
	inBubble(t, Config{}, func(h *harness) {
		hang(h)
		_ = h.cache.Close()
		wantSame(h.t, "running after Cache.Close", 0, h.refreshing())
	})
	inBubble(t, Config{}, func(h *harness) {
		hang(h)
		_ = h.Close()
		wantSame(h.t, "running after DB.Close", 0, h.refreshing())
	})
}

// A refresh that fails, panics or cannot connect leaves the entry to the next reader.
// Seen to fail without recover in run, and with stream forgetting what a background
// refresh is to replace.
func TestSWRFails(t *testing.T) {
	for name, fault := range map[string]fakedb.Fault{
		"error":   {Method: "Query", Err: errors.New("no")},
		"panic":   {Method: "Query", Panic: "no"},
		"connect": {Method: "Connect", Err: errors.New("no")},
		"rows":    {Method: "Next", Err: errors.New("no")},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{}, func(h *harness) {
				h.want("cold", swrRead, 1, false, false)
				expire()
				h.seed("UPDATE t SET a = 2")
				h.fake.Inject(fault)
				h.want("expired", swrRead, 1, true, true)
				time.Sleep(2 * refreshPause)
				h.want("its refresh has failed", swrRead, 1, true, true)
				synctest.Wait()
				h.want("refreshed", swrRead, 2, true, false)
			})
		})
	}
}

// A session that a new connection would not have has no swr: a refresh would store
// under another key, or another session's rows. Seen to fail with ask not comparing
// the scopes: the entry is served stale for its whole window.
func TestSWRInASession(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		c, err := h.Conn(h.t.Context())
		if err != nil {
			h.t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := c.ExecContext(h.t.Context(), "PRAGMA case_sensitive_like = 1"); err != nil {
			h.t.Fatal(err)
		}
		for want := range 2 {
			var got int
			if err := c.QueryRowContext(h.t.Context(), swrRead).Scan(&got); err != nil || got != want+1 {
				h.t.Errorf("%d, %v, want %d", got, err, want+1)
			}
			expire()
			h.seed("UPDATE t SET a = 2")
		}
		wantSame(h.t, "stale", 0, h.cache.Stats().Stale)
	})
}

// The refresh has the hints of the context that asked, its arguments, and works for a
// driver that only prepares. Seen to fail without hints in refresh, and with refresh
// not preparing.
func TestSWRKeepsItsHints(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		ctx := WithTags(WithTTL(h.t.Context(), time.Hour), "x")
		const text = "/* querycache: swr=1h */ SELECT a + ? FROM t"
		h.read(ctx, text, 1)
		time.Sleep(61 * time.Minute)
		h.seed("UPDATE t SET a = 2")
		if v, hit := h.read(ctx, text, 1); v != 2 || !hit {
			h.t.Errorf("expired: %d, %v", v, hit)
		}
		synctest.Wait()
		time.Sleep(50 * time.Minute)
		h.seed("UPDATE t SET a = 3")
		if v, hit := h.read(ctx, text, 1); v != 3 || !hit {
			h.t.Errorf("refreshed: %d, %v", v, hit)
		}
		h.cache.InvalidateTags("x")
		if v, hit := h.read(ctx, text, 1); v != 4 || hit {
			h.t.Errorf("invalidated: %d, %v", v, hit)
		}
	})
}

// What says that the database cannot be reached, and what does not. Seen to fail
// with unreachable always true, and always false.
func TestStaleIfError(t *testing.T) {
	type sqliteError struct {
		error
		Code int
	}
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	for _, tt := range []struct {
		name  string
		fault fakedb.Fault
		drop  bool // no connection is left
		stale bool
	}{
		{"no connection", fakedb.Fault{Method: "Connect", Err: refused, Times: -1}, true, true},
		{"any error of connecting", fakedb.Fault{Method: "Connect", Err: errors.New("password"), Times: -1}, true, true},
		{"network", fakedb.Fault{Method: "Query", Err: refused, Times: -1}, false, true},
		{"network, wrapped", fakedb.Fault{Method: "Query", Err: fmt.Errorf("pg: %w", refused), Times: -1}, false, true},
		{"network, at the first row", fakedb.Fault{Method: "Next", Err: refused, Times: -1}, false, true},
		{"busy", fakedb.Fault{Method: "Query", Err: sqliteError{errors.New("locked"), 5}, Times: -1}, false, true},
		{"busy snapshot", fakedb.Fault{Method: "Next", Err: sqliteError{errors.New("locked"), 5 | 2<<8}, Times: -1}, false, true},
		{"bad connections, all", fakedb.Fault{Method: "Query", Err: driver.ErrBadConn, Times: -1}, false, true},
		{"one bad connection", fakedb.Fault{Method: "Query", Err: driver.ErrBadConn}, false, false},
		{"syntax", fakedb.Fault{Method: "Query", Err: sqliteError{errors.New("syntax"), 1}}, false, false},
		{"error", fakedb.Fault{Method: "Query", Err: errors.New("no")}, false, false},
		{"cancelled", fakedb.Fault{Method: "Query", Err: context.Canceled}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, Config{}, func(h *harness) {
				h.want("cold", sieRead, 1, false, false)
				expire()
				if tt.drop {
					h.SetMaxIdleConns(0)
				}
				h.seed("UPDATE t SET a = 2")
				remove := h.fake.Inject(tt.fault)
				before := h.cache.Stats()
				v, err := h.query(h.t.Context(), sieRead)
				after := h.cache.Stats()
				switch {
				case tt.stale && (v != 1 || err != nil || after.Stale != before.Stale+1 || after.Hits != before.Hits+1):
					h.t.Errorf("%d, %v, %+v", v, err, after)
				case !tt.stale && after.Stale != before.Stale:
					h.t.Errorf("served stale: %d, %v", v, err)
				}
				if v, err := h.query(h.t.Context(), harnessRead); tt.fault.Times < 0 && err == nil {
					h.t.Errorf("without the hint: %d", v)
				}
				time.Sleep(30 * time.Second)
				if v, err := h.query(h.t.Context(), sieRead); tt.fault.Times < 0 && err == nil {
					h.t.Errorf("after the window: %d", v)
				}
				remove()
				h.SetMaxIdleConns(2)
				if v, err := h.query(h.t.Context(), sieRead); v != 2 || err != nil {
					h.t.Errorf("when it is back: %d, %v", v, err)
				}
			})
		})
	}
}

// What a table's write, or the caller's context, ended is not served late. Seen to
// fail with instead not asking for valid, and with unreachable not for the context.
func TestStaleIfErrorNeverAfterAWrite(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		h.want("cold", sieRead, 1, false, false)
		expire()
		gate := fakedb.NewGate()
		h.fake.Inject(fakedb.Fault{Method: "Query", Gate: gate, Err: net.ErrClosed})
		done := make(chan error)
		go func() {
			_, err := h.query(h.t.Context(), sieRead)
			done <- err
		}()
		synctest.Wait()
		h.exec(harnessWrite, 2)
		gate.Release()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			h.t.Errorf("a write came while it asked: %v", err)
		}

		h.want("cold", sieRead, 2, false, false)
		expire()
		h.fake.Inject(fakedb.Fault{Method: "Query", Delay: time.Minute})
		ctx, cancel := context.WithTimeout(h.t.Context(), time.Second)
		defer cancel()
		if v, err := h.query(ctx, sieRead); !errors.Is(err, context.DeadlineExceeded) {
			h.t.Errorf("its own time ran out: %d, %v", v, err)
		}
		wantSame(h.t, "stale", 0, h.cache.Stats().Stale)
	})
}

package querycache

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"

	"github.com/querycache/querycache/internal/fakedb"
)

// The error that the database answered is told. Seen to fail with noted noting nothing.
func TestLateTraceErrOfRows(t *testing.T) {
	for _, skip := range []int{0, 1} {
		t.Run(fmt.Sprint("row ", skip), func(t *testing.T) {
			inBubble(t, Config{}, func(h *harness) {
				h.exec("INSERT INTO t VALUES (2)")
				no := errors.New("no")
				h.fake.Inject(fakedb.Fault{Method: "Next", Skip: skip, Err: no})
				var seen error
				o := trace(h.t, h.t.Context(), func(ctx context.Context) {
					rows, err := h.QueryContext(ctx, harnessRead)
					if err != nil {
						h.t.Fatal(err)
					}
					for rows.Next() {
					}
					seen = rows.Err()
					_ = rows.Close()
				})
				if !errors.Is(seen, no) || !errors.Is(o.Err, no) {
					h.t.Errorf("caller saw %v, trace %v (%+v)", seen, o.Err, o)
				}
			})
		})
	}
}

// Rows whose Close fails are not stored, and that is told. Seen to fail with whole not
// telling.
func TestLateTraceErrOfClose(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		no := errors.New("no")
		h.fake.Inject(fakedb.Fault{Method: "Rows.Close", Err: no})
		o := trace(h.t, h.t.Context(), func(ctx context.Context) {
			rows, err := h.QueryContext(ctx, harnessRead) //nolint:rowserrcheck // What is told of it is looked at.
			if err != nil {
				h.t.Fatal(err)
			}
			for rows.Next() {
			}
			if err := rows.Close(); err != nil {
				h.t.Log("close:", err)
			}
		})
		if !o.Filled && o.Refused == ReasonNone {
			h.t.Errorf("neither filled nor refused: %+v", o)
		}
	})
}

// Rows that come slowly: all that were awaited count. Seen to fail with waited not adding.
func TestLateDatabaseTimeOfStream(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		for i := range 9 {
			h.exec("INSERT INTO t VALUES (?)", i)
		}
		h.fake.Inject(fakedb.Fault{Method: "Next", Delay: time.Second, Times: -1})
		began := time.Now()
		o := trace(h.t, h.t.Context(), func(ctx context.Context) {
			rows, err := h.QueryContext(ctx, harnessRead) //nolint:rowserrcheck // What is told of it is looked at.
			if err != nil {
				h.t.Fatal(err)
			}
			for rows.Next() {
			}
			_ = rows.Close()
		})
		if waited := time.Since(began); o.Database < waited*9/10 {
			h.t.Errorf("Database %v, DatabaseTime %v, waited %v", o.Database, h.cache.Stats().DatabaseTime, waited)
		}
		before := h.cache.Stats().TimeSaved
		h.read(h.t.Context(), harnessRead)
		if saved := h.cache.Stats().TimeSaved - before; saved < 9*time.Second {
			h.t.Errorf("a hit saved %v", saved)
		}
	})
}

// nestedError has a promoted Code behind a nil pointer, and is an ordinary error.
type nestedCode struct{ Code int }

type nestedError struct{ *nestedCode }

func (nestedError) Error() string { return "ordinary" }

func TestLateErrorCodePanics(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		h.want("cold", sieRead, 1, false, false)
		expire()
		h.fake.Inject(fakedb.Fault{Method: "Query", Err: nestedError{}})
		func() {
			defer func() {
				if p := recover(); p != nil {
					h.t.Errorf("the query panicked: %v", p)
				}
			}()
			_, err := h.query(h.t.Context(), sieRead)
			h.t.Log(err)
		}()
	})
}

// An entry that was invalidated long ago, filled again, and then expired and freed, is
// told as cold. Seen to fail without refill.
func TestLateGraveOutlivesFill(t *testing.T) {
	inBubble(t, Config{TTL: time.Minute}, func(h *harness) {
		h.trace(h.t.Context(), harnessRead)
		h.exec(harnessWrite, 2)
		h.cache.reaper.allDead()
		h.cache.Wait()
		h.trace(h.t.Context(), harnessRead) // Filled again.
		if o := h.trace(h.t.Context(), harnessRead); o.Kind != Hit {
			h.t.Fatalf("%+v", o)
		}
		time.Sleep(time.Hour)
		h.cache.Wait()
		o := h.trace(h.t.Context(), harnessRead)
		if o.InvalidatedBy != "" || o.Reason == ReasonInvalidated {
			h.t.Errorf("it expired; told %v by %q", o.Reason, o.InvalidatedBy)
		}
	})
}

// Invalidations by the schema look of a refresh count. Seen to fail with Stats leaving
// them out.
func TestLateStatsOfRefreshInvalidations(t *testing.T) {
	h := newHarness(t, Config{})
	defer h.close()
	h.cache.refreshes.counters.invalidations.Add(1)
	wantSame(t, "invalidations", 1, h.cache.Stats().Invalidations)
}

func TestLateTimeSavedOverflows(t *testing.T) {
	h := newHarness(t, Config{})
	defer h.close()
	h.cache.counters.saved.Add(uint64(250 * 365 * 24 * time.Hour))
	h.cache.stripes[1].saved.Add(uint64(250 * 365 * 24 * time.Hour))
	if s := h.cache.Stats().TimeSaved; s < 0 {
		t.Errorf("saved %v", s)
	}
}

// One client that has read new rows, too large to be stored, reads no old ones. Seen to
// fail before stream and drop forgot what is older.
func TestLateNewThenOld(t *testing.T) {
	inBubble(t, Config{MaxEntryBytes: 4096}, func(h *harness) {
		count := func(text string) (n int) {
			rows, err := h.QueryContext(h.t.Context(), text) //nolint:rowserrcheck // What is told of it is looked at.
			if err != nil {
				h.t.Fatal(err)
			}
			defer func() { _ = rows.Close() }()
			for rows.Next() {
				n++
			}
			return n
		}
		const late = "/* querycache: ttl=60s swr=1h */ SELECT a FROM u"
		wantSame(h.t, "cold", 1, count(late))
		expire()
		var b strings.Builder
		for i := range 300 {
			fmt.Fprintf(&b, "INSERT INTO u VALUES (%d);", i)
		}
		h.seed(strings.TrimSuffix(b.String(), ";"))
		wantSame(h.t, "plain read", 301, count("SELECT a FROM u"))
		if n := count(late); n != 301 {
			h.t.Errorf("one client read 301 rows, and then %d", n)
		}
		synctest.Wait()
		if n := count(late); n != 301 {
			h.t.Errorf("after a refresh that found 301 rows: %d", n)
		}
		synctest.Wait()
	})
}

// quits ends the goroutine of the refresh in the parent.
func TestLateGoexit(t *testing.T) {
	for _, where := range []string{"connect", "query", "next", "close"} {
		t.Run(where, func(t *testing.T) {
			h := newHarness(t, Config{})
			q := &quitter{Connector: h.fake.Connector("x"), where: where}
			db := sql.OpenDB(h.cache.WrapConnector(q))
			const text = "/* querycache: ttl=1ms swr=1h */ SELECT a FROM t"
			read := func() {
				var v int
				if err := db.QueryRowContext(t.Context(), text).Scan(&v); err != nil {
					t.Fatal(err)
				}
			}
			read()
			q.armed.Store(true)
			for range 20 {
				time.Sleep(5 * time.Millisecond)
				read()
			}
			done := make(chan struct{})
			go func() { _ = db.Close(); h.close(); close(done) }()
			select {
			case <-done:
			case <-time.After(5 * time.Second):
				t.Fatal("Close waits")
			}
		})
	}
}

type quitter struct {
	driver.Connector
	where string
	armed atomic.Bool
}

func (q *quitter) at(where string) {
	if q.armed.Load() && q.where == where {
		runtime.Goexit()
	}
}

func (q *quitter) Connect(ctx context.Context) (driver.Conn, error) {
	q.at("connect")
	c, err := q.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &quitConn{c, q, q.armed.Load()}, nil
}

type quitConn struct {
	driver.Conn
	q    *quitter
	mine bool
}

func (c *quitConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	if c.mine {
		c.q.at("query")
	}
	r, err := c.Conn.(driver.QueryerContext).QueryContext(ctx, text, args) //nolint:forcetypeassert // The fake has it.
	return &quitRows{r, c}, err
}

func (c *quitConn) Close() error {
	err := c.Conn.Close()
	if c.mine {
		c.q.at("close")
	}
	return err
}

type quitRows struct {
	driver.Rows
	c *quitConn
}

func (r *quitRows) Next(dest []driver.Value) error {
	if r.c.mine {
		r.c.q.at("next")
	}
	return r.Rows.Next(dest)
}

// Everything at once, for the race detector and goleak.
func TestLateHammer(t *testing.T) {
	for range 5 {
		h := newHarness(t, Config{TTL: 2 * time.Millisecond, Rules: []Rule{{SWR: 5 * time.Millisecond, StaleIfError: 5 * time.Millisecond}}})
		h.SetMaxOpenConns(16)
		var last atomic.Int64
		last.Store(1)
		var wg sync.WaitGroup
		stop := make(chan struct{})
		running := func() bool {
			select {
			case <-stop:
				return false
			default:
				return true
			}
		}
		h.fake.Inject(fakedb.Fault{Method: "Next", Delay: time.Millisecond, Times: -1, Skip: 3})
		for i := range 8 {
			wg.Go(func() {
				seen := int64(0)
				for running() {
					floor := last.Load()
					ctx := t.Context()
					var o Outcome
					if i%2 == 0 {
						ctx = WithTrace(ctx, func(x Outcome) { o = x })
					}
					v, err := h.query(ctx, harnessRead)
					if err != nil {
						return
					}
					if v < floor || v < seen {
						t.Errorf("read %d, acknowledged %d, seen %d, %+v", v, floor, seen, o)
						return
					}
					seen = v
				}
			})
		}
		wg.Go(func() {
			for n := int64(2); running(); n++ {
				if _, err := h.ExecContext(t.Context(), harnessWrite, n); err != nil {
					return
				}
				last.Store(n)
				time.Sleep(time.Duration(n%9) * time.Millisecond)
			}
		})
		time.Sleep(300 * time.Millisecond)
		if h.cache.Stats().Stale == 0 {
			t.Log("nothing stale")
		}
		var closing sync.WaitGroup
		closing.Go(func() { _ = h.cache.Close() })
		closing.Go(func() { _ = h.Close() })
		closing.Wait()
		close(stop)
		wg.Wait()
	}
}

var _ = io.EOF

// Close does not wait for ever for a driver that does not listen to its context, nor
// for itself. Seen to hang without leaveTime.
func TestLateCloseIsBounded(t *testing.T) {
	const text = "/* querycache: ttl=1ms swr=1h */ SELECT a FROM t"
	for _, method := range []string{"Connect", "Query", "Next", "Conn.Close"} {
		for what, end := range map[string]func(h *harness){
			"DB":    func(h *harness) { _ = h.Close() },
			"Cache": func(h *harness) { _ = h.cache.Close() },
		} {
			t.Run(method+"/"+what, func(t *testing.T) {
				inBubble(t, Config{}, func(h *harness) {
					h.read(h.t.Context(), text)
					time.Sleep(10 * time.Millisecond)
					gate := fakedb.NewGate()
					h.fake.Inject(fakedb.Fault{Method: method, Gate: gate, IgnoreContext: true})
					if _, hit := h.read(h.t.Context(), text); !hit {
						h.t.Fatal("no hit")
					}
					<-gate.Reached()
					began := time.Now()
					end(h)
					wantSame(h.t, "waited", leaveTime, time.Since(began))
					gate.Release()
					synctest.Wait()
				})
			})
		}
	}
	inBubble(t, Config{}, func(h *harness) {
		var once sync.Once
		h.cache.rules = []rule{{Rule: Rule{TTL: time.Millisecond, SWR: time.Hour, Match: func(string) bool {
			if h.cache.watched.Load() {
				once.Do(func() { _ = h.cache.Close() })
			}
			return true
		}}}}
		h.read(h.t.Context(), harnessRead)
		time.Sleep(10 * time.Millisecond)
		h.fake.Inject(fakedb.Fault{Method: "Connect", Delay: time.Second})
		h.read(h.t.Context(), harnessRead)
		synctest.Wait()
		h.cache.Purge() // The refresh plans anew, in its goroutine.
		h.cache.watched.Store(true)
		time.Sleep(time.Minute)
		if !h.cache.closed.Load() {
			h.t.Error("the predicate was not asked")
		}
	})
}

// A refresh that fails is not tried again by each reader. Seen to fail without
// refreshPause.
func TestLateFailuresAreLeftAlone(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		h.read(h.t.Context(), swrRead)
		expire()
		remove := h.fake.Inject(fakedb.Fault{Method: "Connect", Err: errors.New("no"), Times: -1})
		for range 1000 {
			h.want("expired", swrRead, 1, true, true)
			time.Sleep(time.Millisecond)
		}
		if n := remove(); n > 2 {
			h.t.Errorf("%d attempts to connect", n)
		}
	})
}

// A refresh reads beside the application's own connections. Where that would lock out
// a writer ("database is locked", "database table is locked"), there is none. Seen to
// fail with mayRefresh always true, and without unfit for a shared cache.
func TestLateLocksNobodyOut(t *testing.T) {
	for _, options := range []string{"?_busy_timeout=100", "?cache=shared&_journal_mode=WAL"} {
		t.Run(options, func(t *testing.T) {
			cache, err := New(Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cache.Close() }()
			db, err := fakedb.Open(cache.Wrap(&sqlite3.SQLiteDriver{}), "file:"+t.TempDir()+"/x.db"+options)
			if err != nil {
				t.Fatal(err)
			}
			db.SetMaxOpenConns(1)
			defer func() { _ = db.Close() }()
			if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (a); INSERT INTO t VALUES (1)"); err != nil {
				t.Fatal(err)
			}
			const text = "/* querycache: ttl=1ms swr=1h */ SELECT a FROM t"
			for range 20 {
				var v int
				if err := db.QueryRowContext(t.Context(), text).Scan(&v); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Millisecond)
			}
			if n := cache.Stats().Refreshes; n != 0 {
				t.Errorf("%d refreshes", n)
			}
		})
	}
}

// Drivers that do not query without preparing, or not always, are refreshed too. Seen
// to fail with refresh not preparing.
func TestLateThroughPrepared(t *testing.T) {
	skips := fakedb.Full()
	skips.SkipQuery = fakedb.SkipAlways
	prepares := fakedb.Full()
	prepares.Abilities &^= fakedb.QueryerContext | fakedb.LegacyQueryer | fakedb.ExecerContext | fakedb.LegacyExecer
	for name, profile := range map[string]fakedb.Profile{"legacy": fakedb.Legacy(), "skips": skips, "prepares": prepares} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarnessOn(t, Config{}, profile)
				defer h.close()
				h.want("cold", swrRead, 1, false, false)
				expire()
				h.seed("UPDATE t SET a = 2")
				h.want("expired", swrRead, 1, true, true)
				synctest.Wait()
				h.want("refreshed", swrRead, 2, true, false)
			})
		})
	}
}

// Nothing is served late while the cache is off. Seen to fail with instead not asking.
func TestLateWhileDisabled(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		h.want("cold", sieRead, 1, false, false)
		expire()
		h.fake.Inject(fakedb.Fault{Method: "Query", Err: net.ErrClosed, Delay: time.Second})
		go func() {
			time.Sleep(time.Millisecond)
			h.cache.SetEnabled(false)
		}()
		if _, err := h.query(h.t.Context(), sieRead); !errors.Is(err, net.ErrClosed) {
			h.t.Errorf("%v", err)
		}
	})
}

// What a failed or a several-step outcome is told as.
func TestLateTraceReasons(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		h.fake.Inject(fakedb.Fault{Method: "Query", Err: errors.New("no")})
		if o := h.trace(h.t.Context(), "UPDATE t SET a = 1 RETURNING a"); o.Kind != Bypassed || o.Reason == ReasonNone {
			h.t.Errorf("RETURNING that fails: %+v", o)
		}
		before := h.cache.Stats().BypassReasons
		o := h.trace(h.t.Context(), "EXPLAIN SELECT a FROM t")
		for r, n := range h.cache.Stats().BypassReasons {
			if n > before[r] && r != o.Reason {
				h.t.Errorf("Stats counts %v, the trace says %v", r, o.Reason)
			}
		}
	})
}

// A database in memory belongs to one connection: a refresh would ask another one.
// Seen to fail with ask not looking at over.
func TestLateInMemory(t *testing.T) {
	cache, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cache.Close() }()
	db, err := fakedb.Open(cache.Wrap(&sqlite3.SQLiteDriver{}), ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (a); INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		var v int
		if err := db.QueryRowContext(t.Context(), "/* querycache: ttl=1ms swr=1h */ SELECT a FROM t").Scan(&v); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
	}
	if st := cache.Stats(); st.Stale != 0 || st.Misses == 0 {
		t.Errorf("%+v", st)
	}
}

// What somebody has seen of newer rows, and what a refresh has, ends what is older
// although it cannot be stored. Seen to fail with stream not forgetting what has
// expired, and with drop not forgetting what a refresh found too large.
func TestLateForgetsTheOlder(t *testing.T) {
	const text = "/* querycache: ttl=60s swr=1h max-bytes=512B */ SELECT a FROM t"
	const late = "/* querycache: ttl=60s stale-if-error=1h */ SELECT a FROM t"
	grow := func(h *harness) {
		for i := range 100 {
			h.seed(fmt.Sprintf("INSERT INTO t VALUES (%d)", i))
		}
	}
	inBubble(t, Config{}, func(h *harness) {
		h.want("cold", text, 1, false, false)
		expire()
		grow(h)
		h.want("expired", text, 1, true, true)
		synctest.Wait() // The refresh finds too much.
		h.want("known to be older", text, 1, false, false)
	})
	inBubble(t, Config{}, func(h *harness) {
		h.want("cold", late, 1, false, false)
		expire()
		h.seed("UPDATE t SET a = 2")
		grow(h)
		h.fake.Inject(fakedb.Fault{Method: "Next", Skip: 2, Delay: time.Second})
		h.want("newer, and cut short", late, 2, false, false)
		h.fake.Inject(fakedb.Fault{Method: "Query", Err: net.ErrClosed})
		if v, err := h.query(h.t.Context(), late); err == nil {
			h.t.Errorf("%d after 2", v)
		}
	})
}

package querycache

import (
	"context"
	"database/sql/driver"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/querycache/querycache/internal/analysis"
	"github.com/querycache/querycache/internal/fakedb"
)

// answer is what one reader got.
type answer struct {
	value int64
	err   error
}

// readers starts n readers that wait together, and returns what they will get.
// synctest.Wait returns once all of them do.
func (h *harness) readers(ctx context.Context, wg *sync.WaitGroup, n int) []answer {
	answers := make([]answer, n)
	for i := range answers {
		wg.Go(func() { answers[i].value, answers[i].err = h.query(ctx, harnessRead) })
	}
	return answers
}

// wantAll wants all readers to have got what the table held at first.
func wantAll(t testing.TB, answers []answer) {
	t.Helper()
	for i, a := range answers {
		if a.err != nil || a.value != 1 {
			t.Errorf("reader %d got %d, %v, want 1", i, a.value, a.err)
		}
	}
}

// TestFollowersShare lets readers miss while a query is under way.
func TestFollowersShare(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		t := h.t
		gate := fakedb.NewGate()
		h.fake.Inject(fakedb.Fault{Method: "Query", Gate: gate})
		var wg sync.WaitGroup
		answers := h.readers(t.Context(), &wg, 16)
		synctest.Wait()
		gate.Release()
		wg.Wait()
		wantAll(t, answers)
		wantSame(t, "queries", 1, h.asked())
		s := h.cache.Stats()
		wantSame(t, "misses", 1, s.Misses)
		wantSame(t, "coalesced", 15, s.Coalesced)
		h.wantHit("afterwards", 1)
	})
}

// TestMissingTogetherAsksOnce has readers miss at once, again and again, a
// database that answers at once: one that looked before the fill and comes to
// join after the landing must look again. Without that look in call.miss there
// are rounds with a second query.
func TestMissingTogetherAsksOnce(t *testing.T) {
	inBubble(t, Config{}, missTogether)
}

func missTogether(h *harness) {
	t := h.t
	const readers, rounds = 6, 1000
	for range rounds {
		h.cache.InvalidateTables("t")
		h.fake.ResetLog()
		var wg sync.WaitGroup
		var ready atomic.Int64
		for range readers {
			wg.Go(func() {
				for ready.Add(1); ready.Load() < readers; {
					runtime.Gosched()
				}
				if v, err := h.query(t.Context(), harnessRead); v != 1 || err != nil {
					t.Errorf("%d, %v", v, err)
				}
			})
		}
		wg.Wait()
		if n := h.asked(); n != 1 {
			t.Fatalf("%d queries", n)
		}
	}
	s := h.cache.Stats()
	wantSame(t, "misses", rounds, s.Misses)
	wantSame(t, "hits and coalesced", rounds*(readers-1), s.Hits+s.Coalesced)
}

// TestLeaderFails has the query that others wait for end without a result, in
// every way that there is: the others get theirs by one more query. Without the
// deferred land in call.lead they wait until their own contexts end.
func TestLeaderFails(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name  string
		fault fakedb.Fault
		fails func(a answer) bool
	}{
		{"error", fakedb.Fault{Err: broken}, func(a answer) bool { return errors.Is(a.err, broken) }},
		{"panic", fakedb.Fault{Panic: "broken"}, func(a answer) bool { return errors.Is(a.err, errPanicked) }},
		{"error in the rows", fakedb.Fault{Method: "Rows.Next", Err: broken}, func(a answer) bool { return errors.Is(a.err, broken) }},
		{"panic in the rows", fakedb.Fault{Method: "Rows.Next", Panic: "broken"}, func(a answer) bool { return errors.Is(a.err, errPanicked) }},
		{"error of Close", fakedb.Fault{Method: "Rows.Close", Err: broken}, func(a answer) bool { return errors.Is(a.err, broken) || a.value == 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, Config{}, func(h *harness) {
				t := h.t
				gate := fakedb.NewGate()
				fault := tt.fault
				fault.Gate = gate
				if fault.Method == "" {
					fault.Method = "Query"
				}
				h.fake.Inject(fault)
				var wg sync.WaitGroup
				var leader answer
				wg.Go(func() {
					defer func() {
						if recover() != nil {
							leader.err = errPanicked
						}
					}()
					leader.value, leader.err = h.query(t.Context(), harnessRead)
				})
				synctest.Wait()
				followers := h.readers(t.Context(), &wg, 8)
				synctest.Wait()
				gate.Release()
				wg.Wait()
				if !tt.fails(leader) {
					t.Errorf("the leader got %+v", leader)
				}
				wantAll(t, followers)
				wantSame(t, "queries", 2, h.asked())
				h.wantHit("afterwards", 1)
			})
		})
	}
}

var errPanicked = errors.New("panicked")

// TestLeaderExits ends the leader's goroutine inside the parent, as a failing
// test does.
func TestLeaderExits(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		t := h.t
		exit := make(chan struct{})
		var calls atomic.Int64
		h.fake.Handle(harnessRead, func(context.Context, string, []driver.NamedValue) (*fakedb.Result, error) {
			if calls.Add(1) == 1 {
				<-exit
				runtime.Goexit()
			}
			return &fakedb.Result{Columns: []fakedb.Column{{Name: "a"}}, Rows: [][]driver.Value{{int64(1)}}}, nil
		})
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = h.query(t.Context(), harnessRead)
			t.Error("the leader came back")
		})
		synctest.Wait()
		followers := h.readers(t.Context(), &wg, 4)
		synctest.Wait()
		close(exit)
		wg.Wait()
		wantAll(t, followers)
		wantSame(t, "calls", 2, calls.Load())
	})
}

// TestLeaderIsCancelled cancels the context of the leader alone.
func TestLeaderIsCancelled(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		t := h.t
		gate := fakedb.NewGate()
		h.fake.Inject(fakedb.Fault{Method: "Query", Gate: gate})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		leader := h.readers(ctx, &wg, 1)
		synctest.Wait()
		followers := h.readers(t.Context(), &wg, 4)
		synctest.Wait()
		cancel()
		wg.Wait()
		if !errors.Is(leader[0].err, context.Canceled) {
			t.Errorf("the leader got %+v", leader[0])
		}
		wantAll(t, followers)
		h.wantHit("afterwards", 1)
	})
}

// TestFollowerIsCancelled cancels one that waits: it returns at once, and the
// flight goes on.
func TestFollowerIsCancelled(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		t := h.t
		gate := fakedb.NewGate()
		h.fake.Inject(fakedb.Fault{Method: "Query", Gate: gate})
		var leading, following sync.WaitGroup
		leader := h.readers(t.Context(), &leading, 1)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		follower := h.readers(ctx, &following, 1)
		started := time.Now()
		following.Wait()
		if !errors.Is(follower[0].err, context.DeadlineExceeded) || time.Since(started) != time.Second {
			t.Errorf("the follower got %+v after %v", follower[0], time.Since(started))
		}
		gate.Release()
		leading.Wait()
		wantAll(t, leader)
		wantSame(t, "queries", 1, h.asked())
		h.wantHit("afterwards", 1)
	})
}

// TestNoFollowingAcrossAWrite begins a read after a write has returned, while a
// query that began before it is under way: it must not get that one's result.
// With flight.matches comparing keys alone (controlJoinAny) it gets 1.
func TestNoFollowingAcrossAWrite(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		t := h.t
		gate := fakedb.NewGate()
		h.fake.Inject(fakedb.Fault{Method: "Query", Gate: gate, After: true})
		var wg sync.WaitGroup
		early := h.readers(t.Context(), &wg, 1)
		synctest.Wait()
		h.exec(harnessWrite, 2)
		h.wantAsked("after the write", 2)
		gate.Release()
		wg.Wait()
		wantAll(t, early)
		h.wantHit("at the end", 2)
		wantSame(t, "rejected fills", 1, h.cache.Stats().RejectedFills)
	})
}

// TestCollidingFlights has two queries with one hash meet: the second goes its
// own way. With flight.matches comparing words alone it follows.
func TestCollidingFlights(t *testing.T) {
	var fs flights
	s := newScope(nil, "")
	asks := func(text string, values ...driver.Value) *call {
		return &call{hints: &noHints, set: new(settings), conn: &conn{scope: s}, plan: planOfText(text), args: args(values...), hash: 7}
	}
	first, leads := fs.join(asks("SELECT ?", int64(1)))
	if first == nil || !leads {
		t.Fatal("the first one does not lead")
	}
	for _, other := range []*call{asks("SELECT ?", int64(2)), asks("SELECT ?", "1"), asks("SELECT ? ", int64(1)), asks("SELECT ?")} {
		if f, leads := fs.join(other); f != nil || leads {
			t.Errorf("%q %v joins, or leads (%v)", other.plan.Text, other.args, leads)
		}
	}
	if f, leads := fs.join(asks("SELECT ?", int64(1))); f != first || leads {
		t.Errorf("the same query leads (%v), or follows another", leads)
	}
	fs.land(first, nil)
	if f, leads := fs.join(asks("SELECT ?", int64(2))); f == nil || !leads {
		t.Error("a query does not lead after the flight has landed")
	}
}

func planOfText(text string) *plan { return &plan{Plan: &analysis.Plan{Text: text}} }

// TestCollidingEntries stores an entry under the hash of another query, as a
// collision would. With Cache.lookup trusting the hash the second query reads 1.
func TestCollidingEntries(t *testing.T) {
	h := newHarness(t, Config{})
	defer h.close()
	h.read(t.Context(), harnessRead)
	it := h.cache.store.Find(h.hashOf(harnessRead))
	if it == nil {
		t.Fatal("not stored")
	}
	const other = "SELECT a + 10 FROM t"
	if !h.cache.store.Put(&item{Hash: h.hashOf(other), Cost: it.Cost, Value: it.Value}) {
		t.Fatal("not stored again")
	}
	if v, hit := h.read(t.Context(), other); v != 11 || hit {
		t.Errorf("read %d (hit %v), want 11 from the database", v, hit)
	}
}

// TestOtherArgumentsDoNotFollow has queries of one text wait for themselves.
func TestOtherArgumentsDoNotFollow(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		t := h.t
		const text = "SELECT a + ? FROM t"
		gate := fakedb.NewGate()
		h.fake.Inject(fakedb.Fault{Method: "Query", Gate: gate, Times: -1})
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				if v, err := h.query(t.Context(), text, i); err != nil || v != int64(1+i) {
					t.Errorf("%d: %d, %v", i, v, err)
				}
			})
		}
		synctest.Wait()
		gate.Release()
		wg.Wait()
		wantSame(t, "misses", 4, h.cache.Stats().Misses)
	})
}

// TestRefreshJoinsNobody refreshes while a query that began earlier is under
// way and somebody else has changed the database: the refresh asks for itself,
// and what began earlier does not replace what it stored. With the store taking
// every item (controlOlderFill) the last read finds 1; with a refresh joining
// flights it gets 1 itself.
func TestRefreshJoinsNobody(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		t := h.t
		gate := fakedb.NewGate()
		h.fake.Inject(fakedb.Fault{Method: "Query", Gate: gate, After: true})
		var wg sync.WaitGroup
		early := h.readers(t.Context(), &wg, 1)
		synctest.Wait()
		time.Sleep(time.Millisecond) // Two queries that begin in one moment are of one age.
		h.seed("UPDATE t SET a = 2")
		if got, hit := h.read(Refresh(t.Context()), harnessRead); got != 2 || hit {
			t.Errorf("the refresh read %d (hit %v)", got, hit)
		}
		h.wantHit("refreshed", 2)
		gate.Release()
		wg.Wait()
		wantAll(t, early)
		h.wantHit("after the earlier query", 2)
	})
}

func TestRefreshReplaces(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		t := h.t
		h.wantAsked("first", 1)
		h.seed("UPDATE t SET a = 2")
		h.wantHit("unseen", 1)
		time.Sleep(time.Millisecond)
		if got, hit := h.read(Refresh(t.Context()), harnessRead); got != 2 || hit {
			t.Errorf("the refresh read %d (hit %v)", got, hit)
		}
		h.wantHit("refreshed", 2)
	})
}

// TestInvalidatedRefreshIsDiscarded writes to the table while a refresh is
// under way.
func TestInvalidatedRefreshIsDiscarded(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		t := h.t
		h.wantAsked("first", 1)
		gate := fakedb.NewGate()
		h.fake.Inject(fakedb.Fault{Method: "Query", Gate: gate, After: true})
		var wg sync.WaitGroup
		refreshed := h.readers(Refresh(t.Context()), &wg, 1)
		synctest.Wait()
		h.exec(harnessWrite, 2)
		gate.Release()
		wg.Wait()
		wantAll(t, refreshed)
		h.wantAsked("after the write", 2)
		h.wantHit("again", 2)
	})
}

// TestInvalidationDuringAQuery makes entries invalid while their query is under
// way: what it brings is not stored. With Purge and InvalidateQuery deleting
// alone (controlPurgeDeletes) the next read is a hit on 1.
func TestInvalidationDuringAQuery(t *testing.T) {
	for name, invalidate := range map[string]func(*Cache){
		"Purge":            (*Cache).Purge,
		"InvalidateTables": func(c *Cache) { c.InvalidateTables("T") },
		"InvalidateQuery":  func(c *Cache) { c.InvalidateQuery(harnessRead) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{}, func(h *harness) {
				t := h.t
				gate := fakedb.NewGate()
				h.fake.Inject(fakedb.Fault{Method: "Query", Gate: gate, After: true})
				var wg sync.WaitGroup
				early := h.readers(t.Context(), &wg, 1)
				synctest.Wait()
				h.seed("UPDATE t SET a = 2")
				invalidate(h.cache)
				gate.Release()
				wg.Wait()
				wantAll(t, early)
				h.wantAsked("afterwards", 2)
				h.wantHit("again", 2)
			})
		})
	}
}

// TestInvalidateQueryIsExact keeps the entries of other arguments, but for
// those whose word is the same.
func TestInvalidateQueryIsExact(t *testing.T) {
	h := newHarness(t, Config{})
	defer h.close()
	const text, n = "SELECT a + ? FROM t", 300
	place := func(i int) uint64 {
		hash, ok := queryHash(text, []any{i})
		if !ok {
			t.Fatal("not keyed")
		}
		return hash % queryWords
	}
	for i := range n {
		h.read(t.Context(), text, i)
	}
	h.cache.InvalidateQuery(text, 7)
	for i := range n {
		want := place(i) != place(7)
		if _, hit := h.read(t.Context(), text, i); hit != want {
			t.Errorf("%d: hit %v, want %v", i, hit, want)
		}
	}
}

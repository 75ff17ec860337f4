package querycache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// TestWordLife follows a word through what can happen to it.
func TestWordLife(t *testing.T) {
	ctx := t.Context()
	for _, tt := range []struct {
		name  string
		steps func(*word)
		clean bool
		moved bool
	}{
		{"nothing", func(*word) {}, true, false},
		{"begun", func(w *word) { w.begin() }, false, false},
		{"begun and ended", func(w *word) { w.begin(); w.end(ctx) }, true, true},
		{"begun and undone", func(w *word) { w.begin(); w.undo() }, true, false},
		{"bumped", func(w *word) { w.bump() }, true, true},
		{"bumped in flight", func(w *word) { w.begin(); w.bump() }, false, true},
		{"two, one ended", func(w *word) { w.begin(); w.begin(); w.end(ctx) }, false, true},
		{"two, one undone", func(w *word) { w.begin(); w.begin(); w.undo() }, false, false},
		{"two, both ended", func(w *word) { w.begin(); w.begin(); w.end(ctx); w.end(ctx) }, true, true},
		{"two, one ended, one undone", func(w *word) { w.begin(); w.begin(); w.end(ctx); w.undo() }, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w word
			tt.steps(&w)
			wantSame(t, "clean", tt.clean, clean(w.load()))
			wantSame(t, "generation moved", tt.moved, w.load()>>inFlightBits > 0)
		})
	}
}

// TestWordsUnderLoad has writers come and go while a reader watches: whenever
// the word is clean, its generation is not smaller than before, and as long as
// a write that has begun has not ended it is not clean.
func TestWordsUnderLoad(t *testing.T) {
	const writers, rounds = 8, 2000
	var w word
	var running sync.WaitGroup
	var stop atomic.Bool
	var ends atomic.Int64
	for i := range writers {
		running.Go(func() {
			for n := range rounds {
				w.begin()
				if clean(w.load()) {
					t.Error("clean with a write in flight")
				}
				if (n+i)%3 == 0 {
					w.undo()
					continue
				}
				w.end(t.Context())
				ends.Add(1)
			}
		})
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		for before := uint64(0); !stop.Load(); runtime.Gosched() {
			now := w.load()
			if now>>inFlightBits < before {
				t.Errorf("the generation went back from %d to %d", before, now>>inFlightBits)
			}
			before = now >> inFlightBits
		}
	})
	running.Wait()
	stop.Store(true)
	watching.Wait()
	wantSame(t, "word", uint64(ends.Load())<<inFlightBits, w.load())
}

// TestSaturation takes words close to where their parts would run over: they
// stay in flight from then on, whatever comes. Without word.stick the words of
// every case end clean, and without its callers' looks at stuck those that many
// more writes begin on.
func TestSaturation(t *testing.T) {
	ctx := t.Context()
	for _, tt := range []struct {
		name  string
		bits  uint64
		steps func(*word)
	}{
		{"many in flight", maxInFlight - 1, func(w *word) { w.begin() }},
		{"the last generation, by a write", (maxGeneration-1)<<inFlightBits + 1, func(w *word) { w.end(ctx) }},
		{"the last generation, by a call", (maxGeneration - 1) << inFlightBits, func(w *word) { w.bump() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w word
			w.bits.Store(tt.bits)
			tt.steps(&w)
			stuck := w.load()
			if clean(stuck) {
				t.Errorf("%x is clean", stuck)
			}
			for range 1000 {
				w.begin()
				w.begin()
				w.end(ctx)
				w.undo()
				w.end(ctx) // Of a write that began before.
				w.bump()
			}
			wantSame(t, "word", stuck, w.load())
		})
	}
}

// TestSaturationUnderLoad has many writers saturate a word together.
func TestSaturationUnderLoad(t *testing.T) {
	var w word
	w.bits.Store((maxGeneration - 50) << inFlightBits)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				w.begin()
				if clean(w.load()) {
					t.Error("clean with a write in flight")
				}
				w.end(t.Context())
			}
		})
	}
	wg.Wait()
	if clean(w.load()) || w.load()>>inFlightBits > maxGeneration+8 {
		t.Errorf("the word is %x", w.load())
	}
}

// TestSaturatedTableIsBypassed reads a table whose word stuck: the database is
// asked each time, and the answer is right.
func TestSaturatedTableIsBypassed(t *testing.T) {
	h := newHarness(t, Config{})
	defer h.close()
	h.wantAsked("first", 1)
	h.wantHit("second", 1)
	h.cache.words.table("t").bits.Store((maxGeneration - 1) << inFlightBits)
	for want := range int64(3) {
		h.exec(harnessWrite, want)
		h.wantAsked("stuck", want)
		h.wantAsked("stuck, again", want)
	}
	if n := h.cache.Stats().BypassReasons[ReasonInFlight]; n != 6 {
		t.Errorf("%d bypasses, want 6", n)
	}
	if _, hit := h.read(t.Context(), "SELECT a FROM u"); hit {
		t.Error("a hit on a table that was not read")
	}
	if _, hit := h.read(t.Context(), "SELECT a FROM u"); !hit {
		t.Error("another table is bypassed too")
	}
}

// TestWriteEndsOnce has many callers end one write. Without the swap in
// write.end (controlDoubleEnd) the word borrows from its generation.
func TestWriteEndsOnce(t *testing.T) {
	c := newCache(t)
	ws := newWords()
	for range 200 {
		before := ws.table("t").load()
		w, err := c.begin(t.Context(), ws, target{tables: ws.tables([]string{"t"})}, 0)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() { w.end(outcome(i % 2)) }) // Some of them think that nothing changed.
		}
		wg.Wait()
		after := ws.table("t").load()
		if !clean(after) || after != before && after != before+oneGeneration {
			t.Fatalf("the word went from %x to %x", before, after)
		}
	}
	var nobody *write
	nobody.end(changed) // A statement that writes nothing has no write.
}

func newCache(t testing.TB) *Cache {
	t.Helper()
	c, err := New(Config{Dialect: SQLite})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestWordsAreBounded makes more names than there may be words: each keeps the
// word that it got, whoever asks and however many ask at once. Without words.mu
// a name may share a word for one caller and get its own for the next.
func TestWordsAreBounded(t *testing.T) {
	const names, room, callers = 8000, 4000, 2
	ws := newWords()
	ws.names = maxNames - room
	got := make([][]*word, callers)
	var arrived atomic.Int64
	var wg sync.WaitGroup
	for i := range callers {
		got[i] = make([]*word, names)
		wg.Go(func() {
			for n := range names {
				// In step, so that callers meet at each name.
				for arrived.Add(1); arrived.Load() < int64(callers*(n+1)); {
					runtime.Gosched()
				}
				got[i][n] = ws.table(fmt.Sprint("t", n))
			}
		})
	}
	wg.Wait()
	distinct := make(map[*word]bool)
	for n := range names {
		for i := range callers {
			if got[i][n] != got[0][n] {
				t.Fatalf("t%d has two words", n)
			}
		}
		if again := ws.table(fmt.Sprint("t", n)); again != got[0][n] {
			t.Fatalf("t%d has another word later", n)
		}
		distinct[got[0][n]] = true
	}
	if len(distinct) > room+sharedWords || len(distinct) < room {
		t.Errorf("%d words", len(distinct))
	}
}

// change is a schema change, as begin and end see it.
func change(t *testing.T, c *Cache, ws *words) *write {
	t.Helper()
	w, err := c.begin(t.Context(), ws, target{everything: true}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func writeTo(t *testing.T, c *Cache, ws *words, table string, plannedAt uint64) *write {
	t.Helper()
	w, err := c.begin(t.Context(), ws, target{tables: ws.tables([]string{table})}, plannedAt)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestEraWaitsForOlderWriters ends a schema change while writes that were
// planned before it are running: everything stays in flight until they have
// ended. With settleEverything ending at once (controlEra) it is clean too early.
func TestEraWaitsForOlderWriters(t *testing.T) {
	c := newCache(t)
	ws := newWords()
	everything := &ws.everything
	first := writeTo(t, c, ws, "a", 0)
	second := writeTo(t, c, ws, "b", 0)
	ddl := change(t, c, ws)
	ddl.end(changed)
	wantSame(t, "clean while both run", false, clean(everything.load()))
	first.end(changed)
	wantSame(t, "clean while one runs", false, clean(everything.load()))
	second.end(unchanged)
	wantSame(t, "clean afterwards", true, clean(everything.load()))
	wantSame(t, "generation", uint64(1), everything.load()>>inFlightBits)
}

// TestErasDrainInOrder starts a second schema change while the first one waits:
// neither is over before the oldest writer is, whichever writer ends first.
func TestErasDrainInOrder(t *testing.T) {
	c := newCache(t)
	ws := newWords()
	old := writeTo(t, c, ws, "a", 0)
	change(t, c, ws).end(changed)
	// Planned while everything was in flight: it counts for everything itself.
	young := writeTo(t, c, ws, "b", ws.everything.load())
	wantSame(t, "it counts for everything", true, young.target.everything)
	change(t, c, ws).end(changed)
	wantSame(t, "in flight", uint64(3), ws.everything.load()&inFlightMask)
	young.end(changed)
	wantSame(t, "in flight with the old writer", uint64(2), ws.everything.load()&inFlightMask)
	old.end(changed)
	wantSame(t, "in flight at the end", uint64(0), ws.everything.load()&inFlightMask)
	wantSame(t, "generation", uint64(3), ws.everything.load()>>inFlightBits)

	late := writeTo(t, c, ws, "a", ws.everything.load())
	wantSame(t, "planned on the new schema", false, late.target.everything)
	late.end(changed)
	wantSame(t, "generation", uint64(3), ws.everything.load()>>inFlightBits)
}

func TestChangeThatChangedNothing(t *testing.T) {
	c := newCache(t)
	ws := newWords()
	w := writeTo(t, c, ws, "a", 0)
	change(t, c, ws).end(unchanged)
	wantSame(t, "word of everything", uint64(0), ws.everything.load())
	w.end(changed)
}

func TestStalePlanCountsForEverything(t *testing.T) {
	c := newCache(t)
	ws := newWords()
	ws.everything.bump()
	w := writeTo(t, c, ws, "a", 0)
	wantSame(t, "clean", false, clean(ws.everything.load()))
	w.end(changed)
	wantSame(t, "clean afterwards", true, clean(ws.everything.load()))
	wantSame(t, "generation", uint64(2), ws.everything.load()>>inFlightBits)
}

// TestErasUnderLoad runs writers and schema changes against each other. A
// writer that has not ended, and whose era is over, must find everything in
// flight; at the end all words are clean and every era has drained.
func TestErasUnderLoad(t *testing.T) {
	c := newCache(t)
	ws := newWords()
	var wg sync.WaitGroup
	var changes atomic.Int64
	for range 6 {
		wg.Go(func() {
			for n := range 400 {
				w := writeTo(t, c, ws, fmt.Sprint("t", n%3), ws.everything.load())
				for range rand.IntN(4) {
					runtime.Gosched()
				}
				if ws.eras.current.Load() != w.era && clean(ws.everything.load()) {
					t.Error("everything is clean, and a write of an older era is running")
				}
				w.end(outcome(n % 2))
			}
		})
	}
	for range 3 {
		wg.Go(func() {
			for range 200 {
				w := change(t, c, ws)
				runtime.Gosched()
				w.end(changed)
				changes.Add(1)
			}
		})
	}
	wg.Wait()
	wantSame(t, "everything in flight", uint64(0), ws.everything.load()&inFlightMask)
	if got := int64(ws.everything.load() >> inFlightBits); got < changes.Load() {
		t.Errorf("generation %d after %d changes", got, changes.Load())
	}
	for n := range 3 {
		wantSame(t, "table in flight", uint64(0), ws.table(fmt.Sprint("t", n)).load()&inFlightMask)
	}
	wantSame(t, "holds on the current era", int64(1), ws.eras.current.Load().holds.Load())
}

// TestEnteredErasAreOpen enters eras while others turn them: an era that was
// entered has not drained. Without the second look at the current era in
// eras.enter, one that drained between the look and the hold is entered.
func TestEnteredErasAreOpen(t *testing.T) {
	var e eras
	e.init()
	var stop atomic.Bool
	var turning sync.WaitGroup
	turning.Go(func() {
		for !stop.Load() {
			drained := make(chan struct{})
			e.turn(func() { close(drained) })
			<-drained // Or eras would be made faster than they drain.
		}
	})
	for range 200_000 {
		entered := e.enter()
		drained := entered.drained.Load()
		entered.leave()
		if drained {
			t.Error("an era that has drained was entered")
			break
		}
	}
	stop.Store(true)
	turning.Wait()
}

// TestManyTurns turns the era behind one writer that takes its time: nothing is
// clean before it ends, and everything is then.
func TestManyTurns(t *testing.T) {
	const turns = 20_000
	var e eras
	e.init()
	writer := e.enter()
	over := 0
	for range turns {
		e.turn(func() { over++ })
		e.enter().leave()
	}
	wantSame(t, "over with the writer running", 0, over)
	writer.leave()
	wantSame(t, "over", turns, over)
	e.turn(func() { over++ })
	wantSame(t, "over, with nobody to wait for", turns+1, over)
}

func TestTargetAdds(t *testing.T) {
	a, b := new(word), new(word)
	tg := target{tables: []*word{a}}
	tg.add(target{tables: []*word{a, b}})
	tg.add(target{tables: []*word{b}})
	if len(tg.tables) != 2 || tg.tables[0] != a || tg.tables[1] != b || tg.everything {
		t.Errorf("%+v", tg)
	}
	tg.add(target{everything: true})
	if !tg.everything || tg.empty() || !(target{}).empty() {
		t.Errorf("%+v", tg)
	}
}

// TestBeginIsClean shows that nothing is begun on the words of others.
func TestBeginIsClean(t *testing.T) {
	c := newCache(t)
	ws := newWords()
	w, err := c.begin(context.Background(), ws, target{tables: ws.tables([]string{"a", "b"})}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"a": false, "b": false, "c": true} {
		wantSame(t, name, want, clean(ws.table(name).load()))
	}
	wantSame(t, "everything", true, clean(ws.everything.load()))
	w.end(changed)
	for name, want := range map[string]uint64{"a": 1, "b": 1, "c": 0} {
		wantSame(t, name, want<<inFlightBits, ws.table(name).load())
	}
}

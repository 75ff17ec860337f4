package querycache

import (
	"context"
	"slices"
	"sync/atomic"
)

// target is what a write may touch.
type target struct {
	tables     []*word
	everything bool

	cause  *string   // the fingerprint of the statement; nil: not known
	causes []*string // those of tables, by index, where several statements wrote them
}

func (t target) empty() bool { return len(t.tables) == 0 && !t.everything }

// causeOf is the fingerprint of the statement that wrote table i.
func (t *target) causeOf(i int) *string {
	if i < len(t.causes) {
		return t.causes[i]
	}
	return t.cause
}

// add puts another target into t.
func (t *target) add(o target) {
	if o.everything {
		t.everything, t.cause = true, o.cause
	}
	for len(t.causes) < len(t.tables) {
		t.causes = append(t.causes, t.cause)
	}
	for i, w := range o.tables {
		have := slices.Index(t.tables, w)
		if have < 0 {
			have = len(t.tables)
			t.tables, t.causes = append(t.tables, w), append(t.causes, nil)
		}
		t.causes[have] = o.causeOf(i)
	}
}

// outcome is what is known of a write at its end.
type outcome int

const (
	changed   outcome = iota // it changed something, or may have
	unchanged                // it certainly changed nothing
	inDoubt                  // it may still take effect later
)

// write is the life of one write: from begin, before it can take effect, to
// end, after it has.
type write struct {
	cache  *Cache
	words  *words
	target target
	era    *era
	ctx    context.Context //nolint:containedctx // For the steps that a test holds up; a write may end long after its call.
	ended  atomic.Bool
}

// begin starts a write. It is called after the call started and before the
// parent is asked. An error means that the write must not be sent; it cannot
// occur while validity is kept in this process alone.
//
//nolint:unparam // The error is for a lease across processes, which begins over a network.
func (c *Cache) begin(ctx context.Context, words *words, t target, plannedAt uint64) (*write, error) {
	w := &write{cache: c, words: words, target: t, ctx: ctx}
	if broken(controlDisabledSkips) && !c.enabled.Load() {
		w.ended.Store(true)
		return w, nil
	}
	if broken(controlBumpAfterOnly) {
		return w, nil
	}
	if !t.everything {
		// Entering the era comes before the look at the word: either this
		// write sees the schema change in flight, or that change sees this
		// write and stays in flight until it has ended.
		w.era = words.eras.enter()
		if now := words.everything.load(); now != plannedAt || !clean(now) {
			w.target.everything = true // Triggers may have come that the plan does not know.
		}
	}
	w.beginWords(ctx)
	if broken(controlEndEarly) {
		w.end(changed)
	}
	at(ctx, stepBegun)
	return w, nil
}

func (w *write) beginWords(ctx context.Context) {
	if w.target.everything {
		w.words.everything.begin()
		if broken(controlBumpBeforeOnly) {
			w.words.everything.end(ctx)
		}
	}
	for i, t := range w.target.tables {
		if i > 0 && (broken(controlBeginOne) || broken(controlBeginLate)) {
			break
		}
		t.begin()
		if broken(controlBumpBeforeOnly) {
			t.end(ctx)
		}
		if i == 0 {
			at(ctx, stepBegunOne)
		}
	}
}

// end ends the write, once: a second end would borrow from the generation and
// make a dirty word look clean.
func (w *write) end(o outcome) {
	if w == nil || !w.ended.CompareAndSwap(false, true) && !broken(controlDoubleEnd) {
		return
	}
	at(w.ctx, stepEnd)
	switch {
	case broken(controlBumpBeforeOnly):
		return
	case broken(controlBumpAfterOnly):
		w.beginWords(w.ctx)
	case broken(controlUnchanged):
		o = unchanged
	case broken(controlInDoubtReleased) && o == inDoubt:
		o = changed
	}
	if o == inDoubt {
		w.cache.doubt(w)
		return
	}
	w.settle(o)
}

// settle takes the write out of flight.
func (w *write) settle(o outcome) {
	if w.target.everything {
		w.settleEverything(o)
	}
	for i, t := range w.target.tables {
		if i > 0 && broken(controlBeginLate) {
			t.begin()
		}
		switch {
		case i > 0 && broken(controlBeginOne):
			t.bump()
		case o == unchanged:
			t.undo()
		default:
			t.cause.Store(w.target.causeOf(i))
			t.end(w.ctx)
			w.cache.reaper.dead(t.tagged)
		}
	}
	if o != unchanged {
		w.cache.counters.invalidations.Add(1)
	}
	w.era.leave()
	at(w.ctx, stepEnded)
}

// settleEverything takes a write on everything out of flight. It may have
// changed the schema, and writes that were planned before it and are still
// running may fire triggers that their plans do not know: until they have
// ended, everything stays in flight.
func (w *write) settleEverything(o outcome) {
	everything := &w.words.everything
	if o == unchanged {
		everything.undo()
		return
	}
	end := func() {
		everything.cause.Store(w.target.cause)
		everything.end(w.ctx)
		w.cache.reaper.allDead()
	}
	if w.era != nil || broken(controlEra) {
		// It is itself of an era, or none is waited for: nothing to wait for
		// but what is planned on a newer schema.
		end()
		return
	}
	w.words.eras.turn(end)
}

// InvalidateTables makes every entry that depends on one of the tables
// invalid, in all databases of the cache. Entries depend on the tables behind a
// view, not on the view. Names are compared lower-cased and
// without a schema. Use it for writes that do not go through the cache; it
// takes effect at once, also inside a transaction.
func (c *Cache) InvalidateTables(tables ...string) {
	at(context.Background(), stepInvalidating)
	var names []string
	for _, t := range tables {
		names = append(names, bareNames(t)...)
	}
	c.eachWords(func(ws *words) { c.invalidate(ws.tables(names), &causeTables) })
	c.counters.invalidations.Add(1)
}

// InvalidateTags makes every entry that carries one of the tags invalid, in all
// databases of the cache. There may be any number of tags: they share 65,536
// marks by hash, so that now and then an entry with another tag goes too. It
// takes effect at once, also inside a transaction.
func (c *Cache) InvalidateTags(tags ...string) {
	at(context.Background(), stepInvalidating)
	c.eachWords(func(ws *words) { c.invalidate(ws.depend(nil, nil, tags), &causeTags) })
	c.counters.invalidations.Add(1)
}

// What a word names as the cause where no statement was.
var (
	causeTables = "InvalidateTables"
	causeTags   = "InvalidateTags"
	causeQuery  = "InvalidateQuery"
	causePurge  = "Purge"
	causeSchema = "a change of the schema by somebody else"
)

// invalidate moves words on for a change that has taken effect before.
func (c *Cache) invalidate(list []*word, cause *string) {
	for _, w := range list {
		w.cause.Store(cause)
		w.bump()
		c.reaper.dead(w.tagged)
	}
}

// InvalidateQuery makes the entries of one query with these arguments invalid,
// in all databases of the cache. The text is compared without leading and
// trailing comments and white space; arguments as database/sql passes them on,
// so that 1 and int64(1) are the same. Arguments that cannot be compared make
// the entries of all queries invalid.
func (c *Cache) InvalidateQuery(query string, args ...any) {
	at(context.Background(), stepInvalidating)
	hash, known := queryHash(query, args)
	c.eachWords(func(ws *words) {
		for i := range ws.query {
			// Deleting alone would let an older read fill again.
			if (!known || uint64(i) == hash%queryWords) && !broken(controlPurgeDeletes) {
				ws.query[i].cause.Store(&causeQuery)
				ws.query[i].bump()
			}
		}
	})
	if known {
		c.eachScope(func(s *scope) {
			if it := c.store.Peek(s.hash(hash)); it != nil {
				c.reaper.ended(it) // For whoever traces.
				c.store.Delete(it)
			}
		})
	}
	c.counters.invalidations.Add(1)
}

// Purge makes every entry invalid and frees its memory.
func (c *Cache) Purge() {
	at(context.Background(), stepInvalidating)
	if !broken(controlPurgeDeletes) {
		c.eachWords(func(ws *words) {
			ws.everything.cause.Store(&causePurge)
			ws.everything.bump()
		})
	}
	c.store.Clear()
	c.counters.invalidations.Add(1)
}

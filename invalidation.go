package querycache

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// A word is what validity rests on: one for each table, one for everything,
// one for each of a number of queries. Its low bits count the writes in
// flight, its high bits are the generation.
//
// An entry carries the words that were read before its query could take a
// snapshot, all of them clean, that is with no write in flight. It is valid
// while every word is identical. A write counts as in flight from before it
// can take effect until after it has, and moves the generation on as it ends:
// so between the moment a COMMIT takes effect in the database and the moment
// it returns, when another reader may already see the new row, no entry of its
// tables is served and none is stored.
type word struct {
	bits   atomic.Uint64
	stuck  atomic.Bool            // near saturation: in flight for good
	tagged *tagged                // the entries that carry this word, where it is a table's or a tag's
	cause  atomic.Pointer[string] // the fingerprint of the statement that last moved the generation on
}

const (
	inFlightBits   = 24
	inFlightMask   = 1<<inFlightBits - 1
	oneGeneration  = 1 << inFlightBits
	maxInFlight    = 1 << (inFlightBits - 1)
	maxGeneration  = 1<<(64-inFlightBits) - 1<<20
	releaseAndBump = oneGeneration - 1
)

func (w *word) load() uint64 { return w.bits.Load() }

func clean(bits uint64) bool { return bits&inFlightMask == 0 }

// begin counts a write in flight.
func (w *word) begin() {
	if broken(controlOverflow) {
		w.bits.Add(1)
		w.bits.And(^uint64(inFlightMask &^ 1))
		return
	}
	if w.stuck.Load() {
		return
	}
	if w.bits.Add(1)&inFlightMask >= maxInFlight {
		w.stick()
	}
}

// end takes the write away and moves the generation on, in one step: in two,
// release first, a reader between them would find the old word clean again.
func (w *word) end(ctx context.Context) {
	if broken(controlReleaseThenBump) {
		w.bits.Add(^uint64(0))
		at(ctx, stepReleased)
		w.bits.Add(oneGeneration)
		return
	}
	if !w.stuck.Load() && w.bits.Add(releaseAndBump)>>inFlightBits >= maxGeneration {
		w.stick()
	}
}

// undo takes the write away and leaves the generation as it is.
func (w *word) undo() {
	if !w.stuck.Load() {
		w.bits.Add(^uint64(0))
	}
}

// bump moves the generation on for a change that has taken effect before.
func (w *word) bump() {
	if !w.stuck.Load() && w.bits.Add(oneGeneration)>>inFlightBits >= maxGeneration {
		w.stick()
	}
}

// stick leaves the word in flight for good, and as it is: its tables are not
// cached any more, which is right; a count that ran over into the generation
// would not be. It is in flight before it counts as stuck, since from then on
// nobody counts.
func (w *word) stick() {
	w.bits.Add(1)
	w.stuck.Store(true)
}

const (
	// maxNames bounds the tables that have a word of their own. Those beyond
	// it share sharedWords of them: sharing too much only invalidates more.
	maxNames    = 1 << 16
	sharedWords = 1 << 8
	// queryWords are shared by all queries, by the hash of text and arguments.
	queryWords = 1 << 14
	// tagWords are shared by all tags, by hash: nobody bounds how many there are.
	tagWords = 1 << 16
)

// words are the words of one Cache, or of one database with
// [Config.SplitByDSN]. A word is never deleted: one made anew at zero would
// bring old entries back to life.
type words struct {
	everything word
	query      [queryWords]word
	shared     [sharedWords]word
	byName     sync.Map                                       // lower-cased bare table name -> *word
	tags       atomic.Pointer[[tagWords]atomic.Pointer[word]] // made with the first tag
	eras       eras

	mu    sync.Mutex // held to add to byName: a name that shares a word never gets its own
	names int        // in byName
}

func newWords() *words {
	w := &words{}
	for i := range w.shared {
		w.shared[i].tagged = new(tagged)
	}
	w.eras.init()
	return w
}

// table returns the word of a table, and makes it where there is none: a
// writer that passed over a table nobody has read yet would miss the reader
// whose query is on its way.
func (w *words) table(name string) *word {
	if v, ok := w.byName.Load(name); ok {
		return v.(*word) //nolint:forcetypeassert // Only words are stored.
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if v, ok := w.byName.Load(name); ok {
		return v.(*word) //nolint:forcetypeassert // Only words are stored.
	}
	if w.names >= maxNames {
		return &w.shared[hashString(0, name)%sharedWords]
	}
	v := &word{tagged: new(tagged)}
	w.byName.Store(name, v)
	w.names++
	return v
}

// tag returns the word of a tag, and makes it where there is none.
func (w *words) tag(name string) *word {
	all := w.tags.Load()
	if all == nil {
		w.tags.CompareAndSwap(nil, new([tagWords]atomic.Pointer[word]))
		all = w.tags.Load()
	}
	place := &all[hashString(0, name)%tagWords]
	if place.Load() == nil {
		place.CompareAndSwap(nil, &word{tagged: new(tagged)})
	}
	return place.Load()
}

// depend adds the words of tables and tags to list.
func (w *words) depend(list []*word, tables, tags []string) []*word {
	for _, name := range tables {
		list = append(list, w.table(name))
	}
	for _, name := range tags {
		list = append(list, w.tag(name))
	}
	return list
}

func (w *words) tables(names []string) []*word {
	list := make([]*word, len(names))
	for i, name := range names {
		list[i] = w.table(name)
	}
	return list
}

// written are the words of tables that a statement writes.
func (w *words) written(names []string) []*word {
	if broken(controlWriterSkips) {
		names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			_, known := w.byName.Load(name)
			return !known
		})
	}
	return w.tables(names)
}

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
		c.eachScope(func(s *scope) { c.forget(s.hash(hash)) })
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

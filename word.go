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

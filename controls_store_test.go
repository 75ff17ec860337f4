//go:build querycache_controls

package querycache

import "time"

// storeSchedules are about the two levels of the store.
func storeSchedules() []schedule {
	return []schedule{
		{
			controlOlderFill, "12", "R's query is sent; a write is not seen; X refreshes, fills; R fills; X reads", walFile,
			filledLate,
		},
		{
			controlOlderCopy, "12", "fill; a write is not seen; X refreshes, fills; the first level forgets; X reads", walFile,
			seenAgain,
		},
		{
			controlPromotionRestamps, "4", "fill; the first level forgets; W returns; S looks the entry up; R reads", walFile,
			promotedLate,
		},
		{
			controlLateWithoutWords, "10", "fill; it expires; W returns; R reads with swr", walFile,
			servedLate,
		},
		{
			controlUnkeyedHints, "7", "fill; R declares b, reads; a write of a is not seen; W writes b; R reads", walFile,
			declaredLate,
		},
	}
}

// servedLate has an entry that has expired and was written since. The reaper has
// not freed it yet.
func servedLate(x *exam) {
	const text = "/* querycache: ttl=1ms swr=1h */ " + readA
	r, w := x.client(), x.client()
	r.reads(text, 0)
	x.cache.words.table("a").tagged.queued.Store(true) // As in promotedLate.
	time.Sleep(2 * time.Millisecond)
	w.execs(writeA)
	r.decides(text, 1)
}

// declaredLate declares a table that stands for what the cache cannot see: whoever
// writes it tells of a change elsewhere.
func declaredLate(x *exam) {
	const text = "/* querycache: tables=b */ " + readA
	other, r, w := x.client(), x.client(), x.client()
	other.reads(readA, 0)
	r.reads(text, 0)
	x.untracked(writeA)
	w.execs(writeB)
	r.decides(text, 1)
}

// filledLate fills with what was read before a newer fill's query began. What
// has been refreshed must not be seen as it was before.
func filledLate(x *exam) {
	r, other := x.client(), x.client()
	read := r.reading(readA)
	read.reach(stepFill)
	x.untracked(writeA)
	if got := other.reading(readA, Refresh).finish(); got != 1 {
		x.t.Fatalf("refreshed: %d", got)
	}
	read.finish()
	other.decides(readA, 1)
}

func seenAgain(x *exam) {
	r := x.client()
	r.reads(readA, 0)
	x.untracked(writeA)
	if got := r.reading(readA, Refresh).finish(); got != 1 {
		x.t.Fatalf("refreshed: %d", got)
	}
	r.reads(readA, 1)
	x.demote(readA)
	r.decides(readA, 1)
}

// promotedLate promotes an entry that a write has made invalid and the reaper
// has not freed yet.
func promotedLate(x *exam) {
	r, s, w := x.client(), x.client(), x.client()
	r.reads(readA, 0)
	x.demote(readA)
	x.cache.words.table("a").tagged.queued.Store(true) // The reaper takes it for queued, and is late.
	w.execs(writeA)
	look := s.reading(readA)
	look.reach(stepWords)
	r.decides(readA, 1)
	look.finish()
}

// demote takes the entry of a query out of the first level.
func (x *exam) demote(query string) {
	x.t.Helper()
	hash, _ := queryHash(query, nil)
	found := false
	x.cache.eachScope(func(s *scope) {
		found = found || x.cache.store.Find(s.hash(hash)) != nil
		x.cache.store.Demote(s.hash(hash))
	})
	if !found {
		x.t.Fatal("there is no entry to demote")
	}
}

// handSchedules are about the word itself.
func handSchedules() []schedule {
	return []schedule{
		{
			controlOverflow, "19", "V, W begin; R's query is sent; W takes effect; R fills; X sees new; read; W, V return", walFile,
			twoWriters,
		},
		{
			controlDoubleEnd, "3", "V is ended twice; W begins; R's query is sent; W takes effect; R fills; X sees new; read", walFile,
			endedTwice,
		},
	}
}

// twoWriters has more writes in flight than a count of one bit can hold.
func twoWriters(x *exam) {
	r, v, w := x.client(), x.client(), x.client()
	other, write := v.writing("UPDATE a SET v = 2 WHERE id = 1"), w.writing(writeA)
	other.reach(stepBegun)
	write.reach(stepBegun)
	read := r.reading(readA)
	read.to(stepFill)
	write.reach(stepSent)
	read.finish()
	x.client().asks(readA, 1)
	r.decides(readA, 1)
	write.finish()
	other.finish()
}

// endedTwice ends a write twice, as a caller would that does not know whether
// its rows were closed before. Nothing in the driver does: the statement and
// its rows have guards of their own.
func endedTwice(x *exam) {
	r, w := x.client(), x.client()
	words := x.cache.words
	words.eras.enter() // For good, so that the era that is left twice does not run out.
	first, err := x.cache.begin(x.t.Context(), words, target{tables: words.tables([]string{"a"})}, words.everything.load())
	if err != nil {
		x.t.Fatal(err)
	}
	x.untracked(writeA)
	first.end(changed)
	first.end(changed)

	write := w.writing("UPDATE a SET v = 2 WHERE id = 1")
	write.reach(stepBegun)
	read := r.reading(readA)
	read.to(stepFill)
	write.reach(stepSent)
	read.finish()
	x.client().asks(readA, 2)
	r.decides(readA, 2)
	write.finish()
}

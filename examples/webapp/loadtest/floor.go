package main

import (
	"fmt"
	"sync/atomic"
)

// floors are the versions below which no page may be any more. A book has a
// floor if the load writes it; the set of them does not change.
//
// A floor is raised when a POST has returned, and looked at before a GET begins:
// in between, the page may show either version, and nothing is asked of it.
type floors struct {
	total atomic.Int64 // the versions of all books together
	books map[int64]*atomic.Int64
}

// newFloors starts with what the pages show before anything is written.
func newFloors(total int64, books map[int64]int64) *floors {
	f := &floors{books: map[int64]*atomic.Int64{}}
	f.total.Store(total)
	for id, version := range books {
		f.books[id] = new(atomic.Int64)
		f.books[id].Store(version)
	}
	return f
}

// raise notes that a book has been written. One without a floor is new.
func (f *floors) raise(book int64) {
	if floor := f.books[book]; floor != nil {
		floor.Add(1)
	}
	f.total.Add(1)
}

// now returns the floors as they are.
func (f *floors) now() versions {
	v := versions{total: f.total.Load(), books: make(map[int64]int64, len(f.books))}
	for id, floor := range f.books {
		v.books[id] = floor.Load()
	}
	return v
}

// versions are what a page shows, or what it must show at least.
type versions struct {
	total int64 // -1: the page does not show it
	books map[int64]int64
}

// count is how many versions there are.
func (v versions) count() int {
	if v.total < 0 {
		return len(v.books)
	}
	return len(v.books) + 1
}

// below returns how far v is below another: a sentence, or nothing.
func (v versions) below(least versions) string {
	if v.total >= 0 && v.total < least.total {
		return fmt.Sprintf("all books together in version %d instead of %d", v.total, least.total)
	}
	for id, version := range v.books {
		if version < least.books[id] {
			return fmt.Sprintf("book %d in version %d instead of %d", id, version, least.books[id])
		}
	}
	return ""
}

// watcher is a client that remembers what it has seen.
type watcher struct {
	floors *floors
	seen   versions
}

func newWatcher(f *floors) *watcher {
	return &watcher{floors: f, seen: versions{books: map[int64]int64{}}}
}

// check returns what is wrong with a page, or nothing. The floors are those
// from before the page was asked for.
func (w *watcher) check(page, floors versions) string {
	if short := page.below(floors); short != "" {
		return "stale: " + short + ", which was written before the request began"
	}
	if short := page.below(w.seen); short != "" {
		return "new, then old: " + short + ", which this client has seen before"
	}
	w.seen.total = max(w.seen.total, page.total)
	for id, version := range page.books {
		w.seen.books[id] = version
	}
	return ""
}

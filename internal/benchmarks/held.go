package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"

	"github.com/querycache/querycache"
)

// Held is a heap with many rows in it, for the cost of collecting garbage.
type Held struct {
	// Rows is the number of rows that are held.
	Rows int
	// HeapBytes is by how much they made the heap grow.
	HeapBytes int64

	release func() error
}

// Hold has a heap with about the given number of rows, in results of 100: in a
// plain map of slices of [Person] if by is [Direct], which is what a program
// would write by hand; in a cache if by is [Querycache]; and none if by is [Noop].
func Hold(f *Fixture, by string, rows int) (*Held, error) {
	before := heap()
	h := &Held{release: func() error { return nil }}
	var err error
	switch by {
	case Noop:
	case Direct:
		err = h.inMap(f, rows/page)
	case Querycache:
		err = h.inCache(f, rows/page)
	default:
		err = fmt.Errorf("no way to hold rows is called %q", by)
	}
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	h.HeapBytes = heap() - before
	return h, nil
}

// Close lets go of the rows.
func (h *Held) Close() error {
	return h.release()
}

func (h *Held) inMap(f *Fixture, results int) error {
	db, err := sqlx.Open("sqlite3", f.shared())
	if err != nil {
		return err
	}
	held := make(map[int64][]Person, results)
	for i := range int64(results) {
		found := make([]Person, 0, page)
		if err := db.SelectContext(context.Background(), &found, distinctPage, i); err != nil {
			return errors.Join(err, db.Close())
		}
		held[i] = found
		h.Rows += len(found)
	}
	h.release = func() error {
		runtime.KeepAlive(held)
		return nil
	}
	return db.Close()
}

func (h *Held) inCache(f *Fixture, results int) error {
	b := &Bench{}
	db, err := b.wrap(&sqlite3.SQLiteDriver{}, f.shared(), querycache.Config{MaxBytes: 2 << 30, TTL: time.Hour})
	if err != nil {
		return err
	}
	h.release = func() error { return errors.Join(db.Close(), b.cache.Close()) }
	s := &session{db: sqlx.NewDb(db, "sqlite3"), out: make([]Person, page)}
	if err := scan(distinctPage, distinct)(s, results); err != nil {
		return err
	}
	h.Rows = int(b.Count().Entries) * page
	return nil
}

// heap collects twice, since finalizers and pools let go only at the second.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

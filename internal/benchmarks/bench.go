package benchmarks

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"

	"github.com/querycache/querycache"
	"github.com/querycache/querycache/internal/benchmarks/noop"
)

// registered numbers the driver names, which database/sql never forgets.
var registered atomic.Int64

// Bench is a case that is ready to run.
type Bench struct {
	// Alternatives are in the order no-op, direct, querycache; a case may lack
	// either of the first two.
	Alternatives []*Alternative

	kind    Kind
	entries int
	cache   *querycache.Cache
	restore func()
}

// Alternative is one way to run a case.
type Alternative struct {
	Name string

	body     body
	sessions []*session
}

// Open makes the case ready: databases open, statements prepared, the entries of
// a hit filled, GOMAXPROCS set until Close.
func (c Case) Open(f *Fixture) (*Bench, error) {
	b := &Bench{kind: c.Kind, entries: c.entries, restore: func() {}}
	if c.Procs > 0 {
		before := runtime.GOMAXPROCS(c.Procs)
		b.restore = func() { runtime.GOMAXPROCS(before) }
	}
	for _, name := range append(slices.Clone(c.parents), Querycache) {
		if err := b.add(c, name, f); err != nil {
			return nil, errors.Join(fmt.Errorf("%s on %s: %w", c.Name, name, err), b.Close())
		}
	}
	if err := b.warm(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", c.Name, err), b.Close())
	}
	return b, nil
}

func (b *Bench) add(c Case, name string, f *Fixture) error {
	db, err := b.connect(c, name, f)
	if err != nil {
		return err
	}
	// The default of two idle connections would make parallel runs reconnect.
	db.SetMaxIdleConns(8)
	// sqlx is told a name it knows, for its bind variables.
	shared := sqlx.NewDb(db, "sqlite3")
	a := &Alternative{Name: name, body: c.body}
	b.Alternatives = append(b.Alternatives, a)
	for range max(1, c.Procs) {
		s := &session{db: shared, out: make([]Person, c.rows)}
		a.sessions = append(a.sessions, s)
		if c.prepare == "" {
			continue
		}
		if s.stmt, err = db.Prepare(c.prepare); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bench) connect(c Case, name string, f *Fixture) (*sql.DB, error) {
	path := f.shared()
	if c.Kind == Write {
		var err error
		if path, err = f.private(); err != nil {
			return nil, err
		}
	}
	// Entries live longer than any run, and yet their age is looked at.
	cfg := querycache.Config{TTL: time.Hour}
	switch {
	case name == Noop:
		connector, err := c.noop(f).OpenConnector("")
		if err != nil {
			return nil, err
		}
		return sql.OpenDB(connector), nil
	case name == Direct:
		return sql.Open("sqlite3", path)
	case slices.Contains(c.parents, Direct):
		return b.wrap(&sqlite3.SQLiteDriver{}, path, cfg)
	default:
		cfg.Dialect, cfg.NoCatalog = querycache.SQLite, true
		return b.wrap(c.noop(f), "", cfg)
	}
}

func (b *Bench) wrap(parent driver.Driver, dsn string, cfg querycache.Config) (*sql.DB, error) {
	name := fmt.Sprintf("benchmarks-%d", registered.Add(1))
	cache, err := querycache.Register(name, parent, cfg)
	if err != nil {
		return nil, err
	}
	b.cache = cache
	return sql.Open(name, dsn)
}

func (c Case) noop(f *Fixture) *noop.Driver {
	switch {
	case c.entries > 1:
		return noop.New(f.hot[0], f.hot[1:]...)
	case c.rows == page:
		return noop.New(f.page)
	default:
		return noop.New(f.row)
	}
}

// warm runs every alternative until statements are known and a hit's entries
// are there.
func (b *Bench) warm() error {
	for _, a := range b.Alternatives {
		for _, s := range a.sessions {
			if err := a.body(s, max(2, b.entries)); err != nil {
				return fmt.Errorf("%s: %w", a.Name, err)
			}
		}
	}
	return nil
}

// Run runs the alternative n times, shared out among its goroutines.
func (a *Alternative) Run(n int) error {
	if len(a.sessions) == 1 {
		return a.body(a.sessions[0], n)
	}
	errs := make([]error, len(a.sessions))
	var running sync.WaitGroup
	for i, s := range a.sessions {
		share := n / len(a.sessions)
		if i < n%len(a.sessions) {
			share++
		}
		running.Go(func() { errs[i] = a.body(s, share) })
	}
	running.Wait()
	return errors.Join(errs...)
}

// Count returns the cache's own count.
func (b *Bench) Count() querycache.Stats {
	return b.cache.Stats()
}

// Check tells whether the n runs of querycache since the count before were what
// the case is about, each of them.
func (b *Bench) Check(before querycache.Stats, n int) error {
	after, want := b.Count(), uint64(n)
	hits, misses := after.Hits-before.Hits, after.Misses-before.Misses
	bypasses, fills := after.Bypasses-before.Bypasses, after.Fills-before.Fills
	ok := false
	switch b.kind {
	case Hit:
		ok = hits == want && misses == 0 && bypasses == 0
	case Miss:
		// The store may refuse a fill now and then where its keeper lags behind.
		ok = misses == want && fills <= want && fills*100 >= want*99 && hits == 0 && bypasses == 0
	case Bypass:
		ok = bypasses == want && hits == 0 && misses == 0
	case Write:
		ok = after.Invalidations-before.Invalidations >= want && hits == 0 && misses == 0
	}
	if !ok {
		return fmt.Errorf("%d runs of %q were %d hits, %d misses, %d bypasses, %d fills, %d invalidations",
			n, b.kind, hits, misses, bypasses, fills, after.Invalidations-before.Invalidations)
	}
	return nil
}

// Close closes the databases and the cache.
func (b *Bench) Close() error {
	defer b.restore()
	var errs []error
	for _, a := range b.Alternatives {
		for _, s := range a.sessions {
			if s.stmt != nil {
				errs = append(errs, s.stmt.Close())
			}
		}
		if len(a.sessions) > 0 {
			errs = append(errs, a.sessions[0].db.Close())
		}
	}
	if b.cache != nil {
		errs = append(errs, b.cache.Close())
	}
	return errors.Join(errs...)
}

package querycache_test

import (
	"context"
	"database/sql"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"
	"github.com/jmoiron/sqlx/reflectx"
	"github.com/mattn/go-sqlite3"

	"github.com/querycache/querycache"
)

// parts have a column of each kind, NULLs, and a second table for the join.
const parts = `
CREATE TABLE makers (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE parts (
	id INTEGER PRIMARY KEY, maker_id INTEGER NOT NULL REFERENCES makers (id),
	name TEXT NOT NULL, note TEXT, photo BLOB, weight REAL, listed DATETIME NOT NULL
);
INSERT INTO makers VALUES (1, 'Acme'), (2, 'Größe');
INSERT INTO parts VALUES
	(1, 1, 'bolt', NULL, x'010203', 0.5, '2025-01-01 10:00:00'),
	(2, 1, 'nut', 'M4', x'0405', 0.25, '2025-01-02 10:00:00'),
	(3, 2, 'gear', NULL, NULL, NULL, '2025-01-03 10:00:00'),
	(4, 2, 'shaft', '', x'', 12, '2025-01-04 10:00:00');`

// sqlxNames is one SQLite file that sqlx opens by two registered names: the driver's
// own, and that of the driver with the cache around it.
type sqlxNames struct {
	*testing.T
	cache         *querycache.Cache
	plain, cached *sqlx.DB
	calls         atomic.Int64 // of any kind, to the driver below the cache
}

// newSqlxNames registers a cached driver for one test. Nothing expires in it, however
// slow the machine.
func newSqlxNames(t *testing.T) *sqlxNames {
	t.Helper()
	n := &sqlxNames{T: t}
	below := &tap{}
	below.set(func(context.Context, string, string) error { n.calls.Add(1); return nil }, nil)
	name := registered(t)
	cache, err := querycache.Register(name, below.driver(), querycache.Config{
		Dialect: querycache.SQLite, TTL: -1, CatalogMaxAge: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.cache = cache
	dsn := "file:" + filepath.Join(t.TempDir(), "parts.db") + dsnOptions
	n.plain, n.cached = sqlx.MustConnect("sqlite3", dsn), sqlx.MustConnect(name, dsn)
	t.Cleanup(func() {
		_ = n.cached.Close()
		_ = n.plain.Close()
		_ = cache.Close()
	})
	n.plain.MustExecContext(t.Context(), parts)
	return n
}

// pair is one door to the cached database, and the same to the other.
type pair struct {
	*sqlxNames
	name          string
	plain, cached reader
}

// pairs opens doors to both databases.
func (n *sqlxNames) pairs(doors ...door) []pair {
	n.Helper()
	var all []pair
	for _, d := range doors {
		all = append(all, pair{n, d.name, d.open(seatAt(n.T, n.plain, n.plain, d.name)), d.open(seatAt(n.T, n.cached, n.cached, d.name))})
	}
	return all
}

// read reads through the cache, says whether the driver below it was called, and
// expects the answer of the other database.
func (p pair) read() (called bool) {
	p.Helper()
	calls := p.calls.Load()
	got := p.answer(p.cached)
	called = p.calls.Load() > calls
	if diff := cmp.Diff(p.answer(p.plain), got); diff != "" {
		p.Errorf("%s: the driver alone answers otherwise (-alone +cached)\n%s", p.name, diff)
	}
	return called
}

func (p pair) answer(read reader) any {
	p.Helper()
	v, err := read()
	if err != nil {
		p.Fatalf("%s: %v", p.name, err)
	}
	return v
}

// fresh expects the driver to be called, and reads until the answer is stored: a
// row that is slow to come keeps the answer of a caller who wants no other row
// from being stored, and any row may be slow on a loaded machine.
func (p pair) fresh() {
	p.Helper()
	p.cache.Wait()
	fills := p.cache.Stats().Fills
	for try := range 20 {
		called := p.read()
		if try == 0 && !called {
			p.Errorf("%s: the driver was not called", p.name)
			return
		}
		if p.cache.Stats().Fills > fills {
			return
		}
	}
	p.Errorf("%s: is never stored", p.name)
}

// hit expects an answer that the driver was not called for.
func (p pair) hit() {
	p.Helper()
	hits := p.cache.Stats().Hits
	if p.read() {
		p.Errorf("%s: the driver was called", p.name)
	}
	if p.cache.Stats().Hits != hits+1 {
		p.Errorf("%s: no hit", p.name)
	}
}

// TestSqlxReads has every door answer what the driver alone answers, and the
// second time without a call to it. It runs under a name that sqlx does not know,
// where it writes "?", and under one that is bound to "$1", which SQLite
// understands too. Seen to fail with the cache disabled.
func TestSqlxReads(t *testing.T) {
	for bind, binds := range map[string]int{"?": sqlx.UNKNOWN, "$1": sqlx.DOLLAR} {
		t.Run(bind, func(t *testing.T) {
			n := newSqlxNames(t)
			sqlx.BindDriver(n.cached.DriverName(), binds)
			if got := n.cached.Rebind("?"); got != bind {
				t.Errorf("sqlx binds with %q", got)
			}
			for _, p := range n.pairs(slices.Concat(readDoors, preparedDoors, dbDoors)...) {
				p.fresh()
				p.hit()
				p.hit()
			}
		})
	}
}

// TestSqlxCallersOwnTheirResults writes into what each door hands out, on a miss
// and on a hit: the next hit is what the database answers. database/sql copies
// bytes for MapScan, SliceScan and []byte fields; sql.RawBytes and Scanners get
// the driver's own. Seen to fail for those two with no copies made by a replay.
func TestSqlxCallersOwnTheirResults(t *testing.T) {
	n := newSqlxNames(t)
	own := []door{
		{"StructScan into RawBytes", func(s *seat) reader {
			return rowsOf(func() (*sqlx.Rows, error) { return s.at.Queryx(s.query, 2) }, func(rows *sqlx.Rows) (any, error) {
				var v struct {
					part
					Photo sql.RawBytes `db:"photo"`
				}
				if err := rows.StructScan(&v); err != nil {
					return nil, err
				}
				seen := string(v.Photo)
				clear(v.Photo)
				return seen, nil
			})
		}},
		{"StructScan into a Scanner", func(s *seat) reader {
			return rowsOf(func() (*sqlx.Rows, error) { return s.at.Queryx(s.query, 2) }, func(rows *sqlx.Rows) (any, error) {
				var v struct {
					part
					Photo defacing `db:"photo"`
				}
				err := rows.StructScan(&v)
				return string(v.Photo), err
			})
		}},
	}
	for _, p := range n.pairs(slices.Concat(readDoors, preparedDoors, dbDoors, own)...) {
		p.fresh()
		for range 2 {
			deface(p.answer(p.cached))
			p.hit()
		}
		p.cache.Purge()
		deface(p.answer(p.cached))
		p.read()
	}
}

// defacing is a Scanner that overwrites the bytes it is given.
type defacing []byte

// Scan keeps a copy and clears the original.
func (d *defacing) Scan(src any) error {
	b, _ := src.([]byte)
	*d = slices.Clone(b)
	clear(b)
	return nil
}

// deface clears all bytes of a door's answer.
func deface(answer any) {
	switch v := answer.(type) {
	case []byte:
		clear(v)
	case part:
		clear(v.Photo)
	case []part:
		for _, p := range v {
			deface(p)
		}
	case map[string]any:
		for _, value := range v {
			deface(value)
		}
	case []any:
		for _, value := range v {
			deface(value)
		}
	}
}

// TestSqlxErrors has sqlx's own complaints be the same on a miss and on a hit,
// and keep nobody else from the entry. Seen to fail with the cache disabled.
func TestSqlxErrors(t *testing.T) {
	n := newSqlxNames(t)
	var few struct {
		ID int64 `db:"id"`
	}
	const query = "SELECT id, name FROM parts WHERE id = ?"
	var texts []string
	for _, db := range []*sqlx.DB{n.plain, n.cached, n.cached} {
		err := db.Get(&few, query, 2)
		if err == nil {
			t.Fatal("a column without a field goes unnoticed")
		}
		texts = append(texts, err.Error())
	}
	if slices.Sort(texts); texts[0] != texts[2] {
		t.Errorf("errors differ: %q", texts)
	}
	if err := n.cached.Unsafe().Get(&few, query, 2); err != nil || few.ID != 2 {
		t.Errorf("Unsafe: %v, id %d", err, few.ID)
	}
	for range 2 {
		if err := n.cached.Get(&few, "SELECT id FROM parts WHERE id = ?", 99); err != sql.ErrNoRows { //nolint:errorlint // sqlx hands it out as it is.
			t.Errorf("no rows: %v", err)
		}
	}
	if hits := n.cache.Stats().Hits; hits != 3 {
		t.Errorf("%d hits, want 3: the complaint, Unsafe, and no rows", hits)
	}
}

// TestSqlxMappers reads one entry by two mappings of fields to columns. Seen to
// fail with the cache disabled.
func TestSqlxMappers(t *testing.T) {
	n := newSqlxNames(t)
	const query = "SELECT id AS ID, name AS NAME FROM parts WHERE id = ?"
	upper := sqlx.NewDb(n.cached.DB, n.cached.DriverName())
	upper.MapperFunc(strings.ToUpper)
	tagged := sqlx.NewDb(n.cached.DB, n.cached.DriverName())
	tagged.Mapper = reflectx.NewMapperFunc("json", strings.ToLower)
	var fields struct {
		ID   int64
		Name string
	}
	var tags struct {
		Number int64  `json:"ID"`
		Title  string `json:"NAME"`
	}
	for range 2 {
		if err := upper.Get(&fields, query, 3); err != nil {
			t.Fatal(err)
		}
		if err := tagged.Get(&tags, query, 3); err != nil {
			t.Fatal(err)
		}
		same(t, "by MapperFunc and by Mapper", fmt.Sprint(fields), fmt.Sprint(tags))
		same(t, "row", "{3 gear}", fmt.Sprint(tags))
	}
	same(t, "hits", 3, n.cache.Stats().Hits)
}

// TestSqlxIsNotImported checks that who imports the package does not get sqlx, or
// a driver, with it. Seen to fail with an import of sqlx in hint.go.
func TestSqlxIsNotImported(t *testing.T) {
	list := func(args ...string) []string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps"}, args...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(out))
	}
	for _, path := range []string{"github.com/jmoiron/sqlx", "github.com/mattn/go-sqlite3"} {
		if slices.Contains(list("."), path) {
			t.Errorf("the package imports %s", path)
		}
		if !slices.Contains(list("-test", "."), path) {
			t.Errorf("not even the tests import %s: the list is not one of imports", path)
		}
	}
}

// sqlx tells placeholders from the driver's name and writes "?" under one that it
// does not know. For PostgreSQL one line binds the name to "$1". SQLite, which
// this example runs on, understands both.
func ExampleRegister_bindDriver() {
	cache, err := querycache.Register("dollar-cached", &sqlite3.SQLiteDriver{}, querycache.Config{})
	check(err)
	defer cache.Close()
	file, remove := shop()
	defer remove()
	db := sqlx.MustOpen("dollar-cached", file)
	defer db.Close()

	const query = "SELECT price FROM products WHERE name = ?"
	fmt.Println(db.Rebind(query))
	sqlx.BindDriver("dollar-cached", sqlx.DOLLAR) // the one line
	fmt.Println(db.Rebind(query))

	for range 2 {
		var price int
		check(db.Get(&price, db.Rebind(query), "tea"))
		fmt.Println(price, cache.Stats().Hits, "hits")
	}
	// Output:
	// SELECT price FROM products WHERE name = ?
	// SELECT price FROM products WHERE name = $1
	// 3 0 hits
	// 3 1 hits
}

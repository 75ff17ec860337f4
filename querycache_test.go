package querycache_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mattn/go-sqlite3"
	"go.uber.org/goleak"

	"github.com/querycache/querycache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cacheWith makes a cache that ends with the test.
func cacheWith(t testing.TB, cfg querycache.Config) *querycache.Cache {
	t.Helper()
	c, err := querycache.New(cfg)
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

// openThrough opens a database of driver d through the cache, without a name.
func openThrough(t testing.TB, c *querycache.Cache, d driver.Driver, dsn string) *sql.DB {
	t.Helper()
	wrapped, ok := c.Wrap(d).(driver.DriverContext)
	if !ok {
		t.Fatal("the wrapped driver makes no connectors")
	}
	cn, err := wrapped.OpenConnector(dsn)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(cn)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// openLite opens a SQLite file through the cache and runs statements on it.
func openLite(t testing.TB, c *querycache.Cache, statements ...string) *sql.DB {
	t.Helper()
	db := openThrough(t, c, &sqlite3.SQLiteDriver{}, filepath.Join(t.TempDir(), "test.db"))
	runAll(t, db, statements...)
	c.Wait() // A change of the schema empties the store in the background.
	return db
}

func runAll(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// one reads one value.
func one(t testing.TB, db *sql.DB, query string, args ...any) any {
	t.Helper()
	return oneIn(t, t.Context(), db, query, args...)
}

func oneIn(t testing.TB, ctx context.Context, db *sql.DB, query string, args ...any) any { //nolint:revive // The test comes first here.
	t.Helper()
	var v any
	if err := db.QueryRowContext(ctx, query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// isHit reports whether what f does is served from the cache.
func isHit(c *querycache.Cache, f func()) bool {
	before := c.Stats().Hits
	f()
	return c.Stats().Hits > before
}

func wantConfigError(t *testing.T, field string, err error) {
	t.Helper()
	var ce *querycache.ConfigError
	if !errors.As(err, &ce) {
		t.Fatalf("error %v (%T), want a *ConfigError", err, err)
	}
	same(t, "field", field, ce.Field)
	if ce.Reason == "" || !strings.HasPrefix(ce.Error(), "querycache: "+field+": ") {
		t.Errorf("the error reads %q", ce)
	}
}

// namelessDriver is a driver whose type tells no dialect.
type namelessDriver struct{ driver.Driver }

func TestConfigErrors(t *testing.T) {
	lite := &sqlite3.SQLiteDriver{}
	for _, tt := range []struct {
		name   string
		driver driver.Driver
		cfg    querycache.Config
		field  string
	}{
		{"dialect that does not exist", lite, querycache.Config{Dialect: 9}, "Dialect"},
		{"negative dialect", lite, querycache.Config{Dialect: -1}, "Dialect"},
		{"PostgreSQL", lite, querycache.Config{Dialect: querycache.PostgreSQL}, "Dialect"},
		{"MySQL", lite, querycache.Config{Dialect: querycache.MySQL}, "Dialect"},
		{"dialect that cannot be told", namelessDriver{lite}, querycache.Config{}, "Dialect"},
		{"negative MaxBytes", lite, querycache.Config{MaxBytes: -1}, "MaxBytes"},
		{"negative MaxEntryBytes", lite, querycache.Config{MaxEntryBytes: -1}, "MaxEntryBytes"},
		{"MaxEntryBytes over MaxBytes", lite, querycache.Config{MaxBytes: 1 << 10, MaxEntryBytes: 1<<10 + 1}, "MaxEntryBytes"},
		{"MaxEntryBytes over the default of MaxBytes", lite, querycache.Config{MaxEntryBytes: 1 << 40}, "MaxEntryBytes"},
		{"negative InDoubt", lite, querycache.Config{InDoubt: -time.Second}, "InDoubt"},
		{"negative CatalogMaxAge", lite, querycache.Config{CatalogMaxAge: -time.Second}, "CatalogMaxAge"},
		{"TxReads that does not exist", lite, querycache.Config{TxReads: 7}, "TxReads"},
		{"negative TxReads", lite, querycache.Config{TxReads: -1}, "TxReads"},
		{"ReadCommitted with SQLite", lite, querycache.Config{TxReads: querycache.ReadCommitted}, "TxReads"},
		{"nil driver", nil, querycache.Config{}, "driver"},
		{"nil driver with a dialect", nil, querycache.Config{Dialect: querycache.SQLite}, "driver"},
		{"typed nil driver", (*sqlite3.SQLiteDriver)(nil), querycache.Config{}, "driver"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := querycache.Register("never-"+t.Name(), tt.driver, tt.cfg)
			wantConfigError(t, tt.field, err)
			if c != nil {
				t.Error("a cache beside the error")
			}
			if slices.Contains(sql.Drivers(), "never-"+t.Name()) {
				t.Error("the name is registered all the same")
			}
		})
	}
}

func TestNewRefusesWhatItCanTell(t *testing.T) {
	for field, cfg := range map[string]querycache.Config{
		"Dialect":       {Dialect: querycache.PostgreSQL},
		"MaxBytes":      {MaxBytes: -1},
		"MaxEntryBytes": {MaxEntryBytes: -1},
		"TxReads":       {Dialect: querycache.SQLite, TxReads: querycache.ReadCommitted},
	} {
		c, err := querycache.New(cfg)
		wantConfigError(t, field, err)
		if c != nil {
			t.Error("a cache beside the error")
		}
	}
}

// TestNewSizes takes every size that is not refused, however small.
func TestNewSizes(t *testing.T) {
	for _, bytes := range []int64{1, 100, 1 << 10, 1 << 20} {
		t.Run(strconv.FormatInt(bytes, 10), func(t *testing.T) {
			c := cacheWith(t, querycache.Config{MaxBytes: bytes, MaxEntryBytes: bytes})
			db := openLite(t, c, "CREATE TABLE t (a)", "INSERT INTO t VALUES (7)")
			for range 3 {
				same[any](t, "value", int64(7), one(t, db, "SELECT a FROM t"))
			}
			if cost := c.Stats().CostBytes; cost > bytes {
				t.Errorf("%d bytes are held", cost)
			}
		})
	}
}

func TestRegisterNames(t *testing.T) {
	lite := &sqlite3.SQLiteDriver{}
	_, err := querycache.Register("", lite, querycache.Config{})
	wantConfigError(t, "name", err)
	_, err = querycache.Register("sqlite3", lite, querycache.Config{})
	wantConfigError(t, "name", err)

	name := registered(t)
	c, err := querycache.Register(name, lite, querycache.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = querycache.Register(name, lite, querycache.Config{})
	wantConfigError(t, "name", err)
}

// registered makes a driver name that was not used before, with -count too.
func registered(t *testing.T) string {
	t.Helper()
	return t.Name() + "-" + strconv.FormatInt(registrations.Add(1), 10)
}

var registrations atomic.Int64

// TestRegisterConcurrently has many callers register one name: one gets it, and
// the others get an error where database/sql would panic. Without the recover
// in register the test binary dies.
func TestRegisterConcurrently(t *testing.T) {
	const callers = 32
	name := registered(t)
	caches := make([]*querycache.Cache, callers)
	errs := make([]error, callers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			<-start
			caches[i], errs[i] = querycache.Register(name, &sqlite3.SQLiteDriver{}, querycache.Config{MaxBytes: 1 << 20})
		})
	}
	close(start)
	wg.Wait()
	got := 0
	for i, c := range caches {
		if c == nil {
			wantConfigError(t, "name", errs[i])
			continue
		}
		got++
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	same(t, "callers that got the name", 1, got)
}

func TestWrapRefusesAtOpening(t *testing.T) {
	c := cacheWith(t, querycache.Config{})
	known := cacheWith(t, querycache.Config{Dialect: querycache.SQLite})
	for _, tt := range []struct {
		name   string
		cache  *querycache.Cache
		driver driver.Driver
		field  string
	}{
		{"nil", c, nil, "driver"},
		{"nil, dialect known", known, nil, "driver"},
		{"typed nil", known, (*sqlite3.SQLiteDriver)(nil), "driver"},
		{"unknown dialect", c, namelessDriver{&sqlite3.SQLiteDriver{}}, "Dialect"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := tt.cache.Wrap(tt.driver)
			conn, err := w.Open("x")
			wantConfigError(t, tt.field, err)
			if conn != nil {
				t.Error("a connection beside the error")
			}
			opener, ok := w.(driver.DriverContext)
			if !ok {
				t.Fatal("no connectors")
			}
			_, err = opener.OpenConnector("x")
			wantConfigError(t, tt.field, err)
		})
	}
}

// typedNilConnector is a connector that may be nil behind its interface.
type typedNilConnector struct{ driver.Connector }

// driverlessConnector connects to SQLite and names no driver.
type driverlessConnector struct{ file string }

func (d *driverlessConnector) Connect(context.Context) (driver.Conn, error) {
	return (&sqlite3.SQLiteDriver{}).Open(d.file)
}

func (*driverlessConnector) Driver() driver.Driver { return nil }

func TestWrapConnectorRefusesAtConnecting(t *testing.T) {
	c := cacheWith(t, querycache.Config{})
	for _, tt := range []struct {
		name      string
		connector driver.Connector
		field     string
	}{
		{"nil", nil, "connector"},
		{"typed nil", (*typedNilConnector)(nil), "connector"},
		{"unknown dialect", &driverlessConnector{}, "Dialect"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := sql.OpenDB(c.WrapConnector(tt.connector))
			defer db.Close()
			wantConfigError(t, tt.field, db.PingContext(t.Context()))
			if db.Driver() == nil {
				t.Error("no driver")
			}
		})
	}
}

func TestWrapConnector(t *testing.T) {
	c := cacheWith(t, querycache.Config{Dialect: querycache.SQLite})
	cn := &driverlessConnector{filepath.Join(t.TempDir(), "test.db")}
	first, second := sql.OpenDB(c.WrapConnector(cn)), sql.OpenDB(c.WrapConnector(cn))
	defer first.Close()
	defer second.Close()
	runAll(t, first, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
	c.Wait()
	const read = "SELECT a FROM t"
	same[any](t, "first", int64(1), one(t, first, read))
	if !isHit(c, func() { same[any](t, "second", int64(1), one(t, second, read)) }) {
		t.Error("two databases of one connector do not share entries")
	}
	runAll(t, second, "UPDATE t SET a = 2")
	same[any](t, "after a write through the other", int64(2), one(t, first, read))
}

func TestNames(t *testing.T) {
	for want, got := range map[string]interface{ String() string }{
		"SQLite": querycache.SQLite, "PostgreSQL": querycache.PostgreSQL, "MySQL": querycache.MySQL,
		"Dialect(0)": querycache.Dialect(0), "none": querycache.ReasonNone, "disabled": querycache.ReasonDisabled,
		"transaction": querycache.ReasonTransaction, "session": querycache.ReasonSession, "hint": querycache.ReasonHint,
		"arguments": querycache.ReasonArguments, "write in flight": querycache.ReasonInFlight,
		"open statement": querycache.ReasonOpenStatement, "Reason(-1)": querycache.Reason(-1),
	} {
		same(t, "name", want, got.String())
	}
}

// TestAfterClose shows that a database outlives its cache: queries run, uncached,
// and so do writes and transactions.
func TestAfterClose(t *testing.T) {
	c := cacheWith(t, querycache.Config{})
	db := openLite(t, c, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
	const read = "SELECT a FROM t"
	one(t, db, read)
	if !isHit(c, func() { one(t, db, read) }) {
		t.Fatal("no hit before Close")
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	before := c.Stats()
	same(t, "entries after Close", 0, before.Entries)
	same(t, "bytes after Close", 0, before.CostBytes)
	c.SetEnabled(true) // A closed cache stays closed.
	for want := range int64(3) {
		runAll(t, db, "UPDATE t SET a = "+strconv.FormatInt(want, 10))
		same[any](t, "read", want, one(t, db, read))
		same[any](t, "read again", want, one(t, db, read))
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "UPDATE t SET a = 9"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	same[any](t, "after a transaction", int64(9), one(t, db, read))
	c.InvalidateTables("t")
	c.InvalidateQuery(read)
	c.Purge()
	same[any](t, "after invalidations", int64(9), one(t, db, read))
	after := c.Stats()
	same(t, "hits after Close", before.Hits, after.Hits)
	same(t, "fills after Close", before.Fills, after.Fills)
	same(t, "bypasses after Close", 8, after.BypassReasons[querycache.ReasonDisabled])

	opened := openThrough(t, c, &sqlite3.SQLiteDriver{}, filepath.Join(t.TempDir(), "opened.db"))
	runAll(t, opened, "CREATE TABLE t (a)", "INSERT INTO t VALUES (5)")
	same[any](t, "a database opened after Close", int64(5), one(t, opened, read))
}

// TestCloseWhileInUse closes the cache under queries and writes that are under
// way. It is for the race detector, and for goleak at the end.
func TestCloseWhileInUse(t *testing.T) {
	for range 5 {
		c := cacheWith(t, querycache.Config{MaxBytes: 1 << 20})
		db := openLite(t, c, "PRAGMA journal_mode = WAL", "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
		db.SetMaxOpenConns(4)
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for n := range 50 {
					var v any
					query := "SELECT a FROM t WHERE a >= " + strconv.Itoa(n%5)
					if err := db.QueryRowContext(t.Context(), query).Scan(&v); err != nil && !errors.Is(err, sql.ErrNoRows) {
						t.Error(err)
					}
					if i == 0 {
						runAll(t, db, "UPDATE t SET a = a")
						c.Purge()
					}
				}
			})
		}
		wg.Go(func() { _ = c.Close() })
		wg.Go(func() { _ = c.Close() })
		wg.Wait()
	}
}

// TestInvalidateTablesNames spells a table in every way that SQL knows. With
// names folded by strings.ToLower, or quotes only trimmed, the reads of "Über",
// of the doubled quote and of the name with a dot stay hits.
func TestInvalidateTablesNames(t *testing.T) {
	for _, tt := range []struct {
		table string // as SQL has it
		calls []string
	}{
		{`users`, []string{"users", "USERS", "Users", "main.users", "MAIN.Users", `"users"`, "`users`", "[users]", `main."users"`, ` users `}},
		{`"Mixed Case"`, []string{"Mixed Case", "mixed case", `"Mixed Case"`, "[mixed case]", `main."MIXED CASE"`}},
		{`"a""b"`, []string{`a"b`, `"a""b"`, `main."A""B"`}},
		{`"a.b"`, []string{"a.b", `"a.b"`, `main."a.b"`, "[A.B]"}},
		{`"Über"`, []string{"Über", `"Über"`, `main."Über"`, "über"}},
		{`"select"`, []string{"select", "SELECT", `"select"`}},
		{`"7 of 9"`, []string{"7 of 9", `"7 of 9"`}},
		{`"it's"`, []string{"it's", `"it's"`, "IT'S"}},
	} {
		t.Run(tt.table, func(t *testing.T) {
			c := cacheWith(t, querycache.Config{})
			db := openLite(t, c, "CREATE TABLE "+tt.table+" (a)", "CREATE TABLE other (a)", "INSERT INTO "+tt.table+" VALUES (1)")
			read := "SELECT a FROM " + tt.table
			for _, call := range tt.calls {
				one(t, db, read)
				if !isHit(c, func() { one(t, db, read) }) {
					t.Fatal("not cached")
				}
				c.InvalidateTables("other")
				if !isHit(c, func() { one(t, db, read) }) {
					t.Errorf("InvalidateTables(%q) invalidates %s", "other", tt.table)
				}
				c.InvalidateTables("nobody", call)
				// "über" is another name: only ASCII letters fold.
				if want := call == "über"; isHit(c, func() { one(t, db, read) }) != want {
					t.Errorf("after InvalidateTables(%q): hit %v, want %v", call, !want, want)
				}
			}
		})
	}
}

func TestInvalidateTablesOfOtherWriters(t *testing.T) {
	c := cacheWith(t, querycache.Config{})
	file := filepath.Join(t.TempDir(), "test.db")
	db := openThrough(t, c, &sqlite3.SQLiteDriver{}, file)
	runAll(t, db, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)", "CREATE VIEW v AS SELECT a FROM t")
	c.Wait()
	outside, err := sql.Open("sqlite3", file)
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	same[any](t, "first", int64(1), one(t, db, "SELECT a FROM v"))
	runAll(t, outside, "UPDATE t SET a = 2")
	if !isHit(c, func() { same[any](t, "unseen", int64(1), one(t, db, "SELECT a FROM v")) }) {
		t.Error("not a hit")
	}
	c.InvalidateTables("t")
	same[any](t, "told", int64(2), one(t, db, "SELECT a FROM v"))
}

// TestInvalidateQueryIsPrecise caches a query with many arguments and
// invalidates one of them. The words of queries are shared by hash, so that a
// few others may be lost too.
func TestInvalidateQueryIsPrecise(t *testing.T) {
	c := cacheWith(t, querycache.Config{})
	db := openLite(t, c, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
	const read, args = "SELECT count(*) FROM t WHERE a = ?", 200
	each := func() (hits int) {
		for i := range args {
			if isHit(c, func() { one(t, db, read, i) }) {
				hits++
			}
		}
		return hits
	}
	same(t, "first round", 0, each())
	same(t, "second round", args, each())
	c.InvalidateQuery(" "+read+" /* a comment */", 17)
	if isHit(c, func() { one(t, db, read, 17) }) {
		t.Error("the query that was invalidated is a hit")
	}
	if got := each(); got < args-6 {
		t.Errorf("%d of %d entries are left", got, args)
	}
	c.InvalidateQuery(read, make(chan int)) // What cannot be compared is every query.
	same(t, "after all queries", 0, each())
	c.InvalidateQuery("SELECT a FROM t")
	if got := each(); got < args-6 {
		t.Errorf("%d of %d entries are left after another query", got, args)
	}
}

func TestPurgeFreesMemory(t *testing.T) {
	c := cacheWith(t, querycache.Config{})
	db := openLite(t, c, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
	for i := range 100 {
		one(t, db, "SELECT a FROM t WHERE a > ?", -i)
	}
	if s := c.Stats(); s.Entries == 0 || s.CostBytes == 0 {
		t.Fatalf("nothing is stored: %+v", s)
	}
	c.Purge()
	s := c.Stats()
	same(t, "entries", 0, s.Entries)
	same(t, "bytes", 0, s.CostBytes)
	if isHit(c, func() { one(t, db, "SELECT a FROM t WHERE a > ?", -1) }) {
		t.Error("a hit after Purge")
	}
	if !isHit(c, func() { one(t, db, "SELECT a FROM t WHERE a > ?", -1) }) {
		t.Error("no hit after the next fill")
	}
}

// TestStatsSums runs a known number of each kind of read.
func TestStatsSums(t *testing.T) {
	c := cacheWith(t, querycache.Config{})
	db := openLite(t, c, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
	before := c.Stats()
	for i := range 10 {
		for range 3 {
			one(t, db, "SELECT a FROM t WHERE a > ?", -i)
		}
	}
	for range 4 {
		one(t, db, "SELECT random() FROM t")
		oneIn(t, querycache.Bypass(t.Context()), db, "SELECT a FROM t")
	}
	runAll(t, db, "UPDATE t SET a = 2", "UPDATE t SET a = 3")
	got := c.Stats()
	same(t, "hits", 20, got.Hits-before.Hits)
	same(t, "misses", 10, got.Misses-before.Misses)
	same(t, "fills", 10, got.Fills-before.Fills)
	same(t, "bypasses", 8, got.Bypasses-before.Bypasses)
	same(t, "invalidations", 2, got.Invalidations-before.Invalidations)
	var reasons uint64
	for r, n := range got.BypassReasons {
		if r.String() == "" || n == 0 {
			t.Errorf("reason %d (%q) counts %d", int(r), r, n)
		}
		reasons += n
	}
	same(t, "bypasses by reason", got.Bypasses, reasons)
	same(t, "bypasses by hint", 4, got.BypassReasons[querycache.ReasonHint])
}

// TestSplitByDSN keeps the invalidation of two databases apart, and joins it by
// default.
func TestSplitByDSN(t *testing.T) {
	for _, split := range []bool{false, true} {
		t.Run(strconv.FormatBool(split), func(t *testing.T) {
			c := cacheWith(t, querycache.Config{SplitByDSN: split})
			first := openLite(t, c, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
			second := openLite(t, c, "CREATE TABLE t (a)", "INSERT INTO t VALUES (2)")
			for range 2 {
				same[any](t, "first", int64(1), one(t, first, "SELECT a FROM t"))
				same[any](t, "second", int64(2), one(t, second, "SELECT a FROM t"))
			}
			runAll(t, second, "UPDATE t SET a = 3")
			if got := isHit(c, func() { one(t, first, "SELECT a FROM t") }); got != split {
				t.Errorf("the first database's read is a hit: %v, want %v", got, split)
			}
			same[any](t, "second", int64(3), one(t, second, "SELECT a FROM t"))
			c.InvalidateTables("t")
			for _, db := range []*sql.DB{first, second} {
				if isHit(c, func() { one(t, db, "SELECT a FROM t") }) {
					t.Error("InvalidateTables passes a database over")
				}
			}
		})
	}
}

// TestSplitByDSNOneConnector closes one of two databases that share a connector:
// the other one is still told of what happens to its tables. With words that are
// found through the source alone, which went with the first Close, it is not.
func TestSplitByDSNOneConnector(t *testing.T) {
	c := cacheWith(t, querycache.Config{SplitByDSN: true})
	cn := c.WrapConnector(sqliteConnector(filepath.Join(t.TempDir(), "test.db")))
	first, second := sql.OpenDB(cn), sql.OpenDB(cn)
	defer second.Close()
	runAll(t, first, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
	c.Wait()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	one(t, second, "SELECT a FROM t")
	if !isHit(c, func() { one(t, second, "SELECT a FROM t") }) {
		t.Fatal("not cached")
	}
	c.InvalidateTables("t")
	if isHit(c, func() { one(t, second, "SELECT a FROM t") }) {
		t.Error("InvalidateTables passes the database over")
	}
}

// TestSplitByDSNReopened opens a database again while a transaction of the one
// before, which is closed, has not committed. With new words for each opening
// the last read is a hit on the old value.
func TestSplitByDSNReopened(t *testing.T) {
	c := cacheWith(t, querycache.Config{SplitByDSN: true})
	file := filepath.Join(t.TempDir(), "test.db")
	lite := &sqlite3.SQLiteDriver{}
	first := openThrough(t, c, lite, file)
	runAll(t, first, "PRAGMA journal_mode = WAL", "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
	c.Wait()
	tx, err := first.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "UPDATE t SET a = 2"); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := openThrough(t, c, lite, file)
	for range 2 {
		same[any](t, "before COMMIT", int64(1), one(t, second, "SELECT a FROM t"))
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	same[any](t, "after COMMIT", int64(2), one(t, second, "SELECT a FROM t"))
}

func TestUnwrapStrangers(t *testing.T) {
	for _, v := range []any{nil, 7, &sqlite3.SQLiteConn{}} {
		if got := querycache.Unwrap(v); got != nil {
			t.Errorf("Unwrap(%T) is %v", v, got)
		}
		if got, err := querycache.UnwrapContext(t.Context(), v); got != nil || err != nil {
			t.Errorf("UnwrapContext(%T) is %v, %v", v, got, err)
		}
	}
}

// TestUnwrapCountsAsAWrite writes through the parent that Raw hands out. While
// it is out nothing is served; with conn.unwrap beginning no write the read
// during Raw is a hit on the old value.
func TestUnwrapCountsAsAWrite(t *testing.T) {
	c := cacheWith(t, querycache.Config{})
	db := openLite(t, c, "PRAGMA journal_mode = WAL", "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
	const read = "SELECT a FROM t"
	one(t, db, read)
	if !isHit(c, func() { one(t, db, read) }) {
		t.Fatal("not cached")
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Raw(func(dc any) error {
		parent, err := querycache.UnwrapContext(t.Context(), dc)
		if err != nil {
			return err
		}
		lite, ok := parent.(*sqlite3.SQLiteConn)
		if !ok {
			return fmt.Errorf("the parent is a %T", parent)
		}
		if querycache.Unwrap(dc) != parent {
			t.Error("Unwrap and UnwrapContext differ")
		}
		if _, err := lite.Exec("UPDATE t SET a = 2", nil); err != nil {
			return err
		}
		if isHit(c, func() { same[any](t, "meanwhile", int64(2), one(t, db, read)) }) {
			t.Error("a hit while a connection is out")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		same[any](t, "afterwards", int64(2), one(t, db, read))
	}
}

package querycache_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-sqlite3"

	"github.com/querycache/querycache"
	"github.com/querycache/querycache/internal/script"
)

// dsnOptions are how scenarios open their files.
const dsnOptions = "?_journal_mode=WAL&_foreign_keys=on&_busy_timeout=5000&_synchronous=off"

// stage is what a scenario plays on: a SQLite file, opened through a cache and
// without it.
type stage struct {
	*testing.T
	cache *querycache.Cache
	tap   *tap
	db    *sql.DB // through the cache: a pool of several connections
	raw   *sql.DB // the same file, by the driver alone
	dsn   string
	at    querier         // what is read from; nil: db
	ctx   context.Context //nolint:containedctx // Hints for the reads of the stage.
}

// querier is what can be asked.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// executor is what can be told.
type executor interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// prepared makes a prepared statement a querier.
type prepared struct{ *sql.Stmt }

func (p prepared) QueryContext(ctx context.Context, _ string, args ...any) (*sql.Rows, error) {
	return p.Stmt.QueryContext(ctx, args...)
}

// newStage makes a database with that schema. Its file is written before the
// cache knows it.
func newStage(t *testing.T, schema string) *stage {
	t.Helper()
	return newStageWith(t, schema, querycache.Config{}, &tap{})
}

func newStageWith(t *testing.T, schema string, cfg querycache.Config, tp *tap) *stage {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stage.db")
	s := &stage{T: t, tap: tp, dsn: "file:" + path + dsnOptions, ctx: t.Context()}
	cfg.Dialect = querycache.SQLite
	s.cache = stageCache(t, cfg)
	d := &sqlite3.SQLiteDriver{}
	s.raw = openStage(t, d, s.dsn)
	if schema != "" {
		s.must(s.raw.ExecContext(t.Context(), schema))
	}
	s.db = s.open(s.dsn)
	return s
}

func stageCache(t *testing.T, cfg querycache.Config) *querycache.Cache {
	t.Helper()
	cache, err := querycache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close() })
	return cache
}

// open opens another handle of the stage's cache.
func (s *stage) open(dsn string) *sql.DB {
	s.Helper()
	return openStage(s.T, s.cache.Wrap(s.tap.driver()), dsn)
}

// must fails if a statement of the scenario itself fails.
func (s *stage) must(_ any, err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// conn takes a connection out of the pool until the test ends.
func (s *stage) conn() *sql.Conn {
	s.Helper()
	c, err := s.db.Conn(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = c.Close() })
	return c
}

// begin begins a transaction that is rolled back at the end if nothing else
// ended it.
func (s *stage) begin() *sql.Tx {
	s.Helper()
	tx, err := s.db.BeginTx(s.Context(), nil)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// on is the stage as q sees it.
func (s *stage) on(q querier) *stage {
	other := *s
	other.at = q
	return &other
}

// with is the stage under another context.
func (s *stage) with(ctx context.Context) *stage {
	other := *s
	other.ctx = ctx
	return &other
}

// exec executes on the pool and must succeed.
func (s *stage) exec(query string, args ...any) {
	s.Helper()
	s.execOn(s.db, query, args...)
}

func (s *stage) execOn(e executor, query string, args ...any) {
	s.Helper()
	if _, err := e.ExecContext(s.ctx, query, args...); err != nil {
		s.Fatalf("%s: %v", query, err)
	}
}

// answer is all that a client can tell of a result.
type answer struct {
	Columns []string
	Types   []columnType
	Rows    [][]any
	Error   string
}

type columnType struct {
	Name, Database   string
	Scan             string
	Nullable, HasNil bool
	Length           int64
	HasLength        bool
	Precision, Scale int64
	HasDecimal       bool
}

// answerOf asks a query and reads all rows.
func answerOf(ctx context.Context, q querier, query string, args ...any) answer {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return answer{Error: err.Error()}
	}
	defer func() { _ = rows.Close() }()
	return readAnswer(rows)
}

func readAnswer(rows *sql.Rows) (a answer) {
	types, err := rows.ColumnTypes()
	if err != nil {
		return answer{Error: err.Error()}
	}
	for _, t := range types {
		c := columnType{Name: t.Name(), Database: t.DatabaseTypeName()}
		if scan := t.ScanType(); scan != nil {
			c.Scan = scan.String()
		}
		c.Nullable, c.HasNil = t.Nullable()
		c.Length, c.HasLength = t.Length()
		c.Precision, c.Scale, c.HasDecimal = t.DecimalSize()
		a.Types = append(a.Types, c)
	}
	a.Columns, _ = rows.Columns()
	for rows.Next() {
		row := make([]any, len(types))
		into := make([]any, len(types))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			a.Error = err.Error()
			return a
		}
		a.Rows = append(a.Rows, row)
	}
	if err := rows.Err(); err != nil {
		a.Error = err.Error()
	}
	return a
}

// countsOf are the counts of a cache as scripts know them.
func countsOf(cache *querycache.Cache) script.Counts {
	st := cache.Stats()
	c := script.Counts{
		Hits: st.Hits, Misses: st.Misses, Coalesced: st.Coalesced, Fills: st.Fills,
		Invalidations: st.Invalidations, Bypasses: map[string]uint64{},
	}
	for reason, n := range st.BypassReasons {
		c.Bypasses[reason.String()] = n
	}
	return c
}

// read asks through the cache and says what became of it.
func (s *stage) read(query string, args ...any) (answer, string) {
	s.Helper()
	q := s.at
	if q == nil {
		q = s.db
	}
	asked := s.tap.asked.Load()
	before := countsOf(s.cache)
	a := answerOf(s.ctx, q, query, args...)
	told := script.Outcome(before, countsOf(s.cache))
	if told == "hit" && s.tap.asked.Load() != asked {
		s.Errorf("%s: a hit, and the database was asked %s", query, *s.tap.last.Load())
	}
	return a, told
}

// reads asks through the cache, expects that outcome, and the answer of the
// driver alone.
func (s *stage) reads(want, query string, args ...any) answer {
	s.Helper()
	a, told := s.read(query, args...)
	if told != want {
		s.Errorf("%s %v: %s, want %s", query, args, told, want)
	}
	s.isTrue(a, query, args...)
	return a
}

// isTrue compares an answer with that of the driver alone.
func (s *stage) isTrue(a answer, query string, args ...any) {
	s.Helper()
	if diff := cmp.Diff(answerOf(s.Context(), s.raw, query, args...), a); diff != "" {
		s.Errorf("%s %v: the driver alone answers otherwise (-alone +cached)\n%s", query, args, diff)
	}
}

// truth asks what may or may not be served, and expects the answer of the
// driver alone.
func (s *stage) truth(query string) answer {
	s.Helper()
	a, _ := s.read(query)
	s.isTrue(a, query)
	return a
}

func (s *stage) hit(query string, args ...any) answer {
	s.Helper()
	return s.reads("hit", query, args...)
}

// miss expects a result to be stored. The memory of a schema change's dead
// entries is freed behind it, with that of entries stored meanwhile.
func (s *stage) miss(query string, args ...any) answer {
	s.Helper()
	s.cache.Wait()
	return s.reads("miss", query, args...)
}

// entry asks twice: a miss that is stored, then a hit with the same answer.
func (s *stage) entry(query string, args ...any) {
	s.Helper()
	first := s.miss(query, args...)
	if diff := cmp.Diff(first, s.hit(query, args...)); diff != "" {
		s.Errorf("%s %v: the hit differs (-miss +hit)\n%s", query, args, diff)
	}
}

// fresh asks what was written to since it was stored: it must not be served.
func (s *stage) fresh(query string, args ...any) {
	s.Helper()
	s.miss(query, args...)
}

// bypass asks twice what must not be cached, and expects that reason.
func (s *stage) bypass(reason, query string, args ...any) {
	s.Helper()
	for range 2 {
		if _, told := s.read(query, args...); told != "bypass: "+reason {
			s.Errorf("%s %v: %s, want bypass: %s", query, args, told, reason)
		}
	}
}

// sees asks where the driver alone would see something else, as inside a
// transaction, and expects these rows and never a hit.
func (s *stage) sees(want any, query string) {
	s.Helper()
	a, told := s.read(query)
	if told == "hit" {
		s.Errorf("%s: a hit", query)
	}
	s.value(a, want, query)
}

// value expects one row of one column.
func (s *stage) value(a answer, want any, query string) {
	s.Helper()
	if n, ok := want.(int); ok {
		want = int64(n)
	}
	if len(a.Rows) != 1 || len(a.Rows[0]) != 1 || !reflect.DeepEqual(a.Rows[0][0], want) {
		s.Errorf("%s: %v %s, want %v", query, a.Rows, a.Error, want)
	}
}

// failing expects an error of the database with that text in it.
func (s *stage) failing(e executor, want, query string) {
	s.Helper()
	if _, err := e.ExecContext(s.ctx, query); err == nil || !strings.Contains(err.Error(), want) {
		s.Errorf("%s: %v, want an error with %q", query, err, want)
	}
}

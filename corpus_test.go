package querycache_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-sqlite3"
)

const corpusDir = "../shared/sqlcorpus"

// corpusStatement is one statement of the corpus with its ground truth.
type corpusStatement struct {
	ID         string   `json:"id"`
	Dialect    string   `json:"dialect"`
	SQL        string   `json:"sql"`
	Kind       string   `json:"kind"`
	Reads      []string `json:"reads"`
	Writes     []string `json:"writes"`
	ReadsFull  []string `json:"reads_full"`
	WritesFull []string `json:"writes_full"`
	Cacheable  bool     `json:"cacheable"`
	Why        string   `json:"why"`
}

// corpusWrites are writes that each touch one table of the corpus's schema and
// change a row of it, by its lower-cased name.
var corpusWrites = map[string][]string{
	"users":         {"UPDATE users SET email = email || 'x', manager_id = 1, active = 1 - active, created_at = '2024-01-01'", "INSERT INTO users(name) VALUES('new')"},
	"orders":        {"UPDATE orders SET total = total + 1, status = status || 'x', created_at = '2024-01-01'", "UPDATE orders SET user_id = 4 - user_id"},
	"order_items":   {"UPDATE order_items SET qty = qty + 1, sku = sku || 'x'", "INSERT INTO order_items(order_id, sku) VALUES(1, 'z')"},
	"products":      {"UPDATE products SET price = price + 1, name = name || 'x'", "DELETE FROM products"},
	"audit_log":     {"INSERT INTO audit_log(msg) VALUES('x')", "UPDATE audit_log SET msg = msg || 'x'"},
	"settings":      {"UPDATE settings SET v = '[3]' WHERE k = 'a'", "INSERT INTO settings VALUES('z', 'z')", "DELETE FROM settings"},
	"stats":         {"UPDATE stats SET n = n + 1", "INSERT INTO stats VALUES('z', 1)"},
	"archive":       {"INSERT INTO archive VALUES(1, 2)", "DELETE FROM archive"},
	"banned":        {"INSERT INTO banned VALUES(1)", "DELETE FROM banned"},
	"order details": {`INSERT INTO "Order Details" VALUES(1, 'x')`, `DELETE FROM "Order Details"`},
	"select":        {`INSERT INTO "select" VALUES(1, 'x')`, `DELETE FROM [select]`},
	"fts_docs":      {"INSERT INTO fts_docs VALUES('users and orders')"},
}

// corpusVariants are states of the database in which a write may do other
// things: run on the file by the driver alone, before the cache knows it.
var corpusVariants = []string{
	"",
	"DELETE FROM users WHERE id > 1; DELETE FROM orders WHERE id > 1; DELETE FROM order_items WHERE id > 1; DELETE FROM settings",
	"DELETE FROM users; DELETE FROM products; DELETE FROM settings",
}

// corpusRun is the corpus on its way through the cache.
type corpusRun struct {
	*testing.T
	schema string
	tables []string // with rows of their own

	cacheable, cached, exact int // reads
	answers                  int // compared with those of the driver alone
	writes, kept, needless   int // entries of unrelated tables, kept and not
}

// TestCorpus runs the SQLite part of the shared corpus through the cache, each
// statement on a fresh copy of the database: no answer may be unsound, nine in
// ten of the cacheable reads must be cached, eight in ten of those with exact
// tags. The default build of go-sqlite3 has no FTS5: without the tag
// sqlite_fts5 its table and statements are left out.
func TestCorpus(t *testing.T) {
	r := newCorpusRun(t)
	for _, c := range r.statements() {
		t.Run(c.ID, func(t *testing.T) {
			on := *r
			on.T = t
			switch {
			case c.Cacheable:
				on.cacheableRead(c)
			case c.Kind == "read":
				on.otherRead(c)
			case c.Kind == "session":
				on.session(c)
			default:
				on.write(c)
			}
			on.T = r.T
			*r = on
		})
	}
	t.Logf("%d cacheable reads: %d cached, %d of them with exact tags; %d writes: %d entries of unrelated tables kept, %d not; %d answers compared",
		r.cacheable, r.cached, r.exact, r.writes, r.kept, r.needless, r.answers)
	if r.cacheable == 0 || r.writes == 0 || r.cached*10 < r.cacheable*9 || r.exact*10 < r.cached*8 {
		t.Error("too few reads are cached, or too few of them exactly")
	}
}

func newCorpusRun(t *testing.T) *corpusRun {
	t.Helper()
	r := &corpusRun{T: t, schema: string(corpusFile(t, "schema_sqlite.sql"))}
	db := openStage(t, &sqlite3.SQLiteDriver{}, ":memory:")
	db.SetMaxOpenConns(1)
	tables := maps.Clone(corpusWrites)
	if _, err := db.ExecContext(t.Context(), "CREATE VIRTUAL TABLE probe USING fts5(body)"); err != nil {
		t.Logf("without the statements on fts_docs: %v", err)
		delete(tables, "fts_docs")
		r.schema = strings.ReplaceAll(r.schema, "CREATE VIRTUAL TABLE fts_docs USING fts5(body);", "")
	}
	r.tables = slices.Sorted(maps.Keys(tables))
	return r
}

func corpusFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(corpusDir, name))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("no shared corpus beside the repository: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// statements are those of the corpus that this build of SQLite can run.
func (r *corpusRun) statements() []corpusStatement {
	r.Helper()
	var all []corpusStatement
	if err := json.Unmarshal(corpusFile(r.T, "statements.json"), &all); err != nil {
		r.Fatal(err)
	}
	return slices.DeleteFunc(all, func(c corpusStatement) bool {
		return c.Dialect != "sqlite" ||
			slices.Contains(c.Reads, "fts_docs") && !slices.Contains(r.tables, "fts_docs")
	})
}

// touched are the tables by their bare names in lower case.
func touched(direct, full []string) []string {
	if full != nil {
		direct = full
	}
	var names []string
	for _, name := range direct {
		names = append(names, strings.ToLower(name[strings.LastIndexByte(name, '.')+1:]))
	}
	return names
}

// stage is a fresh copy of the database, in a variant.
func (r *corpusRun) stage(variant string) *stage {
	r.Helper()
	s := newStage(r.T, r.schema)
	s.must(s.raw.ExecContext(r.Context(), variant))
	return s
}

// inputs are arguments for the parameters of a statement: all of them 1.
func (r *corpusRun) inputs(s *stage, text string) []any {
	r.Helper()
	c, err := s.raw.Conn(r.Context())
	s.must(c, err)
	defer c.Close()
	n := 0
	s.must(nil, c.Raw(func(dc any) error {
		stmt, err := dc.(*sqlite3.SQLiteConn).Prepare(text) //nolint:forcetypeassert // The driver alone.
		if err != nil {
			return nil // Several statements may need one another: none of those has parameters.
		}
		n = stmt.NumInput()
		return stmt.Close()
	}))
	return slices.Repeat([]any{1}, n)
}

// compare asks through the cache and expects the answer of the driver alone.
func (r *corpusRun) compare(s *stage, text string, args ...any) (told string) {
	r.Helper()
	a, told := s.read(text, args...)
	want := answerOf(r.Context(), s.raw, text, args...)
	r.answers++
	if diff := cmp.Diff(want, a); diff != "" {
		r.Errorf("unsound: %s (%s): (-alone +cached)\n%s", text, told, diff)
	}
	return told
}

// cacheableRead caches the read and writes each table of the schema.
func (r *corpusRun) cacheableRead(c corpusStatement) {
	r.Helper()
	r.cacheable++
	s := r.stage("")
	args := r.inputs(s, c.SQL)
	first, second := r.compare(s, c.SQL, args...), r.compare(s, c.SQL, args...)
	if second != "hit" {
		r.Logf("not cached (%s, %s): %s", first, second, c.SQL)
		return
	}
	r.cached++
	reads := touched(c.Reads, c.ReadsFull)
	for _, name := range reads {
		if corpusWrites[name] == nil {
			r.Errorf("no write to %s is known", name)
		}
	}
	exact := true
	for _, table := range r.tables {
		for _, write := range corpusWrites[table] {
			if n := r.changes(s, write); n == 0 {
				continue
			}
			told := r.compare(s, c.SQL, args...)
			switch related := slices.Contains(reads, table); {
			case related && told == "hit":
				r.Errorf("unsound: a hit after %s: %s", write, c.SQL)
			case !related && told != "hit":
				r.Logf("not exact: %s after %s: %s", told, write, c.SQL)
				exact = false
			}
			r.compare(s, c.SQL, args...)
		}
	}
	if exact {
		r.exact++
	}
}

// changes executes a write through the cache and says how many rows it changed.
func (r *corpusRun) changes(s *stage, write string) int64 {
	r.Helper()
	res, err := s.db.ExecContext(r.Context(), write)
	if err != nil {
		r.Fatalf("%s: %v", write, err)
	}
	n, err := res.RowsAffected()
	s.must(nil, err)
	return n
}

// otherRead expects what must not be cached never to be served.
func (r *corpusRun) otherRead(c corpusStatement) {
	r.Helper()
	s := r.stage("")
	args := r.inputs(s, c.SQL)
	for range 3 {
		if _, told := s.read(c.SQL, args...); !strings.HasPrefix(told, "bypass") {
			r.Errorf("unsound: %s: %s (%s)", told, c.SQL, c.Why)
		}
	}
}

// contents are the rows of every table and view, by the driver alone.
func (r *corpusRun) contents(s *stage) map[string]answer {
	r.Helper()
	all := map[string]answer{}
	for _, name := range append([]string{"active_users", "user_totals", "v_edit"}, r.tables...) {
		all[name] = answerOf(r.Context(), s.raw, fmt.Sprintf("SELECT * FROM %q", name))
	}
	return all
}

// lookAll reads every table and view through the cache, and says what was not
// served. Whatever was must be what the database holds.
func (r *corpusRun) lookAll(s *stage) map[string]bool {
	r.Helper()
	gone := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(r.contents(s))) {
		gone[name] = r.compare(s, fmt.Sprintf("SELECT * FROM %q", name)) != "hit"
	}
	return gone
}

// write executes a write, or what is not understood, with entries of every
// table in the cache, in each variant of the database and in both ways.
func (r *corpusRun) write(c corpusStatement) {
	r.Helper()
	changed := map[string]bool{}
	for _, variant := range corpusVariants {
		r.writeBy(c, variant, changed, func(ctx context.Context, db *sql.DB, args ...any) {
			_, _ = db.ExecContext(ctx, c.SQL, args...) // Some fail in some variant.
		})
		r.writeBy(c, variant, changed, func(ctx context.Context, db *sql.DB, args ...any) {
			answerOf(ctx, db, c.SQL, args...)
		})
	}
	for _, table := range touched(c.Writes, c.WritesFull) {
		if slices.Contains(r.tables, table) && !changed[table] {
			r.Errorf("%s changes nothing in %s: it shows nothing", c.SQL, table)
		}
	}
}

func (r *corpusRun) writeBy(c corpusStatement, variant string, changed map[string]bool, run func(context.Context, *sql.DB, ...any)) {
	r.Helper()
	s := r.stage(variant)
	args := r.inputs(s, c.SQL)
	r.lookAll(s)
	uncached := r.lookAll(s) // Virtual tables.
	before := r.contents(s)
	run(r.Context(), s.db, args...)
	after := r.contents(s)
	gone := r.lookAll(s)
	r.writes++
	for _, table := range r.tables {
		changed[table] = changed[table] || !cmp.Equal(before[table], after[table])
		switch {
		case uncached[table]:
		case c.Kind == "opaque":
			if !gone[table] {
				r.Errorf("unsound: entries of %s stay after what is not understood: %s", table, c.SQL)
			}
		case c.Kind == "ddl", slices.Contains(touched(c.Writes, c.WritesFull), table):
		case gone[table]:
			r.needless++
			r.Logf("entries of %s go after %s", table, c.SQL)
		default:
			r.kept++
		}
	}
}

// session runs a statement that changes its connection on one, and expects it
// to read as the driver alone does from there on, and all others to go on.
func (r *corpusRun) session(c corpusStatement) {
	r.Helper()
	s := r.stage("")
	r.lookAll(s)
	uncached := r.lookAll(s)
	w := s.twin()
	w.told(c.SQL)
	for range 2 {
		for name := range r.contents(s) {
			w.same(fmt.Sprintf("SELECT * FROM %q", name))
			r.answers++
		}
	}
	if diff := cmp.Diff(uncached, r.lookAll(s)); diff != "" {
		r.Errorf("other connections lost entries: (-before +after)\n%s", diff)
	}
	for _, table := range r.tables {
		w.execOn(w.conn, corpusWrites[table][0])
		r.lookAll(s)
	}
}

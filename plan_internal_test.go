package querycache

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/mattn/go-sqlite3"

	"github.com/querycache/querycache/internal/analysis"
)

func planOf(s *scope, text string) *plan {
	return newPlan(s, &analysis.Plan{Text: text, Kind: analysis.Read}, text, 0)
}

func (ps *plans) held() (count, bytes int) {
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	for _, m := range []map[planKey]*plan{ps.young, ps.old} {
		count += len(m)
		for k := range m {
			bytes += len(k.text)
		}
	}
	return count, bytes
}

// TestPlansAreBounded remembers many more plans than there is room for, and
// long texts. Without the change of generations in plans.keep they all stay.
func TestPlansAreBounded(t *testing.T) {
	s := &scope{id: 1, source: &source{cache: &Cache{}, words: newWords()}}
	for _, tt := range []struct {
		name    string
		padding int
		plans   int
	}{{"many", 0, 5 * maxPlans}, {"long", maxRemembered - 100, 1500}} {
		t.Run(tt.name, func(t *testing.T) {
			var ps plans
			padding := strings.Repeat(" ", tt.padding)
			for i := range tt.plans {
				text := fmt.Sprint("SELECT ", padding, i)
				ps.put(planOf(s, text))
				if p := ps.find(s, text); p == nil || p.raw != text {
					t.Fatalf("%d is not remembered", i)
				}
			}
			count, bytes := ps.held()
			if count > 2*maxPlans || bytes > 2*(maxPlanBytes+maxRemembered) {
				t.Errorf("%d plans, %d bytes", count, bytes)
			}
			if count < min(200, maxPlanBytes/(tt.padding+200)) {
				t.Errorf("only %d plans", count)
			}
		})
	}
}

func TestPlansNotRemembered(t *testing.T) {
	s := &scope{id: 1, source: &source{cache: &Cache{}, words: newWords()}}
	var ps plans
	long := "SELECT " + strings.Repeat("1", maxRemembered)
	ps.put(planOf(s, long))
	if n, _ := ps.held(); n != 0 || ps.find(s, long) != nil {
		t.Errorf("%d plans are remembered", n)
	}
}

func TestPlansHoldTheirScope(t *testing.T) {
	var ps plans
	const text = "SELECT 1"
	one, two := newScope(&source{cache: &Cache{}, words: newWords()}, ""), newScope(&source{cache: &Cache{}, words: newWords()}, "")
	for ps.slot(two, text) != ps.slot(one, text) {
		two.id++
	}
	ps.put(planOf(one, text))
	if ps.find(two, text) != nil {
		t.Error("a plan of another scope")
	}
	ps.put(planOf(two, text))
	if ps.find(one, text).scope != one || ps.find(two, text).scope != two {
		t.Error("the plans of two scopes are mixed up")
	}
}

// TestOverwrittenTexts asks with a text whose memory is then overwritten by
// another one of the same length, as unsafe conversions of a buffer do. With
// the address compared alone the plan of the first text is found for the second.
func TestOverwrittenTexts(t *testing.T) {
	s := &scope{id: 1, source: &source{cache: &Cache{}, words: newWords()}}
	var ps plans
	buffer := []byte("SELECT a")
	text := unsafe.String(&buffer[0], len(buffer))
	ps.put(planOf(s, "SELECT a"))
	if p := ps.find(s, text); p == nil || p.raw != "SELECT a" {
		t.Fatalf("found %+v", p)
	}
	copy(buffer, "SELECT b")
	if p := ps.find(s, text); p != nil {
		t.Errorf("%q is taken for %q", text, p.raw)
	}
	alias := []byte("SELECT a -- 1")
	text = unsafe.String(&alias[0], len(alias))
	ps.alias(ps.find(s, "SELECT a"), text)
	if p := ps.find(s, text); p == nil || p.Text != "SELECT a" {
		t.Fatalf("the alias finds %+v", p)
	}
	copy(alias, "SELECT b")
	if p := ps.find(s, text); p != nil {
		t.Errorf("%q is taken for %q", text, p.raw)
	}
}

// TestPlanKeysAreOwned finds a plan of the older generation by a text that is
// overwritten later. With behind keeping it under the text that it was asked
// with, the key of the map changes under it.
func TestPlanKeysAreOwned(t *testing.T) {
	s := &scope{id: 1, source: &source{cache: &Cache{}, words: newWords()}}
	var ps plans
	ps.put(planOf(s, "SELECT a"))
	ps.mu.Lock()
	ps.old, ps.young = ps.young, nil
	ps.mu.Unlock()
	buffer := []byte("SELECT a")
	if p := ps.find(s, unsafe.String(&buffer[0], len(buffer))); p == nil {
		t.Fatal("not found")
	}
	copy(buffer, "SELECT b")
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if len(ps.young) != 1 {
		t.Errorf("%d plans in the younger generation", len(ps.young))
	}
	for k, p := range ps.young {
		if k.text != p.raw {
			t.Errorf("the plan of %q is kept as %q", p.raw, k.text)
		}
	}
}

// openLite opens a SQLite file through a cache of its own.
func openLite(t *testing.T) (*Cache, *sql.DB) {
	t.Helper()
	c, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	cn, err := (&wrapped{cache: c, parent: &sqlite3.SQLiteDriver{}}).OpenConnector(filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(cn)
	t.Cleanup(func() {
		_ = db.Close()
		_ = c.Close()
	})
	for _, s := range []string{"CREATE TABLE t (a, b)", "INSERT INTO t VALUES (1, 2)"} {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	c.Wait()
	return c, db
}

func one(t *testing.T, db *sql.DB, text string) int64 {
	t.Helper()
	var v int64
	if err := db.QueryRowContext(t.Context(), text).Scan(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// TestOverwrittenQueries is TestOverwrittenTexts from outside.
func TestOverwrittenQueries(t *testing.T) {
	c, db := openLite(t)
	buffer := []byte("SELECT a FROM t")
	text := unsafe.String(&buffer[0], len(buffer))
	for range 3 {
		copy(buffer, "SELECT a FROM t")
		wantSame(t, "a", 1, one(t, db, text))
		copy(buffer, "SELECT b FROM t")
		wantSame(t, "b", 2, one(t, db, text))
	}
	wantSame(t, "hits", 4, c.Stats().Hits)
}

// TestTraceComments runs one query under many different comments, as tracing
// makes them: one entry, and one plan in the maps. With plans.put keeping each
// text the maps fill up.
func TestTraceComments(t *testing.T) {
	c, db := openLite(t)
	before, _ := c.plans.held()
	const queries = 3000
	for i := range queries {
		wantSame(t, "value", 1, one(t, db, fmt.Sprintf("/* trace %d */ SELECT a FROM t -- span %d", i, i)))
	}
	if after, _ := c.plans.held(); after != before+1 {
		t.Errorf("%d plans for one query", after-before)
	}
	s := c.Stats()
	wantSame(t, "hits", queries-1, s.Hits)
	wantSame(t, "entries", 1, s.Entries)
}

// TestLongTexts reads by a text that is too long to be remembered: it is
// analysed each time, and a hit all the same.
func TestLongTexts(t *testing.T) {
	c, db := openLite(t)
	text := "SELECT a FROM t WHERE a IN (1" + strings.Repeat(", 1", maxRemembered/3) + ")"
	for range 3 {
		wantSame(t, "value", 1, one(t, db, text))
	}
	wantSame(t, "hits", 2, c.Stats().Hits)
}

// TestPlansFollowTheSchema redefines what a text means. With a plan of an older
// schema taken for known, the query is not cached any more.
func TestPlansFollowTheSchema(t *testing.T) {
	c, db := openLite(t)
	exec := func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			if _, err := db.ExecContext(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	exec("CREATE TABLE u (a)", "INSERT INTO u VALUES (10)", "CREATE VIEW v AS SELECT a FROM t")
	c.Wait()
	for range 2 {
		wantSame(t, "of t", 1, one(t, db, "SELECT a FROM v"))
	}
	exec("DROP VIEW v", "CREATE VIEW v AS SELECT a FROM u")
	c.Wait()
	for range 2 {
		wantSame(t, "of u", 10, one(t, db, "SELECT a FROM v"))
	}
	wantSame(t, "hits", 2, c.Stats().Hits)
	exec("UPDATE u SET a = 11")
	wantSame(t, "after a write", 11, one(t, db, "SELECT a FROM v"))
}

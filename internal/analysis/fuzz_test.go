package analysis

import (
	"strings"
	"testing"
)

var fuzzSeeds = []string{
	"SELECT * FROM users u JOIN orders o ON o.user_id = u.id WHERE u.id IN items_old",
	"WITH users AS (SELECT 1) SELECT * FROM users, main.users",
	"WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n+1 FROM c) DELETE FROM log WHERE msg IN c",
	"INSERT OR REPLACE INTO users(id) SELECT 1 ON CONFLICT DO UPDATE SET id = 2 RETURNING id",
	"CREATE TEMP TRIGGER g AFTER UPDATE ON stats BEGIN SELECT CASE WHEN 1 THEN 2 END; END; SELECT 1",
	"UPDATE stats AS s SET (k, n) = (1, 2) FROM (users, orders) WHERE 1 IS NOT DISTINCT FROM n",
	"SELECT date('now', ?), sum(id) OVER w FROM users WINDOW w AS (ORDER BY id), x AS (w)",
	"PRAGMA main.journal_mode = off; ATTACH ':memory:' AS x; ROLLBACK TO 'a'; EXPLAIN VACUUM",
	"SELECT (((", "WITH", "WITH a", "WITH a AS", "INSERT INTO", "UPDATE OR", "DELETE FROM", "SELECT 1 FROM (", "x IN", ")",
	"EXPLAIN", "EXPLAIN QUERY PLAN", "CREATE", "CREATE TEMP", "PRAGMA x.", "ATTACH", "SAVEPOINT", "ROLLBACK TO",
}

// FuzzAnalyze holds that no text makes the analysis panic or contradict itself,
// by the text alone and with a catalog.
func FuzzAnalyze(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add(s)
	}
	cat := open(f, ruleSchema).catalog(f)
	f.Fuzz(func(t *testing.T, text string) {
		for _, c := range []*Catalog{nil, cat} {
			p := Analyze(t.Context(), SQLite, text, c, nil)
			switch {
			case p.Kind == 0:
				t.Fatalf("no kind: %+v", p)
			case p.Cacheable != (p.Kind == Read && p.Reason == Cached):
				t.Fatalf("cacheable without ground: %+v", p)
			case p.Cacheable && (p.Everything || p.Session || len(p.Writes) > 0 || len(p.Control) > 0):
				t.Fatalf("cacheable with an effect: %+v", p)
			case p.Kind >= Schema && !p.Everything, p.Private && !p.Session:
				t.Fatalf("inconsistent: %+v", p)
			case !strings.Contains(text, p.Text):
				t.Fatalf("text %q of %q", p.Text, text)
			}
		}
	})
}

// FuzzEngine holds the catalog and the text against the engine: what its program
// opens for writing is never called a read, and what it opens is never missing.
func FuzzEngine(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add(s)
	}
	seedCorpus(f)
	e := open(f, ruleSchema)
	cat := e.catalog(f)
	roots := e.roots(f)
	f.Fuzz(func(t *testing.T, text string) {
		w := Analyze(t.Context(), SQLite, text, cat, e)
		n := Analyze(t.Context(), SQLite, text, cat, nil)
		alone := Analyze(t.Context(), SQLite, text, nil, nil)
		if w.Kind != Read && w.Kind != Write || w.Reason == Refused || w.Reason == SeveralStatements || w.Reason == Misread || n.Everything {
			return
		}
		reads, writes, err := e.program(t.Context(), w.Text, roots)
		if err != nil {
			t.Fatalf("the witness saw it, but EXPLAIN of %q says %v", w.Text, err)
		}
		for name, p := range map[string]*Plan{"witness": w, "catalog": n} {
			switch {
			case p.Kind == Read && len(writes) > 0, w.Kind == Write && p.Kind == Read:
				t.Fatalf("%s calls a write of %v a read: %q", name, writes, text)
			case !p.Everything && !subset(writes, p.Writes):
				t.Fatalf("%s has writes %v, the program %v: %q", name, p.Writes, writes, text)
			case p.Kind == Read && !p.Everything && !subset(visible(reads), p.Reads):
				t.Fatalf("%s has reads %v, the program %v: %q", name, p.Reads, reads, text)
			}
		}
		if w.Kind == Write && alone.Kind == Read {
			t.Fatalf("the text alone calls a write a read: %q", text)
		}
	})
}

// visible drops the engine's own tables, which are never cached.
func visible(names []string) []string {
	out := []string{}
	for _, name := range names {
		if !strings.HasPrefix(name, "sqlite_") && name != Rowid {
			out = append(out, name)
		}
	}
	return out
}

func BenchmarkAnalyze(b *testing.B) {
	const sql = "SELECT u.id, u.name, o.total FROM users u JOIN orders o ON o.user_id = u.id WHERE u.id = ? LIMIT 10"
	e := open(b, ruleSchema)
	cat := e.catalog(b)
	for _, way := range []struct {
		name string
		cat  *Catalog
		eng  Engine
	}{{"text", nil, nil}, {"catalog", cat, nil}, {"witness", cat, e}} {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !Analyze(b.Context(), SQLite, sql, way.cat, way.eng).Cacheable {
					b.Fatal("not cacheable")
				}
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	e := open(b, ruleSchema)
	b.ReportAllocs()
	for b.Loop() {
		e.catalog(b)
	}
}

func BenchmarkVersion(b *testing.B) {
	e := open(b, ruleSchema)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := SQLiteVersion(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
}

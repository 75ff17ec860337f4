package querycache_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// family is the schema of the scenarios about dependencies: four tables that
// have nothing to do with one another.
const family = `
CREATE TABLE a (id INTEGER PRIMARY KEY, v INT);
CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INT, v INT);
CREATE TABLE c (id INTEGER PRIMARY KEY, v INT);
CREATE TABLE d (id INTEGER PRIMARY KEY, v INT);
INSERT INTO a VALUES (1, 1), (2, 2), (3, 1);
INSERT INTO b VALUES (1, 1, 1), (2, 1, 2), (3, 2, 3);
INSERT INTO c VALUES (1, 1), (2, 5);
INSERT INTO d VALUES (1, 1);`

// depends lists queries by the tables that they read, in letters.
type depends []struct{ tables, query string }

// check caches each query and writes each table of the schema, in several ways:
// a write to what the query reads must show at once, any other keeps the hit.
func (list depends) check(t *testing.T, schema string) {
	t.Helper()
	for _, q := range list {
		s := newStage(t, schema)
		s.entry(q.query)
		for table := range strings.SplitSeq("abcd", "") {
			if !strings.Contains(q.tables, table) {
				s.writes(table, func(string) { s.hit(q.query) })
				continue
			}
			s := newStage(t, schema)
			before := answerOf(t.Context(), s.raw, q.query)
			changed := false
			s.read(q.query)
			s.writes(table, func(write string) {
				after, told := s.read(q.query)
				s.isTrue(after, q.query)
				if told == "hit" {
					t.Errorf("%s: a hit after %s", q.query, write)
				}
				changed = changed || !cmp.Equal(before, after)
				s.hit(q.query)
			})
			if !changed {
				t.Errorf("no write to %s changes the answer of %s: it shows nothing", table, q.query)
			}
		}
	}
}

// writes writes a table in several ways and calls then after each that changed
// a row.
func (s *stage) writes(table string, then func(write string)) {
	s.Helper()
	for _, write := range []string{
		"UPDATE %s SET v = v + 1", "INSERT INTO %s (v) VALUES (2), (1)", "INSERT INTO %s (id, v) VALUES (0, 3), (-1, 1)",
		"UPDATE %s SET id = id + 2 WHERE id = (SELECT max(id) FROM %[1]s)", "DELETE FROM %s WHERE id = 2", "DELETE FROM %s",
	} {
		write = fmt.Sprintf(write, table)
		res, err := s.db.ExecContext(s.ctx, write)
		s.must(res, err)
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			then(write)
		}
	}
}

func scenario22(t *testing.T) {
	depends{
		{"ab", "SELECT a.v, b.v FROM a JOIN b ON b.a_id = a.id"},
		{"ab", "SELECT a.v, b.v FROM a LEFT JOIN b ON b.a_id = a.id"},
		{"ab", "SELECT a.v, b.v FROM a, b WHERE b.a_id = a.id"},
		{"abc", "SELECT count(*), sum(c.v) FROM (a JOIN b ON b.a_id = a.id), c"},
		{"abc", "SELECT count(*), sum(a.v), sum(c.v) FROM a, (b JOIN c ON c.v = b.v)"},
		{"abc", "SELECT a.v, b.v, c.v FROM a, b, c"},
		{"a", "SELECT x.id, y.id FROM a x JOIN a AS y ON x.v = y.v AND x.id < y.id"},
		{"a", "SELECT b.v FROM a b"},
		{"ac", "SELECT a.v, c.v FROM a CROSS JOIN c"},
		{"ac", "SELECT a.v, c.v FROM c FULL OUTER JOIN a USING (id)"},
		{"ab", "SELECT x.v FROM (SELECT a.v FROM a) AS x JOIN (SELECT v FROM b) AS y ON x.v = y.v"},
	}.check(t, family)
}

func scenario23(t *testing.T) {
	depends{
		{"ab", "SELECT v FROM a WHERE id IN (SELECT a_id FROM b WHERE v > 1)"},
		{"ac", "SELECT v FROM a WHERE (id, v) IN c"},
		{"abc", "SELECT v FROM a WHERE id IN (SELECT a_id FROM b WHERE v IN (SELECT v FROM c))"},
		{"abcd", "SELECT v FROM a WHERE id IN (SELECT id FROM b WHERE v <= (SELECT max(v) FROM c WHERE v >= (SELECT min(v) FROM d)))"},
		{"ab", "SELECT v FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.a_id = a.id)"},
		{"ab", "SELECT v FROM a WHERE id NOT IN (SELECT a_id FROM b WHERE a_id IS NOT NULL)"},
		{"ac", "SELECT EXISTS (SELECT 1 FROM a WHERE v = 2), EXISTS (SELECT 1 FROM c WHERE v = 5)"},
	}.check(t, family)
}

func scenario24(t *testing.T) {
	depends{
		{"ab", "SELECT id, (SELECT count(*) FROM b WHERE a_id = a.id) FROM a"},
		{"abc", "SELECT CASE WHEN v > 1 THEN (SELECT count(*) FROM b) ELSE (SELECT count(*) FROM c) END FROM a"},
		{"ac", "SELECT COALESCE((SELECT v FROM a WHERE id = 5), (SELECT max(v) FROM c))"},
		{"ac", "SELECT v, count(*) FROM a GROUP BY v HAVING count(*) >= (SELECT count(*) FROM c) - 1"},
		{"ac", "SELECT id FROM a ORDER BY CASE WHEN (SELECT sum(v) FROM c) > 6 THEN id ELSE -id END"},
		{"ad", "SELECT id FROM a LIMIT coalesce((SELECT max(v) FROM d), 0)"},
		{"ad", "SELECT id FROM a LIMIT 9 OFFSET coalesce((SELECT max(v) FROM d), 0)"},
		{"cd", "SELECT max((SELECT sum(v) FROM c), (SELECT 10 * sum(v) FROM d))"},
	}.check(t, family)
}

func scenario25(t *testing.T) {
	depends{
		{"ac", "SELECT v FROM a UNION SELECT v FROM c"},
		{"acd", "SELECT v FROM a UNION ALL SELECT v FROM c UNION ALL SELECT v FROM d"},
		{"ac", "SELECT v FROM a INTERSECT SELECT v FROM c"},
		{"ac", "SELECT v FROM a EXCEPT SELECT v FROM c"},
		{"a", "VALUES ((SELECT count(*) FROM a))"},
		{"ac", "VALUES (1, (SELECT sum(v) FROM a)), ((SELECT sum(v) FROM c), 2)"},
		{"ac", "SELECT * FROM (VALUES ((SELECT sum(v) FROM a))) UNION ALL SELECT max(v) FROM c"},
	}.check(t, family)
}

func scenario26(t *testing.T) {
	depends{
		{"ab", "WITH x AS (SELECT v FROM a), y AS (SELECT v FROM x) SELECT * FROM y JOIN b USING (v)"},
		{"b", "WITH RECURSIVE r(id, depth) AS (SELECT 1, 0 UNION ALL SELECT b.id, depth + 1 FROM b JOIN r ON b.a_id = r.id WHERE depth < 3) SELECT * FROM r"},
		{"ac", "WITH RECURSIVE r(n) AS (SELECT min(v) FROM a UNION ALL SELECT n + 1 FROM r WHERE n < (SELECT max(v) FROM c)) SELECT n FROM r"},
		{"a", "WITH c AS (SELECT v FROM a) SELECT v FROM c"},
		{"ac", "SELECT v FROM (WITH c AS (SELECT v FROM a) SELECT v FROM c) UNION ALL SELECT v FROM c"},
		{"ac", "WITH c AS (SELECT v FROM a) SELECT v FROM c UNION ALL SELECT v FROM main.c"},
		{"a", "WITH x AS MATERIALIZED (SELECT v FROM a) SELECT x.v FROM x, x AS y LIMIT 20"},
		{"a", "SELECT id, sum(v) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) FROM a"},
		{"ac", "SELECT id, rank() OVER w, (SELECT count(*) FROM c) FROM a WINDOW w AS (PARTITION BY v ORDER BY id)"},
		{"ad", "SELECT value FROM a, json_each('[1, 2]') WHERE value >= (SELECT max(v) FROM d)"},
		{"a", "SELECT value FROM json_each((SELECT json_group_array(v) FROM a))"},
		{"a", "SELECT count(*) FILTER (WHERE v > 1), sum(v) FROM a"},
	}.check(t, family)
}

func scenario27(t *testing.T) {
	s := newStage(t, `
CREATE TABLE "Mixed Case" (id INTEGER PRIMARY KEY, v TEXT);
CREATE TABLE "select" (id INTEGER PRIMARY KEY, v TEXT);
CREATE TABLE """quoted""" (id INTEGER PRIMARY KEY, v TEXT);
CREATE TABLE plain (id INTEGER PRIMARY KEY, v TEXT);`)
	for name, spellings := range map[string][]string{
		`"Mixed Case"`: {`FROM"Mixed Case"`, `FROM [mixed case]`, "FROM `MIXED CASE`", `FROM main."Mixed Case"`, `FROM 'Mixed Case'`},
		`"select"`:     {`FROM "select"`, `FROM [SELECT]`, "FROM`Select`", `FROM/**/"select"`, `FROM "main"."select"`},
		`"""quoted"""`: {`FROM """quoted"""`, `FROM["quoted"]`, "FROM `\"Quoted\"`"},
		`plain`:        {`FROM plain`, `FROM PLAIN`, `FROM/**/Plain`, "FROM\n\tplain", `FROM(plain)`, `FROM "plain"`, `FROM main.plain`, `FROM Main.[PLAIN] AS p`},
	} {
		for _, from := range spellings {
			query := "SELECT*" + from
			s.entry(query)
			for _, other := range []string{`"Mixed Case"`, `"select"`, `"""quoted"""`, "plain"} {
				s.exec("INSERT INTO " + other + " (v) VALUES ('x')")
				if other == name {
					s.fresh(query)
				}
				s.hit(query)
			}
		}
	}
	// The write is spelled in other ways, too.
	s.read("SELECT*FROM plain")
	s.read(`SELECT*FROM "select"`)
	for _, write := range []string{
		"INSERT INTO[plain](v)VALUES('a')", "update\nPLAIN set v = 'b'", `DELETE FROM "Plain" WHERE id = 1`,
		"REPLACE INTO/**/main.`plain`(id, v) VALUES (2, 'c')", `UPDATE 'plain' SET v = 'd'`,
	} {
		s.exec(write)
		s.fresh("SELECT*FROM plain")
		s.hit(`SELECT*FROM "select"`)
	}
}

func scenario28(t *testing.T) {
	s := newStage(t, `
CREATE TABLE items (id INTEGER PRIMARY KEY, note TEXT, created_at TEXT, updates INT);
CREATE TABLE items_old (id INTEGER PRIMARY KEY, note TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT);
INSERT INTO items VALUES (1, 'orders', 'items_old', 0);`)
	queries := []string{
		"SELECT id FROM items WHERE note = 'orders'", "SELECT id FROM items -- orders\nWHERE id = 1", "SELECT id /* FROM orders */ FROM items",
		"SELECT created_at FROM items", "SELECT updates AS delete_me FROM items", `SELECT 'DELETE FROM items', id FROM items`,
		`SELECT id AS orders FROM items`, "SELECT items.id FROM items AS items_old JOIN items ON 1",
	}
	for _, q := range queries {
		s.entry(q)
	}
	for _, table := range []string{"items_old", "orders"} {
		s.exec("INSERT INTO " + table + " (note) VALUES ('items')")
		for _, q := range queries {
			s.hit(q)
		}
	}
	s.exec("UPDATE items SET updates = updates + 1, created_at = 'orders'")
	for _, q := range queries {
		s.fresh(q)
	}
}

func scenario29(t *testing.T) {
	schema := family + `
CREATE VIEW va AS SELECT v FROM a WHERE v > 0;
CREATE VIEW vab AS SELECT va.v, b.v AS bv FROM va JOIN b ON b.v = va.v OR b.v > 2;
CREATE VIEW vv AS SELECT count(*) AS n, total(v), (SELECT max(v) FROM c) FROM vab;`
	depends{
		{"a", "SELECT * FROM va"},
		{"ab", "SELECT * FROM vab"},
		{"abc", "SELECT * FROM vv"},
		{"ad", "SELECT * FROM d WHERE v IN va"},
	}.check(t, schema)

	s := newStage(t, schema)
	s.entry("SELECT * FROM vv")
	s.exec("DROP VIEW va")
	if a, told := s.read("SELECT * FROM vv"); told == "hit" || a.Error == "" {
		t.Errorf("the view is gone: %s %v", told, a)
	}
	s.exec("CREATE VIEW va AS SELECT v FROM d")
	s.fresh("SELECT * FROM vv")
	s.exec("INSERT INTO d (v) VALUES (7), (8)")
	s.fresh("SELECT * FROM vv")
	s.exec("INSERT INTO a (v) VALUES (7)")
	s.hit("SELECT * FROM vv")
}

// afterwards caches every table of the list, writes, and expects fresh rows of
// those in changed and hits of the others.
func (s *stage) afterwards(tables []string, write func(), changed ...string) {
	s.Helper()
	read := func(table string) string { return fmt.Sprintf("SELECT * FROM %q ORDER BY 1", table) }
	s.cache.Wait()
	for _, table := range tables {
		s.read(read(table))
		s.hit(read(table))
	}
	write()
	for _, table := range tables {
		if slices.Contains(changed, table) {
			s.fresh(read(table))
		} else {
			s.hit(read(table))
		}
	}
}

func scenario30(t *testing.T) {
	s := newStage(t, family+`
CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT);
CREATE TABLE counts (k TEXT PRIMARY KEY, n INT);
INSERT INTO counts VALUES ('log', 0);
CREATE VIEW editable AS SELECT id, v FROM c;
CREATE TRIGGER a_ins AFTER INSERT ON a BEGIN INSERT INTO log (what) VALUES ('a ' || new.id); END;
CREATE TRIGGER log_ins AFTER INSERT ON log BEGIN UPDATE counts SET n = n + 1 WHERE k = 'log'; END;
CREATE TRIGGER b_upd BEFORE UPDATE OF v ON b WHEN new.v > 100 BEGIN DELETE FROM d; END;
CREATE TRIGGER edit INSTEAD OF UPDATE ON editable BEGIN UPDATE c SET v = new.v WHERE id = old.id; END;
CREATE TRIGGER edit_ins INSTEAD OF INSERT ON editable BEGIN INSERT INTO c VALUES (new.id, new.v); INSERT INTO d (v) VALUES (new.v); END;
CREATE TRIGGER edit_del INSTEAD OF DELETE ON editable BEGIN SELECT 1; DELETE FROM a WHERE id = old.id; END;`)
	all := []string{"a", "b", "c", "d", "log", "counts"}
	do := func(query string) func() { return func() { s.exec(query) } }
	s.afterwards(all, do("INSERT INTO a (v) VALUES (9)"), "a", "log", "counts")
	s.afterwards(all, do("UPDATE a SET v = 10"), "a")
	s.afterwards(all, do("UPDATE b SET a_id = 2"), "b")
	s.afterwards(all, do("UPDATE b SET v = 101"), "b", "d")
	s.afterwards(all, do("UPDATE editable SET v = 11"), "c")
	s.afterwards(all, do("INSERT INTO editable VALUES (77, 78)"), "c", "d")
	s.afterwards(all, do("DELETE FROM editable WHERE id = 1"), "a")
	s.afterwards(all, do("INSERT INTO log (what) SELECT 'x' FROM b"), "log", "counts")
	s.exec("DROP TRIGGER log_ins")
	s.afterwards(all, do("INSERT INTO a (v) VALUES (12)"), "a", "log")
}

func scenario31(t *testing.T) {
	s := newStage(t, `
CREATE TABLE parent (id INTEGER PRIMARY KEY, code TEXT UNIQUE);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INT REFERENCES parent(id) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE grandchild (id INTEGER PRIMARY KEY, child_id INT REFERENCES child(id) ON DELETE CASCADE);
CREATE TABLE orphan (id INTEGER PRIMARY KEY, code TEXT REFERENCES parent(code) ON DELETE SET NULL ON UPDATE CASCADE);
CREATE TABLE lasting (id INTEGER PRIMARY KEY, parent_id INT DEFAULT 0 REFERENCES parent(id) ON DELETE SET DEFAULT);
CREATE TABLE other (id INTEGER PRIMARY KEY);
INSERT INTO parent VALUES (0, 'zero'), (1, 'one'), (2, 'two'), (3, 'three'), (4, 'four'), (5, 'five');
INSERT INTO child VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5);
INSERT INTO grandchild VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5);
INSERT INTO orphan VALUES (1, 'one'), (2, 'two'), (3, 'three'), (4, 'four'), (5, 'five');
INSERT INTO lasting VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5);`)
	all := []string{"parent", "child", "grandchild", "orphan", "lasting", "other"}
	do := func(query string, args ...any) func() { return func() { s.exec(query, args...) } }
	s.afterwards(all, do("DELETE FROM parent WHERE id = ?", 1), "parent", "child", "grandchild", "orphan", "lasting")
	// Foreign keys are followed whichever column is set: child is too much.
	s.afterwards(all, do("UPDATE parent SET code = 'deux' WHERE id = 2"), "parent", "orphan", "child")
	s.afterwards(all, do("DELETE FROM child WHERE id = 3"), "child", "grandchild")
	s.afterwards(all, do("DELETE FROM grandchild WHERE id = 4"), "grandchild")
	// The row that was there is deleted, and what hangs on it goes with it.
	s.afterwards(all, do("REPLACE INTO parent VALUES (4, 'quatre')"), "parent", "child", "grandchild", "orphan", "lasting")
	s.afterwards(all, do("INSERT OR REPLACE INTO parent VALUES (6, 'five')"), "parent", "child", "grandchild", "orphan", "lasting")
	if got := s.hit(`SELECT * FROM "child" ORDER BY 1`); len(got.Rows) != 1 {
		t.Errorf("%v: the cascades did not happen", got.Rows)
	}

	s.exec("DELETE FROM lasting")
	s.afterwards(all, do("UPDATE parent SET id = 20 WHERE id = 2"), "parent", "child", "orphan")
}

func scenario33(t *testing.T) {
	s := newStage(t, family)
	for reason, query := range map[string]string{
		"internal table":        "SELECT name FROM sqlite_master",
		"unknown function":      "SELECT soundex('x') FROM a",
		"refused by the engine": "SELECT v FROM missing",
	} {
		for range 2 {
			if _, told := s.read(query); !strings.HasPrefix(told, "bypass: ") {
				t.Errorf("%s: %s, want bypass (%s)", query, told, reason)
			}
		}
	}
	for _, write := range []string{
		"PRAGMA no_such_pragma = 1", "SELECT load_extension('no such file')", "PRAGMA writable_schema = OFF",
		"UPDATE a SET v = \x00", "NONSENSE INTO a", "INSERT INTO missing VALUES (1)",
	} {
		s.cache.Wait()
		for _, table := range []string{"a", "d"} {
			s.read("SELECT v FROM " + table)
			s.hit("SELECT v FROM " + table)
		}
		_, err := s.db.ExecContext(t.Context(), write)
		for _, table := range []string{"a", "d"} {
			if _, told := s.read("SELECT v FROM " + table); told == "hit" {
				t.Errorf("%q (%v): entries of %s stay", write, err, table)
			}
		}
	}
}

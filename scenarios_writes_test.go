package querycache_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mattn/go-sqlite3"

	"github.com/querycache/querycache"
)

func scenario34(t *testing.T) {
	s := newStage(t, family+"CREATE UNIQUE INDEX d_v ON d(v);")
	all := []string{"a", "b", "c", "d"}
	for _, w := range []struct{ changed, write string }{
		{"a", "INSERT INTO a (v) VALUES (10)"},
		{"a", "INSERT INTO a (v) VALUES (11), (12), (13)"},
		{"a", "INSERT INTO a DEFAULT VALUES"},
		{"a", "INSERT INTO a (v) SELECT v FROM b"},
		{"c", "INSERT INTO c (v) SELECT a.v FROM a JOIN b ON b.a_id = a.id WHERE a.v IN (SELECT v FROM d)"},
		{"a", "INSERT INTO a (v) WITH x AS (SELECT v FROM b) SELECT v FROM x"},
		{"a", "UPDATE a SET v = v + 1 WHERE id = 1"},
		{"b", "UPDATE b SET v = (SELECT max(v) FROM a), a_id = (SELECT min(id) FROM c)"},
		{"a", "UPDATE a SET v = b.v + 5 FROM b WHERE b.a_id = a.id"},
		{"a", "UPDATE a SET (id, v) = (SELECT 50 + a.id, v FROM c LIMIT 1) WHERE id = 2"},
		{"a", "WITH x AS (SELECT id FROM b) UPDATE a SET v = 0 WHERE id IN (SELECT id FROM x)"},
		{"a", "UPDATE OR IGNORE a SET v = 3"},
		{"a", "DELETE FROM a WHERE id = (SELECT max(a_id) FROM b) OR id > 52"},
		{"d", "REPLACE INTO d (id, v) VALUES (1, 6)"},
		{"d", "INSERT OR REPLACE INTO d (id, v) VALUES (2, 6)"},
		{"d", "INSERT OR IGNORE INTO d (v) VALUES (6), (7)"},
		{"d", "INSERT INTO d (id, v) VALUES (9, 7) ON CONFLICT (v) DO UPDATE SET v = excluded.v + 10"},
		{"d", "INSERT INTO d (id, v) SELECT id, v FROM c WHERE true ON CONFLICT DO NOTHING"},
		{"b", "DELETE FROM b"},
	} {
		s.afterwards(all, func() { s.exec(w.write) }, w.changed)
	}
}

func scenario35(t *testing.T) {
	s := newStage(t, family)
	all := []string{"a", "b", "c", "d"}
	// Each write yields its rows and is a write all the same.
	for i, way := range []func(write string){
		func(write string) {
			if a, told := s.read(write); told != "passed" || len(a.Rows) != 1 {
				t.Errorf("%s: %s %v", write, told, a)
			}
		},
		func(write string) {
			var id int
			s.must(nil, s.db.QueryRowContext(t.Context(), write).Scan(&id))
		},
		func(write string) {
			stmt, err := s.db.PrepareContext(t.Context(), write)
			s.must(stmt, err)
			defer stmt.Close()
			var id int
			s.must(nil, stmt.QueryRowContext(t.Context()).Scan(&id))
		},
		func(write string) { s.exec(write) },
	} {
		for changed, write := range map[string]string{
			"a": fmt.Sprintf("INSERT INTO a (v) VALUES (%d) RETURNING id", i),
			"b": fmt.Sprintf("UPDATE b SET v = %d WHERE id = 1 RETURNING id", 100+i),
			"c": fmt.Sprintf("REPLACE INTO c VALUES (7, %d) RETURNING v", i),
			"d": fmt.Sprintf("WITH x AS (SELECT max(id) AS id FROM d) INSERT INTO d (v) SELECT id + %d FROM x RETURNING id", i),
		} {
			s.afterwards(all, func() { way(write) }, changed)
		}
	}
	for range 3 {
		s.afterwards(all, func() {
			var id int
			s.must(nil, s.db.QueryRowContext(t.Context(), "DELETE FROM a WHERE id = (SELECT max(id) FROM a) RETURNING id").Scan(&id))
		}, "a")
	}

	// While its rows are open the write is in flight.
	s.read("SELECT v FROM a")
	rows, err := s.db.QueryContext(t.Context(), "INSERT INTO a (v) VALUES (70), (71) RETURNING id")
	s.must(rows, err)
	defer rows.Close()
	s.bypass("write in flight", "SELECT v FROM a")
	for rows.Next() {
	}
	s.must(nil, rows.Err())
	s.must(nil, rows.Close())
	s.fresh("SELECT v FROM a")
}

func scenario36(t *testing.T) {
	s := newStage(t, family)
	all := []string{"a", "b", "c", "d"}
	for _, w := range []struct{ changed, text string }{
		{"a", "SELECT v FROM b; UPDATE a SET v = v + 1"},
		{"ac", "INSERT INTO a (v) VALUES (1); SELECT 1; DELETE FROM c WHERE id = (SELECT min(id) FROM c)"},
		{"bd", "UPDATE b SET v = 9; UPDATE d SET v = v + 1;"},
		{"d", "/* ; */ SELECT ';' FROM a; -- ;\nUPDATE d SET v = v + 10"},
	} {
		changed := strings.Split(w.changed, "")
		s.afterwards(all, func() { s.exec(w.text) }, changed...)
		s.exec("INSERT INTO c (v) VALUES (4)")
		s.afterwards(all, func() {
			if _, told := s.read(w.text); told != "passed" {
				t.Errorf("%s: %s", w.text, told)
			}
		}, changed...)
		s.exec("INSERT INTO c (v) VALUES (4)")
	}
	s.bypass("several statements", "SELECT v FROM a; SELECT v FROM b")

	// What comes later may mean something else by what came before.
	s.afterwards(all, func() { s.exec("CREATE VIEW e AS SELECT v FROM a; DROP VIEW e") }, all...)
}

func scenario37(t *testing.T) {
	var s *stage
	tp := &tap{connect: func(c *sqlite3.SQLiteConn) error {
		if err := c.RegisterFunc("twice", func(n int64) int64 { return 2 * n }, true); err != nil {
			return err
		}
		return c.RegisterFunc("touch", func(n int64) (int64, error) {
			if n == 0 {
				return 0, nil // The statement that calls it holds the lock.
			}
			_, err := s.raw.Exec("UPDATE a SET v = v + ?", n)
			return n, err
		}, false)
	}}
	s = newStageWith(t, family, querycache.Config{}, tp)
	all := []string{"a", "d"}
	// It may write any table.
	s.afterwards(all, func() {
		if a, told := s.read("SELECT touch(1) FROM d"); told == "hit" || len(a.Rows) != 1 {
			t.Errorf("%s %v", told, a)
		}
	}, all...)
	s.afterwards(all, func() { s.exec("SELECT touch(?)", 2) }, all...)
	s.afterwards(all, func() { s.exec("UPDATE d SET v = touch(0)") }, all...)
	// One that the application calls deterministic reads, but who knows what.
	s.afterwards(all, func() {
		for range 2 {
			if a, told := s.read("SELECT twice(v) FROM d"); told != "bypass: unknown function" || len(a.Rows) != 1 {
				t.Errorf("%s %v", told, a)
			}
		}
	})
}

func scenario38(t *testing.T) {
	s := newStage(t, family+`
CREATE TABLE u (id INTEGER PRIMARY KEY, v INT UNIQUE NOT NULL CHECK (v < 100));
INSERT INTO u VALUES (1, 1), (2, 2);
CREATE TABLE watched (id INTEGER PRIMARY KEY, v INT);
INSERT INTO watched VALUES (1, 1);
CREATE TRIGGER w AFTER UPDATE ON watched BEGIN DELETE FROM d; END;
CREATE VIEW vw AS SELECT v FROM c;
CREATE TRIGGER vw_ins INSTEAD OF INSERT ON vw BEGIN INSERT INTO c (v) VALUES (new.v); END;`)
	all := []string{"a", "b", "c", "d", "u"}
	do := func(query string) func() { return func() { s.exec(query) } }
	for _, nothing := range []string{
		"UPDATE a SET v = 9 WHERE id = 99", "DELETE FROM a WHERE id = 99", "INSERT INTO a SELECT * FROM a WHERE 0",
		"INSERT OR IGNORE INTO u (id, v) VALUES (1, 50)",
	} {
		s.afterwards(all, do(nothing))
	}
	// A statement that fails leaves nothing behind, unless it was told to.
	for _, fails := range []string{
		"INSERT INTO u (v) VALUES (40), (1)", "UPDATE u SET v = v + 99", "INSERT INTO u (v) VALUES (NULL)",
	} {
		s.afterwards(all, func() { s.failing(s.db, "constraint", fails) })
	}
	s.afterwards(all, func() { s.failing(s.db, "constraint", "INSERT OR FAIL INTO u (v) VALUES (41), (1)") }, "u")
	s.afterwards(all, func() { s.failing(s.db, "constraint", "UPDATE OR FAIL u SET v = v + 59") }, "u")
	s.afterwards(all, func() {
		s.failing(s.db, "constraint", "UPDATE a SET v = v + 1; INSERT INTO u (v) VALUES (41)")
	}, "a", "u")
	// The count is that of the last statement, of the statement alone, of the
	// table that it names.
	s.afterwards(all, do("DELETE FROM b WHERE id = 1; UPDATE c SET v = 0 WHERE 0"), "b", "c")
	s.afterwards(all, do("INSERT INTO vw (v) VALUES (77)"), "c")
	s.afterwards(all, do("UPDATE watched SET v = 2"), "d")
	if n := s.hit(`SELECT * FROM "c" ORDER BY 1`); len(n.Rows) != 3 {
		t.Errorf("%v: the INSTEAD OF trigger did not write", n.Rows)
	}
}

func scenario39(t *testing.T) {
	s := newStage(t, family)
	const all = "SELECT * FROM a ORDER BY 1"
	s.entry(all)
	s.exec("ALTER TABLE a ADD COLUMN extra TEXT DEFAULT 'x'")
	if a := s.miss(all); len(a.Columns) != 3 {
		t.Errorf("columns %v", a.Columns)
	}
	s.exec("ALTER TABLE a RENAME COLUMN extra TO more")
	s.fresh(all)
	s.exec("ALTER TABLE a DROP COLUMN more")
	s.fresh(all)

	// Two tables swap their names.
	s.entry("SELECT * FROM d ORDER BY 1")
	for _, step := range []string{"a RENAME TO swap", "d RENAME TO a", "swap RENAME TO d"} {
		s.exec("ALTER TABLE " + step)
	}
	s.fresh(all)
	s.fresh("SELECT * FROM d ORDER BY 1")
	s.exec("INSERT INTO a (v) VALUES (20)")
	s.fresh(all)
	s.hit("SELECT * FROM d ORDER BY 1")

	// Dropped, and made again with other rows.
	s.exec("DROP TABLE a")
	if a, told := s.read(all); told == "hit" || !strings.Contains(a.Error, "no such table") {
		t.Errorf("%s %v", told, a)
	}
	s.exec("CREATE TABLE a (x TEXT, y TEXT)")
	s.fresh(all)
	s.exec("INSERT INTO a VALUES ('new', 'rows')")
	s.fresh(all)
	s.exec("CREATE TABLE fresh AS SELECT * FROM a")
	s.entry("SELECT * FROM fresh")
	s.exec("DROP TABLE fresh; CREATE TABLE fresh (z INT); INSERT INTO fresh VALUES (1)")
	s.fresh("SELECT * FROM fresh")

	// Inside a transaction the new schema is its own until COMMIT.
	s.entry("SELECT * FROM b")
	tx := s.begin()
	s.execOn(tx, "ALTER TABLE b ADD COLUMN z INT DEFAULT 5")
	if a, told := s.on(tx).read("SELECT * FROM b"); told != "bypass: transaction" || len(a.Columns) != 4 {
		t.Errorf("%s %v", told, a.Columns)
	}
	if a := s.hit("SELECT * FROM b"); len(a.Columns) != 3 {
		t.Errorf("columns %v before COMMIT", a.Columns)
	}
	s.must(nil, tx.Commit())
	s.fresh("SELECT * FROM b")
}

func scenario40(t *testing.T) {
	s := newStage(t, family)
	query := "SELECT a.v FROM a JOIN b ON b.a_id = a.id WHERE a.id = ?"
	s.entry(query, 1)
	for _, unrelated := range []string{
		"INSERT INTO c (v) SELECT v FROM a", "UPDATE d SET v = (SELECT max(v) FROM b)", "DELETE FROM c", "REPLACE INTO d VALUES (1, 1)",
	} {
		s.exec(unrelated)
		s.hit(query, 1)
	}
	tx := s.begin()
	s.execOn(tx, "DELETE FROM d")
	s.hit(query, 1)
	s.must(nil, tx.Commit())
	s.hit(query, 1)
}

func scenario41(t *testing.T) {
	s := newStage(t, family)
	stmt, err := s.db.PrepareContext(t.Context(), "UPDATE a SET v = v + ? WHERE id = 1")
	s.must(stmt, err)
	defer stmt.Close()
	returning, err := s.db.PrepareContext(t.Context(), "INSERT INTO a (v) VALUES (?) RETURNING id")
	s.must(returning, err)
	defer returning.Close()
	conn := s.conn()
	s.read("SELECT sum(v) FROM a")
	for i := range 5 {
		s.hit("SELECT sum(v) FROM a")
		s.must(stmt.ExecContext(t.Context(), i+1))
		s.fresh("SELECT sum(v) FROM a")
		s.on(conn).hit("SELECT sum(v) FROM a")
		var id int
		s.must(nil, returning.QueryRowContext(t.Context(), i).Scan(&id))
		s.fresh("SELECT sum(v) FROM a")
	}
	tx := s.begin()
	inside := tx.StmtContext(t.Context(), stmt)
	defer inside.Close()
	s.must(inside.ExecContext(t.Context(), 1000))
	s.hit("SELECT sum(v) FROM a")
	s.must(nil, tx.Commit())
	s.fresh("SELECT sum(v) FROM a")
}

func scenario42(t *testing.T) {
	s := newStage(t, family)
	const one, two = "SELECT id FROM a WHERE v = 1", "SELECT id FROM a WHERE v = 2"
	byArg := "SELECT count(*) FROM a WHERE v = ?"
	for range 2 {
		for _, move := range []string{"UPDATE a SET v = 2 WHERE id = 1", "UPDATE a SET v = 1 WHERE id = 1"} {
			s.read(one)
			s.read(two)
			s.read(byArg, 1)
			s.read(byArg, 2)
			s.exec(move)
			s.fresh(one)
			s.fresh(two)
			s.fresh(byArg, 1)
			s.fresh(byArg, 2)
		}
	}
}

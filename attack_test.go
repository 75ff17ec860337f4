package querycache_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mattn/go-sqlite3"

	"github.com/querycache/querycache"
)

// go-sqlite3 runs a comment behind a semicolon as a statement of its own and
// reports its count: none. Seen to stay stale with that count believed.
func TestTrailingTextHidesTheCount(t *testing.T) {
	s := newStage(t, "CREATE TABLE t(v)")
	const read = "SELECT count(*) FROM t"
	for _, write := range []string{"INSERT INTO t VALUES (1); -- tag", "INSERT INTO t VALUES (?); -- tag", "INSERT INTO t VALUES (1);;"} {
		s.truth(read)
		s.exec(write, make([]any, strings.Count(write, "?"))...)
		s.truth(read)
	}
}

// A cursor that stays open while its own connection begins a transaction sees what
// that has not committed. Seen to be stored, and served after ROLLBACK.
func TestStreamSeesItsOwnTransaction(t *testing.T) {
	const slow = "SELECT id, v, (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 100000) SELECT max(n) FROM c WHERE n > t.id) FROM t ORDER BY id"
	for _, begin := range []string{"API", "text"} {
		s := newStage(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1,'a'),(2,'a'),(3,'a'),(4,'a')")
		c := s.conn()
		rows, err := c.QueryContext(t.Context(), slow)
		s.must(rows, err)
		rows.Next()
		var on executor = c
		rollback := func() error { _, err := c.ExecContext(t.Context(), "ROLLBACK"); return err }
		if begin == "API" {
			tx, err := c.BeginTx(t.Context(), nil)
			s.must(tx, err)
			on, rollback = tx, tx.Rollback
		} else {
			s.must(c.ExecContext(t.Context(), "BEGIN"))
		}
		s.must(on.ExecContext(t.Context(), "UPDATE t SET v = 'dirty'"))
		for rows.Next() {
		}
		s.must(nil, errors.Join(rows.Err(), rows.Close()))
		s.truth(slow)
		s.must(nil, rollback())
		s.truth(slow)
	}
}

// What a connection has for itself changes what its statements touch. Each of
// these was seen to leave others stale with the connection's knowledge of the
// schema kept over it.
func TestTemporaryTriggersAndViews(t *testing.T) {
	s := newStage(t, "CREATE TABLE a(v); CREATE TABLE b(v); CREATE TABLE u(v); CREATE TABLE z(v); INSERT INTO a VALUES(1); INSERT INTO b VALUES(1)")
	c := s.conn()
	s.at = c
	s.truth("SELECT 1 FROM z")
	s.at = nil
	for _, step := range []struct{ make, read, write string }{
		{"CREATE TEMP TRIGGER f BEFORE INSERT ON z WHEN new.v = 3 BEGIN SELECT RAISE(FAIL, 'no'); END", "SELECT count(*) FROM z", "INSERT INTO z VALUES (1),(2),(3)"},
		{"CREATE TEMP TRIGGER i BEFORE DELETE ON a BEGIN DELETE FROM b; SELECT RAISE(IGNORE); END", "SELECT count(*) FROM b", "DELETE FROM a"},
		{"CREATE TEMP VIEW a AS SELECT v FROM main.u; CREATE TEMP TRIGGER n INSTEAD OF INSERT ON a BEGIN INSERT INTO u VALUES (new.v); END", "SELECT count(*) FROM u", "INSERT INTO a VALUES (1)"},
	} {
		s.must(c.ExecContext(t.Context(), step.make))
		s.truth(step.read)
		_, _ = c.ExecContext(t.Context(), step.write) // The first fails, and leaves rows behind.
		s.truth(step.read)
	}
}

// A session statement that failed leaves another state than one that did not. Seen
// to share entries between the two.
func TestFailedSessionStatement(t *testing.T) {
	s := newStage(t, "CREATE TABLE u(v UNIQUE)")
	x := filepath.Join(t.TempDir(), "x.db")
	other := openStage(t, &sqlite3.SQLiteDriver{}, x)
	s.must(other.ExecContext(t.Context(), "CREATE TABLE w(v); INSERT INTO w VALUES ('x')"))
	c1, c2 := s.conn(), s.conn()
	attach := "INSERT INTO u VALUES (1); ATTACH '" + x + "' AS b"
	s.must(c1.ExecContext(t.Context(), attach))
	if _, err := c2.ExecContext(t.Context(), attach); err == nil {
		t.Fatal("the second one must fail")
	}
	s.cache.Purge()
	for range 2 {
		if a := answerOf(t.Context(), c1, "SELECT v FROM w"); a.Error != "" {
			t.Error(a.Error)
		}
	}
	if a := answerOf(t.Context(), c2, "SELECT v FROM w"); !strings.Contains(a.Error, "no such table") {
		t.Errorf("a connection that has no such table is served %v", a.Rows)
	}
}

// The look for the end of rows that are closed early must not interrupt what else
// is open on the connection: that rolls a transaction back. Seen to do so.
func TestProbeLeavesOthersAlone(t *testing.T) {
	s := newStage(t, "CREATE TABLE t(v)")
	c := s.conn()
	endless, err := c.QueryContext(t.Context(), "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c) SELECT n FROM c WHERE n = 1 OR n % 1000000000000 = 0")
	s.must(endless, err)
	endless.Next()
	s.must(c.ExecContext(t.Context(), "BEGIN"))
	s.must(c.ExecContext(t.Context(), "INSERT INTO t VALUES (10)"))
	returning, err := c.QueryContext(t.Context(), "INSERT INTO t VALUES (1),(2),(3) RETURNING v")
	s.must(returning, err)
	returning.Next()
	s.must(nil, endless.Close())
	n := 1
	for returning.Next() {
		n++
	}
	s.must(nil, errors.Join(endless.Err(), returning.Err(), returning.Close()))
	s.must(c.ExecContext(t.Context(), "COMMIT"))
	if a := s.truth("SELECT count(*) FROM t"); n != 3 || a.Rows[0][0] != int64(4) {
		t.Errorf("%d rows returned, %v written", n, a.Rows)
	}
}

// A transaction that was begun through Unwrap goes on when the connection is back
// in its pool. Seen to be stale after its COMMIT.
func TestTransactionBegunThroughUnwrap(t *testing.T) {
	s := newStage(t, "CREATE TABLE t(v)")
	c, err := s.db.Conn(t.Context())
	s.must(c, err)
	s.must(nil, c.Raw(func(dc any) error {
		p, err := querycache.UnwrapContext(t.Context(), dc)
		if err != nil {
			return err
		}
		_, err = p.(*tapConn).Exec("BEGIN; INSERT INTO t VALUES (1)", nil) //nolint:forcetypeassert // The stage's driver.
		return err
	}))
	other := s.conn()
	s.must(nil, c.Close())
	const read = "SELECT count(*) FROM t"
	s.at = other
	s.truth(read)
	c, err = s.db.Conn(t.Context())
	s.must(c, err)
	s.must(c.ExecContext(t.Context(), "COMMIT"))
	s.truth(read)
	s.must(nil, c.Close())
}

// With PRAGMA count_changes a write yields a row: its count is another's, and
// prepared, it stays open after one step. Seen to be stale.
func TestCountChanges(t *testing.T) {
	s := newStage(t, "CREATE TABLE t(v)")
	c := s.conn()
	const read = "SELECT count(*) FROM t"
	s.must(c.ExecContext(t.Context(), "PRAGMA count_changes = 1"))
	s.truth(read)
	s.must(c.ExecContext(t.Context(), "INSERT INTO t VALUES (1)"))
	s.truth(read)
	stmt, err := c.PrepareContext(t.Context(), "INSERT INTO t VALUES (?)")
	s.must(stmt, err)
	s.must(stmt.ExecContext(t.Context(), 7))
	s.truth(read)
	s.must(nil, stmt.Close())
	s.truth(read)
}

// What a ConnectHook gives to each connection is its own. Seen to be served to
// others with new connections not looked at.
func TestConnectHookMakesAPrivateState(t *testing.T) {
	tp := &tap{connect: func(c *sqlite3.SQLiteConn) error {
		_, err := c.Exec("CREATE TEMP TABLE s(v); ATTACH ':memory:' AS m; CREATE TABLE m.n(v)", nil)
		return err
	}}
	s := newStageWith(t, "CREATE TABLE t(v)", querycache.Config{}, tp)
	c1, c2 := s.conn(), s.conn()
	for _, table := range []string{"s", "n"} {
		s.must(c1.ExecContext(t.Context(), "INSERT INTO "+table+" VALUES (1)"))
		for _, c := range []struct {
			conn *sql.Conn
			want int64
		}{{c1, 1}, {c2, 0}, {c1, 1}} {
			if a := answerOf(context.Background(), c.conn, "SELECT count(*) FROM "+table); a.Rows[0][0] != c.want {
				t.Errorf("%s: %v, want %d", table, a.Rows, c.want)
			}
		}
	}
}

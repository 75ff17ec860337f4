package querycache_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mattn/go-sqlite3"

	"github.com/querycache/querycache"
)

const sumA, sumB = "SELECT sum(v) FROM a", "SELECT sum(v) FROM b"

func scenario43(t *testing.T) {
	s := newStage(t, family)
	s.entry(sumA)
	tx := s.begin()
	s.on(tx).sees(4, sumA)
	s.execOn(tx, "UPDATE a SET v = v + 10")
	s.on(tx).sees(34, sumA)
	s.execOn(tx, "INSERT INTO a (v) VALUES (6)")
	s.on(tx).sees(40, sumA)
	stmt, err := tx.PrepareContext(t.Context(), sumA)
	s.must(stmt, err)
	defer stmt.Close()
	s.on(prepared{stmt}).sees(40, sumA)
	s.value(s.hit(sumA), 4, sumA)
	s.on(s.conn()).hit(sumA)
	s.entry(sumA + " WHERE id < 9")
	s.must(nil, tx.Commit())
	s.value(s.miss(sumA), 40, sumA)
	s.fresh(sumA + " WHERE id < 9")
}

func scenario44(t *testing.T) {
	s := newStage(t, family)
	s.entry(sumA)
	for range 2 {
		tx := s.begin()
		s.execOn(tx, "UPDATE a SET v = 100")
		s.execOn(tx, "DELETE FROM b")
		s.on(tx).sees(300, sumA)
		s.on(tx).sees(nil, sumB)
		s.must(nil, tx.Rollback())
		s.hit(sumA)
	}
	s.entry(sumB)

	// What ends a transaction by itself rolls it back, too.
	ctx, cancel := context.WithCancel(t.Context())
	tx, err := s.db.BeginTx(ctx, nil)
	s.must(tx, err)
	s.execOn(tx, "UPDATE a SET v = 100")
	cancel()
	for !errors.Is(tx.Commit(), sql.ErrTxDone) {
	}
	s.hit(sumA)
	tx = s.begin()
	s.execOn(tx, "UPDATE b SET v = 100")
	s.failing(tx, "constraint", "INSERT OR ROLLBACK INTO b (id, v) VALUES (1, 1)")
	s.hit(sumA)
	s.value(s.hit(sumB), 6, sumB)
}

func scenario45(t *testing.T) {
	s := newStage(t, family)
	var conns []*sql.Conn
	for range 4 {
		conns = append(conns, s.conn())
	}
	for i := range 4 {
		s.read(sumA)
		for _, c := range conns {
			s.on(c).hit(sumA)
		}
		tx, err := conns[i].BeginTx(t.Context(), nil)
		s.must(tx, err)
		s.execOn(tx, "UPDATE a SET v = v + 1")
		s.must(nil, tx.Commit())
		s.on(conns[(i+1)%4]).fresh(sumA)
		for _, c := range conns {
			s.on(c).hit(sumA)
		}
	}
}

func scenario46(t *testing.T) {
	s := newStage(t, family)
	tx := s.begin()
	text := func(query string) { t.Helper(); s.execOn(tx, query) }
	s.entry(sumA)
	s.entry(sumB)
	s.entry("SELECT sum(v) FROM c")
	text("SAVEPOINT one")
	text("UPDATE a SET v = 10")
	text("SAVEPOINT two")
	text("UPDATE b SET v = 10")
	text("ROLLBACK TO two")
	s.on(tx).sees(6, sumB)
	text("UPDATE c SET v = 10")
	text("RELEASE two")
	text("RELEASE one")
	s.on(tx).sees(30, sumA)
	s.truth(sumA) // A RELEASE counts as if it were the last: entries may go.
	s.truth("SELECT sum(v) FROM c")
	s.must(nil, tx.Commit())
	s.fresh(sumA)
	s.fresh("SELECT sum(v) FROM c")
	s.truth(sumB) // Rolled back to, and written before that: it may have gone.
	s.hit(sumB)

	// The outer transaction decides.
	tx = s.begin()
	text("SAVEPOINT one")
	text("UPDATE a SET v = 20")
	text("RELEASE SAVEPOINT one")
	s.must(nil, tx.Rollback())
	s.truth(sumA)
	s.value(s.hit(sumA), 30, sumA)

	// A savepoint outside of a transaction is one.
	c := s.conn()
	s.execOn(c, "SAVEPOINT outer_one")
	s.execOn(c, "SAVEPOINT inner_one")
	s.execOn(c, "UPDATE a SET v = 7")
	s.execOn(c, "RELEASE inner_one")
	s.on(c).sees(21, sumA)
	s.truth(sumA)
	s.execOn(c, "RELEASE outer_one")
	s.fresh(sumA)
	s.execOn(c, "SAVEPOINT again")
	s.execOn(c, "UPDATE a SET v = 8")
	s.execOn(c, "ROLLBACK TO again")
	s.on(c).sees(21, sumA)
	s.execOn(c, "RELEASE again")
	s.truth(sumA)
	s.on(c).hit(sumA)
}

func scenario47(t *testing.T) {
	s := newStage(t, family)
	old := s.begin()
	s.on(old).sees(4, sumA) // Its snapshot is from here.
	s.exec("UPDATE a SET v = v + 1")
	s.on(old).sees(4, sumA)
	s.value(s.miss(sumA), 7, sumA)
	s.on(old).sees(4, sumA)
	s.exec("UPDATE a SET v = v + 1")
	s.on(old).sees(4, sumA)
	s.must(nil, old.Commit())
	s.value(s.miss(sumA), 10, sumA)

	// Rows that are open hold a snapshot, too.
	c := s.conn()
	rows, err := c.QueryContext(t.Context(), "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x WHERE n < 2000) SELECT n, printf('%1000d', n), (SELECT sum(v) FROM b) FROM x")
	s.must(rows, err)
	defer rows.Close()
	if !rows.Next() {
		t.Fatal("no row", rows.Err())
	}
	s.exec("UPDATE b SET v = v + 1")
	if a, told := s.on(c).read(sumB); told != "bypass: open statement" || a.Rows[0][0] != int64(6) {
		t.Errorf("%s %v, want the old snapshot's 6 and a bypass", told, a.Rows)
	}
	s.value(s.miss(sumB), 9, sumB)
	s.must(nil, rows.Close())
	s.on(c).hit(sumB)
}

func scenario48(t *testing.T) {
	for _, words := range [][3]string{
		{"BEGIN", "COMMIT", "ROLLBACK"},
		{"BEGIN IMMEDIATE TRANSACTION", "END", "ROLLBACK TRANSACTION"},
		{"/* x */ begin exclusive;", "end transaction -- x", " rollback ; "},
		{"SAVEPOINT s", "RELEASE s", "ROLLBACK TO s; RELEASE s"},
	} {
		s := newStage(t, family)
		c := s.conn()
		s.entry(sumA)
		s.execOn(c, words[0])
		s.execOn(c, "UPDATE a SET v = 10")
		s.on(c).sees(30, sumA)
		s.hit(sumA)
		s.execOn(c, words[1])
		s.fresh(sumA)
		s.on(c).hit(sumA)

		s.execOn(c, words[0])
		s.execOn(c, "UPDATE a SET v = 20")
		s.on(c).sees(60, sumA)
		s.execOn(c, words[2])
		s.truth(sumA)
		s.value(s.hit(sumA), 30, sumA)
		s.on(c).hit(sumA)

		// All of it in one text, and through Query.
		s.exec("BEGIN; UPDATE a SET v = 40; UPDATE b SET v = 1; COMMIT")
		s.fresh(sumA)
		s.entry(sumB)
		s.must(nil, s.on(c).run(words[0], "UPDATE b SET v = 2", "UPDATE a SET v = 3", words[1]))
		s.fresh(sumA)
		s.fresh(sumB)
		s.execOn(c, "BEGIN; UPDATE a SET v = 50")
		s.on(c).sees(150, sumA)
		s.truth(sumA)
		s.execOn(c, "UPDATE a SET v = 60; COMMIT; UPDATE b SET v = 4")
		s.fresh(sumA)
		s.fresh(sumB)
	}
}

// run sends statements through Query.
func (s *stage) run(statements ...string) error {
	for _, text := range statements {
		if a := answerOf(s.ctx, s.at, text); a.Error != "" {
			return fmt.Errorf("%s: %s", text, a.Error)
		}
	}
	return nil
}

func scenario49(t *testing.T) {
	// A reader of a database without WAL keeps a COMMIT from happening.
	busy := newStage(t, "")
	dsn := "file:" + filepath.Join(t.TempDir(), "busy.db") + "?_busy_timeout=1"
	busy.dsn, busy.db, busy.raw = dsn, busy.open(dsn), openStage(t, &sqlite3.SQLiteDriver{}, dsn)
	busy.exec(family)
	busy.entry(sumA)
	reader, err := busy.raw.BeginTx(t.Context(), nil)
	busy.must(reader, err)
	defer reader.Rollback()
	busy.must(nil, reader.QueryRowContext(t.Context(), sumA).Scan(new(int)))
	tx := busy.begin()
	busy.execOn(tx, "UPDATE a SET v = 10")
	if err := tx.Commit(); err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("COMMIT beside a reader: %v", err)
	}
	busy.truth(sumA)
	busy.must(nil, reader.Rollback())
	busy.exec("UPDATE a SET v = 20")
	busy.fresh(sumA)

	// It is sent, takes effect or not, and the answer is lost.
	for _, effect := range []bool{false, true} {
		for _, lost := range []error{driver.ErrBadConn, context.Canceled, errors.New("the disk is gone")} {
			s := newStage(t, family)
			s.entry(sumA)
			tx := s.begin()
			s.execOn(tx, "UPDATE a SET v = 30")
			fail := func(_ context.Context, method, _ string) error {
				if method == "commit" {
					return lost
				}
				return nil
			}
			if effect {
				s.tap.set(nil, fail)
			} else {
				s.tap.set(fail, nil)
			}
			if err := tx.Commit(); err != lost { //nolint:errorlint // Clients compare it by identity.
				t.Errorf("Commit: %v, want %v", err, lost)
			}
			s.tap.set(nil, nil)
			for range 2 {
				s.truth(sumA)
			}
		}
	}

	// The context is over before COMMIT is sent: rolled back.
	s := newStage(t, family)
	s.entry(sumA)
	ctx, cancel := context.WithCancel(t.Context())
	late, err := s.db.BeginTx(ctx, nil)
	s.must(late, err)
	s.execOn(late, "UPDATE a SET v = 40")
	cancel()
	if err := late.Commit(); err == nil {
		t.Error("Commit after its context")
	}
	s.value(s.truth(sumA), 4, sumA)
}

func scenario50(t *testing.T) {
	s := newStage(t, family)
	s.entry(sumA)
	c := s.conn()
	s.execOn(c, "BEGIN")
	s.execOn(c, "UPDATE a SET v = 10")
	s.on(c).sees(30, sumA)
	if err := c.Raw(func(any) error { return driver.ErrBadConn }); !errors.Is(err, driver.ErrBadConn) {
		t.Errorf("Raw: %v", err)
	}
	s.value(s.hit(sumA), 4, sumA)
	s.exec("UPDATE a SET v = v + 1") // Nothing holds a lock.
	s.fresh(sumA)

	// A sql.Tx that is left behind, and user code that panics.
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is lost")
			}
		}()
		tx := s.begin()
		defer tx.Rollback()
		s.execOn(tx, "UPDATE a SET v = 100")
		panic("user code")
	}()
	s.value(s.hit(sumA), 7, sumA)
	var during atomic.Int64
	func() {
		defer func() { during.Add(int64(len(fmt.Sprint(recover())))) }()
		c := s.conn()
		s.execOn(c, "BEGIN")
		s.execOn(c, "UPDATE a SET v = 200")
		s.must(nil, c.Raw(func(any) error { panic("inside Raw") }))
	}()
	if during.Load() == 0 {
		t.Error("the panic is lost")
	}
	s.truth(sumA)
	s.exec("UPDATE a SET v = v + 1")
	s.fresh(sumA)
	s.hit(sumA)

	// The parent panics.
	p := newStageWith(t, family, querycache.Config{}, &tap{})
	p.entry(sumA)
	for _, when := range []string{"before", "after"} {
		hook := func(_ context.Context, method, _ string) error {
			if method == "exec" {
				panic("in the driver")
			}
			return nil
		}
		func() {
			defer func() {
				p.tap.set(nil, nil)
				if recover() == nil {
					t.Error("the panic is lost")
				}
			}()
			if when == "before" {
				p.tap.set(hook, nil)
			} else {
				p.tap.set(nil, hook)
			}
			_, _ = p.db.ExecContext(t.Context(), "UPDATE a SET v = v + 1")
		}()
		p.truth(sumA)
		p.truth(sumA)
	}
}

func scenario51(t *testing.T) {
	s := newStage(t, family+`
CREATE TABLE parent (id INTEGER PRIMARY KEY);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INT REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED);`)
	const children = "SELECT count(*) FROM child"
	s.entry(children)
	s.entry(sumA)
	tx := s.begin()
	s.execOn(tx, "INSERT INTO child (parent_id) VALUES (99)")
	s.execOn(tx, "UPDATE a SET v = 10")
	if err := tx.Commit(); err == nil || !strings.Contains(err.Error(), "FOREIGN KEY") {
		t.Errorf("Commit: %v", err)
	}
	for _, q := range []string{children, sumA} {
		s.truth(q)
		s.hit(q)
	}

	// As text the transaction stays open, and can be mended.
	c := s.conn()
	s.execOn(c, "BEGIN")
	s.execOn(c, "INSERT INTO child (parent_id) VALUES (98)")
	s.failing(c, "FOREIGN KEY", "COMMIT")
	s.on(c).sees(1, children)
	s.value(s.truth(children), 0, children)
	s.execOn(c, "INSERT INTO parent VALUES (98)")
	s.execOn(c, "COMMIT")
	s.value(s.miss(children), 1, children)
	s.on(c).hit(children)
}

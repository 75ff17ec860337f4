package querycache_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/querycache/querycache"
)

// twin is a connection through the cache and one without, which are told the
// same.
type twin struct {
	*stage
	conn, alone *sql.Conn
}

func (s *stage) twin() *twin {
	s.Helper()
	alone, err := s.raw.Conn(s.Context())
	s.must(alone, err)
	s.Cleanup(func() { _ = alone.Close() })
	return &twin{stage: s, conn: s.conn(), alone: alone}
}

func (w *twin) told(statement string) {
	w.Helper()
	w.execOn(w.alone, statement)
	w.execOn(w.conn, statement)
}

// same asks both and expects one answer. It says what the cache did.
func (w *twin) same(query string) string {
	w.Helper()
	a, told := w.on(w.conn).read(query)
	if diff := cmp.Diff(answerOf(w.ctx, w.alone, query), a); diff != "" {
		w.Errorf("%s (%s): (-alone +cached)\n%s", query, told, diff)
	}
	return told
}

func scenario57(t *testing.T) {
	s := newStage(t, family+"CREATE TABLE texts (s TEXT); INSERT INTO texts VALUES ('ABC'), ('abc');")
	queries := []string{
		"SELECT * FROM texts WHERE s LIKE 'a%'", "SELECT a.v, b.v FROM a, b", "SELECT v FROM a WHERE v > 0",
		`SELECT "nothing" FROM a`, "SELECT 5 / 2, sum(v) FROM a",
	}
	for _, q := range queries {
		s.entry(q)
	}
	for _, setting := range []string{
		"PRAGMA case_sensitive_like = ON", "PRAGMA reverse_unordered_selects = ON", "PRAGMA full_column_names = ON; PRAGMA short_column_names = OFF",
		"PRAGMA short_column_names = OFF", "PRAGMA legacy_alter_table = ON", "PRAGMA query_only = ON",
		"ATTACH DATABASE ':memory:' AS more",
	} {
		w := s.twin()
		for _, q := range queries {
			if told := w.same(q); told != "hit" {
				t.Errorf("%s before %s: %s", q, setting, told)
			}
		}
		w.told(setting)
		for _, q := range queries {
			if told := w.same(q); told == "hit" {
				t.Errorf("%s after %s: a hit", q, setting)
			}
		}
		for _, q := range queries {
			w.same(q)
			s.hit(q)
		}
	}

	// What changes nothing for a reader leaves the hits.
	w := s.twin()
	w.told("PRAGMA cache_size = 100; PRAGMA busy_timeout = 4000; PRAGMA temp_store")
	w.told("PRAGMA table_info(a)")
	for _, q := range queries {
		if told := w.same(q); told != "hit" {
			t.Errorf("%s: %s", q, told)
		}
	}

	// The same settings, the same entries; a write in one session is seen in all.
	one, two := s.twin(), s.twin()
	one.told("PRAGMA case_sensitive_like = ON")
	two.told("PRAGMA case_sensitive_like = ON")
	if one.same(queries[0]); two.same(queries[0]) != "hit" {
		t.Error("two connections with the same settings do not share")
	}
	one.execOn(one.conn, "INSERT INTO texts VALUES ('abcd')")
	s.fresh(queries[0])
	if told := two.same(queries[0]); told == "hit" {
		t.Error("a hit after another session wrote")
	}

	// An attached file: names that mean something else.
	file := filepath.Join(t.TempDir(), "attached.db")
	att := openStage(t, s.tap.driver(), file)
	s.must(att.ExecContext(t.Context(), "CREATE TABLE only_there (v TEXT); INSERT INTO only_there VALUES ('first')"))
	w = s.twin()
	w.told("ATTACH DATABASE '" + file + "' AS more")
	w.same("SELECT v FROM only_there")
	w.same("SELECT v FROM only_there")
	if _, told := s.read("SELECT v FROM only_there"); told == "hit" {
		t.Error("another connection sees the attached table")
	}
	w.execOn(w.conn, "UPDATE more.only_there SET v = 'second'")
	w.same("SELECT v FROM only_there")
	w.execOn(w.conn, "UPDATE a SET v = v + 1")
	s.fresh("SELECT v FROM a WHERE v > 0")
	w.told("DETACH DATABASE more")
	if told := w.same("SELECT v FROM only_there"); told == "hit" {
		t.Error("a hit in a database that was detached")
	}
}

func scenario59(t *testing.T) {
	s := newStage(t, family)
	s.entry(sumA)
	c, other := s.conn(), s.conn()
	s.on(c).hit(sumA)
	s.execOn(c, "CREATE TEMP TABLE a (id INTEGER PRIMARY KEY, v INT)")
	s.execOn(c, "INSERT INTO a (v) VALUES (100)")
	for range 3 {
		a, _ := s.on(c).read(sumA) // Its own entry, or none.
		s.value(a, 100, sumA)
		s.value(s.on(other).truth(sumA), 4, sumA)
	}
	s.execOn(c, "UPDATE a SET v = 200")
	a, told := s.on(c).read(sumA)
	s.value(a, 200, sumA)
	if told == "hit" {
		t.Error("a hit after a write")
	}
	s.value(s.truth(sumA), 4, sumA)
	s.execOn(c, "UPDATE main.a SET v = v + 1")
	s.value(s.miss(sumA), 7, sumA)
	s.execOn(c, "DROP TABLE temp.a")
	s.on(c).truth(sumA)

	// Its definition inside a transaction that is rolled back.
	s.execOn(c, "BEGIN")
	s.execOn(c, "CREATE TEMPORARY TABLE b AS SELECT 50 AS v")
	s.on(c).sees(50, sumB)
	s.execOn(c, "ROLLBACK")
	a, _ = s.on(c).read(sumB)
	s.value(a, 6, sumB)

	// Views and triggers that are temporary.
	s.execOn(other, "CREATE TEMP VIEW d AS SELECT 9 AS v")
	a, _ = s.on(other).read("SELECT v FROM d")
	s.value(a, 9, "SELECT v FROM d")
	s.value(s.truth("SELECT v FROM d"), 1, "SELECT v FROM d")
	s.execOn(other, "CREATE TEMP TRIGGER tr AFTER INSERT ON main.c BEGIN DELETE FROM b; END")
	s.entry(sumB + " WHERE 1")
	s.execOn(other, "INSERT INTO main.c (v) VALUES (1)")
	s.fresh(sumB + " WHERE 1")
}

func scenario60(t *testing.T) {
	s := newStage(t, family+"CREATE TABLE texts (s TEXT); INSERT INTO texts VALUES ('ABC'), ('abc');")
	const like = "SELECT count(*) FROM texts WHERE s LIKE 'a%'"
	s.db.SetMaxOpenConns(1)
	s.raw.SetMaxOpenConns(1)
	s.entry(like)
	// The pool hands the connection out as it was left, and so does the cache.
	for _, setting := range []string{"PRAGMA case_sensitive_like = ON", "PRAGMA case_sensitive_like = OFF"} {
		s.must(s.raw.ExecContext(t.Context(), setting))
		s.exec(setting)
		for range 2 {
			s.truth(like)
		}
	}
	s.must(s.raw.ExecContext(t.Context(), "INSERT INTO d (v) VALUES (3)"))
	s.exec("INSERT INTO c (v) VALUES (3)")
	for _, q := range []string{"SELECT changes()", "SELECT last_insert_rowid() > 0"} {
		s.reads("bypass: volatile function", q)
	}
	s.exec("CREATE TEMP TABLE mine AS SELECT 1 AS x")
	s.must(s.raw.ExecContext(t.Context(), "CREATE TEMP TABLE mine AS SELECT 1 AS x"))
	s.truth("SELECT x FROM mine")

	// A new connection knows nothing of it.
	s.db.SetMaxIdleConns(0)
	s.raw.SetMaxIdleConns(0)
	if a := s.truth("SELECT x FROM mine"); !strings.Contains(a.Error, "no such table") {
		t.Errorf("%v", a)
	}
	s.truth(like)
}

func scenario61(t *testing.T) {
	const secret = "hunter2"
	var log bytes.Buffer
	cfg := querycache.Config{
		Logger:        slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug - 4, AddSource: true})),
		MaxEntryBytes: 1 << 10, CatalogMaxAge: time.Nanosecond, InDoubt: time.Millisecond,
	}
	tp := &tap{}
	s := newStageWith(t, people, cfg, tp)
	db := s.open(s.dsn + "&_auth_pass=" + secret)
	ctx := t.Context()
	ask := func(query string, args ...any) { answerOf(ctx, db, query, args...) }
	ask("SELECT * FROM people WHERE name = ?", secret)
	ask("SELECT * FROM people WHERE name = ?", secret)
	ask("SELECT printf('%5000d', ?)", secret)
	ask("SELECT no_such_column FROM people WHERE name = ?", secret)
	for _, write := range []string{"UPDATE people SET name = ?", "INSERT INTO people (id, name) VALUES (1, ?)", "CREATE TABLE x AS SELECT ? AS y"} {
		_, _ = db.ExecContext(ctx, write, secret) // One of them is meant to fail.
	}
	// The file is gone, the driver fails, a commit is in doubt.
	tp.set(func(context.Context, string, string) error { return errors.New("down") }, nil)
	ask("SELECT * FROM people WHERE name = ? AND 1", secret)
	_, err := s.open("file:" + secret + ".db" + dsnOptions).Conn(ctx)
	if err == nil {
		t.Error("connected to a database that is down")
	}
	tp.set(nil, nil)
	s.cache.InvalidateQuery("SELECT * FROM people WHERE name = ?", secret)
	_, err = querycache.Register("scenario61", nil, querycache.Config{})
	shown := fmt.Sprintf("%s %+v %v", log.String(), s.cache.Stats(), err)
	if strings.Contains(shown, secret) || strings.Contains(shown, "stage.db") {
		t.Errorf("a secret is out: %s", shown)
	}
}

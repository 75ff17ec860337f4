package querycache_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"

	"github.com/querycache/querycache"
	"github.com/querycache/querycache/internal/fakedb"
)

func scenario11(t *testing.T) {
	s := newStage(t, people)
	s.entry("SELECT id FROM people")
	for _, q := range []string{
		"EXPLAIN SELECT id FROM people", "EXPLAIN QUERY PLAN SELECT id FROM people",
		"explain query plan DELETE FROM people", "EXPLAIN DELETE FROM people",
	} {
		s.bypass("explain", q)
	}
	s.hit("SELECT id FROM people")
}

// scribbler is a Scanner that writes into what it is given.
type scribbler struct{}

// Scan overwrites the bytes.
func (scribbler) Scan(src any) error {
	if b, ok := src.([]byte); ok {
		clear(b)
	}
	return nil
}

func scenario12(t *testing.T) {
	s := newStage(t, people)
	const query = "SELECT photo, name FROM people ORDER BY id"
	for name, scribble := range map[string]func(*sql.Rows) error{
		"bytes": func(rows *sql.Rows) error {
			var b, n []byte
			err := rows.Scan(&b, &n)
			clear(b)
			clear(n)
			return err
		},
		"RawBytes": func(rows *sql.Rows) error {
			var b, n sql.RawBytes
			err := rows.Scan(&b, &n)
			clear(b)
			clear(n)
			return err
		},
		"Scanner": func(rows *sql.Rows) error { return rows.Scan(scribbler{}, scribbler{}) },
		"any": func(rows *sql.Rows) error {
			var b, n any
			err := rows.Scan(&b, &n)
			if b, ok := b.([]byte); ok {
				clear(b)
			}
			return err
		},
		"null RawBytes": func(rows *sql.Rows) error {
			var b, n sql.Null[sql.RawBytes]
			err := rows.Scan(&b, &n)
			clear(b.V)
			clear(n.V)
			return err
		},
	} {
		s.cache.Purge()
		for _, pass := range []string{"miss", "hit"} {
			before := countsOf(s.cache)
			rows, err := s.db.QueryContext(t.Context(), query)
			if err != nil {
				t.Fatal(err)
			}
			columns, err := rows.Columns()
			if err != nil {
				t.Fatal(err)
			}
			clear(columns)
			for rows.Next() {
				if err := scribble(rows); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if err := errors.Join(rows.Err(), rows.Close()); err != nil {
				t.Fatal(err)
			}
			if after := countsOf(s.cache); (after.Hits > before.Hits) != (pass == "hit") {
				t.Errorf("%s: no %s", name, pass)
			}
			s.hit(query)
		}
	}
}

func scenario13(t *testing.T) {
	p := fakedb.MySQL()
	if !p.ReuseBuffers {
		t.Fatal("the fake driver does not reuse its buffers")
	}
	_, db, cache := fakeStage(t, p)
	want := [][]any{{int64(1), []byte("aaa")}, {int64(2), []byte("bb")}, {int64(3), []byte("cccc")}}
	for range 3 {
		a := answerOf(t.Context(), db, "SELECT id, b FROM blobs ORDER BY id")
		if diff := cmp.Diff(want, a.Rows); diff != "" {
			t.Error(diff)
		}
	}
	if st := cache.Stats(); st.Hits != 2 {
		t.Errorf("%d hits, want 2", st.Hits)
	}
}

// slowly is a scalar that takes SQLite well over 5 ms for each row of n, and is 0.
const slowly = "(WITH RECURSIVE x(i) AS (SELECT n UNION ALL SELECT i + 1 FROM x WHERE i < n + 150000) SELECT count(*) * 0 FROM x)"

func scenario14(t *testing.T) {
	s := newStageWith(t, people, querycache.Config{MaxEntryBytes: 16 << 10}, &tap{})
	partly := func(ctx context.Context, query string) (*sql.Rows, int64) {
		t.Helper()
		rows, err := s.db.QueryContext(ctx, query)
		if err != nil {
			t.Fatal(err)
		}
		if !rows.Next() {
			t.Fatal("no row", rows.Err())
		}
		var n int64
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		return rows, n
	}
	const count = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < %d) SELECT n FROM c"

	first := func(query string) {
		t.Helper()
		rows, _ := partly(t.Context(), query)
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}

	first("SELECT id FROM people")
	s.hit("SELECT id FROM people") // Read ahead to the end: whole.

	large := fmt.Sprintf(count, 5000)
	first(large)
	s.reads("miss, not stored", large)

	slow := fmt.Sprintf(count, 6) + " WHERE n >= " + slowly
	first(slow)
	if a, _ := s.read(slow); len(a.Rows) != 6 {
		t.Errorf("%d rows of 6", len(a.Rows))
	}

	ctx, cancel := context.WithCancel(t.Context())
	stopped := slow + " AND 'stopped' <> ''"
	rows, _ := partly(ctx, stopped)
	cancel()
	for rows.Next() {
	}
	if err := rows.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled read ended with %v", err)
	}
	s.must(nil, rows.Close())
	s.miss(stopped)

	s.exec("INSERT INTO other SELECT 2 + value, CASE value WHEN 2 THEN -9223372036854775808 ELSE value END FROM json_each('[0, 1, 2, 3]')")
	fails := "SELECT id, abs(CAST(v AS INTEGER)) FROM other ORDER BY id"
	for range 2 {
		a := s.reads("miss, not stored", fails)
		if !strings.Contains(a.Error, "overflow") || len(a.Rows) == 0 {
			t.Errorf("%d rows and then %q, want some and an overflow", len(a.Rows), a.Error)
		}
	}
}

func scenario15(t *testing.T) {
	s := newStage(t, people)
	type person struct {
		ID   int64  `db:"id"`
		Name string `db:"name"`
	}
	x := sqlx.NewDb(s.db, "sqlite3")
	ctx := t.Context()
	named := map[string]any{"id": 2}
	drain := func(rows *sqlx.Rows, err error) error {
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		found := 0
		for rows.Next() {
			var p person
			if err := rows.StructScan(&p); err != nil {
				return err
			}
			found++
		}
		if found == 0 {
			return errors.New("no rows")
		}
		return rows.Err()
	}
	plain := func(query func() (*sql.Rows, error)) error {
		rows, err := query()
		if err != nil {
			return err
		}
		return drain(&sqlx.Rows{Rows: rows, Mapper: x.Mapper}, rows.Err())
	}
	const query = "SELECT id, name FROM people WHERE id = "
	preparedx, err := x.PreparexContext(ctx, query+"? AND 'Preparex' <> ''") //nolint:sqlclosecheck // It does not know s.must.
	s.must(preparedx, err)
	defer preparedx.Close()
	stmt, err := s.db.PrepareContext(ctx, query+"? AND 'Prepare' <> ''")
	s.must(stmt, err)
	defer stmt.Close()
	namedStmt, err := x.PrepareNamedContext(ctx, query+":id AND 'PrepareNamed' <> ''") //nolint:sqlclosecheck // As above.
	s.must(namedStmt, err)
	defer namedStmt.Close()

	var p person
	var all []person
	ways := []struct {
		name string
		read func() error
	}{
		{"QueryRow", func() error {
			return s.db.QueryRowContext(ctx, query+"? AND 'QueryRow' <> ''", 2).Scan(&p.ID, &p.Name)
		}},
		{"Query", func() error {
			return plain(func() (*sql.Rows, error) { return s.db.QueryContext(ctx, query+"? AND 'Query' <> ''", 2) })
		}},
		{"Get", func() error { return x.GetContext(ctx, &p, query+"? AND 'Get' <> ''", 2) }},
		{"Select", func() error { return x.SelectContext(ctx, &all, query+"? AND 'Select' <> ''", 2) }},
		{"Queryx", func() error { return drain(x.QueryxContext(ctx, query+"? AND 'Queryx' <> ''", 2)) }},
		{"QueryRowx", func() error { return x.QueryRowxContext(ctx, query+"? AND 'QueryRowx' <> ''", 2).StructScan(&p) }},
		{"NamedQuery", func() error { return drain(x.NamedQueryContext(ctx, query+":id AND 'NamedQuery' <> ''", named)) }},
		{"Preparex", func() error { return preparedx.GetContext(ctx, &p, 2) }},
		{"PrepareNamed", func() error { return namedStmt.GetContext(ctx, &p, named) }},
		{"Prepare", func() error {
			return plain(func() (*sql.Rows, error) { return stmt.QueryContext(ctx, 2) })
		}},
		{"Prepare and QueryRow", func() error { return stmt.QueryRowContext(ctx, 3).Scan(&p.ID, &p.Name) }},
	}
	for _, way := range ways {
		for _, want := range []string{"miss", "hit", "hit"} {
			before := s.cache.Stats()
			if err := way.read(); err != nil {
				t.Errorf("%s: %v", way.name, err)
			}
			after := s.cache.Stats()
			if (after.Hits-before.Hits == 1) != (want == "hit") || (after.Fills-before.Fills == 1) != (want == "miss") {
				t.Errorf("%s: %d hits and %d fills, want a %s", way.name, after.Hits-before.Hits, after.Fills-before.Fills, want)
			}
		}
	}
}

func scenario16(t *testing.T) {
	s := newStage(t, `
CREATE TABLE kinds (i INTEGER NOT NULL, big BIGINT, t TEXT, v VARCHAR(20), d DECIMAL(6, 2), b BLOB, at TIMESTAMP, day DATE,
	ok BOOLEAN, r REAL, f FLOAT, plain);
INSERT INTO kinds VALUES (1, 2, 'text', 'varchar', 1.25, x'00', '2024-01-02 03:04:05', '2024-01-02', 1, 2.5, 3.5, 'any'),
	(2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (3, 0, '', '', 0, x'', 0, 0, 0, 0, 0, 1.5);`)
	s.separate(
		"SELECT * FROM kinds",
		"SELECT * FROM kinds WHERE i = 2",
		"SELECT * FROM kinds WHERE i = 99",
		"SELECT i AS same, t AS same, v AS same FROM kinds",
		`SELECT i AS "", t AS "", count(*) FROM kinds`,
		"SELECT max(at), i + 1, d || '', at, at AS renamed FROM kinds",
	)
	if a := s.hit("SELECT i AS same, t AS same, v AS same FROM kinds"); a.Types[0].Database != "INTEGER" || a.Columns[2] != "same" {
		t.Errorf("%v %v", a.Columns, a.Types)
	}
}

func scenario17(t *testing.T) {
	_, db, cache := fakeStage(t, fakedb.Full())
	for range 2 {
		rows, err := db.QueryContext(t.Context(), "SELECT name FROM people WHERE id = 1; SELECT age FROM people WHERE id = 1")
		if err != nil {
			t.Fatal(err)
		}
		first := readAnswer(rows)
		if !rows.NextResultSet() {
			t.Fatal("the second result set is missing")
		}
		second := readAnswer(rows)
		more := rows.NextResultSet()
		if err := rows.Close(); err != nil || more {
			t.Error(err, more)
		}
		if diff := cmp.Diff([][]any{{"ann"}, {int64(30)}}, append(first.Rows, second.Rows...)); diff != "" {
			t.Error(diff)
		}
	}
	if st := cache.Stats(); st.Hits != 0 || st.Fills != 0 || st.Bypasses != 2 {
		t.Errorf("%+v", st)
	}
	// go-sqlite3 runs all of them and hands out the last.
	s := newStage(t, people)
	for range 2 {
		s.reads("bypass: several statements", "SELECT name FROM people; SELECT age FROM people")
	}
}

// liveHeap is the memory in use after a collection.
func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func scenario21(t *testing.T) {
	const limit, rows = 64 << 10, 20_000
	s := newStageWith(t, people, querycache.Config{MaxEntryBytes: limit}, &tap{})
	query := fmt.Sprintf("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < %d) SELECT n, printf('%%1000d', n) FROM c", rows)
	for range 2 {
		before, st := liveHeap(), s.cache.Stats()
		result, err := s.db.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer result.Close()
		n, peak := 0, int64(0)
		for result.Next() {
			var i int
			var text string
			if err := result.Scan(&i, &text); err != nil || i != n+1 || len(text) != 1000 {
				t.Fatal(i, len(text), err)
			}
			if n++; n%4000 == 0 {
				peak = max(peak, liveHeap()-before)
			}
		}
		if err := result.Err(); err != nil || n != rows {
			t.Errorf("%d rows of %d: %v", n, rows, err)
		}
		if peak > 2<<20 {
			t.Errorf("%d bytes live while a result of 20 MB passes", peak)
		}
		after := s.cache.Stats()
		if after.RejectedFills != st.RejectedFills+1 || after.Fills != st.Fills || after.Entries != 0 {
			t.Errorf("%+v", after)
		}
	}
	s.entry("SELECT * FROM people")
}

func scenario68(t *testing.T) {
	s := newStage(t, people)
	const endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c WHERE n >= " + slowly
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // Rather than wait for ever.
	defer cancel()
	rows, err := s.db.QueryContext(ctx, endless)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for range 5 {
		if !rows.Next() {
			t.Fatal("no row", rows.Err())
		}
	}
	if err := errors.Join(rows.Close(), ctx.Err()); err != nil {
		t.Error(err)
	}

	// A slow aggregate of one row is stored, at the latest when the machine does not
	// keep it from being seen in time that there is no second one.
	const aggregate = "SELECT count(*) FROM (SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4) WHERE n > "
	stored := false
	for try := 0; try < 20 && !stored; try++ {
		query := fmt.Sprint(aggregate, strings.Replace(slowly, "150000", "400000", 1), " AND n > -", try)
		for range 2 {
			before, started := countsOf(s.cache), time.Now()
			var n int
			if err := s.db.QueryRowContext(t.Context(), query).Scan(&n); err != nil || n != 4 {
				t.Fatal(n, err)
			}
			took, after := time.Since(started), countsOf(s.cache)
			if stored && after.Hits != before.Hits+1 {
				t.Error("no hit of what was stored")
			}
			stored = stored || after.Fills > before.Fills
			if after.Hits == before.Hits && took < 20*time.Millisecond {
				t.Errorf("the aggregate took %v: too fast to show anything", took)
			}
		}
	}
	if !stored {
		t.Error("a slow aggregate is never stored")
	}
}

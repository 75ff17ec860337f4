package fakedb_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/querycache/querycache/internal/fakedb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const people = `
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INTEGER);
CREATE TABLE pets (owner INTEGER, name VARCHAR(20), weight DECIMAL(6,2));
INSERT INTO people VALUES (1, 'ann', 30), (2, 'bob', NULL), (3, 'cy', 20);
INSERT INTO pets VALUES (1, 'rex', '4.50'), (3, 'tom', '3.00')`

func open(t *testing.T, p fakedb.Profile) (*fakedb.DB, *sql.DB) {
	t.Helper()
	d, err := fakedb.New(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Seed("main", people); err != nil {
		t.Fatal(err)
	}
	db, err := d.Open("main")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if open := d.OpenCounts(); open != (fakedb.Counts{}) {
			t.Errorf("still open at the end: %+v", open)
		}
	})
	return d, db
}

type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// read gives all rows as text, one in each line, or the error.
func read(t *testing.T, q queryer, query string, args ...any) string {
	t.Helper()
	rows, err := q.QueryContext(context.Background(), query, args...)
	if err != nil {
		return "error: " + err.Error()
	}
	defer func() {
		if err := rows.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}()
	columns, err := rows.Columns()
	if err != nil {
		return "error: " + err.Error()
	}
	lines := []string{strings.Join(columns, "|")}
	for rows.Next() {
		values := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return "error: " + err.Error()
		}
		cells := make([]string, len(values))
		for i, v := range values {
			cells[i] = fakedb.FormatValue(v)
		}
		lines = append(lines, strings.Join(cells, "|"))
	}
	if err := rows.Err(); err != nil {
		lines = append(lines, "error: "+err.Error())
	}
	return strings.Join(lines, "\n")
}

func TestLanguage(t *testing.T) {
	_, db := open(t, fakedb.Full())
	for _, tt := range []struct {
		query string
		args  []any
		want  string
	}{
		{"SELECT name FROM people WHERE id = ?", []any{2}, "name\nstring(\"bob\")"},
		{
			"select p.name AS who, q.name from people p, pets q where q.owner = p.id order by q.name desc", nil,
			"who|name\nstring(\"cy\")|string(\"tom\")\nstring(\"ann\")|string(\"rex\")",
		},
		{
			"SELECT q.weight FROM people p JOIN pets q ON q.owner = p.id WHERE p.age < 25", nil,
			"weight\nstring(\"3.00\")",
		},
		{
			"SELECT COUNT(*), SUM(age), MIN(name), max( age ) FROM people", nil,
			"COUNT(*)|SUM(age)|MIN(name)|max( age )\nint64(3)|int64(50)|string(\"ann\")|int64(30)",
		},
		{"SELECT COUNT(*), name FROM people WHERE id > 9", nil, "COUNT(*)|name\nint64(0)|NULL"},
		{
			"SELECT * FROM people WHERE age IS NULL OR id IN (3, 4) ORDER BY id LIMIT 1", nil,
			"id|name|age\nint64(2)|string(\"bob\")|NULL",
		},
		{
			"SELECT 1, -2.5, 'it''s', X'00ff', TRUE, NULL, TIMESTAMP '2020-01-02T03:04:05Z', ?",
			[]any{"x"},
			"1|-2.5|'it''s'|X'00ff'|TRUE|NULL|TIMESTAMP '2020-01-02T03:04:05Z'|?\n" +
				"int64(1)|float64(-2.5)|string(\"it's\")|[]byte(\"\\x00\\xff\")|bool(true)|NULL|" +
				"time(2020-01-02T03:04:05Z)|string(\"x\")",
		},
		{"SELECT 1+2, 'a' || :b -- tail", []any{sql.Named("b", "c")}, "1+2|'a' || :b\nint64(3)|string(\"ac\")"},
		{"SELECT $2, $1", []any{"a", "b"}, "$2|$1\nstring(\"b\")|string(\"a\")"},
		{"SELECT nope FROM people", nil, "error: querycache: fakedb: no such column: nope"},
		{"SELECT id FROM people WHERE nope = 1", nil, "error: querycache: fakedb: no such column: nope"},
		{"SELECT 1 FROM nope", nil, "error: querycache: fakedb: no such table: nope"},
		{"SELECT 1 +", nil, `error: querycache: fakedb: syntax error near ""`},
		{"FROB 1", nil, `error: querycache: fakedb: syntax error near "FROB 1"`},
		{"SELECT ?", nil, "error: querycache: fakedb: the statement wants 1 arguments, got 0"},
		{"PRAGMA speed = 7; PRAGMA speed", nil, "speed\nint64(7)"},
		{
			"INSERT INTO pets VALUES (2, 'kit', NULL) RETURNING name, owner", nil,
			"name|owner\nstring(\"kit\")|int64(2)",
		},
		{"UPDATE pets SET owner = owner + 1 WHERE name = 'kit' RETURNING owner", nil, "owner\nint64(3)"},
		{
			"DELETE FROM pets WHERE name = 'kit' RETURNING *", nil,
			"owner|name|weight\nint64(3)|string(\"kit\")|NULL",
		},
		{
			"INSERT INTO people VALUES (1, 'dup', 0)", nil,
			"error: querycache: fakedb: UNIQUE constraint failed: people.id",
		},
		{"UPDATE people SET name = NULL", nil, "error: querycache: fakedb: NOT NULL constraint failed: people.name"},
	} {
		t.Run(tt.query, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, read(t, db, tt.query, tt.args...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestExecCounts(t *testing.T) {
	d, db := open(t, fakedb.Full())
	for _, tt := range []struct {
		query string
		want  string
	}{
		{"INSERT INTO people (name) VALUES ('dee')", "id 4 <nil> rows 1 <nil>"},
		{"UPDATE people SET age = 1 WHERE id > 2", "id 0 <nil> rows 2 <nil>"},
		{"DELETE FROM people WHERE id = 77", "id 0 <nil> rows 0 <nil>"},
		{"CREATE TABLE IF NOT EXISTS people (a INTEGER)", "id 0 no LastInsertId available after DDL statement " +
			"rows 0 no RowsAffected available after DDL statement"},
	} {
		res, err := db.Exec(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		id, idErr := res.LastInsertId()
		n, nErr := res.RowsAffected()
		if got := fmt.Sprintf("id %d %v rows %d %v", id, idErr, n, nErr); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.query, got, tt.want)
		}
	}
	// Creation, the first rows, the insert and the update: a DELETE of nothing is no change.
	if table, ok := d.Table("main", "people"); !ok || table.Version != 4 || len(table.Rows) != 4 {
		t.Errorf("people: %+v, %v", table, ok)
	}
	if _, ok := d.Table("other", "people"); ok {
		t.Error("another DSN sees the table")
	}
}

func TestTransactions(t *testing.T) {
	ctx := context.Background()
	const ages = "SELECT SUM(age) FROM people"
	sum := func(n int) string { return fmt.Sprintf("SUM(age)\nint64(%d)", n) }
	begin := func(t *testing.T, db *sql.DB, opts *sql.TxOptions) *sql.Tx {
		t.Helper()
		tx, err := db.BeginTx(ctx, opts)
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	exec := func(t *testing.T, tx interface {
		Exec(query string, args ...any) (sql.Result, error)
	}, query string,
	) {
		t.Helper()
		if _, err := tx.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	want := func(t *testing.T, q queryer, n int) {
		t.Helper()
		if got := read(t, q, ages); got != sum(n) {
			t.Errorf("got %q, want %q", got, sum(n))
		}
	}
	t.Run("isolated until commit", func(t *testing.T) {
		_, db := open(t, fakedb.Full())
		tx := begin(t, db, nil)
		exec(t, tx, "UPDATE people SET age = 5 WHERE id = 1")
		want(t, tx, 25)
		want(t, db, 50)
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		want(t, db, 25)
	})
	t.Run("rollback drops", func(t *testing.T) {
		_, db := open(t, fakedb.Full())
		tx := begin(t, db, nil)
		exec(t, tx, "DELETE FROM people")
		exec(t, tx, "CREATE TABLE fresh (a INTEGER)")
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		want(t, db, 50)
		exec(t, db, "CREATE TABLE fresh (a INTEGER)")
	})
	t.Run("snapshot", func(t *testing.T) {
		_, db := open(t, fakedb.Full())
		old := begin(t, db, nil)
		recent := begin(t, db, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		exec(t, db, "UPDATE people SET age = 5 WHERE id = 1")
		want(t, old, 50)
		want(t, recent, 25)
		exec(t, old, "UPDATE people SET age = 6 WHERE id = 1")
		exec(t, recent, "UPDATE people SET age = 7 WHERE id = 1")
		if err := recent.Commit(); err != nil {
			t.Error(err)
		}
		if err := old.Commit(); err == nil || !strings.Contains(err.Error(), "changed by another transaction") {
			t.Errorf("the later commit: %v", err)
		}
		want(t, db, 27)
	})
	t.Run("read-only and levels", func(t *testing.T) {
		_, db := open(t, fakedb.Full())
		tx := begin(t, db, &sql.TxOptions{ReadOnly: true})
		if _, err := tx.Exec("DELETE FROM people"); err == nil {
			t.Error("a read-only transaction wrote")
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
		if tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelLinearizable}); err == nil {
			t.Error("linearizable was accepted", tx.Rollback())
		}
	})
	t.Run("as text", func(t *testing.T) {
		_, db := open(t, fakedb.Full())
		c, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range []string{
			"BEGIN IMMEDIATE", "UPDATE people SET age = 1", "SAVEPOINT a", "UPDATE people SET age = 2",
			"SAVEPOINT b", "UPDATE people SET age = 3", "RELEASE b", "ROLLBACK TO SAVEPOINT a",
		} {
			if _, err := c.ExecContext(ctx, q); err != nil {
				t.Fatal(q, err)
			}
		}
		want(t, c, 3)
		want(t, db, 50)
		if _, err := c.ExecContext(ctx, "COMMIT"); err != nil {
			t.Fatal(err)
		}
		want(t, db, 3)
		if _, err := c.ExecContext(ctx, "COMMIT"); err == nil {
			t.Error("COMMIT without a transaction")
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

package noop_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/querycache/querycache/internal/benchmarks/noop"
)

var columns = []noop.Column{
	{Name: "id", DatabaseType: "INTEGER", ScanType: reflect.TypeFor[sql.NullInt64]()},
	{Name: "name", DatabaseType: "TEXT", ScanType: reflect.TypeFor[sql.NullString](), Nullable: true},
}

func result(values ...driver.Value) *noop.Result {
	return noop.NewResult(columns, values)
}

func open(t *testing.T, d *noop.Driver) *sql.DB {
	t.Helper()
	c, err := d.OpenConnector("")
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

type named struct {
	ID   int64
	Name string
}

func scan(t *testing.T, rows *sql.Rows, err error) []named {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var all []named
	for rows.Next() {
		var n named
		if err := rows.Scan(&n.ID, &n.Name); err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEveryDoorGivesTheRows(t *testing.T) {
	ctx := context.Background()
	db := open(t, noop.New(result(int64(1), "one", int64(2), "two")))
	want := []named{{1, "one"}, {2, "two"}}

	rows, err := db.QueryContext(ctx, "whatever", 7)
	if diff := cmp.Diff(want, scan(t, rows, err)); diff != "" {
		t.Errorf("Query (-want +got):\n%s", diff)
	}
	stmt, err := db.PrepareContext(ctx, "whatever")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stmt.Close(); err != nil {
			t.Error(err)
		}
	}()
	for range 2 {
		rows, err = stmt.QueryContext(ctx, 7)
		if diff := cmp.Diff(want, scan(t, rows, err)); diff != "" {
			t.Errorf("prepared (-want +got):\n%s", diff)
		}
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	rows, err = tx.QueryContext(ctx, "whatever")
	if diff := cmp.Diff(want, scan(t, rows, err)); diff != "" {
		t.Errorf("in a transaction (-want +got):\n%s", diff)
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
}

func TestFirstArgumentChooses(t *testing.T) {
	db := open(t, noop.New(result(int64(0), "zero"), result(int64(1), "one"), result(int64(2), "two")))
	for arg, want := range map[int64]string{0: "zero", 1: "one", 2: "two", 4: "one"} {
		rows, err := db.QueryContext(context.Background(), "whatever", arg)
		got := scan(t, rows, err)
		if len(got) != 1 || got[0].Name != want {
			t.Errorf("argument %d was answered with %v, want %q", arg, got, want)
		}
	}
}

func TestColumnTypes(t *testing.T) {
	db := open(t, noop.New(result(int64(1), "one")))
	rows, err := db.QueryContext(context.Background(), "whatever")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Error(err)
		}
	}()
	types, err := rows.ColumnTypes()
	if err != nil {
		t.Fatal(err)
	}
	var got []noop.Column
	for _, c := range types {
		nullable, _ := c.Nullable()
		got = append(got, noop.Column{
			Name: c.Name(), DatabaseType: c.DatabaseTypeName(), ScanType: c.ScanType(), Nullable: nullable,
		})
	}
	byName := cmp.Comparer(func(a, b reflect.Type) bool { return a == b })
	if diff := cmp.Diff(columns, got, byName); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
}

func TestExecAffectsOneRow(t *testing.T) {
	db := open(t, noop.New(result()))
	r, err := db.ExecContext(context.Background(), "whatever", 1, "a")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.RowsAffected(); n != 1 || err != nil {
		t.Errorf("RowsAffected() = %d, %v, want 1, nil", n, err)
	}
}

// TestAllocations keeps the driver at one allocation a query, the rows: each
// more would raise the floor that others are compared with.
func TestAllocations(t *testing.T) {
	c, err := noop.New(result(int64(1), "one")).Open("")
	if err != nil {
		t.Fatal(err)
	}
	q, ok := c.(driver.QueryerContext)
	if !ok {
		t.Fatalf("%T does not query directly", c)
	}
	ctx, dest := context.Background(), make([]driver.Value, 2)
	args := []driver.NamedValue{{Ordinal: 1, Value: int64(1)}}
	got := testing.AllocsPerRun(100, func() {
		rows, err := q.QueryContext(ctx, "whatever", args)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			err = rows.Next(dest)
		}
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	})
	if got > 1 {
		t.Errorf("a query allocates %v objects, want 1", got)
	}
}

package analysis

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"unsafe"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// liveEngine is a go-sqlite3 connection behind [Engine].
type liveEngine struct {
	conn   *sqlite3.SQLiteConn
	silent bool // no witness
}

func (e *liveEngine) Query(ctx context.Context, text string) ([][]any, error) {
	return e.rows(ctx, text, nil)
}

func (e *liveEngine) rows(ctx context.Context, text string, args []driver.NamedValue) (out [][]any, err error) {
	rows, err := e.conn.QueryContext(ctx, text, args)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for {
		row := make([]driver.Value, len(rows.Columns()))
		if err := rows.Next(row); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		values := make([]any, len(row))
		for i, v := range row {
			values[i] = v
		}
		out = append(out, values)
	}
}

func (e *liveEngine) Prepare(ctx context.Context, text string) error {
	st, err := e.conn.PrepareContext(ctx, text)
	if err != nil {
		return err
	}
	return st.Close()
}

func (e *liveEngine) Authorize(record func(op int, a, b, c string) int) bool {
	if e.silent {
		return false
	}
	e.conn.RegisterAuthorizer(record)
	return true
}

func (e *liveEngine) exec(tb testing.TB, text string) {
	tb.Helper()
	if _, err := e.conn.ExecContext(tb.Context(), text, nil); err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
}

func (e *liveEngine) catalog(tb testing.TB) *Catalog {
	tb.Helper()
	cat, err := LoadSQLite(tb.Context(), e)
	if err != nil {
		tb.Fatal(err)
	}
	return cat
}

// open returns a connection to a new database with the given schema.
func open(tb testing.TB, schema string) *liveEngine {
	tb.Helper()
	return openFile(tb, filepath.Join(tb.TempDir(), "a.db"), schema)
}

func openFile(tb testing.TB, file, schema string) *liveEngine {
	tb.Helper()
	conn, err := (&sqlite3.SQLiteDriver{}).Open(file)
	if err != nil {
		tb.Fatal(err)
	}
	c, ok := conn.(*sqlite3.SQLiteConn)
	if !ok {
		tb.Fatalf("%T is no go-sqlite3 connection", conn)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
	e := &liveEngine{conn: c}
	e.exec(tb, schema)
	return e
}

// unsafeString returns a string over b's own memory.
func unsafeString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

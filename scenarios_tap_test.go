package querycache_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"sync/atomic"
	"testing"

	"github.com/mattn/go-sqlite3"
)

// tap is go-sqlite3 with an ear on what reaches it. The cache sees the driver
// with all of its abilities.
type tap struct {
	connect func(*sqlite3.SQLiteConn) error // the application's ConnectHook

	asked  atomic.Int64 // statements that were run, those that read the schema included
	last   atomic.Pointer[string]
	before atomic.Pointer[tapHook]
	after  atomic.Pointer[tapHook]
}

// tapHook is called before a call reaches the driver, or after it has had its
// effect. Its error takes the place of the driver's. The method is connect,
// prepare, query, exec, commit or rollback.
type tapHook func(ctx context.Context, method, text string) error

// set sets both hooks; nil takes one away.
func (t *tap) set(before, after tapHook) {
	t.before.Store(nil)
	t.after.Store(nil)
	if before != nil {
		t.before.Store(&before)
	}
	if after != nil {
		t.after.Store(&after)
	}
}

func (t *tap) driver() driver.Driver {
	return &tapDriver{SQLiteDriver: sqlite3.SQLiteDriver{ConnectHook: t.connect}, tap: t}
}

// tapped counts a call and puts the hooks around it.
func tapped[T any](ctx context.Context, t *tap, method, text string, do func() (T, error)) (T, error) {
	if method == "query" || method == "exec" {
		t.asked.Add(1)
		last := method + " " + text
		t.last.Store(&last)
	}
	var none T
	if hook := t.before.Load(); hook != nil {
		if err := (*hook)(ctx, method, text); err != nil {
			return none, err
		}
	}
	v, err := do()
	if hook := t.after.Load(); hook != nil {
		if hookErr := (*hook)(ctx, method, text); hookErr != nil {
			return none, hookErr
		}
	}
	return v, err
}

type tapDriver struct {
	sqlite3.SQLiteDriver
	tap *tap
}

func (d *tapDriver) Open(dsn string) (driver.Conn, error) {
	return tapped(context.Background(), d.tap, "connect", "", func() (driver.Conn, error) {
		dc, err := d.SQLiteDriver.Open(dsn)
		if err != nil {
			return nil, err
		}
		return &tapConn{dc.(*sqlite3.SQLiteConn), d.tap}, nil //nolint:forcetypeassert // The driver's own type.
	})
}

type tapConn struct {
	*sqlite3.SQLiteConn
	tap *tap
}

func (c *tapConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return tapped(ctx, c.tap, "query", query, func() (driver.Rows, error) { return c.SQLiteConn.QueryContext(ctx, query, args) })
}

func (c *tapConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return tapped(ctx, c.tap, "exec", query, func() (driver.Result, error) { return c.SQLiteConn.ExecContext(ctx, query, args) })
}

func (c *tapConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return tapped(ctx, c.tap, "prepare", query, func() (driver.Stmt, error) {
		st, err := c.SQLiteConn.PrepareContext(ctx, query)
		if err != nil {
			return nil, err
		}
		return &tapStmt{st.(*sqlite3.SQLiteStmt), c.tap, query}, nil //nolint:forcetypeassert // The driver's own type.
	})
}

func (c *tapConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.SQLiteConn.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &tapTx{tx, c.tap}, nil
}

type tapStmt struct {
	*sqlite3.SQLiteStmt
	tap  *tap
	text string
}

func (s *tapStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return tapped(ctx, s.tap, "query", s.text, func() (driver.Rows, error) { return s.SQLiteStmt.QueryContext(ctx, args) })
}

func (s *tapStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return tapped(ctx, s.tap, "exec", s.text, func() (driver.Result, error) { return s.SQLiteStmt.ExecContext(ctx, args) })
}

type tapTx struct {
	driver.Tx
	tap *tap
}

// Commit leaves no transaction open where a hook keeps it from the driver.
func (x *tapTx) Commit() error {
	sent := false
	_, err := tapped(context.Background(), x.tap, "commit", "", func() (any, error) {
		sent = true
		return nil, x.Tx.Commit()
	})
	if !sent {
		_ = x.Tx.Rollback()
	}
	return err
}

func (x *tapTx) Rollback() error {
	_, err := tapped(context.Background(), x.tap, "rollback", "", func() (any, error) { return nil, x.Tx.Rollback() })
	return err
}

// openStage opens a database as sql.Open does, without a registered name.
func openStage(t *testing.T, d driver.Driver, dsn string) *sql.DB {
	t.Helper()
	var cn driver.Connector = tapConnector{dsn, d}
	if dc, ok := d.(driver.DriverContext); ok {
		var err error
		if cn, err = dc.OpenConnector(dsn); err != nil {
			t.Fatal(err)
		}
	}
	db := sql.OpenDB(cn)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

type tapConnector struct {
	dsn    string
	driver driver.Driver
}

func (c tapConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }

func (c tapConnector) Driver() driver.Driver { return c.driver }

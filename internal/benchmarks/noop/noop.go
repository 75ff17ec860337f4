// Package noop is a database/sql driver that does nothing: it answers every
// query with rows that already lie in memory, and every other statement with
// "one row affected". What a query costs over it is what database/sql itself
// costs, so it is the floor under every figure of the benchmarks.
//
// It has the optional interfaces of a good driver, since database/sql is slower
// without them, and allocates one object for each query, the rows.
package noop

import (
	"context"
	"database/sql/driver"
	"io"
	"reflect"
)

var (
	_ driver.DriverContext                  = (*Driver)(nil)
	_ driver.Connector                      = connector{}
	_ driver.QueryerContext                 = (*conn)(nil)
	_ driver.ExecerContext                  = (*conn)(nil)
	_ driver.ConnPrepareContext             = (*conn)(nil)
	_ driver.ConnBeginTx                    = (*conn)(nil)
	_ driver.Pinger                         = (*conn)(nil)
	_ driver.StmtQueryContext               = (*stmt)(nil)
	_ driver.StmtExecContext                = (*stmt)(nil)
	_ driver.RowsColumnTypeDatabaseTypeName = (*rows)(nil)
	_ driver.RowsColumnTypeNullable         = (*rows)(nil)
	_ driver.RowsColumnTypeScanType         = (*rows)(nil)
)

// Column describes one column of a [Result] as the imitated driver does.
type Column struct {
	Name         string
	DatabaseType string
	ScanType     reflect.Type
	Nullable     bool
}

// Result is what a query is answered with. It is shared by all queries and must
// not be changed once a [Driver] has it.
type Result struct {
	columns []Column
	names   []string
	values  []driver.Value
}

// NewResult returns a result of the given columns, whose values follow one
// another row by row.
func NewResult(columns []Column, values []driver.Value) *Result {
	r := &Result{columns: columns, values: values}
	for _, c := range columns {
		r.names = append(r.names, c.Name)
	}
	return r
}

// Driver answers every query with one of its results.
type Driver struct {
	results []*Result
}

// New returns a driver that answers with the given results, of which there must
// be at least one. Where there are several the first argument of the query, an
// integer, chooses: i is answered with the result i modulo their number.
func New(first *Result, more ...*Result) *Driver {
	return &Driver{results: append([]*Result{first}, more...)}
}

// Open returns a new connection; the name is not looked at.
func (d *Driver) Open(string) (driver.Conn, error) {
	return &conn{driver: d}, nil
}

// OpenConnector returns a connector for [database/sql.OpenDB]; the name is not looked at.
func (d *Driver) OpenConnector(string) (driver.Connector, error) {
	return connector{driver: d}, nil
}

// answer does not look at the text: a look-up by text would raise the floor, and
// so flatter whatever is compared with it.
func (d *Driver) answer(args []driver.NamedValue) *rows {
	if len(d.results) == 1 || len(args) == 0 {
		return &rows{result: d.results[0]}
	}
	i, _ := args[0].Value.(int64)
	return &rows{result: d.results[uint64(i)%uint64(len(d.results))]}
}

type connector struct {
	driver *Driver
}

func (c connector) Connect(context.Context) (driver.Conn, error) {
	return &conn{driver: c.driver}, nil
}

func (c connector) Driver() driver.Driver {
	return c.driver
}

type conn struct {
	driver *Driver
}

func (c *conn) Ping(context.Context) error {
	return nil
}

func (c *conn) QueryContext(_ context.Context, _ string, args []driver.NamedValue) (driver.Rows, error) {
	return c.driver.answer(args), nil
}

func (c *conn) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(1), nil
}

func (c *conn) Prepare(string) (driver.Stmt, error) {
	return &stmt{driver: c.driver}, nil
}

func (c *conn) PrepareContext(context.Context, string) (driver.Stmt, error) {
	return &stmt{driver: c.driver}, nil
}

func (c *conn) Begin() (driver.Tx, error) {
	return tx{}, nil
}

func (c *conn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	return tx{}, nil
}

func (c *conn) Close() error {
	return nil
}

type tx struct{}

func (tx) Commit() error {
	return nil
}

func (tx) Rollback() error {
	return nil
}

type stmt struct {
	driver *Driver
}

// NumInput answers -1, not known, since the driver does not read the text.
func (s *stmt) NumInput() int {
	return -1
}

func (s *stmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.driver.answer(named(args)), nil
}

func (s *stmt) QueryContext(_ context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.driver.answer(args), nil
}

func (s *stmt) Exec([]driver.Value) (driver.Result, error) {
	return driver.RowsAffected(1), nil
}

func (s *stmt) ExecContext(context.Context, []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(1), nil
}

func (s *stmt) Close() error {
	return nil
}

func named(args []driver.Value) []driver.NamedValue {
	out := make([]driver.NamedValue, len(args))
	for i, v := range args {
		out[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return out
}

type rows struct {
	result *Result
	next   int
}

func (r *rows) Columns() []string {
	return r.result.names
}

func (r *rows) Next(dest []driver.Value) error {
	if r.next == len(r.result.values) {
		return io.EOF
	}
	r.next += copy(dest, r.result.values[r.next:])
	return nil
}

func (r *rows) Close() error {
	return nil
}

func (r *rows) ColumnTypeDatabaseTypeName(i int) string {
	return r.result.columns[i].DatabaseType
}

func (r *rows) ColumnTypeNullable(i int) (nullable, ok bool) {
	return r.result.columns[i].Nullable, true
}

func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	return r.result.columns[i].ScanType
}

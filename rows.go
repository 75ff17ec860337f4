package querycache

import (
	"database/sql/driver"
	"io"
	"reflect"

	"github.com/querycache/querycache/internal/rowset"
)

var (
	_ driver.Rows                           = (*rows)(nil)
	_ driver.RowsNextResultSet              = (*rows)(nil)
	_ driver.RowsColumnTypeScanType         = (*rows)(nil)
	_ driver.RowsColumnTypeDatabaseTypeName = (*rows)(nil)
	_ driver.RowsColumnTypeLength           = (*rows)(nil)
	_ driver.RowsColumnTypeNullable         = (*rows)(nil)
	_ driver.RowsColumnTypePrecisionScale   = (*rows)(nil)
)

// rows are the parent's rows, watched until they are closed: a statement that
// is open pins a snapshot, one that writes is in flight. One type implements
// what any driver's rows may; for what the parent lacks it answers what
// database/sql assumes.
type rows struct {
	conn    *conn
	parent  driver.Rows // nil: closed
	writes  bool        // they count as a write in flight
	effects bool        // the statement may have changed the transaction
}

// watch hands out the parent's rows. The connection's own rows serve all but
// those that are open at the same time.
func (c *conn) watch(parent driver.Rows) *rows {
	r := &c.rows
	if r.parent != nil {
		r = &rows{}
	}
	r.conn, r.parent, r.writes, r.effects = c, parent, false, false
	c.open++
	return r
}

// Columns returns the parent's column names.
func (r *rows) Columns() []string { return r.parent.Columns() }

// Next hands out the next row.
func (r *rows) Next(dest []driver.Value) error { return r.parent.Next(dest) }

// Close closes the parent's rows.
func (r *rows) Close() error {
	if r.parent == nil {
		return nil
	}
	if r.effects {
		defer r.closed() // Also where the parent panics.
		return r.parent.Close()
	}
	err := r.parent.Close()
	r.closed()
	return err
}

// more reports whether another result set follows.
func more(parent driver.Rows) bool {
	n, ok := parent.(driver.RowsNextResultSet)
	return ok && n.HasNextResultSet()
}

func (r *rows) closed() {
	r.parent = nil
	if r.effects {
		r.conn.asked()
	}
	r.conn.closedRows(r.writes)
}

// HasNextResultSet reports whether another result set follows.
func (r *rows) HasNextResultSet() bool { return more(r.parent) }

// NextResultSet goes on to the next result set.
func (r *rows) NextResultSet() error {
	if n, ok := r.parent.(driver.RowsNextResultSet); ok {
		return n.NextResultSet()
	}
	return io.EOF
}

// ColumnTypeScanType is what the parent says of column i.
func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	return rowset.TypeOf(r.parent, i).ScanType
}

// ColumnTypeDatabaseTypeName is what the parent says of column i.
func (r *rows) ColumnTypeDatabaseTypeName(i int) string {
	return rowset.TypeOf(r.parent, i).DatabaseType
}

// ColumnTypeLength is what the parent says of column i.
func (r *rows) ColumnTypeLength(i int) (length int64, ok bool) {
	t := rowset.TypeOf(r.parent, i)
	return t.Length, t.HasLength
}

// ColumnTypeNullable is what the parent says of column i.
func (r *rows) ColumnTypeNullable(i int) (nullable, ok bool) {
	t := rowset.TypeOf(r.parent, i)
	return t.Nullable, t.HasNullable
}

// ColumnTypePrecisionScale is what the parent says of column i.
func (r *rows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	t := rowset.TypeOf(r.parent, i)
	return t.Precision, t.Scale, t.HasPrecisionScale
}

// closing is a replay whose parent reported an error when it was closed: the
// caller gets it from its own Close.
type closing struct {
	rowset.Replay
	err error
}

// Close ends the replay and reports what the parent reported.
func (r *closing) Close() error {
	_ = r.Replay.Close()
	return r.err
}

package fakedb

import (
	"context"
	"database/sql/driver"
	"io"
	"reflect"
	"time"
)

// rows is a result with every method; its shape hides some. Which rows it has
// was settled when the statement ran.
type rows struct {
	ctx    context.Context // the query's: it ends the rows as well
	conn   *conn
	text   string
	result *Result
	at     int
	closed bool
	// effect is the write that waits for Close.
	effect func() error
	// buffers hold one byte slice for each column where rows share their memory.
	buffers [][]byte
}

// newRows chains the results that have columns; a text without any gives rows
// without columns.
func newRows(ctx context.Context, c *conn, text string, results []*Result, effect func() error) *rows {
	r := &rows{ctx: ctx, conn: c, text: text, effect: effect}
	tail := &r.result
	for _, res := range results {
		if len(res.Columns) == 0 {
			continue
		}
		one := *res
		*tail = &one
		for *tail != nil {
			tail = &(*tail).Next
		}
	}
	if r.result == nil {
		r.result = new(Result)
	}
	return r
}

// Columns implements [driver.Rows].
func (r *rows) Columns() []string {
	names := make([]string, len(r.result.Columns))
	for i, c := range r.result.Columns {
		names[i] = c.Name
	}
	return names
}

// Next implements [driver.Rows].
func (r *rows) Next(dest []driver.Value) error {
	return r.conn.do(r.ctx, Call{Method: "Rows.Next", Text: r.text}, func() error {
		if r.closed {
			r.conn.db.violate("c%d Rows.Next after Close", r.conn.id)
			return io.EOF
		}
		if err := r.ctx.Err(); err != nil {
			return err
		}
		if r.at >= len(r.result.Rows) {
			return io.EOF
		}
		row := r.result.Rows[r.at]
		r.at++
		r.scribble()
		for i, v := range row {
			if b, ok := v.([]byte); ok {
				v = r.bytes(i, b)
			}
			dest[i] = v
		}
		return nil
	})
}

// bytes returns a copy of b for column i, in the shared memory where the
// profile says so.
func (r *rows) bytes(i int, b []byte) []byte {
	if !r.conn.db.profile.ReuseBuffers || len(b) == 0 {
		return cloneBytes(b)
	}
	for len(r.buffers) <= i {
		r.buffers = append(r.buffers, nil)
	}
	r.buffers[i] = append(r.buffers[i][:0], b...)
	return r.buffers[i]
}

// scribble spoils what earlier rows returned from the shared memory.
func (r *rows) scribble() {
	for _, b := range r.buffers {
		b = b[:cap(b)]
		for i := range b {
			b[i] = '#'
		}
	}
}

// Close implements [driver.Rows].
func (r *rows) Close() error {
	return r.conn.do(context.Background(), Call{Method: "Rows.Close", Text: r.text}, func() error {
		if r.closed {
			r.conn.db.violate("c%d rows of %q closed twice", r.conn.id, r.text)
			return nil
		}
		r.closed = true
		r.scribble()
		r.conn.count(Counts{Rows: -1})
		if r.effect != nil && !r.conn.lost {
			return r.effect()
		}
		return nil
	})
}

// HasNextResultSet implements [driver.RowsNextResultSet].
func (r *rows) HasNextResultSet() bool { return r.result.Next != nil }

// NextResultSet implements [driver.RowsNextResultSet].
func (r *rows) NextResultSet() error {
	return r.conn.do(r.ctx, Call{Method: "Rows.NextResultSet", Text: r.text}, func() error {
		if r.result.Next == nil {
			return io.EOF
		}
		r.result, r.at, r.buffers = r.result.Next, 0, nil
		return nil
	})
}

var scanTypes = map[string]reflect.Type{
	"INTEGER":   reflect.TypeFor[int64](),
	"REAL":      reflect.TypeFor[float64](),
	"TEXT":      reflect.TypeFor[string](),
	"VARCHAR":   reflect.TypeFor[string](),
	"DECIMAL":   reflect.TypeFor[string](),
	"BLOB":      reflect.TypeFor[[]byte](),
	"BOOLEAN":   reflect.TypeFor[bool](),
	"TIMESTAMP": reflect.TypeFor[time.Time](),
}

// ColumnTypeScanType implements [driver.RowsColumnTypeScanType].
func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	if t := scanTypes[r.result.Columns[i].Type]; t != nil {
		return t
	}
	return reflect.TypeFor[any]()
}

// ColumnTypeDatabaseTypeName implements [driver.RowsColumnTypeDatabaseTypeName].
func (r *rows) ColumnTypeDatabaseTypeName(i int) string { return r.result.Columns[i].Type }

// ColumnTypeLength implements [driver.RowsColumnTypeLength].
func (r *rows) ColumnTypeLength(i int) (length int64, ok bool) {
	n := r.result.Columns[i].Length
	return n, n > 0
}

// ColumnTypeNullable implements [driver.RowsColumnTypeNullable]. It does not
// know for an expression.
func (r *rows) ColumnTypeNullable(i int) (nullable, ok bool) {
	c := r.result.Columns[i]
	return c.Nullable, c.Type != ""
}

// ColumnTypePrecisionScale implements [driver.RowsColumnTypePrecisionScale].
func (r *rows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	c := r.result.Columns[i]
	return c.Precision, c.Scale, c.Precision > 0
}

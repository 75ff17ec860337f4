package rowset

import (
	"database/sql/driver"
	"io"
	"reflect"
)

var (
	_ driver.Rows                           = (*Replay)(nil)
	_ driver.RowsNextResultSet              = (*Replay)(nil)
	_ driver.RowsColumnTypeScanType         = (*Replay)(nil)
	_ driver.RowsColumnTypeDatabaseTypeName = (*Replay)(nil)
	_ driver.RowsColumnTypeLength           = (*Replay)(nil)
	_ driver.RowsColumnTypeNullable         = (*Replay)(nil)
	_ driver.RowsColumnTypePrecisionScale   = (*Replay)(nil)
)

// namesBlock is how many column names are allocated at once: a caller may keep
// and change the slice that it got, so each replay needs one of its own, but
// not an allocation of its own.
const namesBlock = 128

// bytesBlock is the least block that byte values are copied into.
const bytesBlock = 4 << 10

// Replay hands out a [Result] as a driver's rows. The zero value is closed;
// [Replay.Open] makes it ready, again and again.
type Replay struct {
	result *Result
	next   int // index into result.values
	left   int // bytes of byte values not yet handed out
	names  []string
	spare  []string // from which names are cut
	block  []byte   // from which byte values are cut
}

// Open makes r replay result from its first row.
func (r *Replay) Open(result *Result) {
	r.result, r.next, r.left = result, 0, result.bytes
	r.names, r.block = nil, nil
}

// InUse reports whether r was opened and not closed.
func (r *Replay) InUse() bool { return r.result != nil }

// Columns returns the column names, in a slice that the caller may change.
func (r *Replay) Columns() []string {
	if r.result == nil {
		return nil
	}
	names := r.result.columns.names
	if len(r.names) != len(names) {
		if len(r.spare) < len(names) {
			r.spare = make([]string, max(namesBlock, len(names)))
		}
		r.names = r.spare[:len(names):len(names)]
		r.spare = r.spare[len(names):]
		copy(r.names, names)
	}
	return r.names
}

// Close ends the replay.
func (r *Replay) Close() error {
	r.result, r.names, r.block = nil, nil, nil
	return nil
}

// Next copies the next row into dest.
func (r *Replay) Next(dest []driver.Value) error {
	if r.result == nil || r.next >= len(r.result.values) {
		if r.result == nil || len(r.result.columns.names) > 0 || r.next >= r.result.rows {
			return io.EOF
		}
		r.next++ // A row without columns.
		return nil
	}
	n := copy(dest, r.result.values[r.next:r.next+len(r.result.columns.names)])
	r.next += len(r.result.columns.names)
	if r.result.bytes > 0 {
		r.own(dest[:n])
	}
	return nil
}

// own replaces the shared byte slices in dest by copies.
func (r *Replay) own(dest []driver.Value) {
	for i, v := range dest {
		b, ok := v.([]byte)
		if !ok || len(b) == 0 {
			continue
		}
		if cap(r.block)-len(r.block) < len(b) {
			r.block = make([]byte, 0, max(len(b), min(r.left, bytesBlock)))
		}
		start := len(r.block)
		r.block = append(r.block, b...)
		dest[i] = r.block[start:len(r.block):len(r.block)]
		r.left -= len(b)
	}
}

// HasNextResultSet reports false: a recorded result is the only one.
func (*Replay) HasNextResultSet() bool { return false }

// NextResultSet answers io.EOF: a recorded result is the only one.
func (*Replay) NextResultSet() error { return io.EOF }

// ColumnTypeScanType is what the parent said of column i.
func (r *Replay) ColumnTypeScanType(i int) reflect.Type {
	return r.result.columns.types[i].ScanType
}

// ColumnTypeDatabaseTypeName is what the parent said of column i.
func (r *Replay) ColumnTypeDatabaseTypeName(i int) string {
	return r.result.columns.types[i].DatabaseType
}

// ColumnTypeLength is what the parent said of column i.
func (r *Replay) ColumnTypeLength(i int) (length int64, ok bool) {
	t := &r.result.columns.types[i]
	return t.Length, t.HasLength
}

// ColumnTypeNullable is what the parent said of column i.
func (r *Replay) ColumnTypeNullable(i int) (nullable, ok bool) {
	t := &r.result.columns.types[i]
	return t.Nullable, t.HasNullable
}

// ColumnTypePrecisionScale is what the parent said of column i.
func (r *Replay) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	t := &r.result.columns.types[i]
	return t.Precision, t.Scale, t.HasPrecisionScale
}

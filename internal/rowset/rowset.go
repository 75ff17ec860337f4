// Package rowset records the rows of a query and replays them.
//
// A [Result] is immutable and shared by every caller that is served from it:
// what a caller may write into (byte slices, the slice of column names) is
// copied when it is recorded and again when it is replayed.
package rowset

import (
	"database/sql/driver"
	"reflect"
	"slices"
	"time"
)

// ColumnType is what a driver says of one column. A driver that says nothing
// leaves what database/sql assumes: no type name, a scan type of any, the rest
// unknown.
type ColumnType struct {
	DatabaseType      string
	ScanType          reflect.Type
	Length            int64
	Precision, Scale  int64
	Nullable          bool
	HasLength         bool
	HasNullable       bool
	HasPrecisionScale bool
}

// Columns are the names and types of a result's columns.
type Columns struct {
	names []string
	types []ColumnType
}

var anyType = reflect.TypeFor[any]()

// TypeOf is what rows say of column i.
func TypeOf(rows driver.Rows, i int) ColumnType {
	t := ColumnType{ScanType: anyType}
	if r, ok := rows.(driver.RowsColumnTypeDatabaseTypeName); ok {
		t.DatabaseType = r.ColumnTypeDatabaseTypeName(i)
	}
	if r, ok := rows.(driver.RowsColumnTypeScanType); ok {
		t.ScanType = r.ColumnTypeScanType(i)
	}
	if r, ok := rows.(driver.RowsColumnTypeLength); ok {
		t.Length, t.HasLength = r.ColumnTypeLength(i)
	}
	if r, ok := rows.(driver.RowsColumnTypeNullable); ok {
		t.Nullable, t.HasNullable = r.ColumnTypeNullable(i)
	}
	if r, ok := rows.(driver.RowsColumnTypePrecisionScale); ok {
		t.Precision, t.Scale, t.HasPrecisionScale = r.ColumnTypePrecisionScale(i)
	}
	return t
}

// Describe captures the columns of open rows.
func Describe(rows driver.Rows) *Columns {
	c := &Columns{names: slices.Clone(rows.Columns())}
	c.types = make([]ColumnType, len(c.names))
	for i := range c.types {
		c.types[i] = TypeOf(rows, i)
	}
	return c
}

// Named reports whether the columns have exactly these names.
func (c *Columns) Named(names []string) bool { return slices.Equal(c.names, names) }

// Len is the number of columns.
func (c *Columns) Len() int { return len(c.names) }

// Names are the column names, in a slice of the caller's own.
func (c *Columns) Names() []string { return slices.Clone(c.names) }

// Type is what the driver said of column i.
func (c *Columns) Type(i int) ColumnType { return c.types[i] }

// Bytes of the parts of a value beside its payload.
const (
	valueSize  = 16 // the interface
	boxedSize  = 8  // an int64 or float64 behind it
	stringSize = 16
	bytesSize  = 24
	timeSize   = 24
	columnSize = 128
	resultSize = 128
)

func (c *Columns) size() int64 {
	var n int64
	for i := range c.names {
		n += int64(len(c.names[i])+len(c.types[i].DatabaseType)) + columnSize
	}
	return n
}

// Result is the whole of one result set, in memory. It is immutable.
type Result struct {
	columns *Columns
	values  []driver.Value // row after row
	rows    int
	bytes   int // of all byte slices, so that a replay copies them into few blocks
	size    int64
}

// Rows is the number of rows.
func (r *Result) Rows() int { return r.rows }

// Size is the memory that the result holds, in bytes.
func (r *Result) Size() int64 { return r.size }

// Recorder collects rows up to a number of bytes. It is used again and again:
// [Recorder.Open] begins a recording.
type Recorder struct {
	columns *Columns
	width   int
	values  []driver.Value
	rows    int
	bytes   int
	size    int64
	limit   int64
	over    bool // past the limit, or a value that cannot be shared
}

// spareValues bounds the values for which a recorder keeps room between
// recordings.
const spareValues = 4 << 10

// Open begins a recording of rows with the given columns that keeps at most
// limit bytes.
func (r *Recorder) Open(columns *Columns, limit int64) {
	*r = Recorder{
		columns: columns,
		width:   len(columns.names),
		values:  r.values[:0],
		size:    columns.size() + resultSize,
		limit:   limit,
	}
}

// Move returns a recorder that goes on with the recording and leaves r empty.
func (r *Recorder) Move() *Recorder {
	m := *r
	*r = Recorder{}
	return &m
}

// Dest is where the parent's Next puts the next row.
func (r *Recorder) Dest() []driver.Value {
	n := len(r.values)
	r.values = slices.Grow(r.values, r.width)
	return r.values[n : n+r.width : n+r.width]
}

// Keep keeps the row last put into [Recorder.Dest]. It reports whether the
// recording can still become a [Result]; the row is kept in any case, so that
// what was read can be handed out.
func (r *Recorder) Keep() bool {
	n := len(r.values)
	r.values = r.values[:n+r.width]
	r.rows++
	for i, v := range r.values[n:] {
		size := int64(valueSize)
		switch v := v.(type) {
		case nil, bool:
		case int64, float64:
			size += boxedSize
		case string:
			size += stringSize + int64(len(v))
		case []byte:
			size += bytesSize + int64(len(v))
			r.bytes += len(v)
			r.values[n+i] = clone(v)
		case time.Time:
			size += timeSize
		case int, int8, int16, int32, uint, uint8, uint16, uint32, uint64, float32:
			size += boxedSize
		default:
			r.over = true // Of another type nobody knows whether a copy shares memory.
		}
		r.size += size
	}
	if r.size > r.limit {
		r.over = true
	}
	return !r.over
}

// Append keeps a copy of a row that has been handed out, as [Recorder.Keep]
// does.
func (r *Recorder) Append(row []driver.Value) bool {
	copy(r.Dest(), row)
	return r.Keep()
}

// Rows is how many rows were recorded so far.
func (r *Recorder) Rows() int { return r.rows }

// Row copies row i into dest. It reports false where there is none yet.
func (r *Recorder) Row(i int, dest []driver.Value) bool {
	if i >= r.rows {
		return false
	}
	n := copy(dest, r.values[i*r.width:(i+1)*r.width])
	Own(dest[:n])
	return true
}

// Over reports whether the recording went past its limit or met a value that
// cannot be shared.
func (r *Recorder) Over() bool { return r.over }

// Result ends the recording. It must not be asked for where [Recorder.Over] is
// true.
func (r *Recorder) Result() Result {
	result := Result{columns: r.columns, rows: r.rows, bytes: r.bytes, size: r.size}
	result.values = append(make([]driver.Value, 0, len(r.values)), r.values...)
	clear(r.values)
	if cap(r.values) > spareValues {
		r.values = nil
	}
	r.values = r.values[:0]
	return result
}

// Own replaces the byte slices of a row by copies that a caller may change.
func Own(row []driver.Value) {
	for i, v := range row {
		if b, ok := v.([]byte); ok {
			row[i] = clone(b)
		}
	}
}

// clone copies a byte slice and keeps nil apart from empty.
func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}

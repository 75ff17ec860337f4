package rowset_test

import (
	"database/sql"
	"database/sql/driver"
	"io"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/querycache/querycache/internal/rowset"
)

// table is a driver's rows without any optional interface.
type table struct {
	names []string
	rows  [][]driver.Value
	next  int
}

func (t *table) Columns() []string { return t.names }
func (*table) Close() error        { return nil }

func (t *table) Next(dest []driver.Value) error {
	if t.next == len(t.rows) {
		return io.EOF
	}
	copy(dest, t.rows[t.next])
	t.next++
	return nil
}

// typedTable says all that rows can say of their columns.
type typedTable struct{ table }

func (*typedTable) ColumnTypeDatabaseTypeName(i int) string { return "TYPE" + strconv.Itoa(i) }
func (*typedTable) ColumnTypeScanType(int) reflect.Type     { return reflect.TypeFor[sql.NullString]() }
func (*typedTable) ColumnTypeLength(i int) (int64, bool)    { return int64(i) * 10, i > 0 }
func (*typedTable) ColumnTypeNullable(i int) (bool, bool)   { return i == 0, i < 2 }

func (*typedTable) ColumnTypePrecisionScale(i int) (int64, int64, bool) {
	return int64(i), int64(i + 1), i == 1
}

const unlimited = math.MaxInt64

// record reads all of rows, as a query that misses does.
func record(t testing.TB, rows driver.Rows, limit int64) (*rowset.Result, bool) {
	t.Helper()
	var rec rowset.Recorder
	rec.Open(rowset.Describe(rows), limit)
	for {
		err := rows.Next(rec.Dest())
		if err == io.EOF { //nolint:errorlint // By identity, as database/sql does.
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !rec.Keep() {
			break
		}
	}
	if rec.Over() {
		return nil, false
	}
	result := rec.Result()
	return &result, true
}

func recorded(t testing.TB, names []string, rows ...[]driver.Value) *rowset.Result {
	t.Helper()
	result, ok := record(t, &table{names: names, rows: rows}, unlimited)
	if !ok {
		t.Fatal("past the limit")
	}
	return result
}

// replayed reads all rows of a result.
func replayed(t testing.TB, result *rowset.Result) [][]driver.Value {
	t.Helper()
	var r rowset.Replay
	r.Open(result)
	rows := drain(t, &r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return rows
}

func drain(t testing.TB, r driver.Rows) [][]driver.Value {
	t.Helper()
	var rows [][]driver.Value
	for {
		dest := make([]driver.Value, len(r.Columns()))
		err := r.Next(dest)
		if err == io.EOF { //nolint:errorlint // By identity, as database/sql does.
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, dest)
	}
}

// sameValues compares values and their Go types, NaN and zones included.
func sameValues(t *testing.T, what string, want, got [][]driver.Value) {
	t.Helper()
	nan := cmp.FilterValues(func(a, b float64) bool { return math.IsNaN(a) && math.IsNaN(b) }, cmp.Comparer(func(float64, float64) bool { return true }))
	zoned := cmp.Comparer(func(a, b time.Time) bool { return a.Format(time.RFC3339Nano) == b.Format(time.RFC3339Nano) })
	if diff := cmp.Diff(want, got, nan, zoned); diff != "" {
		t.Errorf("%s: (-want +got)\n%s", what, diff)
	}
}

func TestEveryKindOfValue(t *testing.T) {
	zone := time.FixedZone("CET", 3600)
	rows := [][]driver.Value{
		{int64(math.MinInt64)},
		{int64(0)},
		{int64(1)},
		{1.0},
		{math.Inf(-1)},
		{math.NaN()},
		{math.Copysign(0, -1)},
		{true},
		{false},
		{nil},
		{""},
		{"1"},
		{"a b"},
		{"\x00\xff"},
		{[]byte(nil)},
		{[]byte{}},
		{[]byte("1")},
		{[]byte{0, 255}},
		{time.Time{}},
		{time.Date(2024, 2, 29, 1, 2, 3, 4, time.UTC)},
		{time.Date(2024, 2, 29, 1, 2, 3, 4, zone)},
		{int(1)},
		{int8(-1)},
		{int16(2)},
		{int32(3)},
		{uint(4)},
		{uint8(5)},
		{uint16(6)},
		{uint32(7)},
		{uint64(math.MaxUint64)},
		{float32(1.5)},
	}
	result := recorded(t, []string{"v"}, rows...)
	if result.Rows() != len(rows) {
		t.Errorf("%d rows, want %d", result.Rows(), len(rows))
	}
	for range 2 {
		sameValues(t, "replay", rows, replayed(t, result))
	}
}

// TestUnshareableValues records values of types that may share memory with the
// driver: the row is handed out, and nothing is stored.
func TestUnshareableValues(t *testing.T) {
	for _, v := range []driver.Value{[]string{"a"}, sql.RawBytes("a"), &struct{}{}, map[string]int{}, struct{ p *int }{}, [2]byte{}} {
		var rec rowset.Recorder
		rec.Open(rowset.Describe(&table{names: []string{"a", "b"}}), unlimited)
		if !rec.Append([]driver.Value{int64(1), nil}) {
			t.Fatal("past the limit")
		}
		if rec.Append([]driver.Value{int64(2), v}) || !rec.Over() {
			t.Errorf("a %T is recorded", v)
		}
		first, second := make([]driver.Value, 2), make([]driver.Value, 2)
		if rec.Rows() != 2 || !rec.Row(0, first) || !rec.Row(1, second) || rec.Row(2, second) ||
			!reflect.DeepEqual(append(first, second...), []driver.Value{int64(1), nil, int64(2), v}) {
			t.Errorf("the rows read are %v and %v, %d of them", first, second, rec.Rows())
		}
	}
}

func TestNoRows(t *testing.T) {
	result := recorded(t, []string{"a", "b"})
	var r rowset.Replay
	r.Open(result)
	if diff := cmp.Diff([]string{"a", "b"}, r.Columns()); diff != "" {
		t.Error(diff)
	}
	for range 2 {
		if err := r.Next(make([]driver.Value, 2)); err != io.EOF { //nolint:errorlint // By identity, as database/sql does.
			t.Errorf("Next answers %v", err)
		}
	}
	if result.Rows() != 0 {
		t.Errorf("%d rows", result.Rows())
	}
}

func TestNoColumns(t *testing.T) {
	result := recorded(t, nil, []driver.Value{}, []driver.Value{}, []driver.Value{})
	for range 2 {
		if got := replayed(t, result); len(got) != 3 || len(got[0]) != 0 {
			t.Errorf("replayed %v, want three rows without columns", got)
		}
	}
}

func TestColumnNames(t *testing.T) {
	names := []string{"a", "a", "", "COUNT( * )", "ä"}
	result := recorded(t, names, make([]driver.Value, 5))
	var r rowset.Replay
	r.Open(result)
	if diff := cmp.Diff(names, r.Columns()); diff != "" {
		t.Error(diff)
	}
}

// TestDriverReusesBuffers has a driver write each row into the memory of the
// one before, and over the last one at the end. Without the clone in
// Recorder.Keep every row of the replay is the last one.
func TestDriverReusesBuffers(t *testing.T) {
	buffer := make([]byte, 3)
	var rec rowset.Recorder
	rec.Open(rowset.Describe(&table{names: []string{"v", "n"}}), unlimited)
	var want [][]driver.Value
	for i := range 5 {
		for j := range buffer {
			buffer[j] = byte('a' + i)
		}
		dest := rec.Dest()
		dest[0], dest[1] = buffer[:i%4], int64(i)
		rec.Keep()
		want = append(want, []driver.Value{[]byte(strings.Repeat(string(rune('a'+i)), i%4)), int64(i)})
	}
	copy(buffer, "xxx")
	result := rec.Result()
	for range 2 {
		sameValues(t, "replay", want, replayed(t, &result))
	}
}

// TestCallerWrites has callers write into all that they are handed, on the pass
// that fills and on hits, and append to it. Without the copies that it is for,
// the next replay shows what was written: without Replay.own the bytes, with
// Columns returning the shared slice the names, without the cap in own's
// r.block[start:len:len] the neighbour of an appended value.
func TestCallerWrites(t *testing.T) {
	want := func() [][]driver.Value {
		return [][]driver.Value{{[]byte("one"), "s", []byte("uno")}, {[]byte{}, "t", []byte("due")}, {[]byte(nil), "u", []byte("tre")}}
	}
	source := &table{names: []string{"a", "b", "c"}, rows: want()}
	result, ok := record(t, source, unlimited)
	if !ok {
		t.Fatal("past the limit")
	}
	source.names[0] = "driver"
	for _, row := range source.rows {
		for _, v := range row {
			scribble(v)
		}
	}
	for range 3 {
		var r rowset.Replay
		for range 2 { // A replay is used again by its connection.
			r.Open(result)
			names := r.Columns()
			if diff := cmp.Diff([]string{"a", "b", "c"}, names); diff != "" {
				t.Fatal(diff)
			}
			got := drain(t, &r)
			sameValues(t, "replay", want(), got)
			for _, row := range slices.Backward(got) {
				for _, v := range slices.Backward(row) {
					scribble(v) // Last first: what runs over hits what was written before.
				}
			}
			sameValues(t, "a value appended to reached its neighbour", [][]driver.Value{{[]byte("!!!")}}, [][]driver.Value{{got[0][2]}})
			for i := range names {
				names[i] = "caller"
			}
			_ = append(names, "more")
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// scribble writes into bytes and past their end.
func scribble(v driver.Value) {
	b, ok := v.([]byte)
	if !ok {
		return
	}
	for i := range b {
		b[i] = '!'
	}
	_ = append(b, "?????"...)
}

// TestValuesOutliveTheReplay keeps what one replay handed out while the next
// one of the same Replay runs. Without the cap of the slice in Replay.Columns
// the next replay overwrites what was appended to the names.
func TestValuesOutliveTheReplay(t *testing.T) {
	first := recorded(t, []string{"a"}, []driver.Value{[]byte("first")})
	second := recorded(t, []string{"b"}, []driver.Value{[]byte("other")})
	var r rowset.Replay
	r.Open(first)
	names, rows := append(r.Columns(), "mine"), drain(t, &r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.Open(second)
	r.Columns()
	drain(t, &r)
	if diff := cmp.Diff([]string{"a", "mine"}, names); diff != "" {
		t.Errorf("the names changed: (-want +got)\n%s", diff)
	}
	sameValues(t, "values", [][]driver.Value{{[]byte("first")}}, rows)
}

func TestOwn(t *testing.T) {
	b := []byte("abc")
	row := []driver.Value{b, nil, int64(1), []byte(nil), []byte{}, "s"}
	rowset.Own(row)
	scribble(b)
	sameValues(t, "row", [][]driver.Value{{[]byte("abc"), nil, int64(1), []byte(nil), []byte{}, "s"}}, [][]driver.Value{row})
}

func TestColumnTypes(t *testing.T) {
	for _, tt := range []struct {
		name string
		rows driver.Rows
	}{
		{"none", &table{names: []string{"a", "b", "c"}}},
		{"all", &typedTable{table{names: []string{"a", "b", "c"}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			result, _ := record(t, tt.rows, unlimited)
			var r rowset.Replay
			r.Open(result)
			for i := range 3 {
				if want, got := rowset.TypeOf(tt.rows, i), rowset.TypeOf(&r, i); want != got {
					t.Errorf("column %d is %+v, want %+v", i, got, want)
				}
			}
		})
	}
	// What database/sql assumes where a driver says nothing.
	if got, want := rowset.TypeOf(&table{}, 0), (rowset.ColumnType{ScanType: reflect.TypeFor[any]()}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestNamed(t *testing.T) {
	c := rowset.Describe(&table{names: []string{"a", "b"}})
	for _, tt := range []struct {
		names []string
		want  bool
	}{{[]string{"a", "b"}, true}, {[]string{"a"}, false}, {[]string{"b", "a"}, false}, {[]string{"a", "B"}, false}, {nil, false}} {
		if got := c.Named(tt.names); got != tt.want {
			t.Errorf("Named(%q) is %v", tt.names, got)
		}
	}
}

func TestOneResultSet(t *testing.T) {
	var r rowset.Replay
	r.Open(recorded(t, []string{"a"}, []driver.Value{nil}))
	if r.HasNextResultSet() {
		t.Error("another result set")
	}
	if err := r.NextResultSet(); err != io.EOF { //nolint:errorlint // By identity, as database/sql does.
		t.Errorf("NextResultSet answers %v", err)
	}
}

func TestClosedReplay(t *testing.T) {
	var r rowset.Replay
	for range 2 {
		if r.InUse() || r.Columns() != nil || r.Next(make([]driver.Value, 1)) != io.EOF { //nolint:errorlint // By identity, as database/sql does.
			t.Error("a closed replay has rows")
		}
		r.Open(recorded(t, []string{"a"}, []driver.Value{nil}))
		if !r.InUse() {
			t.Error("an open replay is not in use")
		}
		for range 2 {
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestLimit records up to a number of bytes and one row past it, which is kept
// so that the caller gets it.
func TestLimit(t *testing.T) {
	row := []driver.Value{strings.Repeat("x", 1000)}
	rows := make([][]driver.Value, 100)
	for i := range rows {
		rows[i] = row
	}
	small := recorded(t, []string{"a"}, rows[:10]...).Size()
	if _, ok := record(t, &table{names: []string{"a"}, rows: rows[:10]}, small); !ok {
		t.Error("a result of just the limit is refused")
	}
	if _, ok := record(t, &table{names: []string{"a"}, rows: rows[:10]}, small-1); ok {
		t.Error("a result of one byte more than the limit is stored")
	}
	source := &table{names: []string{"a"}, rows: rows}
	var rec rowset.Recorder
	rec.Open(rowset.Describe(source), small)
	for source.Next(rec.Dest()) == nil && rec.Keep() {
	}
	if n := rec.Rows(); n != 11 || source.next != 11 {
		t.Errorf("%d rows kept of %d read, want 11", n, source.next)
	}
}

// TestRecorderIsUsedAgain has one recorder record one result after another; each
// is whole and unchanged by the next.
func TestRecorderIsUsedAgain(t *testing.T) {
	var rec rowset.Recorder
	columns := rowset.Describe(&table{names: []string{"a"}})
	results := make([]rowset.Result, 20)
	for i := range results {
		rec.Open(columns, unlimited)
		for j := range i {
			rec.Append([]driver.Value{[]byte{byte(i), byte(j)}})
		}
		results[i] = rec.Result()
	}
	rec.Open(columns, 0) // Past the limit at once: nothing of it may stay.
	rec.Append([]driver.Value{"x"})
	if !rec.Over() {
		t.Error("not past the limit")
	}
	moved := rec.Move()
	if n := moved.Rows(); n != 1 {
		t.Errorf("%d rows went on", n)
	}
	if n := rec.Rows(); n != 0 || rec.Row(0, nil) {
		t.Errorf("%d rows stayed", n)
	}
	for i := range results {
		var want [][]driver.Value
		for j := range i {
			want = append(want, []driver.Value{[]byte{byte(i), byte(j)}})
		}
		sameValues(t, "result", want, replayed(t, &results[i]))
	}
}

// TestRecorderPinsNothing drops a result: the recorder, which lives as long as
// its connection, must not hold on to what was in it. Without the clear in
// Recorder.Result it does.
func TestRecorderPinsNothing(t *testing.T) {
	var rec rowset.Recorder
	columns := rowset.Describe(&table{names: []string{"a"}})
	heap := held(func() {
		rec.Open(columns, unlimited)
		rec.Append([]driver.Value{strings.Repeat("x", 10<<20)})
		_ = rec.Result()
	})
	if heap > 1<<20 {
		t.Errorf("%d bytes stay", heap)
	}
	runtime.KeepAlive(&rec)
}

// TestSizeIsReal compares what a result is charged with what it holds on the
// heap. It must not be less than half of that, or MaxBytes would mean nothing,
// nor more than twice.
func TestSizeIsReal(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name  string
		value func(i int) driver.Value
	}{
		{"integers", func(i int) driver.Value { return int64(i) << 20 }},
		{"small integers", func(i int) driver.Value { return int64(i % 200) }},
		{"floats", func(i int) driver.Value { return float64(i) + 0.5 }},
		{"nothing", func(int) driver.Value { return nil }},
		{"booleans", func(i int) driver.Value { return i%2 == 0 }},
		{"times", func(i int) driver.Value { return now.Add(time.Duration(i)) }},
		{"short texts", func(i int) driver.Value { return "t" + strconv.Itoa(i) }},
		{"texts", func(i int) driver.Value { return strings.Repeat("x", 70+i%7) }},
		{"long texts", func(i int) driver.Value { return strings.Repeat("x", 1100+i%7) }},
		{"empty bytes", func(int) driver.Value { return []byte{} }},
		{"short bytes", func(i int) driver.Value { return []byte(strconv.Itoa(i)) }},
		{"bytes", func(i int) driver.Value { return make([]byte, 90+i%7) }},
		{"long bytes", func(int) driver.Value { return make([]byte, 1<<14) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const width = 3
			rows := 4000
			if strings.HasPrefix(tt.name, "long") {
				rows = 400
			}
			var results []*rowset.Result
			var size int64
			heap := held(func() {
				for range 3 {
					source := &generated{rows: rows, width: width, value: tt.value}
					result, ok := record(t, source, unlimited)
					if !ok {
						t.Fatal("past the limit")
					}
					size += result.Size()
					results = append(results, result)
				}
			})
			if ratio := float64(size) / float64(heap); ratio < 0.5 || ratio > 2 {
				t.Errorf("charged %d bytes for %d on the heap: %.2f", size, heap, ratio)
			} else {
				t.Logf("charged %d bytes for %d on the heap: %.2f", size, heap, ratio)
			}
			runtime.KeepAlive(results)
		})
	}
}

// generated makes each value as it is asked for, so that only the result holds it.
type generated struct {
	rows, width int
	value       func(i int) driver.Value
	next        int
}

func (g *generated) Columns() []string { return []string{"a", "b", "c"}[:g.width] }
func (*generated) Close() error        { return nil }

func (g *generated) Next(dest []driver.Value) error {
	if g.next == g.rows*g.width {
		return io.EOF
	}
	for i := range g.width {
		dest[i] = g.value(g.next)
		g.next++
	}
	return nil
}

// held is by how much the heap grows through f for good.
func held(f func()) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

// TestReplayAllocations bounds what a hit allocates below database/sql: nothing
// but copies of byte values, in few blocks, and their headers.
func TestReplayAllocations(t *testing.T) {
	plain, mixed := make([][]driver.Value, 100), make([][]driver.Value, 100)
	for i := range plain {
		plain[i] = []driver.Value{int64(i) << 20, "some text", 2.5, nil, true, time.Now()}
		mixed[i] = []driver.Value{int64(i), "some text", 2.5, nil, true, []byte("twenty bytes of text")}
	}
	names := []string{"a", "b", "c", "d", "e", "f"}
	for _, tt := range []struct {
		name string
		rows [][]driver.Value
		most float64
	}{
		{"one row", plain[:1], 0.1},
		{"100 rows", plain, 0.1},
		{"one row with bytes", mixed[:1], 2.1},
		{"100 rows with bytes", mixed, 101.1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			result := recorded(t, names, tt.rows...)
			var r rowset.Replay
			dest := make([]driver.Value, len(names))
			got := testing.AllocsPerRun(1000, func() {
				r.Open(result)
				r.Columns()
				for r.Next(dest) == nil {
				}
				_ = r.Close()
			})
			if got > tt.most {
				t.Errorf("%v allocations, want at most %v", got, tt.most)
			}
		})
	}
}

// TestRecordAllocations bounds what a recording allocates beside byte values:
// the values of the result, in one block.
func TestRecordAllocations(t *testing.T) {
	rows := make([][]driver.Value, 100)
	for i := range rows {
		rows[i] = []driver.Value{int64(i), "text"}
	}
	source := &table{names: []string{"a", "b"}, rows: rows}
	columns := rowset.Describe(source)
	var rec rowset.Recorder
	got := testing.AllocsPerRun(100, func() {
		source.next = 0
		rec.Open(columns, unlimited)
		for source.Next(rec.Dest()) == nil && rec.Keep() {
		}
		_ = rec.Result()
	})
	if got > 1 {
		t.Errorf("%v allocations, want 1", got)
	}
}

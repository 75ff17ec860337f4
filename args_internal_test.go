package querycache

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"
	"unsafe"
)

// Types of a client's own that a driver may ask for more than their content.
type (
	stringer  int64
	scanned   string
	valuer    struct{ n int64 }
	listed    []string
	arrayed   [16]byte
	endless   *endless
	embedding struct{ sql.NullInt64 }
	decimal   struct{}
	bytesOf   []element
	element   uint8
	elements  []stringer
	asPointer *valuer
)

func (stringer) String() string               { return "s" }
func (*scanned) Scan(any) error               { return nil }
func (v valuer) Value() (driver.Value, error) { return v.n, nil }
func (listed) Value() (driver.Value, error)   { return "{}", nil }
func (arrayed) MarshalText() ([]byte, error)  { return nil, nil }
func (element) String() string                { return "e" }
func (decimal) Decompose([]byte) (byte, bool, []byte, int32) {
	return 0, false, nil, 0
}

// TestUnkeyableArguments leaves to the parent what may hide behind a method, an
// interface or a field what it sends. Seen to fail without the look at methods
// in newForm, for the value and for its pointer, and without maxDepth.
func TestUnkeyableArguments(t *testing.T) {
	var self endless
	self = &self
	text := "x"
	for _, v := range []any{
		struct{}{},
		&struct{}{}, make(chan int),
		[2]int{},
		func() {},
		map[string]int{},
		complex(1, 1), uintptr(1), unsafe.Pointer(&text),
		[4]byte{},
		[16]int8{},
		[16]element{},
		[]any{1},
		[][]string{},
		[][]byte{},
		[]*int64{},
		[]sql.NullInt64{},
		new(any), &[]any{},
		stringer(1), new(stringer), scanned("x"), new(scanned),
		valuer{1},
		&valuer{1}, (*valuer)(nil), asPointer(nil),
		listed{},
		&listed{},
		arrayed{},
		bytesOf{1},
		elements{1},
		[]valuer{},
		[]scanned{},
		[]listed{},
		[16]stringer{},
		sql.Null[stringer]{},
		sql.Null[valuer]{},
		sql.Null[any]{},
		embedding{},
		decimal{},
		self,
		sql.Out{Dest: &text},
		sql.Named("a", 1), time.UTC, &sql.Null[struct{}]{}, json.Number("1"), time.January,
		new(new(new(new(new(new(1)))))),
		driver.NamedValue{},
		reflect.ValueOf(1),
	} {
		if _, _, ok := hashArgs(0, args(int64(1), v)); ok || keyable(v) {
			t.Errorf("a %T is keyed", v)
		}
	}
	for _, a := range distinct() {
		for _, v := range a {
			if !keyable(v.Value) {
				t.Errorf("a %T is not keyed", v.Value)
			}
		}
	}
}

// TestKnownTypes finds those whose methods are trusted by their names. Seen to
// fail with one of the names misspelt.
func TestKnownTypes(t *testing.T) {
	for _, v := range []any{json.RawMessage(nil), time.Second, textID{}} {
		typ := reflect.TypeOf(v)
		if name := typ.PkgPath() + "." + typ.Name(); !knownTypes[name] || !keyable(v) || !keyable(reflect.New(typ).Interface()) {
			t.Errorf("%s is not known", name)
		}
	}
}

// fiveTimes are the ways to say one value, and what a driver without a checker
// gets for them.
func fiveTimes() map[driver.Value][]any {
	five, short, own, name, shaded := int64(5), int16(5), customerID(5), "five", shade("five")
	toFive, id := &five, textID{1: 0xab, 9: 5, 15: 0xff}
	noon := time.Date(2024, 6, 1, 12, 0, 0, 0, time.UTC)
	return map[driver.Value][]any{
		int64(5): {
			five, 5, int8(5), short, int32(5), uint(5), uint8(5), uint16(5), uint32(5), uint64(5), own, small(5), counter(5), octet(5),
			time.Duration(5), &five, &short, &own, &toFive,
			sql.NullInt64{Int64: 5, Valid: true},
			sql.NullInt32{Int32: 5, Valid: true},
			sql.NullInt16{Int16: 5, Valid: true},
			sql.NullByte{Byte: 5, Valid: true},
			sql.Null[int]{V: 5, Valid: true},
			sql.Null[customerID]{V: 5, Valid: true},
			&sql.NullInt64{Int64: 5, Valid: true},
			sql.Null[*int64]{V: &five, Valid: true},
			valuer{5},
		},
		1.5:  {1.5, float32(1.5), ratio(1.5), weight(1.5), sql.NullFloat64{Float64: 1.5, Valid: true}, new(1.5), new(float32(1.5))},
		true: {true, toggle(true), new(true), sql.NullBool{Bool: true, Valid: true}},
		"five": {
			name, shaded, &name, &shaded, toShade(&shaded), sql.NullString{String: "five", Valid: true}, sql.Null[shade]{V: "five", Valid: true},
		},
		noon:        {noon, &noon, sql.NullTime{Time: noon, Valid: true}, sql.Null[time.Time]{V: noon, Valid: true}},
		id.String(): {id.String(), id, &id, sql.Null[textID]{V: id, Valid: true}},
		nil: {
			nil, (*int64)(nil), (*string)(nil), (**int64)(nil), new((*int64)(nil)),
			sql.NullInt64{},
			sql.NullInt64{Int64: 5},
			sql.NullString{},
			sql.Null[shade]{V: "x"},
			sql.NullTime{},
			(*sql.NullInt64)(nil), (*valuer)(nil), (*textID)(nil), (*json.RawMessage)(nil),
		},
	}
}

// TestQueryHashFolds finds the word of a query whatever its arguments are
// wrapped in, and tells the wrappers apart where they are part of the key. Seen
// to fail where a Null type is hashed whether it is valid or not, where a UUID is
// hashed as bytes, where queryHash converts nothing, and without form.id.
func TestQueryHashFolds(t *testing.T) {
	for sent, ways := range fiveTimes() {
		want, _, _ := hashArgs(hashString(0, "SELECT ?"), args(sent))
		taken := map[uint64]any{}
		for _, v := range ways {
			if got, ok := queryHash(" SELECT ?", []any{v}); !ok || got != want {
				t.Errorf("%T(%v) does not meet %v", v, v, sent)
			}
			if got, ok := queryHash(" SELECT ?", []any{sql.Named("n", v)}); !ok || got == want {
				t.Errorf("%T(%v) by name meets %v", v, v, sent)
			}
			hash, kinds, ok := hashArgs(hashString(0, "SELECT ?"), args(v))
			if !ok {
				continue // Its parent converts it, or it bypasses.
			}
			if hash != want {
				t.Errorf("%T(%v) as a call has it does not meet %v", v, v, sent)
			}
			if other, is := taken[kinds]; is {
				t.Errorf("%T(%v) pushes %T(%v) out", v, v, other, other)
			}
			taken[kinds] = v
		}
	}
}

// TestQueryHashOfSlices tells slices apart that no default conversion takes,
// and finds the same strings whatever their type is called. Seen to fail where
// queryHash converts everything.
func TestQueryHashOfSlices(t *testing.T) {
	hash := func(v any) uint64 {
		h, ok := queryHash("q", []any{v})
		if !ok {
			t.Errorf("a %T is not keyed", v)
		}
		return h
	}
	ab := hash([]string{"a", "b"})
	for _, v := range []any{tags{"a", "b"}, []shade{"a", "b"}, &tags{"a", "b"}, sql.Null[[]string]{V: []string{"a", "b"}, Valid: true}} {
		if hash(v) != ab {
			t.Errorf("a %T does not meet []string", v)
		}
	}
	for _, v := range []any{[]string{"ab"}, []string{"b", "a"}, []string{"a", "b", ""}, []string{}, []string(nil), "ab", []int64{1, 2}} {
		if hash(v) == ab {
			t.Errorf("%T%q meets %q", v, v, "a b")
		}
	}
	if hash(blob("x")) != hash([]byte("x")) || hash(json.RawMessage("x")) != hash([]byte("x")) || hash(blob(nil)) != hash([]byte(nil)) {
		t.Error("bytes of other types do not meet []byte")
	}
}

// TestNowInArguments finds a text that SQLite would resolve wherever it is. Seen
// to fail without form.says.
func TestNowInArguments(t *testing.T) {
	now, at := "now", shade("now")
	toNow := &at
	for _, v := range []any{
		now, []byte(now), at, blob(now), json.RawMessage(now), &now, &at, &toNow,
		tags{"x", now},
		[]shade{at},
		&tags{now}, octets(now),
		sql.NullString{String: now, Valid: true},
		sql.Null[shade]{V: at, Valid: true},
		sql.Null[*string]{V: &now, Valid: true},
		objectID([]byte("0123456789now...")),
	} {
		if !speaksOfNow(args(int64(1), v)) {
			t.Errorf("%T(%v) says nothing", v, v)
		}
	}
	then := "2024-01-01"
	for _, v := range []any{
		nil, int64(1), 1.5, true, time.Now(), then, shade(then), &then, (*string)(nil),
		tags{then},
		tags(nil), 5, customerID(5),
		sql.NullString{String: then, Valid: true},
		[]int64{1},
		textID{},
		blob{},
	} {
		if speaksOfNow(args(v)) {
			t.Errorf("%T(%v) says now", v, v)
		}
	}
}

// TestSizeOfArguments counts what an entry keeps of its arguments. Seen to fail
// without the elements of slices in form.size.
func TestSizeOfArguments(t *testing.T) {
	long := string(make([]byte, 1000))
	for _, v := range []any{
		long, []byte(long), shade(long), blob(long), json.RawMessage(long), &long,
		tags{long},
		[]shade{"a", shade(long)},
		make([]int64, 125),
		sql.NullString{String: long},
		new(&long), octets(long), make([]bool, 1000), make([]time.Time, 50),
	} {
		if n := valueSize(v); n < 1000 || n > 1300 {
			t.Errorf("%T: %d bytes", v, n)
		}
	}
	if n := valueSize((*string)(nil)); n > 16 {
		t.Errorf("a nil pointer: %d bytes", n)
	}
}

// TestArgumentsWithoutMemory looks common arguments up without allocating. Seen
// to fail without the look at CanAddr in timeOf.
func TestArgumentsWithoutMemory(t *testing.T) {
	n, name, noon := int64(5), "five", time.Date(2024, 6, 1, 12, 0, 0, 0, time.UTC)
	for _, v := range []any{
		nil, int64(5), "s", 1.5, true, []byte("b"), noon, 5, uint8(1), float32(1), customerID(5), shade("s"), &n, &name, &noon,
		objectID{},
		textID{},
		sql.NullInt64{Int64: 5, Valid: true},
		sql.NullString{},
		[]string{"a", "b"},
		[]int64{1, 2},
		json.RawMessage("{}"),
		[]float32{1},
		[]time.Time{noon},
	} {
		s := &scope{}
		list := args(v)
		k := key{scope: s, text: "q", args: list}.own(nil)
		if n := testing.AllocsPerRun(20, func() {
			if _, _, ok := hashArgs(1, list); !ok || !keyable(v) || !k.equal(s, "q", list) {
				t.Error("not found")
			}
		}); n != 0 {
			t.Errorf("%T: %v allocations", v, n)
		}
	}
}

// TestNaNs compares numbers that are none by their bits, also where a wider
// float would lose one. Seen to fail with bitsOf always widening.
func TestNaNs(t *testing.T) {
	quiet, signalling := math.Float32frombits(0x7fc00001), math.Float32frombits(0x7f800001)
	for i, a := range []any{quiet, signalling, []float32{quiet}, []float32{signalling}, &quiet, &signalling, math.NaN(), ratio(math.NaN())} {
		for j, b := range []any{quiet, signalling, []float32{quiet}, []float32{signalling}, &quiet, &signalling, math.NaN(), ratio(math.NaN())} {
			if equalValue(a, b) != (i == j) {
				t.Errorf("%s equals %s: %v", fmt.Sprintf("%T", a), fmt.Sprintf("%T", b), i != j)
			}
		}
	}
}

package querycache

import (
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Types of a client's own, one for each kind that can be keyed.
type (
	customerID int64
	small      int8
	counter    uint32
	octet      uint8
	weight     float32
	ratio      float64
	toggle     bool
	shade      string
	blob       []byte
	octets     []octet
	tags       []string
	objectID   [16]byte
	textID     [16]byte
	toShade    *shade
)

// textID is in the closed set, as if it were google/uuid's.
func init() {
	knownTypes[reflect.TypeFor[textID]().PkgPath()+".textID"] = true
}

// String is the text of a UUID.
func (u textID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// Value is what the default conversion sends.
func (u textID) Value() (driver.Value, error) { return u.String(), nil }

// spell is an independent idea of when two lists of arguments are the same: by
// the text of their types and values.
func spell(list []driver.NamedValue) string {
	s := ""
	for _, a := range list {
		s += fmt.Sprintf("%q %T ", a.Name, a.Value)
		if a.Value != nil {
			s += spellValue(reflect.ValueOf(a.Value))
		}
		s += ";"
	}
	return s
}

func spellValue(v reflect.Value) string {
	if t, ok := v.Interface().(time.Time); ok {
		name, offset := t.Zone()
		return fmt.Sprintf("%d %d %q %d %q", t.Unix(), t.Nanosecond(), name, offset, t.Location())
	}
	var parts []string
	switch v.Kind() {
	case reflect.Float32:
		// Through a float64 a signalling NaN would turn quiet.
		f, _ := v.Convert(reflect.TypeFor[float32]()).Interface().(float32)
		return fmt.Sprintf("%x", math.Float32bits(f))
	case reflect.Float64:
		return fmt.Sprintf("%x", math.Float64bits(v.Float()))
	case reflect.Pointer:
		if v.IsNil() {
			return "nil"
		}
		return "&" + spellValue(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			parts = append(parts, spellValue(v.Field(i)))
		}
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && v.IsNil() {
			return "nil"
		}
		for i := range v.Len() {
			parts = append(parts, spellValue(v.Index(i)))
		}
	default:
		return fmt.Sprintf("%#v", v.Interface())
	}
	return fmt.Sprintf("{%d %s}", len(parts), strings.Join(parts, ","))
}

// invention is what a fuzzer invents, read as values for arguments.
type invention struct{ data []byte }

func (v *invention) number() uint64 {
	var b [8]byte
	v.data = v.data[copy(b[:], v.data):]
	return binary.LittleEndian.Uint64(b[:])
}

func (v *invention) byte() byte {
	if len(v.data) == 0 {
		return 0
	}
	b := v.data[0]
	v.data = v.data[1:]
	return b
}

func (v *invention) text() string {
	n := min(int(v.byte())%16, len(v.data))
	s := string(v.data[:n])
	v.data = v.data[n:]
	return s
}

// bytes are nil, empty, or a few.
func (v *invention) bytes() []byte {
	if v.byte()%4 == 0 {
		return nil
	}
	return append([]byte{}, v.text()...)
}

func (v *invention) time() time.Time {
	zones := []*time.Location{time.UTC, time.FixedZone("A", 60), time.FixedZone("B", 60), time.FixedZone("A", 0)}
	return time.Unix(int64(v.number()>>24), int64(v.number()%1e9)).In(zones[v.byte()%4])
}

func (v *invention) array() (a [16]byte) {
	v.data = v.data[copy(a[:], v.data):]
	return a
}

func (v *invention) yes() bool { return v.byte()%2 == 1 }

// several makes a slice: nil, empty, or a few.
func several[S ~[]T, T any](of func(v *invention) T) func(v *invention) S {
	return func(v *invention) S {
		n := v.byte() % 6
		if n == 5 {
			return nil
		}
		s := S{}
		for range n {
			s = append(s, of(v))
		}
		return s
	}
}

// pointer makes a pointer, also nil.
func pointer[T any](of func(v *invention) T) func(v *invention) *T {
	return func(v *invention) *T {
		if v.byte()%4 == 0 {
			return nil
		}
		return new(of(v))
	}
}

func is[T any](of func(v *invention) T) func(v *invention) any {
	return func(v *invention) any { return of(v) }
}

func numberOf[T ~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64](v *invention) T {
	return T(v.number())
}

func doubleOf[T ~float64](v *invention) T { return T(math.Float64frombits(v.number())) }

func single(v *invention) float32 { return math.Float32frombits(uint32(v.number())) }

// heavy keeps the bits of a signalling NaN.
func heavy(v *invention) (w weight) {
	f := single(v)
	reflect.ValueOf(&w).Elem().Set(reflect.ValueOf(f).Convert(reflect.TypeFor[weight]()))
	return w
}

func textOf[T ~string](v *invention) T { return T(v.text()) }

func null[T any](of func(v *invention) T) func(v *invention) any {
	return func(v *invention) any { return sql.Null[T]{V: of(v), Valid: v.yes()} }
}

// kindsOfArguments is the closed set.
var kindsOfArguments = []func(v *invention) any{
	func(*invention) any { return nil },
	is(numberOf[int64]), is(textOf[string]), is((*invention).bytes), is((*invention).yes), is(doubleOf[float64]), is((*invention).time),
	is(numberOf[int]), is(numberOf[int8]), is(numberOf[int16]), is(numberOf[int32]),
	is(numberOf[uint]), is(numberOf[uint8]), is(numberOf[uint16]), is(numberOf[uint32]), is(numberOf[uint64]), is(single),
	is(numberOf[customerID]), is(numberOf[small]), is(numberOf[counter]), is(numberOf[octet]), is(numberOf[time.Duration]),
	is(heavy), is(doubleOf[ratio]), is(textOf[shade]),
	func(v *invention) any { return toggle(v.yes()) },
	func(v *invention) any { return blob(v.bytes()) },
	func(v *invention) any { return json.RawMessage(v.bytes()) },
	func(v *invention) any { return sql.RawBytes(v.bytes()) },
	is(several[octets](numberOf[octet])), is(several[tags](textOf[string])), is(several[[]string](textOf[string])), is(several[[]shade](textOf[shade])),
	is(several[[]int64](numberOf[int64])), is(several[[]int](numberOf[int])), is(several[[]int32](numberOf[int32])), is(several[[]uint64](numberOf[uint64])),
	is(several[[]float64](doubleOf[float64])), is(several[[]float32](single)), is(several[[]bool]((*invention).yes)),
	is(several[[]time.Time]((*invention).time)), is(several[[][16]byte]((*invention).array)),
	is((*invention).array),
	func(v *invention) any { return objectID(v.array()) },
	func(v *invention) any { return textID(v.array()) },
	func(v *invention) any { return sql.NullString{String: v.text(), Valid: v.yes()} },
	func(v *invention) any { return sql.NullInt64{Int64: numberOf[int64](v), Valid: v.yes()} },
	func(v *invention) any { return sql.NullInt32{Int32: numberOf[int32](v), Valid: v.yes()} },
	func(v *invention) any { return sql.NullInt16{Int16: numberOf[int16](v), Valid: v.yes()} },
	func(v *invention) any { return sql.NullByte{Byte: v.byte(), Valid: v.yes()} },
	func(v *invention) any { return sql.NullFloat64{Float64: doubleOf[float64](v), Valid: v.yes()} },
	func(v *invention) any { return sql.NullBool{Bool: v.yes(), Valid: v.yes()} },
	func(v *invention) any { return sql.NullTime{Time: v.time(), Valid: v.yes()} },
	null(numberOf[int64]), null(textOf[shade]), null((*invention).bytes), null((*invention).time),
	is(pointer(numberOf[int64])), is(pointer(numberOf[int])), is(pointer(textOf[string])), is(pointer(doubleOf[float64])), is(pointer((*invention).yes)),
	is(pointer((*invention).time)), is(pointer((*invention).bytes)), is(pointer((*invention).array)), is(pointer(numberOf[customerID])),
	is(pointer(single)),
	is(pointer(func(v *invention) shade { return shade(v.text()) })),
	is(pointer(func(v *invention) json.RawMessage { return v.bytes() })),
	is(pointer(func(v *invention) textID { return v.array() })),
	is(pointer(func(v *invention) sql.NullString { return sql.NullString{String: v.text(), Valid: v.yes()} })),
	is(pointer(several[tags](textOf[string]))),
	is(pointer(pointer(numberOf[int64]))),
	is(pointer(pointer(pointer(textOf[shade])))),
	func(v *invention) any { return toShade(new(textOf[shade](v))) },
	null(pointer(numberOf[int64])),
}

// readArgs makes arguments of what a fuzzer invents.
func readArgs(data []byte) []driver.NamedValue {
	v := &invention{data}
	var list []driver.NamedValue
	for len(v.data) > 0 && len(list) < 8 {
		kind := int(v.byte())
		a := driver.NamedValue{Ordinal: len(list) + 1}
		if kind >= 2*len(kindsOfArguments) {
			a.Name = v.text()
		}
		a.Value = kindsOfArguments[kind%len(kindsOfArguments)](v)
		list = append(list, a)
	}
	return list
}

// spoil changes whatever v shares with those who hold it.
func spoil(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			spoil(v.Elem())
			v.Elem().SetZero()
		}
	case reflect.Slice:
		for i := range v.Len() {
			spoil(v.Index(i))
			if v.Index(i).IsZero() && v.Index(i).CanUint() {
				v.Index(i).SetUint(1)
				continue
			}
			v.Index(i).SetZero()
		}
	case reflect.Struct:
		if v.Type() != typeTime {
			spoil(v.Field(0))
		}
	}
}

// FuzzArguments reads two lists of arguments from bytes, and a third that
// differs from the first in one byte. Keys are equal exactly where the lists
// are spelt the same, and stay so when the caller changes what they were made
// of. Seen to fail without the types in equalForm, without each of the copies of
// form.copy, and where a UUID is hashed as bytes.
func FuzzArguments(f *testing.F) {
	tail := []byte{1, 3, 'n', 'o', 'w', 1, 1, 2, 'a', 'b', 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 1}
	for kind := range kindsOfArguments {
		seed := append([]byte{byte(kind)}, tail...)
		f.Add(seed, append([]byte{byte(kind)}, 0), uint8(1), byte(0))
		f.Add(seed, append([]byte{byte(kind + 1)}, tail...), uint8(3), byte('x'))
		f.Add(append([]byte{byte(kind), 0}, seed...), seed, uint8(len(seed)-1), byte(2))
	}
	f.Fuzz(func(t *testing.T, x, y []byte, at uint8, with byte) {
		compareArgs(t, x, y)
		if len(x) > 0 {
			z := append([]byte{}, x...)
			z[int(at)%len(z)] = with
			compareArgs(t, x, z)
		}
		compareArgs(t, x, x)
		checkCopy(t, x)
		checkFolding(t, readArgs(x))
	})
}

func compareArgs(t *testing.T, x, y []byte) {
	t.Helper()
	a, b := readArgs(x), readArgs(y)
	want := spell(a) == spell(b)
	ka, kb := key{text: "q", args: a}, key{text: "q", args: b}
	if got := ka.equal(nil, "q", b); got != want || got != kb.equal(nil, "q", a) {
		t.Fatalf("%s equals %s: %v", spell(a), spell(b), got)
	}
	ha, kindsA, okA := hashArgs(1, a)
	hb, kindsB, okB := hashArgs(1, b)
	if !okA || !okB {
		t.Fatalf("%s and %s: keyed: %v, %v", spell(a), spell(b), okA, okB)
	}
	if want && (ha != hb || kindsA != kindsB) {
		t.Fatalf("%s has two hashes", spell(a))
	}
}

func checkCopy(t *testing.T, x []byte) {
	t.Helper()
	a := readArgs(x)
	k := key{text: "q", args: a}
	before, size, o := spell(a), k.size(), k.own(nil)
	for _, v := range a {
		if v.Value != nil {
			spoil(reflect.ValueOf(v.Value))
		}
	}
	if got := spell(o.args); got != before {
		t.Fatalf("%s became %s", before, got)
	}
	if !o.equal(nil, "q", readArgs(x)) || o.size() != size {
		t.Fatalf("%s does not equal its copy", before)
	}
}

// checkFolding compares the hash of arguments as they are with that of what the
// default conversion makes of them, and with what InvalidateQuery hashes.
func checkFolding(t *testing.T, list []driver.NamedValue) {
	t.Helper()
	raw := make([]any, len(list))
	for i, a := range list {
		raw[i] = a.Value
		v, err := driver.DefaultParameterConverter.ConvertValue(a.Value)
		if err != nil {
			continue
		}
		asIs, _, _ := hashArgs(1, args(a.Value))
		converted, kinds, ok := hashArgs(1, args(v))
		if asIs != converted || kinds != 0 || !ok {
			t.Fatalf("%s is hashed otherwise than %s", spell(args(a.Value)), spell(args(v)))
		}
	}
	want, _, _ := hashArgs(hashString(0, "q"), args(values(raw)...))
	if got, ok := queryHash("q", raw); got != want || !ok {
		t.Fatalf("%s: InvalidateQuery hashes otherwise", spell(list))
	}
}

func values(list []any) []driver.Value {
	vs := make([]driver.Value, len(list))
	for i := range list {
		vs[i] = list[i]
	}
	return vs
}

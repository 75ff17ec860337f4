package querycache

import (
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"math"
	"testing"
	"time"
)

func args(values ...driver.Value) []driver.NamedValue { return named(values) }

// spell is an independent idea of when two lists of arguments are the same: by
// the text of their types and values.
func spell(list []driver.NamedValue) string {
	s := ""
	for _, a := range list {
		switch v := a.Value.(type) {
		case float64:
			s += fmt.Sprintf("%q float64 %x;", a.Name, math.Float64bits(v))
		case float32:
			s += fmt.Sprintf("%q float32 %x;", a.Name, math.Float32bits(v))
		case []byte:
			s += fmt.Sprintf("%q bytes %v %q;", a.Name, v == nil, v)
		case time.Time:
			name, offset := v.Zone()
			s += fmt.Sprintf("%q time %d %d %q %d %q;", a.Name, v.Unix(), v.Nanosecond(), name, offset, v.Location())
		default:
			s += fmt.Sprintf("%q %T %#v;", a.Name, v, v)
		}
	}
	return s
}

// distinct are lists of arguments that must never be taken for each other.
func distinct() [][]driver.NamedValue {
	noon := time.Date(2024, 6, 1, 12, 0, 0, 0, time.UTC)
	named := func(name string, v driver.Value) []driver.NamedValue {
		return []driver.NamedValue{{Name: name, Ordinal: 1, Value: v}}
	}
	return [][]driver.NamedValue{
		nil, args(nil), args(nil, nil),
		args(int64(0)), args(int64(1)), args(int64(-1)), args(int64(math.MinInt64)), args(int64(math.MaxInt64)),
		args(0.0), args(math.Copysign(0, -1)), args(1.0), args(math.NaN()), args(math.Inf(1)), args(math.Inf(-1)),
		args(math.Float64frombits(1)), args(math.Float64frombits(0x7ff8000000000002)),
		args(true), args(false), args(""), args("0"), args("1"), args("true"), args("<nil>"), args("a b"), args("ab"), args("a\x00b"),
		args([]byte(nil)), args([]byte{}), args([]byte("1")), args([]byte("0")), args([]byte("ab")), args([]byte{0}), args([]byte{0, 0}),
		args(int(0)), args(int(1)), args(int8(1)), args(int16(1)), args(int32(1)), args(uint(1)), args(uint8(1)), args(uint16(1)), args(uint32(1)),
		args(uint64(1)), args(uint64(math.MaxUint64)), args(float32(1)), args(float32(0)),
		args(noon), args(noon.Add(1)), args(noon.In(time.FixedZone("", 3600))), args(noon.In(time.FixedZone("CET", 3600))),
		args(time.Time{}), args(noon.AddDate(1000, 0, 0)),
		args(int64(1), int64(2)), args(int64(2), int64(1)), args("a", "b"), args("ab", ""), args("", "ab"),
		args(int64(1), nil), args(nil, int64(1)), args("1", int64(1)), args(int64(1), "1"), args(int(1), int64(1)), args(int64(1), int(1)),
		args([]byte("a"), []byte("b")), args([]byte("ab"), []byte{}), args(true, false), args(false, true),
		named("a", int64(1)), named("b", int64(1)), named("a", nil), named("a", "1"),
	}
}

// TestKeysAreInjective compares every pair of lists that differ in type, value,
// order or name. Their hashes differ too, or entries would push each other out.
func TestKeysAreInjective(t *testing.T) {
	s := &scope{id: 1}
	list := distinct()
	hashes := make(map[uint64]string)
	for i, a := range list {
		h, kinds, ok := hashArgs(7, a)
		if !ok {
			t.Fatalf("%s is not keyed", spell(a))
		}
		if other, taken := hashes[h^kinds]; taken {
			t.Errorf("%s and %s have the same hash", spell(a), other)
		}
		hashes[h^kinds] = spell(a)
		for j, b := range list {
			ka, kb := key{scope: s, text: "q", args: a}, key{scope: s, text: "q", args: b}
			if got := ka.equal(s, "q", b); got != (i == j) {
				t.Errorf("%s equals %s: %v", spell(a), spell(b), got)
			}
			if ka.equal(s, "q", b) != kb.equal(s, "q", a) {
				t.Errorf("%s and %s are equal one way", spell(a), spell(b))
			}
		}
	}
}

func TestKeysHoldScopeAndText(t *testing.T) {
	s, other := newScope(nil, ""), newScope(nil, "")
	k := key{scope: s, text: "SELECT 1", args: args(int64(1))}
	for _, tt := range []struct {
		scope *scope
		text  string
		args  []driver.NamedValue
		want  bool
	}{
		{s, "SELECT 1", args(int64(1)), true},
		{other, "SELECT 1", args(int64(1)), false},
		{s, "SELECT 2", args(int64(1)), false},
		{s, "SELECT  1", args(int64(1)), false},
		{s, "select 1", args(int64(1)), false},
		{s, "SELECT 1", nil, false},
	} {
		wantSame(t, tt.text, tt.want, k.equal(tt.scope, tt.text, tt.args))
	}
	if s.hash(5) == other.hash(5) {
		t.Error("two scopes share hashes")
	}
}

// TestOwnedKeys has the caller write into what the key was made of. Without the
// copies of key.own the key changes with it.
func TestOwnedKeys(t *testing.T) {
	b := []byte("abc")
	list := args(b, []byte(nil), []byte{}, "s")
	k := key{scope: nil, text: "q", args: list}.own(nil)
	copy(b, "xyz")
	list[3].Value = "t"
	if !k.equal(nil, "q", args([]byte("abc"), []byte(nil), []byte{}, "s")) {
		t.Errorf("the key became %s", spell(k.args))
	}
}

// TestMonotonicTimes shows that a time keeps its key when the reading of the
// monotonic clock that no driver sends is gone.
func TestMonotonicTimes(t *testing.T) {
	now := time.Now()
	k := key{scope: nil, text: "q", args: args(now)}
	if !k.equal(nil, "q", args(now.Round(0))) {
		t.Error("not equal")
	}
	a, _, _ := hashArgs(0, args(now))
	b, _, _ := hashArgs(0, args(now.Round(0)))
	wantSame(t, "hash", a, b)
}

func TestUnkeyableArguments(t *testing.T) {
	for _, v := range []driver.Value{[]string{"a"}, struct{}{}, &struct{}{}, make(chan int), [2]int{}, fmt.Stringer(nil), func() {}} {
		if v == nil {
			continue
		}
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

// TestQueryHash finds the word of a query whatever width its numbers have.
func TestQueryHash(t *testing.T) {
	want, _, _ := hashArgs(hashString(0, "SELECT ? AS a, ? AS b"), args(int64(1), 1.5))
	for _, list := range [][]any{{1, 1.5}, {int64(1), float32(1.5)}, {uint8(1), 1.5}, {int32(1), 1.5}} {
		got, ok := queryHash("  SELECT ? AS a, ? AS b -- end", list)
		if !ok || got != want {
			t.Errorf("%v: %x, %v, want %x", list, got, ok, want)
		}
		raw := make([]driver.Value, len(list))
		for i := range list {
			raw[i] = list[i]
		}
		if asCalled, _, _ := hashArgs(hashString(0, "SELECT ? AS a, ? AS b"), args(raw...)); asCalled != want {
			t.Errorf("%v as a call has it: %x, want %x", list, asCalled, want)
		}
	}
	if _, ok := queryHash("SELECT ?", []any{make(chan int)}); ok {
		t.Error("a channel is keyed")
	}
}

// FuzzKeys reads two lists of arguments from bytes and compares the key's idea
// of equality with spell, and the hash with both.
func FuzzKeys(f *testing.F) {
	f.Add([]byte{1, 1, 0, 0, 0, 0, 0, 0, 0}, []byte{2, 1, '1'})
	f.Add([]byte{3, 0}, []byte{4, 1})
	f.Add([]byte{5, 0}, []byte{6, 0})
	f.Add([]byte{7, 1, 2, 3, 4, 5, 6, 7, 8, 1}, []byte{7, 1, 2, 3, 4, 5, 6, 7, 8, 2})
	f.Add([]byte{8, 200, 9, 100, 10, 50}, []byte{8, 200, 9, 100, 10, 50})
	f.Fuzz(func(t *testing.T, x, y []byte) {
		a, b := readArgs(x), readArgs(y)
		k := key{scope: nil, text: "q", args: a}
		want := spell(a) == spell(b)
		if got := k.equal(nil, "q", b); got != want {
			t.Fatalf("%s equals %s: %v", spell(a), spell(b), got)
		}
		ha, ka, okA := hashArgs(1, a)
		hb, kb, okB := hashArgs(1, b)
		if !okA || !okB {
			t.Fatal("not keyed")
		}
		if want && (ha != hb || ka != kb) {
			t.Fatalf("%s has two hashes", spell(a))
		}
		if o := k.own(nil); !o.equal(nil, "q", readArgs(x)) || !k.equal(nil, "q", o.args) {
			t.Fatalf("%s does not equal its copy", spell(a))
		}
	})
}

// readArgs makes arguments of what a fuzzer invents.
func readArgs(data []byte) []driver.NamedValue {
	var list []driver.NamedValue
	eight := func() uint64 {
		var b [8]byte
		data = data[copy(b[:], data):]
		return binary.LittleEndian.Uint64(b[:])
	}
	text := func() string {
		n := min(int(uint8(eight()))%16, len(data))
		s := string(data[:n])
		data = data[n:]
		return s
	}
	for len(data) > 0 && len(list) < 8 {
		kind := data[0]
		data = data[1:]
		a := driver.NamedValue{Ordinal: len(list) + 1}
		if kind >= 128 {
			a.Name = text()
		}
		switch kind % 16 {
		case 0:
		case 1:
			a.Value = int64(eight())
		case 2:
			a.Value = text()
		case 3:
			a.Value = []byte(nil)
		case 4:
			a.Value = []byte(text())
		case 5:
			a.Value = eight()%2 == 0
		case 6:
			a.Value = math.Float64frombits(eight())
		case 7:
			zones := []*time.Location{time.UTC, time.FixedZone("A", 60), time.FixedZone("B", 60), time.FixedZone("A", 0)}
			a.Value = time.Unix(int64(eight()>>24), int64(eight()%1e9)).In(zones[eight()%4])
		case 8:
			a.Value = int(eight())
		case 9:
			a.Value = uint64(eight())
		case 10:
			a.Value = int8(eight())
		case 11:
			a.Value = int16(eight())
		case 12:
			a.Value = int32(eight())
		case 13:
			a.Value = uint8(eight())
		case 14:
			a.Value = float32(math.Float64frombits(eight()))
		default:
			a.Value = uint32(eight())
		}
		list = append(list, a)
	}
	return list
}

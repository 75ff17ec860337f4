package querycache

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"math"
	"testing"
	"time"
)

func args(values ...driver.Value) []driver.NamedValue { return named(values) }

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
		args([]string(nil)), args([]string{}), args([]string{""}), args([]string{"a", "b"}), args([]string{"ab"}), args([]string{"b", "a"}),
		args([]string{"a"}, "b"), args("a", []string{"b"}), args([]string{"a"}, []string{"b"}), args(tags(nil)), args(tags{}), args(tags{"ab"}),
		args([]int64(nil)), args([]int64{}), args([]int64{0}), args([]int64{1}), args([]int64{1, 0}), args([]int{1}), args([]bool{true}), args([]float64{1}),
		args([]float64{0}), args([]float64{math.Copysign(0, -1)}), args([]time.Time{noon}), args([]time.Time{noon.Add(1)}), args([]shade{"ab"}),
		args(customerID(1)), args(small(1)), args(counter(1)), args(octet(1)), args(time.Duration(1)), args(toggle(true)), args(toggle(false)),
		args(weight(1)), args(ratio(1)), args(ratio(0)), args(ratio(math.Copysign(0, -1))), args(shade("")), args(shade("1")), args(shade("ab")),
		args(blob(nil)), args(blob{}), args(blob("1")), args(json.RawMessage(nil)), args(json.RawMessage{}), args(json.RawMessage("1")),
		args(octets(nil)), args(octets{}), args(octets{'1'}), args(sql.RawBytes(nil)), args(sql.RawBytes("1")),
		args([16]byte{}), args([16]byte{1}), args(objectID{}), args(objectID{1}), args(textID{}), args(textID{15: 1}), args(textID{}.String()),
		args((*int64)(nil)), args(new(int64)), args(new(int64(1))), args(new(1)), args((*int)(nil)), args(new(customerID(1))), args((*customerID)(nil)),
		args((**int64)(nil)), args(new((*int64)(nil))), args(new(new(int64(1)))), args(new("1")), args(new("")), args((*string)(nil)), args(new(shade("1"))),
		args(toShade(new(shade("1")))), args(toShade(nil)), args((*shade)(nil)), args(new(noon)), args(new([]byte("1"))), args(new([]byte(nil))),
		args((*[]byte)(nil)), args(new(tags(nil))), args(new(tags{})), args(new(json.RawMessage("1"))), args(new(textID{})), args((*textID)(nil)),
		args(sql.NullInt64{}), args(sql.NullInt64{Valid: true}), args(sql.NullInt64{Int64: 1}), args(sql.NullInt64{Int64: 1, Valid: true}),
		args(sql.NullInt32{Int32: 1, Valid: true}), args(sql.NullInt16{Int16: 1, Valid: true}), args(sql.NullByte{Byte: 1, Valid: true}),
		args(sql.NullFloat64{Float64: 1, Valid: true}), args(sql.NullBool{Bool: true, Valid: true}), args(sql.NullBool{Valid: true}),
		args(sql.NullString{}), args(sql.NullString{String: "1", Valid: true}), args(sql.NullString{Valid: true}),
		args(sql.NullTime{Time: noon, Valid: true}), args(sql.NullTime{Time: noon}), args(sql.Null[int64]{V: 1, Valid: true}), args(sql.Null[int64]{}),
		args(sql.Null[*int64]{Valid: true}), args(sql.Null[*int64]{}), args(sql.Null[[]string]{V: []string{}, Valid: true}),
		args(sql.Null[[]string]{Valid: true}), args(&sql.NullInt64{Int64: 1, Valid: true}), args((*sql.NullInt64)(nil)), args(&sql.NullInt64{}),
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
	k := key{text: "q", args: list}.own(nil)
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
	k := key{text: "q", args: args(now)}
	if !k.equal(nil, "q", args(now.Round(0))) {
		t.Error("not equal")
	}
	a, _, _ := hashArgs(0, args(now))
	b, _, _ := hashArgs(0, args(now.Round(0)))
	wantSame(t, "hash", a, b)
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

package querycache

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"hash/maphash"
	"math"
	"math/bits"
	"reflect"
	"strings"
	"time"

	"github.com/querycache/querycache/internal/analysis"
	"github.com/querycache/querycache/internal/sqltok"
)

// Arguments reach a call in one of two ways. Where the parent has no checker,
// database/sql has converted them: equal values share an entry whatever the
// caller wrapped them in, since the driver is sent the same. Where it has one,
// a hit has no parent to ask, and nobody can say what it would have made of
// them: those of a closed set of types wait for the checker as they are, and
// their Go types are part of the key. The types are here where they are common,
// in forms.go where reflection tells them.

// Arguments are hashed with their kinds, so that int64 1 and bool true differ.
const (
	hashNil uint64 = iota + 1
	hashInt
	hashFloat
	hashBool
	hashBytes
	hashText
	hashTime
	hashNilBytes
	hashSlice
)

var hashSeed = maphash.MakeSeed()

func hashString(h uint64, s string) uint64 { return mix(h, maphash.String(hashSeed, s)) }

func hashOfBool(h uint64, v bool) uint64 {
	if v {
		return mix(h^hashBool, 1)
	}
	return mix(h^hashBool, 0)
}

func hashOfTime(h uint64, v time.Time) uint64 {
	zone, offset := v.Zone()
	return hashString(mix(h^hashTime, uint64(v.UnixNano())+uint64(offset)), zone)
}

// mix folds v into h.
func mix(h, v uint64) uint64 {
	hi, lo := bits.Mul64(h^0x9e3779b97f4a7c15, v^0xe7037ed1a0b428db)
	return hi ^ lo
}

// hashArgs folds the arguments into h. Widths and wrappers are folded as
// database/sql converts them, so that a query is invalidated whichever the
// caller used; kinds tells them apart again, and is 0 where there are none. It
// reports false where one of the arguments cannot be keyed.
func hashArgs(h uint64, args []driver.NamedValue) (hash, kinds uint64, ok bool) {
	for i := range args {
		if name := args[i].Name; name != "" {
			h = hashString(h, name)
		}
		switch v := args[i].Value.(type) {
		case int64:
			h = mix(h^hashInt, uint64(v))
		case string:
			h = hashString(h^hashText, v)
		case nil:
			h = mix(h, hashNil)
		case bool:
			h = hashOfBool(h, v)
		case float64:
			h = mix(h^hashFloat, math.Float64bits(v))
		case []byte:
			if v == nil {
				h = mix(h, hashNilBytes)
				continue
			}
			h = mix(h^hashBytes, maphash.Bytes(hashSeed, v))
		case time.Time:
			h = hashOfTime(h, v)
		default:
			if as, bits, kind := widened(v); kind != 0 {
				h, kinds = mix(h^as, bits), mix(kinds, uint64(i)<<32|kind)
				continue
			}
			f := formOf(v)
			if f == nil {
				return 0, 0, false
			}
			d := digest{h, mix(kinds, uint64(i)<<32|f.id)}
			d.add(f, reflect.ValueOf(v))
			h, kinds = d.hash, d.kinds
		}
	}
	return h, kinds, true
}

// widened is a number of another width than a driver gets, as it is hashed
// once it was converted, and the width; 0 for anything else.
func widened(v any) (as, bits, kind uint64) {
	switch v := v.(type) {
	case int:
		return hashInt, uint64(v), 1
	case int8:
		return hashInt, uint64(v), 2
	case int16:
		return hashInt, uint64(v), 3
	case int32:
		return hashInt, uint64(v), 4
	case uint:
		return hashInt, uint64(v), 5
	case uint8:
		return hashInt, uint64(v), 6
	case uint16:
		return hashInt, uint64(v), 7
	case uint32:
		return hashInt, uint64(v), 8
	case uint64:
		return hashInt, v, 9
	case float32:
		return hashFloat, math.Float64bits(float64(v)), 10
	default:
		return 0, 0, 0
	}
}

// keyable reports whether two values of v's type are equal only if a driver
// sends the same for both. Whatever else a driver accepts may hide what it
// sends behind a method, or rewrite the statement.
func keyable(v any) bool {
	switch v.(type) {
	case nil, bool, string, []byte, float64, time.Time,
		int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32:
		return true
	default:
		return formOf(v) != nil
	}
}

// equalValue reports whether two arguments have the same type and value. NaN
// equals itself, 0.0 differs from -0.0, nil bytes differ from empty ones.
func equalValue(a, b driver.Value) bool {
	switch a := a.(type) {
	case int64:
		b, ok := b.(int64)
		return ok && a == b
	case string:
		b, ok := b.(string)
		return ok && a == b
	case float64:
		b, ok := b.(float64)
		return ok && math.Float64bits(a) == math.Float64bits(b)
	case float32:
		b, ok := b.(float32)
		return ok && math.Float32bits(a) == math.Float32bits(b)
	case []byte:
		b, ok := b.([]byte)
		return ok && equalBytes(a, b)
	case time.Time:
		b, ok := b.(time.Time)
		return ok && equalTime(a, b)
	case nil, bool, int, int8, int16, int32, uint, uint8, uint16, uint32, uint64:
		return a == b
	default:
		return equalForm(a, b)
	}
}

func equalBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// equalTime compares instant and zone: a driver may send either.
func equalTime(a, b time.Time) bool {
	if !a.Equal(b) {
		return false
	}
	nameA, offsetA := a.Zone()
	nameB, offsetB := b.Zone()
	return offsetA == offsetB && nameA == nameB && a.Location().String() == b.Location().String()
}

// ownValue is a copy that shares nothing with what the caller may change, or
// that is cut from something large.
func ownValue(v driver.Value) driver.Value {
	switch v := v.(type) {
	case string:
		return strings.Clone(v)
	case []byte:
		if v == nil {
			return v
		}
		return append([]byte{}, v...)
	case nil, int64, bool, float64, time.Time:
		return v
	default:
		if f := formOf(v); f != nil && f.refers {
			return f.clone(reflect.ValueOf(v))
		}
		return v
	}
}

// valueSize is what an argument takes beside its interface, in bytes.
func valueSize(v driver.Value) int64 {
	switch v := v.(type) {
	case string:
		return int64(len(v))
	case []byte:
		return int64(len(v))
	case nil, int64, bool, float64, time.Time:
		return 0
	default:
		if f := formOf(v); f != nil {
			return f.size(reflect.ValueOf(v))
		}
		return 0
	}
}

// queryHash is the hash of a query as calls have it, whichever way their
// arguments came.
func queryHash(query string, args []any) (uint64, bool) {
	values := make([]driver.NamedValue, len(args))
	for i, a := range args {
		if named, ok := a.(sql.NamedArg); ok {
			values[i].Name, a = named.Name, named.Value
		}
		if !keyable(a) {
			v, err := driver.DefaultParameterConverter.ConvertValue(a)
			if err != nil {
				return 0, false
			}
			a = v
		}
		values[i].Value = a
	}
	hash, _, ok := hashArgs(hashString(0, sqltok.Bare(sqltok.SQLite, query)), values)
	return hash, ok
}

// speaksOfNow reports whether a bound text could be a date-time that SQLite
// resolves when it runs the query.
func speaksOfNow(args []driver.NamedValue) bool {
	for i := range args {
		switch v := args[i].Value.(type) {
		case string:
			if analysis.IsNow(v) {
				return true
			}
		case []byte:
			if analysis.IsNow(string(v)) {
				return true
			}
		case nil, int64, bool, float64, time.Time:
		default:
			if f := formOf(v); f != nil && f.text && f.says(reflect.ValueOf(v), analysis.IsNow) {
				return true
			}
		}
	}
	return false
}

package querycache

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"hash/maphash"
	"math"
	"math/bits"
	"strings"
	"time"

	"github.com/querycache/querycache/internal/analysis"
	"github.com/querycache/querycache/internal/sqltok"
)

// key is the identity of an entry: where its query ran, its text without
// leading and trailing comments and white space, its arguments with their
// types, and what it depends on by hint and rule. A hash finds an entry; only the
// full key decides.
type key struct {
	scope *scope
	text  string
	args  []driver.NamedValue
	extra *extra // nil: nothing
}

// extra names tables and tags that were declared: an entry that was filled without
// them must not serve a reader that declares them.
type extra struct {
	plan, context string
}

// extra is what the call declares, nil where it declares nothing.
func (q *call) extra() *extra {
	if q.declares() {
		return &extra{q.plan.extra, q.hints.extra}
	}
	return nil
}

func (q *call) declares() bool { return q.plan.extra != "" || q.hints.extra != "" }

// of reports whether k is the key of a call.
func (k *key) of(q *call) bool {
	if !k.equal(q.conn.scope, q.plan.Text, q.args) {
		return false
	}
	if k.extra == nil || broken(controlUnkeyedHints) {
		return !q.declares() || broken(controlUnkeyedHints)
	}
	return *k.extra == extra{q.plan.extra, q.hints.extra}
}

// own returns k with arguments of its own, in room where they fit: the caller
// may change its slices.
func (k key) own(room []driver.NamedValue) key {
	if len(k.args) == 0 {
		k.args = nil
		return k
	}
	k.args = append(room, k.args...)
	for i := range k.args {
		switch v := k.args[i].Value.(type) {
		case string:
			k.args[i].Value = strings.Clone(v) // It may be cut from something large.
		case []byte:
			if v != nil {
				k.args[i].Value = append([]byte{}, v...)
			}
		}
	}
	return k
}

func (k *key) size() int64 {
	n := int64(len(k.text)) + int64(len(k.args))*64 // A plan may share the text, or be forgotten.
	if k.extra != nil {
		n += int64(len(k.extra.plan)+len(k.extra.context)) + 32
	}
	for i := range k.args {
		switch v := k.args[i].Value.(type) {
		case string:
			n += int64(len(v))
		case []byte:
			n += int64(len(v))
		}
	}
	return n
}

func (k *key) equal(scope *scope, text string, args []driver.NamedValue) bool {
	if k.scope != scope || len(k.args) != len(args) || k.text != text {
		return false
	}
	for i := range args {
		if k.args[i].Name != args[i].Name || !equalValue(k.args[i].Value, args[i].Value) {
			return false
		}
	}
	return true
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
		return ok && (a == nil) == (b == nil) && bytes.Equal(a, b)
	case time.Time:
		b, ok := b.(time.Time)
		return ok && equalTime(a, b)
	default:
		return a == b // keyable lets only comparable types through.
	}
}

// equalTime compares instant and zone: a driver may send either.
func equalTime(a, b time.Time) bool {
	if !a.Equal(b) {
		return false
	}
	nameA, offsetA := a.Zone()
	nameB, offsetB := b.Zone()
	return offsetA == offsetB && nameA == nameB && a.Location().String() == b.Location().String()
}

// Arguments are hashed with their types, so that int64 1 and bool true differ.
const (
	hashNil uint64 = iota + 1
	hashInt
	hashFloat
	hashBool
	hashBytes
	hashText
	hashTime
	hashNilBytes
)

var hashSeed = maphash.MakeSeed()

func hashString(h uint64, s string) uint64 { return mix(h, maphash.String(hashSeed, s)) }

// mix folds v into h.
func mix(h, v uint64) uint64 {
	hi, lo := bits.Mul64(h^0x9e3779b97f4a7c15, v^0xe7037ed1a0b428db)
	return hi ^ lo
}

// hashArgs folds the arguments into h. Numbers of all widths are folded as
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
			if v {
				h = mix(h^hashBool, 1)
			} else {
				h = mix(h^hashBool, 0)
			}
		case float64:
			h = mix(h^hashFloat, math.Float64bits(v))
		case []byte:
			if v == nil {
				h = mix(h, hashNilBytes)
				continue
			}
			h = mix(h^hashBytes, maphash.Bytes(hashSeed, v))
		case time.Time:
			zone, offset := v.Zone()
			h = hashString(mix(h^hashTime, uint64(v.UnixNano())+uint64(offset)), zone)
		default:
			as, bits, kind := widened(v)
			if kind == 0 {
				return 0, 0, false
			}
			h, kinds = mix(h^as, bits), mix(kinds, uint64(i)<<4|kind)
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
// sends the same for both. Whatever else a driver accepts may hold pointers,
// or rewrite the statement.
func keyable(v any) bool {
	switch v.(type) {
	case nil, bool, string, []byte, float64, time.Time,
		int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32:
		return true
	default:
		return false
	}
}

// queryHash is the hash of a query as calls have it.
func queryHash(query string, args []any) (uint64, bool) {
	values := make([]driver.NamedValue, len(args))
	for i, a := range args {
		if named, ok := a.(sql.NamedArg); ok {
			values[i].Name, a = named.Name, named.Value
		}
		v, err := driver.DefaultParameterConverter.ConvertValue(a)
		if err != nil {
			return 0, false
		}
		values[i].Value = v
	}
	hash, _, ok := hashArgs(hashString(0, sqltok.Canonical(sqltok.SQLite, query)), values)
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
		}
	}
	return false
}

// bareNames is what words may know a table as: the name as it is, and what it
// says as SQL, without a schema and quotes. As in SQLite only ASCII letters are
// folded.
func bareNames(name string) []string {
	folded := []byte(name)
	for i, b := range folded {
		if 'A' <= b && b <= 'Z' {
			folded[i] = b + 'a' - 'A'
		}
	}
	names := []string{string(folded)}
	if toks, err := sqltok.Scan(sqltok.SQLite, name); err == nil && len(toks) > 0 {
		names = append(names, toks[len(toks)-1].Name(name))
	}
	return names
}

// sessionDigest folds a session-changing statement into the digest of those
// before it.
func sessionDigest(before, text string) string {
	return string(binary.AppendUvarint([]byte(before), uint64(len(text)))) + text
}

package querycache

import (
	"encoding/hex"
	"hash/maphash"
	"math"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// form is what is known of a Go type of arguments that are keyed as they are:
// scalars, also named ones, bytes, times, UUIDs, slices of these, database/sql's
// Null types, and pointers to all of them. What a driver sends for such a value
// depends on its type and content alone: types with methods are left out, but
// for knownTypes.
type form struct {
	kind   formKind
	id     uint64 // tells types apart in a hash
	elem   *form  // of a slice, a pointer, a Null
	plain  bool   // == compares
	refers bool   // to memory that others may change
	text   bool   // holds text, or bytes
	known  bool   // its methods are
}

type formKind uint8

const (
	formInt formKind = iota
	formUint
	formFloat
	formBool
	formText
	formBytes
	formTime
	formUUID
	formSlice
	formPointer
	formNull
)

// maxDepth bounds pointers to pointers: a type may point to itself.
const maxDepth = 5

// firstForm is where the ids of forms begin: those below are of [widened].
const firstForm = 16

var (
	forms    sync.Map // reflect.Type to *form; nil outside of the closed set
	lastForm atomic.Uint64
	typeTime = reflect.TypeFor[time.Time]()
)

// knownTypes have methods, whose answers depend on the value alone.
var knownTypes = map[string]bool{
	"time.Duration":                  true,
	"encoding/json.RawMessage":       true,
	"encoding/json/jsontext.Value":   true, // The same, by the name that GOEXPERIMENT=jsonv2 gives it.
	"github.com/google/uuid.UUID":    true,
	"github.com/gofrs/uuid.UUID":     true,
	"github.com/gofrs/uuid/v5.UUID":  true,
	"github.com/satori/go.uuid.UUID": true,
}

// formOf returns the form of v's type, nil where it has none.
func formOf(v any) *form {
	t := reflect.TypeOf(v)
	f, ok := forms.Load(t)
	if !ok {
		made := newForm(t, 0)
		if made != nil {
			made.id = firstForm + lastForm.Add(1)
		}
		f, _ = forms.LoadOrStore(t, made)
	}
	return f.(*form) //nolint:forcetypeassert // Only forms are stored there.
}

func newForm(t reflect.Type, depth int) *form {
	switch {
	case depth > maxDepth:
		return nil
	case t == typeTime:
		return &form{kind: formTime, known: true}
	case t.Kind() == reflect.Pointer:
		elem := newForm(t.Elem(), depth+1)
		if elem == nil || t.NumMethod() > 0 && !elem.known {
			return nil
		}
		return &form{kind: formPointer, elem: elem, refers: true, text: elem.text}
	case isNull(t):
		elem := newForm(t.Field(0).Type, depth+1)
		if elem == nil {
			return nil
		}
		return &form{kind: formNull, elem: elem, refers: elem.refers, text: elem.text, known: true}
	}
	known := knownTypes[t.PkgPath()+"."+t.Name()]
	if !known && (t.NumMethod() > 0 || reflect.PointerTo(t).NumMethod() > 0) {
		return nil
	}
	f := formOfKind(t, depth)
	if f != nil {
		f.known = known
	}
	return f
}

func formOfKind(t reflect.Type, depth int) *form {
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &form{kind: formInt, plain: true}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &form{kind: formUint, plain: true}
	case reflect.Float32, reflect.Float64:
		return &form{kind: formFloat}
	case reflect.Bool:
		return &form{kind: formBool, plain: true}
	case reflect.String:
		return &form{kind: formText, plain: true, refers: true, text: true}
	case reflect.Array:
		if t.Len() == 16 && t.Elem() == reflect.TypeFor[byte]() {
			return &form{kind: formUUID, plain: true, text: true}
		}
	case reflect.Slice:
		elem := newForm(t.Elem(), depth+1)
		switch {
		case elem == nil || elem.kind > formUUID || elem.kind == formBytes:
			return nil
		case t.Elem().Kind() == reflect.Uint8:
			return &form{kind: formBytes, refers: true, text: true}
		}
		return &form{kind: formSlice, elem: elem, refers: true, text: elem.text}
	}
	return nil
}

// isNull reports whether t is one of database/sql's Null types: a value, and
// whether it is one.
func isNull(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.PkgPath() == "database/sql" && strings.HasPrefix(t.Name(), "Null") &&
		t.NumField() == 2 && t.Field(1).Name == "Valid"
}

// digest is a hash of arguments on its way; see [hashArgs].
type digest struct{ hash, kinds uint64 }

func (d *digest) add(f *form, v reflect.Value) {
	h := d.hash
	switch f.kind {
	case formInt:
		h = mix(h^hashInt, uint64(v.Int()))
	case formUint:
		h = mix(h^hashInt, v.Uint())
	case formFloat:
		h = mix(h^hashFloat, math.Float64bits(v.Float()))
	case formBool:
		h = hashOfBool(h, v.Bool())
	case formText:
		h = hashString(h^hashText, v.String())
	case formBytes:
		if v.IsNil() {
			h = mix(h, hashNilBytes)
			break
		}
		h = mix(h^hashBytes, maphash.Bytes(hashSeed, v.Bytes()))
	case formTime:
		h = hashOfTime(h, timeOf(v))
	case formUUID:
		h = hashOfUUID(h, v)
	case formSlice:
		d.addSlice(f, v)
		return
	case formPointer:
		if !v.IsNil() {
			d.kinds = mix(d.kinds, 1)
			d.add(f.elem, v.Elem())
			return
		}
		h = mix(h, hashNil)
	case formNull:
		if v.Field(1).Bool() {
			d.kinds = mix(d.kinds, 1)
			d.add(f.elem, v.Field(0))
			return
		}
		under := digest{}
		under.add(f.elem, v.Field(0))
		h, d.kinds = mix(h, hashNil), mix(mix(d.kinds, under.hash), under.kinds)
	}
	d.hash = h
}

func (d *digest) addSlice(f *form, v reflect.Value) {
	if v.IsNil() {
		d.hash = mix(d.hash, hashSlice)
		return
	}
	d.hash = mix(d.hash^hashSlice, uint64(v.Len()))
	for i := range v.Len() {
		d.add(f.elem, v.Index(i))
	}
}

// hashOfUUID hashes a UUID as the text that its Value method gives, so that a
// query with the text is invalidated with it.
func hashOfUUID(h uint64, v reflect.Value) uint64 {
	u, text := uuidOf(v), [36]byte{8: '-', 13: '-', 18: '-', 23: '-'}
	hex.Encode(text[:8], u[:4])
	hex.Encode(text[9:13], u[4:6])
	hex.Encode(text[14:18], u[6:8])
	hex.Encode(text[19:23], u[8:10])
	hex.Encode(text[24:], u[10:])
	return mix(h^hashText, maphash.Bytes(hashSeed, text[:])) // Hashed as a string is.
}

func uuidOf(v reflect.Value) (u [16]byte) {
	for i := range u {
		u[i] = byte(v.Index(i).Uint()) // Copying by reflection would allocate.
	}
	return u
}

// timeOf reads a time where it is, if it can: Interface would allocate.
func timeOf(v reflect.Value) time.Time {
	if v.CanAddr() {
		return *v.Addr().Interface().(*time.Time) //nolint:forcetypeassert // Only times have that form.
	}
	return v.Interface().(time.Time) //nolint:forcetypeassert // As above.
}

// equalForm is [equalValue] for what has a form.
func equalForm(a, b any) bool {
	if reflect.TypeOf(a) != reflect.TypeOf(b) {
		return false
	}
	f := formOf(a)
	switch {
	case f == nil:
		return false
	case f.plain:
		return a == b
	}
	return f.equal(reflect.ValueOf(a), reflect.ValueOf(b))
}

func (f *form) equal(a, b reflect.Value) bool {
	switch f.kind {
	case formFloat:
		return bitsOf(a) == bitsOf(b)
	case formBytes:
		return equalBytes(a.Bytes(), b.Bytes())
	case formTime:
		return equalTime(timeOf(a), timeOf(b))
	case formSlice:
		if a.IsNil() != b.IsNil() || a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !f.elem.equal(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case formPointer:
		return a.IsNil() == b.IsNil() && (a.IsNil() || f.elem.equal(a.Elem(), b.Elem()))
	case formNull:
		return a.Field(1).Bool() == b.Field(1).Bool() && f.elem.equal(a.Field(0), b.Field(0))
	default:
		return a.Equal(b)
	}
}

// bitsOf is the bits of a float of either width. A signalling float32 NaN
// becomes a quiet one where it is widened.
func bitsOf(v reflect.Value) uint64 {
	if n := v.Float(); n == n || v.Kind() == reflect.Float64 {
		return math.Float64bits(n)
	}
	n, _ := v.Convert(reflect.TypeFor[float32]()).Interface().(float32)
	return uint64(math.Float32bits(n))
}

func (f *form) clone(v reflect.Value) any {
	c := reflect.New(v.Type()).Elem()
	f.copy(c, v)
	return c.Interface()
}

func (f *form) copy(to, from reflect.Value) {
	switch {
	case !f.refers:
		to.Set(from)
	case f.kind == formText:
		to.SetString(strings.Clone(from.String()))
	case f.kind == formNull:
		to.Set(from)
		f.elem.copy(to.Field(0), from.Field(0))
	case from.IsNil():
	case f.kind == formPointer:
		p := reflect.New(from.Type().Elem())
		f.elem.copy(p.Elem(), from.Elem())
		to.Set(p)
	default:
		to.Set(reflect.MakeSlice(from.Type(), from.Len(), from.Len()))
		if f.elem == nil || !f.elem.refers {
			reflect.Copy(to, from)
			return
		}
		for i := range from.Len() {
			f.elem.copy(to.Index(i), from.Index(i))
		}
	}
}

// size is what v takes beside its interface, in bytes.
func (f *form) size(v reflect.Value) int64 {
	n := int64(v.Type().Size())
	switch f.kind {
	case formText, formBytes:
		n += int64(v.Len())
	case formSlice:
		if f.elem.refers {
			for i := range v.Len() {
				n += f.elem.size(v.Index(i))
			}
			break
		}
		n += int64(v.Len()) * int64(v.Type().Elem().Size())
	case formPointer:
		if !v.IsNil() {
			n += f.elem.size(v.Elem())
		}
	case formNull:
		n += f.elem.size(v.Field(0))
	}
	return n
}

// says reports whether a text in v, also bytes, is one that is asked for.
func (f *form) says(v reflect.Value, asked func(string) bool) bool {
	switch f.kind {
	case formText:
		return asked(v.String())
	case formBytes:
		return asked(string(v.Bytes()))
	case formUUID:
		u := uuidOf(v)
		return asked(string(u[:]))
	case formSlice:
		for i := range v.Len() {
			if f.elem.says(v.Index(i), asked) {
				return true
			}
		}
	case formPointer:
		return !v.IsNil() && f.elem.says(v.Elem(), asked)
	case formNull:
		return f.elem.says(v.Field(0), asked)
	}
	return false
}

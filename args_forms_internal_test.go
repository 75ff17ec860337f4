package querycache

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"testing"
	"time"
)

type (
	selfPointer *selfPointer
	selfSlice   []selfSlice
	selfStruct  struct{ P *selfStruct }
)

func localA() any { type T string; return T("x") }
func localB() any { type T string; return T("x") }

func TestOddForms(t *testing.T) {
	var p selfPointer
	p = &p
	s := selfSlice{nil}
	s[0] = s
	for _, v := range []any{p, s, selfStruct{}, []any{1}, map[string]int{}, []*int{nil}, [][]byte{nil}, &p, struct{}{}, [0]byte{}} {
		if keyable(v) {
			t.Errorf("%T", v)
		}
		ownValue(v)
		valueSize(v)
		_, _, _ = hashArgs(1, []driver.NamedValue{{Value: v}})
	}
	if equalValue(localA(), localB()) {
		t.Error("local types")
	}
	var ni *int
	var nt *time.Time
	nni := &ni
	for _, v := range []any{ni, nt, nni, []string(nil), []string{}, json.RawMessage(nil), sql.Null[*int]{}, sql.Null[*int]{Valid: true}, sql.Null[[]byte]{}, []time.Time{{}}, [][16]byte{{}}, []bool{true}, sql.Null[[]string]{V: []string{"a"}}, sql.Null[sql.NullInt64]{Valid: true}} {
		if !keyable(v) {
			t.Logf("not keyable %T", v)
			continue
		}
		c := ownValue(v)
		if !equalValue(v, c) || !equalValue(c, v) {
			t.Errorf("%T: clone differs", v)
		}
		h1, k1, ok1 := hashArgs(1, []driver.NamedValue{{Value: v}})
		h2, k2, ok2 := hashArgs(1, []driver.NamedValue{{Value: c}})
		if h1 != h2 || k1 != k2 || !ok1 || !ok2 {
			t.Errorf("%T: hash differs", v)
		}
		valueSize(v)
	}
}

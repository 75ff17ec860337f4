package querycache_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/querycache/querycache"
	"github.com/querycache/querycache/internal/fakedb"
)

// Types of a client's own that a driver like pgx takes as they are.
type (
	argID    int64
	argName  string
	argBlob  []byte
	argTags  []string
	argUUID  [16]byte
	argColor int
)

// String makes an argColor one that a driver may ask for its text.
func (argColor) String() string { return "red" }

// argumentsAsTheyAre are keyed without a parent.
func argumentsAsTheyAre() []any {
	five, name, noon := int64(5), "five", time.Date(2024, 6, 1, 12, 0, 0, 0, time.FixedZone("x", 3600))
	id, toFive, raw := argID(5), &five, json.RawMessage(`{"a":1}`)
	return []any{
		nil, int64(5), "five", 1.5, true, []byte("five"),
		[]byte{},
		[]byte(nil), noon,
		5, int8(5), int16(5), int32(5), uint(5), uint8(5), uint16(5), uint32(5), uint64(5), uint64(math.MaxUint64), float32(1.5), math.NaN(),
		id, argName("five"), argBlob("five"), argBlob(nil), raw, sql.RawBytes("five"), time.Duration(5), "",
		&five, &name, &noon, &id, &toFive, &raw, (*int64)(nil), (**int64)(nil), new((*int64)(nil)), (*argID)(nil), (*string)(nil),
		sql.NullInt64{Int64: 5, Valid: true},
		sql.NullInt64{Int64: 5},
		sql.NullInt64{},
		sql.NullString{String: "five", Valid: true},
		sql.NullString{},
		sql.NullTime{Time: noon, Valid: true},
		sql.NullBool{Valid: true},
		sql.NullByte{Byte: 5, Valid: true},
		sql.NullInt16{Int16: 5, Valid: true},
		sql.NullInt32{Int32: 5, Valid: true},
		sql.NullFloat64{Float64: 5, Valid: true},
		sql.Null[argID]{V: 5, Valid: true},
		sql.Null[int64]{V: 5, Valid: true},
		sql.Null[int64]{},
		&sql.NullInt64{Int64: 5, Valid: true},
		[16]byte{5},
		argUUID{5},
		&argUUID{5},
		[]string{"five"},
		[]string{"fi", "ve"},
		[]string{},
		[]string(nil),
		argTags{"five"},
		[]argName{"five"},
		&argTags{"five"},
		[]int64{5},
		[]int{5},
		[]int32{5},
		[]argID{5},
		[]float64{5},
		[]bool{true},
		[]time.Time{noon},
		[][16]byte{{5}},
	}
}

// checkers are drivers whose connections check arguments, directly and behind
// prepared statements: any value as it is, or converted by the driver.
func checkers() []fakedb.Profile {
	converts := fakedb.PGX()
	converts.Name, converts.ConnCheck = "converts", fakedb.CheckDefault
	skips := fakedb.PGX()
	skips.Name, skips.ConnCheck = "skips", fakedb.CheckSkip
	return []fakedb.Profile{fakedb.PGX(), converts, skips}
}

// checked is a database of a driver with a checker, through a cache and alone.
// No connection is kept: whatever needs a parent makes one.
type checked struct {
	*testing.T
	fake  *fakedb.DB
	cache *querycache.Cache
	db    *sql.DB
	alone *sql.DB
}

const argQuery = "SELECT ARGUMENT ?"

func newChecked(t *testing.T, p fakedb.Profile) *checked {
	t.Helper()
	fake := newFake(t, p)
	fake.Handle("SELECT ARGUMENT", func(_ context.Context, _ string, args []driver.NamedValue) (*fakedb.Result, error) {
		text := ""
		for _, a := range args {
			text += a.Name + "=" + fakedb.FormatValue(a.Value) + ";"
		}
		return &fakedb.Result{Columns: []fakedb.Column{{Name: "a"}}, Rows: [][]driver.Value{{text}}}, nil
	})
	alone, err := fake.Open("main")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = alone.Close() })
	cache := stageCache(t, querycache.Config{Dialect: querycache.SQLite, NoCatalog: true})
	c := &checked{T: t, fake: fake, cache: cache, alone: alone, db: openStage(t, cache.Wrap(fake.Driver()), "main")}
	c.db.SetMaxIdleConns(0)
	if err := c.db.PingContext(t.Context()); err != nil { // The first connection is made at once.
		t.Fatal(err)
	}
	return c
}

// ask returns the answer, what became of the call, and what reached the driver.
func (c *checked) ask(db *sql.DB, args ...any) (answer, told string, calls []fakedb.Call) {
	c.Helper()
	c.fake.ResetLog()
	before := c.cache.Stats()
	if err := db.QueryRowContext(c.Context(), argQuery, args...).Scan(&answer); err != nil {
		answer = "error: " + err.Error()
	}
	switch after := c.cache.Stats(); {
	case after.Hits > before.Hits:
		told = "hit"
	case after.Misses > before.Misses:
		told = "miss"
	default:
		told = "bypass"
	}
	return answer, told, c.fake.Log()
}

// sent is what was checked and what was asked.
func sent(calls []fakedb.Call) (list []driver.NamedValue) {
	for _, call := range calls {
		if call.Kind() == "CheckNamedValue" || call.Kind() == "Query" {
			list = append(list, call.Args...)
		}
	}
	return list
}

// reads expects what becomes of a query, and the answer of the driver alone.
func (c *checked) reads(want string, args ...any) {
	c.Helper()
	alone, _, aloneCalls := c.ask(c.alone, args...)
	answer, told, calls := c.ask(c.db, args...)
	if told != want || answer != alone {
		c.Errorf("%s: %s %s, want %s %s", spelt(args), told, answer, want, alone)
	}
	if told == "hit" {
		if len(calls) != 0 {
			c.Errorf("%s: a hit called the driver: %v", spelt(args), calls)
		}
		return
	}
	a, b := sent(aloneCalls), sent(calls)
	if len(a) != len(b) {
		c.Errorf("%s: the driver got %v, alone %v", spelt(args), b, a)
		return
	}
	for i := range a {
		if !identical(a[i].Value, b[i].Value) || a[i].Name != b[i].Name || a[i].Ordinal != b[i].Ordinal {
			c.Errorf("%s: the driver got %T(%v), alone %T(%v)", spelt(args), b[i].Value, b[i].Value, a[i].Value, a[i].Value)
		}
	}
}

// identical reports whether the caller's own value arrived: the pointer or the
// slice itself, not a copy of it.
func identical(a, b any) bool {
	if reflect.TypeOf(a) != reflect.TypeOf(b) {
		return false
	}
	if a == nil {
		return true
	}
	v, w := reflect.ValueOf(a), reflect.ValueOf(b)
	switch v.Kind() {
	case reflect.Pointer:
		return v.Pointer() == w.Pointer()
	case reflect.Slice:
		return v.IsNil() == w.IsNil() && v.Len() == w.Len() && v.Pointer() == w.Pointer()
	}
	return fmt.Sprintf("%#v", a) == fmt.Sprintf("%#v", b) // NaN too.
}

func spelt(args []any) string {
	s := ""
	for _, a := range args {
		s += fmt.Sprintf("%T %v ", a, a)
	}
	return s
}

// TestCheckedArgumentsHit asks for each argument twice. The second answer needs
// no connection to the driver; the first is what the driver's own checker made
// of the caller's own value. Each is an entry of its own, whatever the others
// are. What the driver refuses fails alike. Seen to fail without form.id, where
// checkLate is given copies or checks nothing, and where keyable knows the
// scalars alone.
func TestCheckedArgumentsHit(t *testing.T) {
	for _, p := range checkers() {
		t.Run(p.Name, func(t *testing.T) {
			c := newChecked(t, p)
			var taken []any
			for _, v := range argumentsAsTheyAre() {
				alone, _, _ := c.ask(c.alone, v)
				c.reads("miss", v)
				if len(alone) > 6 && alone[:6] == "error:" {
					c.reads("miss", v)
					continue
				}
				c.reads("hit", v)
				taken = append(taken, v)
			}
			if p.ConnCheck == fakedb.CheckAny && len(taken) != len(argumentsAsTheyAre()) {
				t.Error("refused by a driver that takes everything")
			}
			for _, v := range taken {
				c.reads("hit", v)
				c.reads("miss", sql.Named("n", v))
				c.reads("hit", sql.Named("n", v))
				c.reads("miss", v, v)
				c.reads("hit", v, v)
			}
		})
	}
}

// TestPreparedArgumentsHit asks through prepared statements, whose arguments
// the connection checks. Seen to fail without the types in equalForm.
func TestPreparedArgumentsHit(t *testing.T) {
	c := newChecked(t, fakedb.PGX())
	for i, v := range argumentsAsTheyAre() {
		query := fmt.Sprintf("SELECT ARGUMENT ?, %d", i)
		st, err := c.db.PrepareContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		var first, second string
		err = errors.Join(st.QueryRowContext(t.Context(), v).Scan(&first), st.Close())
		if st, err2 := c.db.PrepareContext(t.Context(), query); err2 == nil {
			c.fake.ResetLog()
			err = errors.Join(err, st.QueryRowContext(t.Context(), v).Scan(&second))
			if calls := sent(c.fake.Log()); len(calls) > 0 {
				t.Errorf("%T: a hit asked the driver: %v", v, calls)
			}
			err = errors.Join(err, st.Close())
		}
		if err != nil || first != second || first == "" {
			t.Errorf("%T: %q, then %q: %v", v, first, second, err)
		}
	}
}

// TestArgumentsThatChange has the caller write into its arguments between calls.
// Seen to fail where a pointer is hashed by its address and kept as it is.
func TestArgumentsThatChange(t *testing.T) {
	five, name, id := int64(5), "five", argID(5)
	toFive, uuid, noon := &five, argUUID{5}, time.Date(2024, 6, 1, 12, 0, 0, 0, time.UTC)
	list, numbers, raw, blob := []string{"a", "b"}, []int64{1, 2}, json.RawMessage("[1]"), argBlob("abc")
	tags, bytes := argTags{"x"}, []byte("abc")
	for _, tt := range []struct {
		arg    any
		change func(back bool)
	}{
		{&five, flip(&five, 6)},
		{&toFive, flip(&five, 7)},
		{&toFive, flip(&toFive, new(int64(8)))},
		{&name, flip(&name, "six")},
		{&id, flip(&id, 6)},
		{&uuid, flip(&uuid[3], 1)},
		{&noon, flip(&noon, noon.Add(1))},
		{list, flip(&list[1], "c")},
		{&list, flip(&list, []string{"a"})},
		{&list, flip(&list[0], "z")},
		{numbers, flip(&numbers[0], 3)},
		{raw, flip(&raw[1], '2')},
		{blob, flip(&blob[0], 'x')},
		{bytes, flip(&bytes[0], 'x')},
		{&tags, flip(&tags[0], "y")},
		{sql.Null[[]byte]{V: bytes, Valid: true}, flip(&bytes[1], 'x')},
		{sql.Null[*int64]{V: toFive, Valid: true}, flip(toFive, 9)},
	} {
		c := newChecked(t, fakedb.PGX())
		read := func(want string) string {
			answer, told, _ := c.ask(c.db, tt.arg)
			if told != want {
				t.Errorf("%T: %s, want %s", tt.arg, told, want)
			}
			return answer
		}
		read("miss")
		tt.change(false)
		read("miss")
		read("hit")
		tt.change(true)
		read("hit")
	}
}

// flip changes *p to v, and back.
func flip[T any](p *T, v T) func(back bool) {
	old := *p
	return func(back bool) {
		if *p = v; back {
			*p = old
		}
	}
}

// valuerOf counts how often it is asked.
type valuerOf struct{ asked *int }

func (v valuerOf) Value() (driver.Value, error) {
	*v.asked++
	return "of a Valuer", nil
}

// TestArgumentsOfUnknownTypes leaves to the parent what may send anything: a
// driver that takes everything is asked each time, one that converts is given
// the hit that its conversion makes. A Valuer is asked once a query. Seen to fail
// without the look at the methods of values in newForm.
func TestArgumentsOfUnknownTypes(t *testing.T) {
	for _, p := range checkers() {
		t.Run(p.Name, func(t *testing.T) {
			c := newChecked(t, p)
			asked := 0
			for _, v := range []any{argColor(1), valuerOf{&asked}, struct{ n int }{1}, map[string]int{}, []any{1}, fakedb.Point{X: 1}} {
				want := [2]string{"miss", "hit"}
				if _, err := driver.DefaultParameterConverter.ConvertValue(v); p.ConnCheck == fakedb.CheckAny ||
					err != nil && (p.ConnCheck == fakedb.CheckSkip || reflect.TypeOf(v) != reflect.TypeFor[fakedb.Point]()) {
					want = [2]string{"bypass", "bypass"} // Or the error of a conversion.
				}
				for _, w := range want {
					asked = 0
					alone, _, _ := c.ask(c.alone, v)
					times := asked
					asked = 0
					answer, told, calls := c.ask(c.db, v)
					if told != w || answer != alone || told == "hit" && len(c.queries(calls)) > 0 {
						t.Errorf("%T: %s %s, want %s %s; calls %v", v, told, answer, w, alone, calls)
					}
					if asked != times {
						t.Errorf("the Valuer was asked %d times, alone %d", asked, times)
					}
				}
			}
		})
	}
}

func (c *checked) queries(calls []fakedb.Call) (list []fakedb.Call) {
	for _, call := range calls {
		if call.Kind() == "Query" {
			list = append(list, call)
		}
	}
	return list
}

// TestInvalidateCheckedQueries invalidates a query by one way to say its
// argument and asks it by each other. Seen to fail where a UUID is hashed as
// bytes, and where a pointer is hashed otherwise than what it points to.
func TestInvalidateCheckedQueries(t *testing.T) {
	five, name, toName := int64(5), "five", argName("five")
	id := argUUID{1: 0xab, 15: 5}
	for _, ways := range [][]any{
		{five, 5, uint8(5), argID(5), &five, new(&five), new(argID(5)), sql.NullInt64{Int64: 5, Valid: true}, sql.Null[argID]{V: 5, Valid: true}, time.Duration(5)},
		{name, argName("five"), &name, &toName, sql.NullString{String: "five", Valid: true}, sql.Null[argName]{V: "five", Valid: true}},
		{nil, (*int64)(nil), sql.NullString{}, (*argID)(nil), new((*string)(nil))},
		{[]byte("{}"), json.RawMessage("{}"), argBlob("{}"), new(json.RawMessage("{}"))},
		{[]string{"a"}, argTags{"a"}, &argTags{"a"}, []argName{"a"}},
		{id, [16]byte(id), &id, "00ab0000-0000-0000-0000-000000000005"},
	} {
		c := newChecked(t, fakedb.PGX())
		for _, by := range ways {
			for _, v := range ways {
				c.ask(c.db, v)
				if _, told, _ := c.ask(c.db, v); told != "hit" {
					t.Errorf("%T %v: %s", v, v, told)
				}
			}
			c.cache.InvalidateQuery(argQuery, by)
			for _, v := range ways {
				if _, told, _ := c.ask(c.db, v); told != "miss" {
					t.Errorf("%T %v: %s after it was invalidated by a %T", v, v, told, by)
				}
			}
		}
	}
}

// TestCheckedWrites sends arguments with a write as they are. Seen to fail where
// checkLate is given copies.
func TestCheckedWrites(t *testing.T) {
	for _, v := range argumentsAsTheyAre() {
		c := newChecked(t, fakedb.PGX())
		c.fake.Handle("UPDATE", func(_ context.Context, _ string, args []driver.NamedValue) (*fakedb.Result, error) {
			if !identical(v, args[0].Value) {
				return nil, errors.New("not what was sent")
			}
			return &fakedb.Result{RowsAffected: 1}, nil
		})
		if _, err := c.db.ExecContext(t.Context(), "UPDATE t SET a = ?", v); err != nil {
			t.Errorf("%T: %v", v, err)
		}
	}
}

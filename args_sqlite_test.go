package querycache_test

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSharedArguments asks SQLite for one value in each way to say it: whatever
// the driver is sent alike is one entry, asked directly or prepared, and is
// invalidated alike. Seen to fail where CheckNamedValue keeps what it can key.
func TestSharedArguments(t *testing.T) {
	five, short, id, name, own := int64(5), int16(5), argID(5), "five", argName("five")
	toFive, half, noon := &five, 1.5, time.Date(2024, 6, 1, 12, 0, 0, 0, time.FixedZone("x", 3600))
	none, asked := (*int64)(nil), 0
	for i, ways := range [][]any{
		{
			five, 5, int8(5), short, int32(5), uint(5), uint8(5), uint16(5), uint32(5), uint64(5), id, argColor(5), time.Duration(5),
			&five, &short, &id, &toFive,
			sql.NullInt64{Int64: 5, Valid: true},
			sql.NullInt32{Int32: 5, Valid: true},
			sql.NullByte{Byte: 5, Valid: true},
			sql.NullInt16{Int16: 5, Valid: true},
			sql.Null[argID]{V: 5, Valid: true},
			&sql.NullInt64{Int64: 5, Valid: true},
		},
		{half, float32(1.5), &half, sql.NullFloat64{Float64: 1.5, Valid: true}},
		{true, new(true), sql.NullBool{Bool: true, Valid: true}},
		{name, own, &name, &own, sql.NullString{String: "five", Valid: true}, sql.Null[argName]{V: "five", Valid: true}},
		{"of a Valuer", valuerOf{&asked}, &valuerOf{&asked}, driver.Valuer(valuerOf{&asked})},
		{[]byte("{}"), json.RawMessage("{}"), argBlob("{}"), sql.RawBytes("{}"), new(json.RawMessage("{}"))},
		{noon, &noon, sql.NullTime{Time: noon, Valid: true}, sql.Null[time.Time]{V: noon, Valid: true}},
		{nil, none, &none, (*argID)(nil), sql.NullString{}, sql.NullInt64{Int64: 5}, sql.Null[argName]{V: "x"}, (*sql.NullInt64)(nil), (*valuerOf)(nil)},
		{"\x05\x06", ownText{5, 6}},
	} {
		s := newStage(t, "")
		query := fmt.Sprintf("SELECT ?1, typeof(?1), %d", i)
		s.entry(query, ways[0])
		st, err := s.db.PrepareContext(t.Context(), query)
		s.must(nil, err)
		for _, v := range ways {
			s.hit(query, v)
			s.on(prepared{st}).hit(query, v)
		}
		for _, by := range ways {
			s.cache.InvalidateQuery(query, by)
			s.miss(query, ways[0])
		}
		s.must(nil, st.Close())
	}
}

// ownText is an array that says what is sent for it.
type ownText [2]byte

func (o ownText) Value() (driver.Value, error) { return string(o[:]), nil }

// TestValuersAreAskedOnce counts on a miss, a hit, a prepared one, in a
// transaction and with a write. Seen to fail where queryHash converts nothing.
func TestValuersAreAskedOnce(t *testing.T) {
	s := newStage(t, people)
	asked := 0
	v := valuerOf{&asked}
	const query = "SELECT count(*) FROM people WHERE name = ?"
	once := func(what string, do func()) {
		t.Helper()
		asked = 0
		do()
		if asked != 1 {
			t.Errorf("%s: the Valuer was asked %d times", what, asked)
		}
	}
	reads := func(want string) func() {
		return func() {
			if _, told := s.read(query, v); told != want {
				t.Errorf("%s, want %s", told, want)
			}
		}
	}
	once("a miss", reads("miss"))
	once("a hit", reads("hit"))
	st, err := s.db.PrepareContext(t.Context(), query)
	s.must(nil, err)
	once("a prepared hit", func() { s.must(nil, st.QueryRowContext(t.Context(), v).Scan(new(any))) })
	s.must(nil, st.Close())
	once("a write", func() { s.must(s.db.ExecContext(t.Context(), "UPDATE people SET name = ? WHERE id = 1", v)) })
	once("a miss after it", reads("miss"))
	once("an invalidation", func() { s.cache.InvalidateQuery(query, v) })
	tx, err := s.db.BeginTx(t.Context(), nil)
	s.must(nil, err)
	once("a transaction", func() { s.must(nil, tx.QueryRowContext(t.Context(), query, v).Scan(new(any))) })
	s.must(nil, tx.Rollback())
}

var errValuer = errors.New("the Valuer's own error")

type failingValuer struct{}

func (failingValuer) Value() (driver.Value, error) { return nil, errValuer }

type strangeValuer struct{}

func (strangeValuer) Value() (driver.Value, error) { return []string{"a"}, nil }

// TestRefusedArguments compares the errors for what SQLite's driver does not
// take: they are those of the driver alone, and nothing is stored or counted. Seen
// to fail where CheckNamedValue keeps what it can key.
func TestRefusedArguments(t *testing.T) {
	s := newStage(t, people)
	for _, v := range []any{
		[]string{"a"},
		[]int64{1},
		argTags{"a"},
		&argTags{},
		[16]byte{1},
		argUUID{1},
		struct{}{},
		map[string]int{},
		make(chan int), func() {}, 1i,
		[]any{},
		uint64(1 << 63), new(uint64(1 << 63)),
		failingValuer{},
		strangeValuer{},
		sql.Null[[]string]{V: []string{"a"}, Valid: true},
		sql.Out{Dest: new(int)},
		sql.Named("", struct{}{}), sql.Named("n", []string{"a"}), sql.Named("1", 1),
	} {
		for _, args := range [][]any{{v}, {1, v}, {v, struct{}{}}} {
			before := countsOf(s.cache)
			for _, query := range []string{"SELECT id FROM people WHERE id = ?", "SELECT ?, ?"} {
				want, got := s.refusal(s.raw, query, args), s.refusal(s.db, query, args)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%T: %s\n%s", v, query, diff)
				}
			}
			if diff := cmp.Diff(before, countsOf(s.cache)); diff != "" {
				t.Errorf("%T: %s", v, diff)
			}
		}
	}
}

// refusal is how a query, an exec and a prepared query fail.
func (s *stage) refusal(db *sql.DB, query string, args []any) (list []string) {
	s.Helper()
	note := func(err error) {
		if err == nil {
			s.Errorf("%s %v: no error", query, args)
			return
		}
		list = append(list, fmt.Sprint(err, errors.Is(err, errValuer)))
	}
	note(db.QueryRowContext(s.Context(), query, args...).Scan(new(any)))
	_, err := db.ExecContext(s.Context(), query, args...)
	note(err)
	st, err := db.PrepareContext(s.Context(), query)
	s.must(nil, err)
	note(st.QueryRowContext(s.Context(), args...).Scan(new(any)))
	s.must(nil, st.Close())
	return list
}

package querycache_test

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-sqlite3"

	"github.com/querycache/querycache"
	"github.com/querycache/querycache/internal/fakedb"
)

// people is the schema of most scenarios.
const people = `
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, age INTEGER, photo BLOB, born TEXT);
INSERT INTO people VALUES (1, 'ann', 30, x'616161', '2001-02-03'), (2, 'bob', 20, x'6262', NULL), (3, 'cy', 40, NULL, NULL);
CREATE TABLE other (id INTEGER PRIMARY KEY, v TEXT);
INSERT INTO other VALUES (1, 'x');`

func scenario01(t *testing.T) {
	s := newStage(t, people)
	for _, order := range []string{"id", "id DESC", "age", "name DESC"} {
		s.entry("SELECT * FROM people ORDER BY " + order)
	}
	first, second := s.conn(), s.conn()
	s.on(first).hit("SELECT * FROM people ORDER BY age")
	s.on(second).hit("SELECT * FROM people ORDER BY age")
}

func scenario02(t *testing.T) {
	s := newStage(t, people)
	s.entry("SELECT * FROM people WHERE id = 99")
	before := s.cache.Stats().Hits
	for range 2 {
		var name string
		err := s.db.QueryRowContext(t.Context(), "SELECT name FROM people WHERE id = ?", 98).Scan(&name)
		if err != sql.ErrNoRows {
			t.Errorf("%v, want sql.ErrNoRows", err)
		}
	}
	if hits := s.cache.Stats().Hits - before; hits != 1 {
		t.Errorf("%d hits of a look-up that finds nothing, want 1", hits)
	}
	s.exec("INSERT INTO people (id, name) VALUES (98, 'dot')")
	s.fresh("SELECT name FROM people WHERE id = ?", 98)
	s.fresh("SELECT * FROM people WHERE id = 99")
}

func scenario03(t *testing.T) {
	s := newStage(t, people)
	s.separate(
		"SELECT id FROM people WHERE age > 25",
		"SELECT EXISTS (SELECT id FROM people WHERE age > 25)",
		"SELECT COUNT(*) FROM people WHERE age > 25",
		"SELECT COUNT(id) FROM people WHERE age > 25",
		"SELECT id FROM people WHERE age > 25 LIMIT 1",
		"SELECT SUM(age) FROM people WHERE age > 25",
		"SELECT MIN(age), MAX(age), AVG(age), total(age) FROM people WHERE age > 25",
	)
}

func scenario04(t *testing.T) {
	s := newStage(t, people)
	s.separate(
		"SELECT id FROM people",
		"SELECT id FROM people LIMIT 1",
		"SELECT id FROM people LIMIT 2",
		"SELECT id FROM people LIMIT 1 OFFSET 1",
		"SELECT id FROM people ORDER BY age",
		"SELECT id FROM people ORDER BY age DESC",
		"SELECT DISTINCT id FROM people",
		"SELECT id, name FROM people",
		"SELECT name, id FROM people",
		"SELECT id AS i FROM people",
	)
}

// separate expects each query to be an entry of its own, also when the others
// are stored.
func (s *stage) separate(queries ...string) {
	s.Helper()
	for _, q := range queries {
		s.entry(q)
	}
	for _, q := range queries {
		s.hit(q)
	}
}

func scenario05(t *testing.T) {
	s := newStage(t, "")
	const one, two = "SELECT ?1, typeof(?1)", "SELECT ?1, ?2"
	noon := time.Date(2024, 5, 6, 12, 0, 0, 0, time.UTC)
	values := []any{
		1, 1.0, "1", true, nil, 0, "", []byte("1"),
		[]byte{},
		[]byte(nil), false, 0.0, "a b", "ab", "true", "<nil>",
		noon, noon.Format(time.RFC3339Nano), noon.In(time.FixedZone("", 3600)), noon.In(time.FixedZone("x", 3600)),
	}
	for _, v := range values {
		s.entry(one, v)
	}
	pairs := [][]any{{"a", "b"}, {"ab", ""}, {"", "ab"}, {"a", nil}, {nil, "a"}, {1, 2}, {12, 0}, {2, 1}, {"1", 2}}
	for _, p := range pairs {
		s.entry(two, p...)
	}
	for _, v := range values {
		s.hit(one, v)
	}
	for _, p := range pairs {
		s.hit(two, p...)
	}
	named := "SELECT :a, :b"
	s.entry(named, sql.Named("a", 1), sql.Named("b", 2))
	s.entry(named, sql.Named("a", 2), sql.Named("b", 1))
}

// Types of a client's own.
type (
	ownInt    int32
	ownString string
	ownUUID   [16]byte
)

// Value is the text of the UUID.
func (u ownUUID) Value() (driver.Value, error) { return string(u[:]), nil }

// countedValuer counts how often it is asked.
type countedValuer struct{ calls *atomic.Int64 }

// Value answers 7.
func (v countedValuer) Value() (driver.Value, error) {
	v.calls.Add(1)
	return int64(7), nil
}

func scenario06(t *testing.T) {
	s := newStage(t, "")
	const query = "SELECT ?1, typeof(?1), 'a value of its own', ?2"
	number, text := int64(5), "five"
	var none *int64
	zone := time.FixedZone("somewhere", 5400)
	for i, v := range []any{
		int(1), int8(2), int16(3), int32(4), int64(5), uint(6), uint8(7), uint16(8), uint32(9), uint64(10),
		float32(1.5), 2.5, true, "text", []byte("bytes"), ownInt(11), ownString("own"), &number, &text, none,
		sql.NullString{String: "x", Valid: true},
		sql.NullString{},
		sql.NullInt64{Int64: 12, Valid: true},
		sql.NullFloat64{Float64: 1, Valid: true},
		sql.NullBool{Bool: true, Valid: true},
		sql.Null[int16]{V: 3, Valid: true},
		sql.NullTime{Time: time.Unix(0, 0).UTC(), Valid: true},
		time.Time{},
		time.Date(2024, 1, 1, 0, 0, 0, 1, zone),
		ownUUID{1, 2, 3},
		json.RawMessage(`{"a": 1}`), driver.Valuer(ownUUID{4}),
	} {
		s.entry(query, v, i)
	}

	// Asked alone and through the cache, twice each.
	v := countedValuer{new(atomic.Int64)}
	s.entry(query, v, "counted")
	if n := v.calls.Load(); n != 4 {
		t.Errorf("the Valuer was called %d times for 4 queries", n)
	}

	// go-sqlite3 takes nothing that cannot be keyed; a driver like pgx does.
	fake, db, cache := fakeStage(t, fakedb.PGX())
	for range 2 {
		var got string
		if err := db.QueryRowContext(t.Context(), "SELECT ?", fakedb.Point{X: 1, Y: 2}).Scan(&got); err != nil || got != "(1,2)" {
			t.Errorf("%q %v", got, err)
		}
	}
	st := cache.Stats()
	if n := st.BypassReasons[querycache.ReasonArguments]; n != 2 || st.Hits != 0 {
		t.Errorf("%d bypasses, %d hits of an argument that cannot be keyed", n, st.Hits)
	}
	if n := len(fake.Log("Query")); n != 2 {
		t.Errorf("the driver was asked %d times, want 2", n)
	}
}

// fakeStage is a fake driver of that profile with people and blobs in it,
// through a cache that has nothing but the text to go by.
func fakeStage(t *testing.T, p fakedb.Profile) (*fakedb.DB, *sql.DB, *querycache.Cache) {
	t.Helper()
	fake := newFake(t, p)
	if err := fake.Seed("main", schema); err != nil {
		t.Fatal(err)
	}
	cache := stageCache(t, querycache.Config{Dialect: querycache.SQLite, NoCatalog: true})
	return fake, openStage(t, cache.Wrap(fake.Driver()), "main"), cache
}

func scenario07(t *testing.T) {
	s := newStage(t, `CREATE TABLE "größe 表" ("naïve ☃" TEXT, "n" INT); INSERT INTO "größe 表" VALUES ('åäö', 1), ('日本', 2);`)
	const query = `SELECT n FROM "größe 表" WHERE "naïve ☃" = ?`
	for _, arg := range []string{"åäö", "日本", "a\u0308", "ä", "🙂"} {
		s.entry(query, arg)
	}
	s.exec(`UPDATE "größe 表" SET n = n + 1 WHERE "naïve ☃" = ?`, "日本")
	s.fresh(query, "日本")
	s.fresh(query, "åäö")
}

func scenario08(t *testing.T) {
	s := newStage(t, people+"CREATE VIEW shuffled AS SELECT id FROM people ORDER BY random();")
	for _, q := range []string{
		"SELECT id FROM people ORDER BY random()",
		"SELECT id FROM people ORDER BY RANDOM ( )",
		"SELECT * FROM (SELECT id FROM people ORDER BY random() LIMIT 2)",
		"SELECT id FROM people WHERE id IN (SELECT id FROM people ORDER BY random() LIMIT 1)",
		"SELECT * FROM shuffled",
		"SELECT id FROM people ORDER BY randomblob(4)",
	} {
		s.bypass("volatile function", q)
	}
}

func scenario09(t *testing.T) {
	s := newStage(t, people+"CREATE VIEW today AS SELECT date('now') AS d;")
	for _, q := range []string{
		"SELECT datetime('now')", "SELECT date()", "SELECT unixepoch()", "SELECT CURRENT_TIMESTAMP", "SELECT current_date",
		"SELECT id FROM people WHERE born > CURRENT_TIME", "SELECT strftime('%s', 'NOW')", "SELECT date(born, 'localtime') FROM people",
		"SELECT last_insert_rowid()", "SELECT changes()", "SELECT total_changes()", "SELECT random()", "SELECT * FROM today",
		"SELECT sqlite_version()",
	} {
		s.bypass("volatile function", q)
	}
	s.bypass("volatile function", "SELECT date(?)", "now")
	s.bypass("volatile function", "SELECT date(?, ?)", "2020-01-01", []byte("localtime"))
	s.entry("SELECT date(?)", "2020-01-02")
	for _, q := range []string{
		"SELECT upper(name), abs(age), length(photo), coalesce(born, 'none') FROM people",
		"SELECT date(born, '+1 day') FROM people",
		"SELECT group_concat(name), count(*), json_object('n', max(name)) FROM people",
	} {
		s.entry(q)
	}
}

// registered18 counts the driver names that scenario 18 took.
var registered18 atomic.Int64

func scenario18(t *testing.T) {
	name := fmt.Sprintf("scenario18 %d", registered18.Add(1))
	cache, err := querycache.Register(name, &sqlite3.SQLiteDriver{}, querycache.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	const query = "SELECT v FROM t"
	filled := func(dsn, value string) (*stage, *sql.DB) {
		db, err := sql.Open(name, dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		s := &stage{T: t, cache: cache, tap: &tap{}, db: db, raw: db, ctx: t.Context()}
		s.exec("CREATE TABLE t (v TEXT)")
		s.exec("INSERT INTO t VALUES (?)", value)
		return s, db
	}
	expect := func(s *stage, outcome, want string) {
		t.Helper()
		cache.Wait()
		a, told := s.read(query)
		if told != outcome {
			t.Errorf("%s, want %s", told, outcome)
		}
		s.value(a, want, query)
	}
	dir := t.TempDir()
	one, _ := filled(filepath.Join(dir, "one.db"), "one")
	two, _ := filled(filepath.Join(dir, "two.db"), "two")
	for _, outcome := range []string{"miss", "hit"} {
		expect(one, outcome, "one")
		expect(two, outcome, "two")
	}
	one.exec("UPDATE t SET v = 'three'")
	expect(one, "miss", "three")

	// A database in memory belongs to one connection.
	_, memory := filled(":memory:", "first")
	var conns []*sql.Conn
	for i, value := range []string{"first", "second"} {
		c, err := memory.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
		if i > 0 {
			one.execOn(c, "CREATE TABLE t (v TEXT)")
			one.execOn(c, "INSERT INTO t VALUES (?)", value)
		}
	}
	for _, outcome := range []string{"miss", "hit"} {
		expect(one.on(conns[0]), outcome, "first")
		expect(one.on(conns[1]), outcome, "second")
	}
}

func scenario19(t *testing.T) {
	s := newStage(t, people)
	s.entry("SELECT age+1 FROM people")
	for _, same := range []string{
		"/* trace 1 */ SELECT age+1 FROM people", "-- who asks\nSELECT age+1 FROM people", "\n\t SELECT age+1 FROM people \n",
		"SELECT age+1 FROM people -- traceparent='00-1'", "SELECT age+1 FROM people ;", ";SELECT age+1 FROM people/* end",
		"/* a */ -- b\n SELECT age+1 FROM people /* c */ -- d",
		"/* querycache: ttl=1h swr=1s */ SELECT age+1 FROM people", "SELECT age+1 FROM people -- querycache: max-bytes=1MiB",
		"SELECT age+1 FROM people /*route='%2Fpeople',traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01'*/",
		"/* querycache: ttl=1h */ SELECT age+1 FROM people /*traceparent='00-5bd6-c532-01',tracestate='querycache%3Dbypass'*/",
	} {
		s.hit(same)
	}
	for _, other := range []string{
		"SELECT age + 1 FROM people", "SELECT age+1 FROM  people", "SELECT /* inner */ age+1 FROM people",
		"SELECT age+1 /* inner */ FROM people", "select age+1 FROM people", "SELECT Age+1 FROM people",
	} {
		s.miss(other)
	}
	for _, literal := range []string{"'a b'", "'a  b'", "'a\nb'", "' a b'", "'a b '", "'a /* c */ b'", "'a -- b'"} {
		s.entry("SELECT " + literal + ", 'literal'")
	}
	a := s.hit("SELECT age + 1 FROM people")
	if !slices.Equal(a.Columns, []string{"age + 1"}) {
		t.Errorf("columns %q", a.Columns)
	}
	// What was asked for shares the column names of what was stored.
	if diff := cmp.Diff([]string{"age+1"}, s.hit("/* x */ SELECT age+1 FROM people").Columns); diff != "" {
		t.Error(diff)
	}
}

package querycache_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/querycache/querycache/internal/fakedb"
)

// TestTransparencyRandom runs random scripts that read the same things again and
// again between writes of every kind, so that much is served from the cache, and
// compares every result with that of the driver alone. It fails when writes are
// not seen, when a transaction's own writes leak or are missed, when a rollback
// leaves something behind.
func TestTransparencyRandom(t *testing.T) {
	profiles := []fakedb.Profile{
		fakedb.Full(), fakedb.Bare(), fakedb.Legacy(), fakedb.SQLite3(), fakedb.SQLMock(), fakedb.MySQL(),
		fakedb.PGX(), fakedb.PQ(),
		{Name: "late", Abilities: fakedb.AllAbilities, ReturningAtClose: true},
	}
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			cache, end := m.open(t)
			for seed := range uint64(8) {
				s := &scriptFile{hits: true, steps: randomSteps(rand.New(rand.NewPCG(seed, 1)), 250)}
				for _, p := range profiles {
					fake := newFake(t, p)
					raw := s.run(t, fake, fake.Driver(), func(dc any) any { return dc }, func() {})
					t.Run(fmt.Sprintf("%d/%s", seed, p.Name), func(t *testing.T) {
						s.compare(t, cache, end, p, m, outcome{transcript: raw})
					})
				}
			}
			if hits := cache.Stats().Hits; (hits > 0) != (m.name != "disabled") {
				t.Errorf("%d hits", hits)
			}
			stillCaches(t, cache, m)
		})
	}
}

// reads are repeated; their arguments come from a small range.
var reads = []string{
	`"SELECT id, name, age FROM people ORDER BY id"`,
	`"SELECT COUNT(*), SUM(age) FROM people"`,
	`"SELECT name FROM people WHERE id = ?" %d`,
	`"SELECT p.name, k.s FROM people p, kinds k WHERE k.i = p.id ORDER BY p.id LIMIT 5"`,
	`"SELECT s, b FROM kinds WHERE i = ?" %d`,
	`"SELECT b FROM blobs ORDER BY id"`,
	`"SELECT id FROM people WHERE age > ?" %d`,
	`"SELECT 1, ?" %d`,
}

var writes = []string{
	`"UPDATE people SET age = %d WHERE id = ?" %d`,
	`"INSERT INTO people (name, age) VALUES ('n%d', ?)" %d`,
	`"DELETE FROM people WHERE id > %d AND id = ?" %d`,
	`"UPDATE kinds SET s = 's%d' WHERE i = ?" %d`,
	`"UPDATE blobs SET b = 'b%d' WHERE id = ?" %d`,
	`"UPDATE people SET age = %d WHERE id = 99 AND id = ?" %d`,
	`"UPDATE people SET name = NULL WHERE id > %d AND id = ?" %d`,
	`"INSERT INTO people (id, name) VALUES (1, 'dup%d'); UPDATE kinds SET f = ?" %d`,
}

// randomSteps writes a script of n steps. At most two transactions, one
// connection and one open result are there at a time.
func randomSteps(r *rand.Rand, n int) []string {
	open := map[string]bool{}
	targets := func() string {
		list := []string{"db", "db"}
		for _, name := range []string{"a", "b", "c"} {
			if open[name] {
				list = append(list, name)
			}
		}
		return list[r.IntN(len(list))]
	}
	read := func() string {
		q := reads[r.IntN(len(reads))]
		if q[len(q)-1] == 'd' {
			q = fmt.Sprintf(q, r.IntN(4))
		}
		return q
	}
	write := func() string { return fmt.Sprintf(writes[r.IntN(len(writes))], r.IntN(50), 1+r.IntN(5)) }
	var steps []string
	add := func(format string, args ...any) { steps = append(steps, fmt.Sprintf(format, args...)) }
	for len(steps) < n {
		switch k := r.IntN(100); {
		case k < 50:
			add("query %s %s", targets(), read())
		case k < 58:
			add("row %s %s", targets(), read())
		case k < 72:
			add("exec %s %s", targets(), write())
		case k < 76:
			add(`query %s "UPDATE people SET age = %d WHERE id = %d RETURNING id, age"`, targets(), r.IntN(50), r.IntN(5))
		case k < 80:
			target := targets()
			add("rows r %s %s", target, read())
			add("next r")
			if r.IntN(2) == 0 {
				add("exec db %s", write())
			}
			add("close r")
		case k < 84:
			target := targets()
			add(`prepare p %s "SELECT age FROM people WHERE id = ?"`, target)
			add("query p %d", r.IntN(4))
			add("exec %s %s", target, write())
			add("query p %d", r.IntN(4))
			add("close p")
		default:
			randomControl(r, open, add)
		}
	}
	for _, name := range []string{"a", "b"} {
		if open[name] {
			add("rollback %s", name)
		}
	}
	if open["c"] {
		add("close c")
	}
	return steps
}

// randomControl adds a step that opens or ends a transaction or a connection.
func randomControl(r *rand.Rand, open map[string]bool, add func(string, ...any)) {
	switch name := []string{"a", "b", "c", "text"}[r.IntN(4)]; {
	case name == "c" && open[name]:
		add("close c")
		open[name] = false
	case name == "c":
		add("conn c")
		open[name] = true
	case name == "text" && open["c"]:
		verbs := []string{"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s", "RELEASE s"}
		add("exec c %q", verbs[r.IntN(len(verbs))])
	case name == "text":
		add(`exec db "BEGIN; UPDATE people SET age = %d WHERE id = 1; %s"`, r.IntN(50),
			[]string{"COMMIT", "ROLLBACK"}[r.IntN(2)])
	case open[name]:
		add("%s %s", []string{"commit", "rollback"}[r.IntN(2)], name)
		open[name] = false
	default:
		add("begin %s db", name)
		open[name] = true
	}
}

package script

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	_ "github.com/mattn/go-sqlite3"
)

// open opens a database with the people of that name in it.
func open(t *testing.T, name string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", filepath.Join(t.TempDir(), name+".db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO people VALUES (1, '"+name+"')"); err != nil {
		t.Fatal(err)
	}
	return db
}

// counting plays a cache: each look at the counts finds those that next makes.
func counting(next func(*Counts)) func() Counts {
	c := Counts{Bypasses: map[string]uint64{}}
	return func() Counts {
		before := c
		before.Bypasses = map[string]uint64{}
		for reason, n := range c.Bypasses {
			before.Bypasses[reason] = n
		}
		next(&c)
		return before
	}
}

func TestRun(t *testing.T) {
	const source = `# Comments stay,
# line by line.

exec db 2 "bo b"
INSERT INTO people VALUES (?, ?)

open c
begin x c
----
error of the script

query c
SELECT name FROM people
  ORDER BY id
----
what was there
before
`
	db := open(t, "ann")
	_, err := Run(t.Context(), source, Env{DB: db, Outside: db, Counts: counting(func(*Counts) {})})
	if err == nil || !strings.Contains(err.Error(), "empty line") {
		t.Errorf("two steps in one paragraph: %v", err)
	}

	db = open(t, "ann")
	good := strings.Replace(source, "begin x c\n----\nerror of the script\n", "\nbegin x c\n\nrollback x\n", 1)
	good += "\nquery x\nSELECT 1\n"
	env := Env{DB: db, Outside: db, Counts: counting(func(*Counts) {})}
	if _, err := Run(t.Context(), good, env); err == nil || err.Error() != "query x: there is no x" {
		t.Errorf("a transaction that is over: %v", err)
	}

	db = open(t, "ann")
	env = Env{DB: db, Outside: db, Counts: counting(func(c *Counts) { c.Hits++ })}
	good = strings.Replace(good, "\nquery x\nSELECT 1\n", "\nquery outside nil x'00ff' \"\" 1.5 true\nSELECT ?, ?, ?, ?, ?\n----\n\nexec db\nnonsense\n----\n", 1)
	got, err := Run(t.Context(), good, env)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(good, "what was there\nbefore", "hit\nann\nbo b", 1)
	want = strings.Replace(want, "?, ?, ?, ?, ?\n----\n", "?, ?, ?, ?, ?\n----\nNULL | x'00ff' | '' | 1.5 | 1\n", 1)
	want = strings.Replace(want, "nonsense\n----\n", "nonsense\n----\nfailed\nerror: near \"nonsense\": syntax error\n", 1)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestOutcome(t *testing.T) {
	for _, test := range []struct {
		want string
		next func(*Counts)
	}{
		{"hit", func(c *Counts) { c.Hits++ }},
		{"coalesced", func(c *Counts) { c.Coalesced++ }},
		{"miss", func(c *Counts) { c.Misses++; c.Fills++ }},
		{"miss, not stored", func(c *Counts) { c.Misses++ }},
		{"bypass: moon", func(c *Counts) { c.Bypasses["moon"]++ }},
		{"passed", func(*Counts) {}},
	} {
		db := open(t, "ann")
		env := Env{DB: db, Outside: db, Counts: counting(test.next)}
		got, err := Run(t.Context(), "query db\nSELECT name FROM people\n----\n", env)
		if err != nil {
			t.Fatal(err)
		}
		if want := "query db\nSELECT name FROM people\n----\n" + test.want + "\nann\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestWatch shows that a watched read that is served although the database
// holds something else is told: here both are databases of their own.
func TestWatch(t *testing.T) {
	const watch = "watch names\nSELECT name FROM people\n\npurge\n----\n"
	for _, test := range []struct {
		want    string
		outside string
		next    func(*Counts)
	}{
		{"ok, keeps all", "ann", func(c *Counts) { c.Hits++ }},
		{"ok, invalidates names", "ann", func(c *Counts) { c.Misses++ }},
		{"ok, keeps all, STALE names", "bob", func(c *Counts) { c.Hits++ }},
	} {
		purged := 0
		env := Env{
			DB: open(t, "ann"), Outside: open(t, test.outside), Counts: counting(test.next),
			Controls: map[string]func([]string) error{"purge": func([]string) error { purged++; return nil }},
		}
		got, err := Run(t.Context(), watch, env)
		if err != nil {
			t.Fatal(err)
		}
		if got != watch+test.want+"\n" || purged != 1 {
			t.Errorf("%q, want %q, purged %d times", got, test.want, purged)
		}
	}
}

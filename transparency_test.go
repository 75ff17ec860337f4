package querycache_test

import (
	"flag"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/querycache/querycache"
	"github.com/querycache/querycache/internal/fakedb"
)

var rewrite = flag.Bool("rewrite", false, "write the expected output of scripts anew")

// modes are the ways in which a wrapped driver must be the driver itself.
var modes = []mode{
	{name: "cached"},
	{name: "disabled", tune: func(c *querycache.Cache) func() { c.SetEnabled(false); return nil }},
	{name: "roaming", tune: (*querycache.Cache).Roam, roams: true},
}

type mode struct {
	name string
	// tune prepares the cache before its first connection; what it returns is
	// called when the pool is closed.
	tune func(*querycache.Cache) (end func())
	// roams tells that connections change their parent at every chance. They ask
	// a parent less or more often then, and see the same.
	roams bool
}

// open returns a cache in that mode, and the function to call when the pool is closed.
func (m mode) open(t *testing.T) (*querycache.Cache, func()) {
	t.Helper()
	cache, err := querycache.New(querycache.Config{Dialect: querycache.SQLite, NoCatalog: true, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cache.Close(); err != nil {
			t.Error(err)
		}
	})
	end := func() {}
	if m.tune != nil {
		if f := m.tune(cache); f != nil {
			end = f
		}
	}
	return cache, end
}

func newFake(t *testing.T, p fakedb.Profile) *fakedb.DB {
	t.Helper()
	d, err := fakedb.New(p)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestTransparency runs each script of testdata/transparency on the driver alone
// and wrapped, over every profile and in every mode. A client must see the same.
// In each mode one cache serves all profiles.
func TestTransparency(t *testing.T) {
	paths, err := filepath.Glob("testdata/transparency/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, path := range paths {
		s := readScript(t, path)
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			profiles := slices.DeleteFunc(fakedb.Profiles(), func(p fakedb.Profile) bool { return !s.suits(p) || testing.Short() && !isReference(p.Name) })
			if len(profiles) == 0 && !testing.Short() {
				t.Fatal("the script suits no profile")
			}
			alone := s.alone(t, profiles)
			for _, m := range modes {
				if s.oneToOne && m.roams {
					continue
				}
				t.Run(m.name, func(t *testing.T) {
					cache, end := m.open(t)
					for _, p := range profiles {
						t.Run(p.Name, func(t *testing.T) { s.compare(t, cache, end, p, m, alone[p.Name]) })
					}
					stillCaches(t, cache, m)
				})
			}
		})
	}
}

// alone runs the script on the drivers alone, and compares with, or writes, what
// its file has.
func (s *scriptFile) alone(t *testing.T, profiles []fakedb.Profile) map[string]outcome {
	t.Helper()
	outcomes, transcripts := map[string]outcome{}, map[string]string{}
	for _, p := range profiles {
		fake := newFake(t, p)
		raw := s.run(t, fake, fake.Driver(), func(dc any) any { return dc }, func() {})
		outcomes[p.Name] = outcome{transcript: raw, reached: reached(fake, calls...), leaked: fake.OpenCounts().Conns}
		if !isReference(p.Name) {
			continue
		}
		transcripts[p.Name] = raw
		if diff := difference(lines(s.want[p.Name]), lines(raw)); diff != "" && !*rewrite {
			t.Errorf("%s, not wrapped: (-file +got)\n%s", p.Name, diff)
		}
	}
	if *rewrite {
		s.write(t, transcripts)
	}
	return outcomes
}

// stillCaches proves that what a script did, to its drivers and to their
// transactions, has left no table in flight: its reads are cached again.
func stillCaches(t *testing.T, cache *querycache.Cache, m mode) {
	t.Helper()
	if m.name == "disabled" {
		return
	}
	fake := newFake(t, fakedb.Full())
	noError(t, fake.Seed("main", schema))
	db := must(fakedb.Open(cache.Wrap(fake.Driver()), "main"))(t)
	defer func() { noError(t, db.Close()) }()
	before := cache.Stats().Hits
	for range 3 {
		var n int
		noError(t, db.QueryRow("SELECT COUNT(*) FROM people, kinds, blobs").Scan(&n))
	}
	if hits := cache.Stats().Hits - before; hits == 0 {
		t.Errorf("nothing is cached any more: %+v", cache.Stats())
	}
}

// outcome is what a script did with the driver alone.
type outcome struct {
	transcript string
	reached    []string
	leaked     int
}

// calls are the kinds of calls that must be the same with and without the wrapper.
var calls = []string{"Query", "Exec", "Begin", "Commit", "Rollback", "Ping", "IsValid", "ResetSession"}

// difference is cmp.Diff, which takes its time also where there is none.
func difference(want, got []string) string {
	if slices.Equal(want, got) {
		return ""
	}
	return cmp.Diff(want, got)
}

func lines(text string) []string { return strings.Split(text, "\n") }

// compare runs the script wrapped. database/sql itself leaks the connection of a
// Query that panics, so no more connections may stay open than without the wrapper.
func (s *scriptFile) compare(t *testing.T, cache *querycache.Cache, end func(), p fakedb.Profile, m mode, alone outcome) {
	t.Helper()
	before := cache.Stats().Hits
	fake := newFake(t, p)
	got := s.run(t, fake, cache.Wrap(fake.Driver()), querycache.Unwrap, end)
	if diff := difference(m.comparable(lines(alone.transcript)), m.comparable(lines(got))); diff != "" {
		t.Errorf("wrapped, a client sees (-alone +wrapped)\n%s", diff)
	}
	if !s.hits {
		if diff := difference(m.comparable(alone.reached), m.comparable(reached(fake, calls...))); diff != "" {
			t.Errorf("wrapped, there reached the driver (-alone +wrapped)\n%s", diff)
		}
		if hits := cache.Stats().Hits - before; hits != 0 {
			t.Errorf("%d hits: the script must not repeat a read", hits)
		}
	}
	if c := fake.OpenCounts(); c.Conns > alone.leaked {
		t.Errorf("%d connections are open after Close", c.Conns)
	}
}

// comparable drops what a mode may change: with a parent for every need there are
// fewer that are found broken or out of date, and so fewer failures to hide.
func (m mode) comparable(list []string) []string {
	if !m.roams {
		return list
	}
	kept := []string{}
	for _, line := range list {
		if !strings.HasPrefix(line, "  struck ") && !strings.HasSuffix(line, "error: driver: bad connection") &&
			!strings.HasSuffix(line, "error: context canceled") &&
			!strings.HasPrefix(line, "Conn.ResetSession") && !strings.HasPrefix(line, "Conn.IsValid") {
			kept = append(kept, line)
		}
	}
	return kept
}

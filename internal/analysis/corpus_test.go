package analysis

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const corpusDir = "../../../shared/sqlcorpus"

// sample is one statement of the shared corpus with its truth.
type sample struct {
	ID         string   `json:"id"`
	Dialect    string   `json:"dialect"`
	SQL        string   `json:"sql"`
	Kind       string   `json:"kind"`
	Reads      []string `json:"reads"`
	Writes     []string `json:"writes"`
	ReadsFull  []string `json:"reads_full"`
	WritesFull []string `json:"writes_full"`
	Cacheable  bool     `json:"cacheable"`
	Why        string   `json:"why"`
}

func (s sample) reads() []string  { return tags(s.Reads, s.ReadsFull) }
func (s sample) writes() []string { return tags(s.Writes, s.WritesFull) }

func tags(direct, full []string) []string {
	if full != nil {
		direct = full
	}
	out := []string{}
	for _, name := range direct {
		out = append(out, fold(name[strings.LastIndexByte(name, '.')+1:]))
	}
	return compact(out)
}

func corpusFile(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(corpusDir, name))
	if errors.Is(err, fs.ErrNotExist) {
		tb.Skipf("no shared corpus beside the repository: %v", err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func corpus(tb testing.TB) []sample {
	tb.Helper()
	var all []sample
	if err := json.Unmarshal(corpusFile(tb, "statements.json"), &all); err != nil {
		tb.Fatal(err)
	}
	return slices.DeleteFunc(all, func(s sample) bool { return s.Dialect != "sqlite" })
}

func corpusEngine(tb testing.TB) *liveEngine {
	tb.Helper()
	schema := string(corpusFile(tb, "schema_sqlite.sql"))
	// The default build of go-sqlite3 has FTS4, and FTS5 behind a build tag.
	return open(tb, strings.ReplaceAll(schema, "USING fts5(", "USING fts4("))
}

// hidden are samples that the text alone cannot know: they touch a view, a
// trigger or a cascade.
var hidden = map[string]bool{"s13": true, "s17": true, "s19": true, "s35": true, "s49": true, "s55": true}

func TestCorpus(t *testing.T) {
	e := corpusEngine(t)
	cat := e.catalog(t)
	ways := []struct {
		name string
		cat  *Catalog
		eng  Engine
		skip map[string]bool
	}{
		{"witness", cat, e, nil},
		{"catalog", cat, nil, nil},
		{"text", nil, nil, hidden},
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			want, found, exact := 0, 0, 0
			for _, s := range corpus(t) {
				if way.skip[s.ID] {
					continue
				}
				p := Analyze(t.Context(), SQLite, s.SQL, way.cat, way.eng)
				checkSound(t, s, p)
				if !s.Cacheable {
					continue
				}
				want++
				if !p.Cacheable {
					t.Logf("%s not cached (%s): %s", s.ID, p.Reason, s.SQL)
					continue
				}
				found++
				if cmp.Equal(s.reads(), p.Reads) {
					exact++
				} else {
					t.Logf("%s superset %v for %v: %s", s.ID, p.Reads, s.reads(), s.SQL)
				}
			}
			t.Logf("cacheable %d, found %d, exact %d", want, found, exact)
			if found*10 < want*9 || exact*10 < found*8 {
				t.Errorf("of %d cacheable reads %d found, %d of them exactly", want, found, exact)
			}
		})
	}
}

// checkSound fails on an answer that could make a cached result stale.
func checkSound(t *testing.T, s sample, p *Plan) {
	t.Helper()
	if p.Cacheable && !s.Cacheable {
		t.Errorf("%s cacheable: %s (%s)", s.ID, s.SQL, s.Why)
	}
	if p.Everything {
		return
	}
	if s.Kind != "read" && p.Kind == Read && s.Kind != "invalid" {
		t.Errorf("%s is a %s, not a read: %s", s.ID, s.Kind, s.SQL)
	}
	if p.Cacheable && !subset(s.reads(), p.Reads) {
		t.Errorf("%s reads %v, found %v: %s", s.ID, s.reads(), p.Reads, s.SQL)
	}
	if s.Kind != "ddl" && !subset(s.writes(), p.Writes) {
		t.Errorf("%s writes %v, found %v: %s", s.ID, s.writes(), p.Writes, s.SQL)
	}
}

func subset(part, whole []string) bool {
	for _, name := range part {
		if !slices.Contains(whole, name) {
			return false
		}
	}
	return true
}

// seedCorpus adds the shared corpus to a fuzz target where it is there.
func seedCorpus(f *testing.F) {
	f.Helper()
	data, err := os.ReadFile(filepath.Join(corpusDir, "statements.json"))
	if err != nil {
		f.Logf("no shared corpus beside the repository: %v", err)
		return
	}
	var all []sample
	if err := json.Unmarshal(data, &all); err != nil {
		f.Fatal(err)
	}
	for _, s := range all {
		f.Add(s.SQL)
	}
}

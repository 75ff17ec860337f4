package benchmarks

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/querycache/querycache"
)

// TestWays runs every way through each door, and asks a trace whether what its
// name says was in force. It was seen to fail on the hinted ways with a comment
// that says cache instead of querycache, with a rule about another table, and
// with the context's hints left out.
func TestWays(t *testing.T) {
	f, err := NewFixture(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	type force struct {
		Hint, Context string
		Rule          int
		Tables, Tags  []string
	}
	people, both, front := []string{"people"}, []string{"people", "teams"}, []string{"front"}
	plain := force{Rule: -1, Tables: people}
	want := map[string]force{
		Plain:                  plain,
		Again:                  plain,
		"comment ttl, swr":     {Hint: "ttl=1h swr=10s", Rule: -1, Tables: people},
		"comment tables, tags": {Hint: "tables=teams tags=front", Rule: -1, Tables: both, Tags: front},
		"rule ttl":             {Tables: people},
		"rule ttl, tags":       {Tables: people, Tags: front},
		"context ttl":          {Context: "ttl=1h0m0s", Rule: -1, Tables: people},
		"context tables, tags": {Context: "tables=teams tags=front", Rule: -1, Tables: both, Tags: front},
		"trace":                plain,
	}
	ways := Ways()
	if len(ways) != len(want) {
		t.Errorf("%d ways, want %d", len(ways), len(want))
	}
	for _, w := range ways {
		for _, d := range []Door{SQLDoor, DriverDoor} {
			t.Run(w.Name+" at "+string(d), func(t *testing.T) {
				runHit(t, w, d, f)
				var told []querycache.Outcome
				traced := w
				traced.ctx = querycache.WithTrace(w.ctx, func(o querycache.Outcome) { told = append(told, o) })
				runHit(t, traced, d, f)
				// The first of them filled the entry.
				if len(told) < 2 {
					t.Fatalf("the trace was told %d times", len(told))
				}
				o := told[len(told)-1]
				got := force{o.Hint, o.Context, o.Rule, o.Tables, o.Tags}
				if diff := cmp.Diff(want[w.Name], got); diff != "" {
					t.Errorf("in force (-want +got):\n%s", diff)
				}
				if o.Kind != querycache.Hit || o.TTL < 50*time.Minute {
					t.Errorf("a %v with a TTL of %v, want a hit with about an hour", o.Kind, o.TTL)
				}
			})
		}
	}
}

// runHit runs a way and checks that it hits and reads the row.
func runHit(t *testing.T, w Way, d Door, f *Fixture) {
	t.Helper()
	b, err := w.Open(f, d)
	if err != nil {
		t.Fatal(err)
	}
	const runs = 5
	before := b.Count()
	a := b.Alternatives[0]
	if err := a.Run(runs); err != nil {
		t.Fatal(err)
	}
	if err := b.Check(before, runs); err != nil {
		t.Error(err)
	}
	s := a.sessions[0]
	if diff := cmp.Diff([]Person{person(1)}, s.out[:s.read]); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

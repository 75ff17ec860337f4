//go:build querycache_controls

package enginetest

import (
	"testing"
	"time"

	"github.com/querycache/querycache"
)

// TestControlsAreNoticed runs the clients of TestLinearizable with one
// protection of the validity protocol off, until the checker notices. It is
// tried with those that chance finds within seconds; for each of them the
// tests of the core have the order of steps by hand.
func TestControlsAreNoticed(t *testing.T) {
	for _, c := range []struct {
		name    string
		percent int
	}{
		{"bump after only", 10},
		{"bump before only", 10},
		{"words after the query", 10},
		{"follower joins any flight", 10},
		{"follower joins with a write in flight", 10},
		{"unchanged wrongly assumed", 1},
		{"RETURNING ended at Query's return", 10},
		{"join with one word missing", 10},
		{"begin after the effect", 10},
		{"begin on one of two tables", 10},
		{"end before the effect", 10},
		{"words loaded before the call", 10},
		{"dirty words stored and hit ignores in flight", 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			restore, err := querycache.Break(c.name)
			if err != nil {
				t.Fatal(err)
			}
			defer restore()
			began := time.Now()
			r := newStage(t).run(t, c.percent, time.Minute)
			if r.violation == "" {
				t.Fatalf("not noticed in %v: %v", time.Since(began), r)
			}
			t.Logf("%s: noticed after %v, %d operations:\n%s", c.name, time.Since(began).Round(time.Millisecond), r.operations, r.violation)
		})
	}
}

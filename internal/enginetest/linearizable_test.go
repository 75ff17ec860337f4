package enginetest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/querycache/querycache"
)

// perRound is how many operations a client makes before the history so far is
// checked. The check takes time and memory by the square of it.
const perRound = 400

// duration is how long each share of writes is tried. QUERYCACHE_LINEARIZE, a
// duration such as 5m, makes it longer.
func duration(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("QUERYCACHE_LINEARIZE")
	if text == "" {
		return 1500 * time.Millisecond
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("QUERYCACHE_LINEARIZE: %v", err)
	}
	return d
}

// TestLinearizable has eight clients read and write at once through one cache.
// What all of them saw must be explained by a database without a cache. How it
// fails with protections off: TestControlsAreNoticed.
func TestLinearizable(t *testing.T) {
	for _, percent := range []int{1, 10, 50} {
		t.Run(fmt.Sprintf("%d%% writes", percent), func(t *testing.T) {
			s := newStage(t)
			r := s.run(t, percent, duration(t))
			t.Log(r)
			if r.violation != "" {
				t.Fatalf("not linearizable:\n%s", r.violation)
			}
			if r.stats.Hits == 0 || r.writes == 0 || r.rolledBack == 0 || r.stats.Stale == 0 && percent == 1 {
				t.Error("something did not occur: nothing is shown")
			}
			if percent == 1 && r.share() < 0.5 {
				t.Errorf("%.1f %% of the reads were hits, at least 50 %% are expected", 100*r.share())
			}
		})
	}
}

// result is what came of a run.
type result struct {
	operations, writes, rolledBack, rounds int

	stats     querycache.Stats
	violation string
}

// share is that of hits in all reads.
func (r result) share() float64 {
	reads := r.stats.Hits + r.stats.Misses + r.stats.Coalesced + r.stats.Bypasses
	return float64(r.stats.Hits) / float64(max(reads, 1))
}

func (r result) String() string {
	return fmt.Sprintf("%d operations in %d rounds (%d writes, %d rolled back), %d hits, %.1f %% of the reads; %d served late, %d coalesced",
		r.operations, r.rounds, r.writes, r.rolledBack, r.stats.Hits, 100*r.share(), r.stats.Stale, r.stats.Coalesced)
}

// run makes rounds for a time, or until one is not linearizable.
func (s *stage) run(t *testing.T, percent int, d time.Duration) result {
	t.Helper()
	var r result
	for end := time.Now().Add(d); time.Now().Before(end) && r.violation == ""; r.rounds++ {
		s.round(t, percent, &r)
	}
	r.stats = s.cache.Stats()
	return r
}

// round has every client make its operations, and checks what they saw.
func (s *stage) round(t *testing.T, percent int, r *result) {
	t.Helper()
	var (
		clock  atomic.Int64
		all    [clients][]operation
		undone [clients]int
		failed [clients]error
		wg     sync.WaitGroup
	)
	for c := range clients {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(r.rounds), uint64(c)))
			for range perRound {
				in := input{object: random.IntN(objects)}
				call := clock.Add(1)
				var out registers
				var err error
				effective := true
				if random.IntN(100) < percent {
					effective, err = s.write(t.Context(), &in, random)
				} else {
					out, err = s.read(t.Context(), &in, random)
				}
				if err != nil {
					failed[c] = fmt.Errorf("%s: %w", in.how, err)
					return
				}
				if !effective {
					undone[c]++
					continue
				}
				all[c] = append(all[c], operation{c, in, out, call, clock.Add(1)})
			}
		})
	}
	wg.Wait()
	var histories [objects][]operation
	for c := range clients {
		if failed[c] != nil {
			t.Fatal(failed[c])
		}
		r.rolledBack += undone[c]
		r.operations += undone[c] + len(all[c])
		for _, op := range all[c] {
			if op.in.action == write {
				r.writes++
			}
			histories[op.in.object] = append(histories[op.in.object], op)
		}
	}
	s.check(t, histories, r)
}

// check holds the histories of a round against the model, and notes what the
// next round starts from.
func (s *stage) check(t *testing.T, histories [objects][]operation, r *result) {
	t.Helper()
	for i, history := range histories {
		o := &s.objects[i]
		switch linearizable(o.start, history) {
		case porcupine.Ok:
		case porcupine.Unknown:
			t.Fatal("the check takes too long")
		case porcupine.Illegal:
			r.violation = explain(o.start, history)
			return
		}
		o.start = s.uncached(t, o)
	}
}

// uncached is what an object holds, asked past the cache.
func (s *stage) uncached(t *testing.T, o *object) (now registers) {
	t.Helper()
	ctx := querycache.Bypass(t.Context())
	for key := range now {
		if err := s.db.GetContext(ctx, &now[key], o.point[key/perTable], key%perTable); err != nil {
			t.Fatal(err)
		}
	}
	return now
}

// explain describes the last operations of the shortest beginning of a history
// that is not linearizable.
func explain(start registers, history []operation) string {
	slices.SortFunc(history, func(a, b operation) int { return cmp.Compare(a.end, b.end) })
	n := sort.Search(len(history), func(n int) bool {
		return linearizable(start, beginning(history, n)) == porcupine.Illegal
	})
	n = min(n, len(history)-1)
	var b strings.Builder
	for _, op := range history[max(0, n-12) : n+1] {
		fmt.Fprintf(&b, "%6d to %6d  client %d  %s\n", op.call, op.end, op.client, op.in.describe(op.out))
	}
	return b.String()
}

// beginning is what is known of a history, sorted by its returns, when the
// operation n has returned: of what was called by then and has not returned,
// reads have shown nothing yet and writes may have taken effect.
func beginning(history []operation, n int) []operation {
	known := slices.Clone(history[:n+1])
	for _, op := range history[n+1:] {
		if op.call < history[n].end && op.in.action == write {
			op.end = math.MaxInt64
			known = append(known, op)
		}
	}
	return known
}

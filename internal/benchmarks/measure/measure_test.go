//go:build unix

package measure_test

import (
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/querycache/querycache/internal/benchmarks/measure"
)

func TestQuartiles(t *testing.T) {
	for _, test := range []struct {
		figures []float64
		want    measure.Quartiles
	}{
		{nil, measure.Quartiles{}},
		{[]float64{3}, measure.Quartiles{Q1: 3, Median: 3, Q3: 3}},
		{[]float64{5, 1, 4, 2, 3}, measure.Quartiles{Q1: 2, Median: 3, Q3: 4}},
		{[]float64{4, 1, 2, 3}, measure.Quartiles{Q1: 1.75, Median: 2.5, Q3: 3.25}},
	} {
		given := slices.Clone(test.figures)
		if diff := cmp.Diff(test.want, measure.Of(test.figures)); diff != "" {
			t.Errorf("Of(%v) (-want +got):\n%s", given, diff)
		}
		if diff := cmp.Diff(given, test.figures); diff != "" {
			t.Errorf("Of changed its argument (-before +after):\n%s", diff)
		}
	}
}

func TestRatioGoesByRound(t *testing.T) {
	// The medians alone would give 1: only round by round is a twice b.
	a := measure.Series{PerRun: []float64{2, 4, 20, 8}}
	b := measure.Series{PerRun: []float64{1, 2, 10, 0}}
	want := measure.Quartiles{Q1: 2, Median: 2, Q3: 2}
	if diff := cmp.Diff(want, measure.Ratio(a, b)); diff != "" {
		t.Errorf("Ratio (-want +got):\n%s", diff)
	}
}

func TestInterleave(t *testing.T) {
	const rounds = 12
	ran := make([]int, 2)
	var order []int
	subject := func(i int, name string) measure.Subject {
		return measure.Subject{Name: name, Run: func(n int) error {
			ran[i] += n
			order = append(order, i)
			burn(n)
			return nil
		}}
	}
	series, err := measure.Interleave(
		[]measure.Subject{subject(0, "a"), subject(1, "b")},
		measure.Options{Rounds: rounds, Slice: time.Millisecond, Seed: 1},
	)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range series {
		if want := string(rune('a' + i)); s.Name != want {
			t.Errorf("series %d is called %q, want %q", i, s.Name, want)
		}
		if len(s.PerRun) != rounds {
			t.Errorf("%s has %d rounds, want %d", s.Name, len(s.PerRun), rounds)
		}
		if s.Runs != ran[i] {
			t.Errorf("%s says %d runs, there were %d", s.Name, s.Runs, ran[i])
		}
	}
	measured := order[len(order)-2*rounds:]
	swapped := 0
	for i := 0; i < len(measured); i += 2 {
		if measured[i] == measured[i+1] {
			t.Fatalf("a round ran one subject twice: %v", measured)
		}
		if measured[i] == 1 {
			swapped++
		}
	}
	if swapped == 0 || swapped == rounds {
		t.Errorf("the order was the same in all %d rounds", rounds)
	}
}

// TestStallIsNotWork has the first run wait, as a busy machine makes it. It was
// seen to fail, with fewer than ten runs in a round, when the runs that fill a
// slice were found by the clock.
func TestStallIsNotWork(t *testing.T) {
	const rounds = 2
	var stall sync.Once
	s := measure.Subject{Name: "a", Run: func(n int) error {
		stall.Do(func() { time.Sleep(5 * time.Millisecond) })
		burn(n)
		return nil
	}}
	series, err := measure.Interleave([]measure.Subject{s}, measure.Options{Rounds: rounds, Slice: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if runs := series[0].Runs / rounds; runs < 100 {
		t.Errorf("a round has %d runs, too few for 10 ms of work", runs)
	}
}

// sink keeps the compiler from leaving out burn's loop.
var sink float64

func burn(n int) {
	for i := range n * 100 {
		sink += math.Sqrt(float64(i))
	}
}

func TestErrorsEndTheMeasurement(t *testing.T) {
	broken := errors.New("broken")
	s := measure.Subject{Name: "b", Run: func(int) error { return broken }}
	if _, err := measure.Interleave([]measure.Subject{s}, measure.Options{Rounds: 1, Slice: time.Millisecond}); !errors.Is(err, broken) {
		t.Errorf("Interleave() = %v, want %v", err, broken)
	}
	if _, err := measure.Allocs(s, 1); !errors.Is(err, broken) {
		t.Errorf("Allocs() = %v, want %v", err, broken)
	}
}

// kept makes what a subject allocates escape to the heap.
var kept []byte

func TestAllocs(t *testing.T) {
	s := measure.Subject{Name: "a", Run: func(n int) error {
		for range n {
			kept = make([]byte, 100)
		}
		return nil
	}}
	got, err := measure.Allocs(s, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	// The runtime's own goroutines may add a few.
	if got < 1 || got > 1.1 {
		t.Errorf("Allocs() = %v, want 1", got)
	}
}

func TestCPUTimeGrowsWithWork(t *testing.T) {
	before, err := measure.CPUTime()
	if err != nil {
		t.Fatal(err)
	}
	burn(1_000_000)
	after, err := measure.CPUTime()
	if err != nil {
		t.Fatal(err)
	}
	if after <= before {
		t.Errorf("CPU time went from %v to %v over work", before, after)
	}
}

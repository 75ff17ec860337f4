//go:build unix

// Package measure compares the cost of several ways to do the same thing within
// one process.
//
// The ways take turns in many short rounds, in an order shuffled for each round,
// and are compared round by round by the CPU time of the whole process, user and
// system. What disturbs the machine for longer than a round disturbs all of them
// alike and drops out of the ratio; CPU time, unlike the clock, counts the work
// of background goroutines and not the time taken by other processes.
//
// One thing is shared and cannot be told apart: a collection of garbage is paid
// for by whoever runs when it is due, although it marks what all of them hold.
// So that this does not drown the rest, collections are made as rare as they are
// in a program with an ordinary heap: by ballast, an allocation without pointers
// that is never touched. In the smallest of heaps one comes every 4 MiB, and a
// round more or less of them moves a ratio by a tenth.
package measure

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// Subject is one way to do the thing. Run does it n times.
type Subject struct {
	Name string
	Run  func(n int) error
}

// Options says how long to measure.
type Options struct {
	// Rounds is the number of rounds, at least one.
	Rounds int
	// Slice is about how much CPU time each subject uses in each round.
	Slice time.Duration
	// Seed fixes the order of the subjects in each round.
	Seed uint64
}

// Series is what one subject cost.
type Series struct {
	Name string
	// PerRun holds, for each round, the nanoseconds of CPU time for one run.
	PerRun []float64
	// Runs is how often the subject was run, calibration included.
	Runs int
}

// Quartiles are the quarter points of a set of figures.
type Quartiles struct {
	Q1, Median, Q3 float64
}

// CPUTime returns the CPU time, user and system, that the process has used.
func CPUTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("reading the process's CPU time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// ballast is the size of an ordinary heap, in bytes.
const ballast = 64 << 20

// Interleave runs the subjects in turns and returns a series for each, in the
// order given.
func Interleave(subjects []Subject, o Options) ([]Series, error) {
	held := make([]byte, ballast)
	defer runtime.KeepAlive(held)
	runtime.GC()
	series := make([]Series, len(subjects))
	runs := make([]int, len(subjects))
	order := make([]int, len(subjects))
	for i, s := range subjects {
		n, total, err := calibrate(s, o.Slice)
		if err != nil {
			return nil, err
		}
		series[i] = Series{Name: s.Name, Runs: total}
		runs[i], order[i] = n, i
	}
	random := rand.New(rand.NewPCG(o.Seed, 0))
	for range o.Rounds {
		random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, i := range order {
			used, err := cpu(subjects[i], runs[i])
			if err != nil {
				return nil, err
			}
			series[i].PerRun = append(series[i].PerRun, float64(used)/float64(runs[i]))
			series[i].Runs += runs[i]
		}
	}
	return series, nil
}

// calibrate returns how many runs fill a slice, and how many it took to find out.
// It goes by CPU time as well, and by the less of two attempts: on a busy machine
// a process may be off the processor, or collect garbage, for longer than a
// slice, and what looked long enough would be a run or two, in which the cost of
// measuring drowns all else.
func calibrate(s Subject, slice time.Duration) (n, total int, err error) {
	for n = 1; ; n *= 2 {
		first, err := cpu(s, n)
		if err != nil {
			return 0, 0, err
		}
		second, err := cpu(s, n)
		if err != nil {
			return 0, 0, err
		}
		total += 2 * n
		// A quarter of the slice is long enough to extrapolate from.
		if used := min(first, second); used > 0 && used >= slice/4 {
			return max(1, int(float64(n)*float64(slice)/float64(used))), total, nil
		}
	}
}

func cpu(s Subject, n int) (time.Duration, error) {
	before, err := CPUTime()
	if err != nil {
		return 0, err
	}
	if err := s.Run(n); err != nil {
		return 0, fmt.Errorf("%s: %w", s.Name, err)
	}
	after, err := CPUTime()
	if err != nil {
		return 0, err
	}
	return after - before, nil
}

// Allocs returns the number of allocations of one run of the subject, as the
// mean of n runs. Those of other goroutines count too.
func Allocs(s Subject, n int) (float64, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := s.Run(n); err != nil {
		return 0, fmt.Errorf("%s: %w", s.Name, err)
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n), nil
}

// Of returns the quartiles of the figures, by linear interpolation; of no
// figures, zeros.
func Of(figures []float64) Quartiles {
	if len(figures) == 0 {
		return Quartiles{}
	}
	sorted := slices.Sorted(slices.Values(figures))
	at := func(p float64) float64 {
		x := p * float64(len(sorted)-1)
		i := int(x)
		if i+1 == len(sorted) {
			return sorted[i]
		}
		return sorted[i] + (x-float64(i))*(sorted[i+1]-sorted[i])
	}
	return Quartiles{Q1: at(0.25), Median: at(0.5), Q3: at(0.75)}
}

// Ratio returns the quartiles of what a cost relative to b, round by round.
// Rounds in which b took no measurable time are left out.
func Ratio(a, b Series) Quartiles {
	var ratios []float64
	for i := range min(len(a.PerRun), len(b.PerRun)) {
		if b.PerRun[i] > 0 {
			ratios = append(ratios, a.PerRun[i]/b.PerRun[i])
		}
	}
	return Of(ratios)
}

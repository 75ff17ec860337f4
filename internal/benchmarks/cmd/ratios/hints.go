//go:build unix

package main

import (
	"fmt"
	"io"
	"log"

	"github.com/querycache/querycache/internal/benchmarks"
	"github.com/querycache/querycache/internal/benchmarks/measure"
)

// openings is how often the ways are opened anew. Where a cache and its
// connection happen to lie in memory makes a hit through database/sql up to 20 ns
// faster or slower for as long as they are open, and no number of rounds tells
// that from the cost of a hint. Rounds are shorter by as much: what lasts for less
// than 10 ns drowns in what changes from one millisecond to the next.
const openings = 20

// unclear marks a floor that was not measured well enough.
const unclear = "unclear"

const hintsHeading = "\nhit\tdoor\tquerycache ns\tmore than plain, ns\tmedian, 95 %\tallocs/op\tfloor, ns\t"

// wayCost is what one way cost through one door.
type wayCost struct {
	perRun []float64 // by round, of all openings
	more   []float64 // than plain, likewise
	// medians are those of more, by opening.
	medians []float64
	allocs  float64
}

// hints measures and prints what hints, rules and a trace add to a hit, and
// returns how many missed a floor.
func hints(o options, f *benchmarks.Fixture, stdout io.Writer, progress *log.Logger) (missed int, err error) {
	lines := []string{hintsHeading}
	for _, d := range []benchmarks.Door{benchmarks.SQLDoor, benchmarks.DriverDoor} {
		progress.Printf("measuring hints at the door of %s", d)
		ways := benchmarks.Ways()
		costs := make([]wayCost, len(ways))
		for i := range min(openings, o.rounds) {
			if err := measureWays(o, i, ways, d, f, costs); err != nil {
				return missed, err
			}
		}
		for i, w := range ways {
			text, kept := hintLine(w, d, costs[i])
			lines = append(lines, text)
			if !kept {
				missed++
			}
		}
	}
	return missed, printTable(stdout, lines)
}

// measureWays opens all ways, each with a cache of its own and another one first
// each time, measures them in turns and adds up what they cost.
func measureWays(o options, opening int, ways []benchmarks.Way, d benchmarks.Door, f *benchmarks.Fixture, costs []wayCost) error {
	subjects := make([]measure.Subject, len(ways))
	checks := make([]func(runs int) error, len(ways))
	for i := range ways {
		i = (i + opening) % len(ways)
		b, err := ways[i].Open(f, d)
		if err != nil {
			return err
		}
		defer func() { _ = b.Close() }()
		before := b.Count()
		subjects[i] = measure.Subject{Name: ways[i].Name, Run: b.Alternatives[0].Run}
		checks[i] = func(runs int) error { return b.Check(before, runs) }
	}
	series, err := measure.Interleave(subjects, measure.Options{
		Rounds: o.rounds, Slice: max(o.slice/openings, 1), Seed: o.seed + uint64(opening),
	})
	if err != nil {
		return err
	}
	for i, s := range series {
		if err := checks[i](s.Runs); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		c, more := &costs[i], measure.Differences(s, series[0])
		c.perRun, c.more = append(c.perRun, s.PerRun...), append(c.more, more...)
		c.medians = append(c.medians, measure.Of(more).Median)
		if c.allocs, err = measure.Allocs(subjects[i], 1000); err != nil {
			return err
		}
	}
	return nil
}

// hintLine reports one way through one door, and whether it kept its floor.
func hintLine(w benchmarks.Way, d benchmarks.Door, c wayCost) (text string, kept bool) {
	difference, sure, floor, kept := none, none, none, true
	if w.Name != benchmarks.Plain {
		q := measure.Of(c.more)
		low, high := measure.Interval(c.medians)
		difference, sure = fmt.Sprintf("%+.1f [%+.1f %+.1f]", q.Median, q.Q1, q.Q3), fmt.Sprintf("%+.1f %+.1f", low, high)
		floor, kept = judgeHint(w.AtMost, low, high)
	}
	return fmt.Sprintf("%s\t%s\t%.1f\t%s\t%s\t%.1f\t%s\t",
		w.Name, d, measure.Of(c.perRun).Median, difference, sure, c.allocs, floor), kept
}

// judgeHint compares where the median lies with the floor. Of a floor that is
// within, nothing is known: more rounds narrow it.
func judgeHint(atMost, low, high float64) (text string, kept bool) {
	mark, kept := unclear, true
	switch {
	case atMost == 0:
		return none, true
	case high <= atMost:
		mark = pass
	case low > atMost:
		mark, kept = fail, false
	}
	return fmt.Sprintf("<= %.0f %s", atMost, mark), kept
}

//go:build unix

package main

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/querycache/querycache/internal/benchmarks"
	"github.com/querycache/querycache/internal/benchmarks/measure"
)

const (
	pass = "pass"
	fail = "FAIL"
	none = "-"
)

// cycles is how often garbage is collected for one figure.
const cycles = 15

const caseHeading = "case\tno-op ns\tdirect ns\tquerycache ns\tto no-op\tto direct\tallocs/op\tfloor\t"

// line reports one case, and whether it kept its floor.
func line(c benchmarks.Case, r result) (text string, kept bool) {
	floor, kept := judge(c.Floor, r)
	text = fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%.1f\t%s\t", c.Name,
		cost(r, benchmarks.Noop), cost(r, benchmarks.Direct), cost(r, benchmarks.Querycache),
		ratio(r, benchmarks.Noop), ratio(r, benchmarks.Direct), r.allocs, floor)
	return text, kept
}

// printTable prints lines whose cells end in tabs as columns.
func printTable(w io.Writer, lines []string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(t, strings.Join(lines, "\n")); err != nil {
		return err
	}
	return t.Flush()
}

func cost(r result, name string) string {
	s, ok := r.series[name]
	if !ok {
		return none
	}
	return fmt.Sprintf("%.0f", measure.Of(s.PerRun).Median)
}

func ratio(r result, to string) string {
	s, ok := r.series[to]
	if !ok {
		return none
	}
	q := measure.Ratio(r.series[benchmarks.Querycache], s)
	return fmt.Sprintf("%.2f [%.2f-%.2f]", q.Median, q.Q1, q.Q3)
}

// judge compares the median ratio with the floor, as it is and not as printed.
func judge(f benchmarks.Floor, r result) (text string, kept bool) {
	if f.Against == "" {
		return none, true
	}
	median := measure.Ratio(r.series[benchmarks.Querycache], r.series[f.Against]).Median
	mark, kept := pass, median <= f.AtMost
	if !kept {
		mark = fail
	}
	return fmt.Sprintf("<= %.2f %s %s", f.AtMost, f.Against, mark), kept
}

// collect measures and prints what one collection of garbage costs while rows
// are held in no way, by hand, and by the cache.
func collect(o options, f *benchmarks.Fixture, stdout io.Writer) error {
	lines := []string{"", "held\trows\theap MB\tbytes/row\tcollection, CPU ms\t"}
	for _, by := range []struct{ name, label string }{
		{benchmarks.Noop, "nothing"},
		{benchmarks.Direct, "a map of slices"},
		{benchmarks.Querycache, "querycache"},
	} {
		h, err := benchmarks.Hold(f, by.name, o.rows)
		if err != nil {
			return err
		}
		q, err := collection()
		if err != nil {
			return err
		}
		perRow := none
		if h.Rows > 0 {
			perRow = fmt.Sprintf("%.0f", float64(h.HeapBytes)/float64(h.Rows))
		}
		lines = append(lines, fmt.Sprintf("%s\t%d\t%.1f\t%s\t%.1f [%.1f-%.1f]\t", by.label, h.Rows,
			float64(h.HeapBytes)/(1<<20), perRow, q.Median, q.Q1, q.Q3))
		if err := h.Close(); err != nil {
			return err
		}
	}
	return printTable(stdout, lines)
}

// collection returns the CPU time of one collection, in milliseconds.
func collection() (measure.Quartiles, error) {
	var took []float64
	for range cycles {
		before, err := measure.CPUTime()
		if err != nil {
			return measure.Quartiles{}, err
		}
		runtime.GC()
		after, err := measure.CPUTime()
		if err != nil {
			return measure.Quartiles{}, err
		}
		took = append(took, (after-before).Seconds()*1000)
	}
	return measure.Of(took), nil
}

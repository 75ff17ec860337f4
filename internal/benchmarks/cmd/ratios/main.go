//go:build unix

// Ratios measures every case of the benchmarks, its alternatives in turns, and
// prints what querycache costs relative to the others, with the floors that it
// is held to; and by how many nanoseconds a hit with a hint, a rule or a trace
// differs from one without.
//
// Figures are medians over the rounds, of CPU time; a ratio is the median of the
// ratios within each round, with its quartiles in brackets.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"regexp"
	"time"

	"github.com/querycache/querycache/internal/benchmarks"
	"github.com/querycache/querycache/internal/benchmarks/measure"
)

// errFloor is what -strict ends with where a floor is missed.
var errFloor = errors.New("a floor is missed")

type options struct {
	rounds int
	slice  time.Duration
	seed   uint64
	cases  *regexp.Regexp
	rows   int
	strict bool
}

func main() {
	switch err := run(os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "ratios:", err)
		os.Exit(1)
	}
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{}
	flags := flag.NewFlagSet("ratios", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.rounds, "rounds", 100, "`number` of rounds of each case")
	flags.DurationVar(&o.slice, "slice", 10*time.Millisecond, "CPU `time` for each alternative in a round")
	flags.Uint64Var(&o.seed, "seed", 1, "`number` that fixes the order of the alternatives")
	pattern := flags.String("run", "", "only cases that match this `pattern`")
	flags.IntVar(&o.rows, "gcrows", 1_000_000, "`number` of cached rows for the cost of collecting garbage; 0: not measured")
	flags.BoolVar(&o.strict, "strict", false, "fail where a floor is missed")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var err error
	if o.cases, err = regexp.Compile(*pattern); err != nil {
		return o, fmt.Errorf("-run: %w", err)
	}
	if o.rounds < 1 || o.slice <= 0 || o.rows < 0 {
		return o, errors.New("-rounds and -slice must be positive, and -gcrows not negative")
	}
	return o, nil
}

func run(args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "querycache-ratios-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	f, err := benchmarks.NewFixture(dir)
	if err != nil {
		return err
	}
	progress := log.New(stderr, "", 0)
	missed, err := compare(o, f, stdout, progress)
	if err != nil {
		return err
	}
	if o.cases.MatchString("hints") {
		more, err := hints(o, f, stdout, progress)
		if err != nil {
			return err
		}
		missed += more
	}
	if o.rows > 0 && o.cases.MatchString("gc") {
		progress.Print("measuring gc")
		if err := collect(o, f, stdout); err != nil {
			return err
		}
	}
	if missed > 0 && o.strict {
		return fmt.Errorf("%w: %d of the cases", errFloor, missed)
	}
	return nil
}

// compare measures and prints the cases, and returns how many missed a floor.
func compare(o options, f *benchmarks.Fixture, stdout io.Writer, progress *log.Logger) (missed int, err error) {
	lines := []string{caseHeading}
	for _, c := range benchmarks.Cases() {
		if !o.cases.MatchString(c.Name) {
			continue
		}
		progress.Printf("measuring %s", c.Name)
		r, err := measureCase(o, c, f)
		if err != nil {
			return missed, err
		}
		text, kept := line(c, r)
		lines = append(lines, text)
		if !kept {
			missed++
		}
	}
	if len(lines) == 1 {
		return 0, nil
	}
	return missed, printTable(stdout, lines)
}

// result is what was measured of one case, by name of the alternative.
type result struct {
	series map[string]measure.Series
	allocs float64
}

func measureCase(o options, c benchmarks.Case, f *benchmarks.Fixture) (r result, err error) {
	b, err := c.Open(f)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	var subjects []measure.Subject
	for _, a := range b.Alternatives {
		subjects = append(subjects, measure.Subject{Name: a.Name, Run: a.Run})
	}
	before := b.Count()
	series, err := measure.Interleave(subjects, measure.Options{Rounds: o.rounds, Slice: o.slice, Seed: o.seed})
	if err != nil {
		return r, fmt.Errorf("%s: %w", c.Name, err)
	}
	r.series = make(map[string]measure.Series)
	for _, s := range series {
		r.series[s.Name] = s
	}
	// A figure for something other than what the case is called is worse than none.
	if err := b.Check(before, r.series[benchmarks.Querycache].Runs); err != nil {
		return r, fmt.Errorf("%s: %w", c.Name, err)
	}
	r.allocs, err = measure.Allocs(subjects[len(subjects)-1], 1000)
	return r, err
}

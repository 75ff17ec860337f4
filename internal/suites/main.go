// Command suites runs the test suites of sqlx and of go-sqlite3 twice, direct
// and through the cache, and compares the outcome test by test.
//
// The sources are taken as the module cache has them and copied to a temporary
// folder. The direct copy is left as it is. In the other one the name "sqlite3"
// and every driver that a test registers stand for a cached driver, and
// assertions of the concrete connection inside (*sql.Conn).Raw go through
// [querycache.UnwrapContext]; the tests in which the latter happens are listed by
// name. Any other difference, in sources or in outcome, is an error.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
		os.Exit(1)
	}
}

// runner holds what all suites share.
type runner struct {
	root string // of the querycache module
	work string // copies of the sources
	logs string // output of each run, kept
	race bool
	out  io.Writer
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("suites", flag.ContinueOnError)
	only := flags.String("run", "", "run the suites whose name contains this")
	keep := flags.Bool("keep", false, "keep the copied sources")
	race := flags.Bool("race", true, "run under the race detector, as the projects' own CI does")
	if err := flags.Parse(args); err != nil {
		return err
	}

	root, err := goCommand(ctx, ".", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return err
	}
	top, err := os.MkdirTemp("", "querycache-suites-")
	if err != nil {
		return err
	}
	r := &runner{
		root: strings.TrimSpace(string(root)),
		work: filepath.Join(top, "sources"),
		logs: filepath.Join(top, "logs"),
		race: *race,
		out:  out,
	}
	if err := os.Mkdir(r.logs, 0o755); err != nil {
		return err
	}
	if !*keep {
		defer func() { err = errors.Join(err, os.RemoveAll(r.work)) }()
	}
	fmt.Fprintln(out, "logs in", r.logs)

	var reports []report
	for _, s := range suites {
		if !strings.Contains(s.name, *only) {
			continue
		}
		rep, err := r.compare(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		reports = append(reports, rep)
	}
	return summarize(out, reports)
}

// report is what the two runs of one suite gave.
type report struct {
	suite       suite
	direct      outcomes
	cached      outcomes
	traffic     traffic
	differences []difference
}

// compare prepares both copies of a suite, runs them and compares.
func (r *runner) compare(ctx context.Context, s suite) (report, error) {
	source, err := moduleDir(ctx, r.root, s.module)
	if err != nil {
		return report{}, err
	}
	direct, err := r.prepare(ctx, s, source, "direct")
	if err != nil {
		return report{}, err
	}
	cached, err := r.prepare(ctx, s, source, "cached")
	if err != nil {
		return report{}, err
	}
	if err := intercept(s, cached); err != nil {
		return report{}, err
	}

	rep := report{suite: s}
	if rep.direct, err = r.test(ctx, s, direct); err != nil {
		return report{}, fmt.Errorf("direct: %w", err)
	}
	if rep.cached, err = r.test(ctx, s, cached); err != nil {
		return report{}, fmt.Errorf("cached: %w", err)
	}
	rep.differences = diff(rep.direct, rep.cached)
	if rep.traffic, err = readTraffic(cached); err != nil {
		return report{}, err
	}
	return rep, rep.plausible()
}

// plausible rejects runs that prove nothing: no test ran, the tests with
// rewritten assertions were not among them, or nothing went through the cache.
func (r report) plausible() error {
	if r.direct.count("pass") == 0 {
		return fmt.Errorf("no test passed without the cache; see the log of the direct run")
	}
	for _, name := range r.suite.unwrapped {
		if r.direct[name].action != "pass" {
			return fmt.Errorf("%s, which asserts a concrete connection, did not pass without the cache", name)
		}
	}
	if r.traffic.reads() == 0 && len(r.differences) == 0 {
		return fmt.Errorf("no query of the cached run went through the cache")
	}
	return nil
}

// summarize prints the table and the differences, and fails if there is any.
func summarize(out io.Writer, reports []report) error {
	if len(reports) == 0 {
		return fmt.Errorf("no suite of that name")
	}
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "suite\tdirect pass/fail/skip\tcached pass/fail/skip\thits\tmisses\tbypasses\twith Unwrap\tdifferences")
	total := 0
	for _, r := range reports {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\n", r.suite.name, r.direct, r.cached,
			r.traffic.Hits, r.traffic.Misses, r.traffic.Bypasses, len(r.suite.unwrapped), len(r.differences))
		total += len(r.differences)
	}
	if err := w.Flush(); err != nil {
		return err
	}

	for _, r := range reports {
		fmt.Fprintf(out, "%s, bypasses: %s\n", r.suite.name, r.traffic)
	}

	listed := map[string]bool{}
	for _, r := range reports {
		for _, name := range r.suite.unwrapped {
			if !listed[name] {
				listed[name] = true
				fmt.Fprintf(out, "asserts a concrete connection in Raw, run with Unwrap: %s\n", name)
			}
		}
	}
	for _, r := range reports {
		for _, d := range r.differences {
			fmt.Fprintf(out, "\n%s: %s: direct %s, cached %s\n%s", r.suite.name, d.test, d.direct, d.cached, d.output)
		}
	}
	if total > 0 {
		return fmt.Errorf("%d tests differ", total)
	}
	return nil
}

// moduleDir tells where the sources of a module are, in the version that the
// module at root requires.
func moduleDir(ctx context.Context, root, path string) (string, error) {
	out, err := goCommand(ctx, root, "mod", "download", "-json", path)
	if err != nil {
		return "", err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", err
	}
	return module.Dir, nil
}

// goCommand runs the go command outside of any workspace and returns its output.
func goCommand(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, exit.Stderr)
	}
	return out, err
}

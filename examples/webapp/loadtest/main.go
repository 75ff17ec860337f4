// Command loadtest puts a load on the web application, from a process of its
// own, and fails if any page is older than it may be.
//
// Every change of a book raises its version, and every page shows the versions of
// the books on it, or their sum. When a form has been answered the load notes the
// version that it made; from then on no request may be answered with less, and
// no client may see a version and then an older one.
//
// Then it asks for the report page alone, with the cache and without it, with the
// same share of writes, and fails unless the cache makes it three times as fast.
//
//	go run ./examples/webapp/loadtest
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// options are what the flags say.
type options struct {
	mixed   time.Duration // of mixed load
	report  time.Duration // of load on the report page, for each of the two
	clients int
	writes  float64
	books   int
}

// wanted is how many times the throughput of the report page has to be that
// without the cache.
const wanted = 3

func main() {
	var opts options
	flag.DurationVar(&opts.mixed, "for", 30*time.Second, "how `long` the mixed load is")
	flag.DurationVar(&opts.report, "report", 10*time.Second, "how `long` the report page is measured, with the cache and without")
	flag.IntVar(&opts.clients, "clients", 6, "`number` of clients at a time")
	flag.Float64Var(&opts.writes, "writes", 0.05, "the `share` of requests that write")
	flag.IntVar(&opts.books, "books", 20_000, "`number` of books in the library")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, opts)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "loadtest:", err)
		os.Exit(1)
	}
}

// run builds the web application, starts it with the cache and without, and puts
// both loads on it.
func run(ctx context.Context, out io.Writer, opts options) (err error) {
	dir, err := os.MkdirTemp("", "querycache-loadtest-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fmt.Fprintln(out, "building and starting the web application ...")
	program, err := build(ctx, dir)
	if err != nil {
		return err
	}
	books := "-books=" + strconv.Itoa(opts.books)
	cached, err := start(ctx, program, books)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cached.stop()) }()
	plain, err := start(ctx, program, books, "-nocache")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plain.stop()) }()

	if err := freshness(ctx, out, cached, opts); err != nil {
		return err
	}
	if opts.report == 0 {
		return nil
	}
	return throughput(ctx, out, cached, plain, opts)
}

// freshness looks for pages that are too old.
func freshness(ctx context.Context, out io.Writer, s *server, opts options) error {
	b := newBrowser(s.base, opts.clients)
	defer b.close()
	lib, err := survey(ctx, b)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%v of mixed reads and writes, %d clients, %g %% writes\n",
		opts.mixed, opts.clients, 100*opts.writes)
	t := mix{opts.clients, opts.writes, everyPage}.run(ctx, b, lib, opts.mixed)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	const line = "  %-10s %10v %10v\n"
	fmt.Fprintf(out, line, "page", "requests", "versions")
	for _, kind := range slices.Sorted(maps.Keys(t.pages)) {
		fmt.Fprintf(out, line, kind, t.pages[kind], t.checked[kind])
	}
	fmt.Fprintf(out, line, "writes", t.posts, t.posts)
	fmt.Fprintf(out, "  queries: %d, from the cache: %.0f %%\n", t.queries, 100*float64(t.hits)/float64(max(t.queries, 1)))
	fmt.Fprintf(out, "  stale pages: %d, failed requests: %d\n", len(t.stale), len(t.failed))
	return t.err()
}

// turns is how often the two servers are measured, one after the other: what else
// the machine does then meets both.
const turns = 2

// throughput compares how many report pages the servers make.
func throughput(ctx context.Context, out io.Writer, cached, plain *server, opts options) error {
	fmt.Fprintf(out, "\nthe report page, %v each, %d clients, %g %% writes\n", opts.report, opts.clients, 100*opts.writes)
	const line = "  %-16s %10v %10v %12v\n"
	fmt.Fprintf(out, line, "driver", "reports", "writes", "reports/s")
	names, servers := []string{"sqlite3", "sqlite3-cached"}, []*server{plain, cached}
	sums := []*tally{newTally(), newTally()}
	m := mix{opts.clients, opts.writes, []string{"report"}}
	for range turns {
		for i, s := range servers {
			t, err := measure(ctx, s, m, opts.report/turns)
			if err != nil {
				return err
			}
			sums[i].add(t)
		}
	}
	rates := make([]float64, len(sums))
	for i, t := range sums {
		rates[i] = float64(t.pages["report"]) / t.elapsed.Seconds()
		fmt.Fprintf(out, line, names[i], t.pages["report"], t.posts, strconv.FormatFloat(rates[i], 'f', 1, 64))
	}
	fmt.Fprintf(out, "  ratio: %.1f\n", rates[1]/rates[0])
	return fastEnough(rates[0], rates[1])
}

// fastEnough compares the reports a second without the cache and with it.
func fastEnough(plain, cached float64) error {
	switch {
	case plain <= 0:
		return errors.New("no report came without the cache: there is nothing to compare with")
	case cached < wanted*plain:
		return fmt.Errorf("the report page is %.1f times as fast with the cache, not %d times", cached/plain, wanted)
	}
	return nil
}

// measure puts a load on one server.
func measure(ctx context.Context, s *server, m mix, d time.Duration) (*tally, error) {
	b := newBrowser(s.base, m.clients)
	defer b.close()
	lib, err := survey(ctx, b)
	if err != nil {
		return nil, err
	}
	t := m.run(ctx, b, lib, d)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return t, t.err()
}

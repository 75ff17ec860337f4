// Command quickstart shows what the cache does to ordinary sqlx code.
//
// It makes a SQLite file of some 100,000 rows, runs the same queries twice, once
// with the driver "sqlite3" and once with "sqlite3-cached", compares every result
// and prints what each query took. Then it writes through the cache and shows
// which results that invalidated, which stayed, and that the next reads are
// fresh. It fails if any result differs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/jmoiron/sqlx"
	sqlite3 "github.com/mattn/go-sqlite3"

	"github.com/querycache/querycache"
)

func main() {
	cache, err := querycache.Register("sqlite3-cached", &sqlite3.SQLiteDriver{}, querycache.Config{})
	if err == nil {
		err = run(context.Background(), os.Stdout, cache, fullSize)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run makes the database, measures and shows. The cache is the one behind the
// driver "sqlite3-cached".
func run(ctx context.Context, out io.Writer, cache *querycache.Cache, n size) (err error) {
	dir, err := os.MkdirTemp("", "querycache-quickstart-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	dsn := "file:" + filepath.Join(dir, "shop.db") + "?_journal_mode=WAL&_busy_timeout=5000"

	direct, err := sqlx.Open("sqlite3", dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, direct.Close()) }()
	cached, err := sqlx.Open("sqlite3-cached", dsn) // the only change
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cached.Close()) }()

	fmt.Fprintf(out, "making a SQLite file of %d rows ...\n", n.customers+n.products+n.orders)
	if err := fillShop(ctx, direct, n); err != nil {
		return err
	}
	fmt.Fprintln(out, "running the queries with the driver sqlite3 ...")
	before, err := measure(ctx, direct, cache, n)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "running the same code with the driver sqlite3-cached ...")
	after, err := measure(ctx, cached, cache, n)
	if err != nil {
		return err
	}
	if err := compare(before, after); err != nil {
		return err
	}
	printTimes(out, before, after)
	return showWrite(ctx, out, direct, cached, cache, n)
}

// measured is one query run many times.
type measured struct {
	name    string
	results []any
	took    time.Duration
	hits    uint64
}

// measure runs every query as often as the size says.
func measure(ctx context.Context, db *sqlx.DB, cache *querycache.Cache, n size) ([]measured, error) {
	var all []measured
	for _, q := range queries {
		m := measured{name: q.name, results: make([]any, q.runs(n))}
		hits := cache.Stats().Hits
		start := time.Now()
		for i := range m.results {
			var err error
			if m.results[i], err = q.read(ctx, db, i, n); err != nil {
				return nil, fmt.Errorf("%s: %w", q.name, err)
			}
		}
		m.took = time.Since(start)
		m.hits = cache.Stats().Hits - hits
		all = append(all, m)
	}
	return all, nil
}

// compare fails unless every read gave the same both ways.
func compare(direct, cached []measured) error {
	for i, d := range direct {
		for j, want := range d.results {
			if got := cached[i].results[j]; !reflect.DeepEqual(got, want) {
				return fmt.Errorf("%s, run %d: the cache answered %v, the database %v", d.name, j, got, want)
			}
		}
	}
	return nil
}

func printTimes(out io.Writer, direct, cached []measured) {
	const line = "%-22s %7v %9v %9v %9s %7v\n"
	fmt.Fprintf(out, "\n"+line, "query", "runs", "direct", "cached", "speed-up", "hits")
	var runs int
	var slow, fast time.Duration
	var hits uint64
	for i, d := range direct {
		c := cached[i]
		fmt.Fprintf(out, line, d.name, len(d.results),
			mean(d.took, len(d.results)), mean(c.took, len(c.results)), ratio(d.took, c.took), c.hits)
		runs += len(d.results)
		slow += d.took
		fast += c.took
		hits += c.hits
	}
	fmt.Fprintf(out, line, "in all", runs, round(slow), round(fast), ratio(slow, fast), hits)
	fmt.Fprintf(out, "\nEach line is the mean of its runs, those that filled the cache included.\n"+
		"All %d results were compared and are equal. Time saved: %s of %s.\n", runs, round(slow-fast), round(slow))
}

// showWrite changes one order through the cache, then reads everything again.
func showWrite(ctx context.Context, out io.Writer, direct, cached *sqlx.DB, cache *querycache.Cache, n size) error {
	old, err := openOrders(ctx, cached)
	if err != nil {
		return err
	}
	id, err := anOpenOrder(ctx, direct)
	if err != nil {
		return err
	}
	const ship = "UPDATE orders SET status = 'shipped' WHERE id = ?"
	fmt.Fprintf(out, "\nA write through the cache: %s  (%d)\n\n", ship, id)
	if _, err := cached.ExecContext(ctx, ship, id); err != nil {
		return err
	}

	const line = "%-22s %-30s %s\n"
	fmt.Fprintf(out, line, "query", "reads", "next read")
	for _, q := range queries {
		hits := cache.Stats().Hits
		got, err := q.read(ctx, cached, 0, n)
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		how := "miss: invalidated, the database was asked"
		if cache.Stats().Hits > hits {
			how = "hit: stayed in the cache"
		}
		fmt.Fprintf(out, line, q.name, q.tables, how)

		want, err := q.read(ctx, direct, 0, n)
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		if !reflect.DeepEqual(got, want) {
			return fmt.Errorf("%s, after the write: the cache answered %v, the database %v", q.name, got, want)
		}
	}

	now, err := openOrders(ctx, cached)
	if err != nil {
		return err
	}
	if now != old-1 {
		return fmt.Errorf("%d orders were open, one was shipped, and the cache says %d", old, now)
	}
	fmt.Fprintf(out, "\nOpen orders before the write: %d, after it: %d. All five reads are as in the database.\n", old, now)
	return nil
}

// mean is the time of one of n runs.
func mean(d time.Duration, n int) time.Duration { return round(d / time.Duration(max(n, 1))) }

// round keeps three digits.
func round(d time.Duration) time.Duration {
	unit := time.Nanosecond
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}

func ratio(slow, fast time.Duration) string {
	return fmt.Sprintf("%.1fx", slow.Seconds()/fast.Seconds())
}

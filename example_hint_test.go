package querycache_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/querycache/querycache"
)

// A hint in the text of a statement. One that is not understood is logged, and its
// statement goes to the database.
func Example_commentHint() {
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	cache, err := querycache.New(querycache.Config{Logger: log})
	check(err)
	db, done := openShop(cache)
	defer done()

	for _, query := range []string{
		"/* querycache: ttl=30s tags=prices */ SELECT sum(price) FROM products",
		"SELECT sum(price) FROM products -- querycache: bypass",
		"/* querycache: tll=30s */ SELECT sum(price) FROM products",
	} {
		for range 2 {
			var sum int
			check(db.Get(&sum, query))
		}
	}
	s := cache.Stats()
	fmt.Println(s.Hits, "hit,", s.BypassReasons[querycache.ReasonHint], "by hint,",
		s.BypassReasons[querycache.ReasonBadHint], "by a malformed one")
	// Output:
	// level=WARN msg="querycache: a hint is not understood; a read is not cached for it, and a write invalidates everything" error="hint \"tll=30s\": unknown key"
	// 1 hit, 2 by hint, 2 by a malformed one
}

func ExampleWithTables() {
	cache, err := querycache.New(querycache.Config{})
	check(err)
	db, done := openShop(cache)
	defer done()
	db.MustExec("CREATE TABLE imports (at TEXT)")

	// Whoever changes prices behind the cache's back leaves a note in imports.
	ctx := querycache.WithTables(context.Background(), "imports")
	fmt.Println(priceOf(ctx, db, cache, "tea"))
	fmt.Println(priceOf(ctx, db, cache, "tea"))
	db.MustExec("INSERT INTO imports VALUES ('2026-01-01')")
	fmt.Println(priceOf(ctx, db, cache, "tea"))
	// Output:
	// tea costs 3
	// tea costs 3 (cached)
	// tea costs 3
}

func ExampleWithTags() {
	cache, err := querycache.New(querycache.Config{})
	check(err)
	db, done := openShop(cache)
	defer done()

	page := querycache.WithTags(context.Background(), "page:tea", "pages")
	fmt.Println(priceOf(page, db, cache, "tea"))
	fmt.Println(priceOf(page, db, cache, "tea"))
	cache.InvalidateTags("page:tea")
	fmt.Println(priceOf(page, db, cache, "tea"))
	// Output:
	// tea costs 3
	// tea costs 3 (cached)
	// tea costs 3
}

func ExampleCache_InvalidateTags() {
	cache, err := querycache.New(querycache.Config{})
	check(err)
	db, done := openShop(cache)
	defer done()

	read := func() {
		var sum int
		before := cache.Stats().Hits
		check(db.Get(&sum, "SELECT sum(price) FROM products -- querycache: tags=report,daily"))
		fmt.Println(sum, cache.Stats().Hits > before)
	}
	read()
	read()
	cache.InvalidateTags("daily")
	read()
	// Output:
	// 8 false
	// 8 true
	// 8 false
}

func ExampleWithTrace() {
	cache, err := querycache.New(querycache.Config{})
	check(err)
	db, done := openShop(cache)
	defer done()

	ctx := querycache.WithTrace(context.Background(), func(o querycache.Outcome) {
		fmt.Printf("%v (%v) of %s\n", o.Kind, o.Reason, o.Fingerprint)
		if o.InvalidatedBy != "" {
			fmt.Println("  by", o.InvalidatedBy)
		}
	})
	priceOf(ctx, db, cache, "tea")
	priceOf(ctx, db, cache, "tea")
	db.MustExec("UPDATE products SET price = 4 WHERE name = 'tea'")
	priceOf(ctx, db, cache, "tea")
	// Output:
	// miss (cold) of select price from products where name = ?
	// hit (none) of select price from products where name = ?
	// miss (invalidated) of select price from products where name = ?
	//   by update products set price = ? where name = ?
}

func ExampleRule() {
	cache, err := querycache.New(querycache.Config{Rules: []querycache.Rule{
		{Tables: []string{"sessions", "tokens"}, Deny: true},                                                 // never these
		{Fingerprint: "SELECT sum(price) FROM products", SWR: time.Minute},                                   // this one late
		{Match: func(query string) bool { return strings.Contains(query, "count(") }, TTL: 10 * time.Second}, // counts for a moment
		{Tables: []string{"products"}, TTL: time.Hour, Tags: []string{"shop"}},                               // the rest of the shop for long
	}})
	check(err)
	db, done := openShop(cache)
	defer done()
	db.MustExec("CREATE TABLE tokens (token TEXT)")

	ctx := querycache.WithTrace(context.Background(), func(o querycache.Outcome) {
		fmt.Println(o.Kind, "by rule", o.Rule)
	})
	for _, query := range []string{
		"SELECT count(*) FROM tokens", "SELECT sum(price) FROM products",
		"SELECT count(*) FROM products", "SELECT max(price) FROM products",
	} {
		var n int
		check(db.GetContext(ctx, &n, query))
	}
	// Output:
	// bypass by rule 0
	// miss by rule 1
	// miss by rule 2
	// miss by rule 3
}

func ExampleMode() {
	cache, err := querycache.New(querycache.Config{Mode: querycache.HintedOnly})
	check(err)
	db, done := openShop(cache)
	defer done()

	var sum int
	for range 2 {
		check(db.Get(&sum, "SELECT sum(price) FROM products"))
		check(db.Get(&sum, "/* querycache: ttl=1m */ SELECT sum(price) FROM products"))
	}
	s := cache.Stats()
	fmt.Println(s.Hits, "hit,", s.BypassReasons[querycache.ReasonUnhinted], "not hinted")
	// Output:
	// 1 hit, 2 not hinted
}

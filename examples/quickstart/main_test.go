package main

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"
	sqlite3 "github.com/mattn/go-sqlite3"

	"github.com/querycache/querycache"
)

// register is once a process, however often the tests run.
var register = sync.OnceValues(func() (*querycache.Cache, error) {
	return querycache.Register("sqlite3-cached", &sqlite3.SQLiteDriver{}, querycache.Config{})
})

var smallSize = size{customers: 20, products: 10, orders: 1_000, reports: 5, pages: 60, lookups: 100}

func TestRun(t *testing.T) {
	cache, err := register()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = run(t.Context(), &out, cache, smallSize)
	t.Logf("output:\n%s", &out)
	if err != nil {
		t.Fatal(err)
	}
	// One run of each distinct query fills; all others are hits.
	for _, want := range []string{
		`revenue by country +5 .* 4\n`,
		`open orders +5 .* 4\n`,
		`orders of a customer +60 .* 40\n`,
		`price list +60 .* 59\n`,
		`customer by id +100 .* 80\n`,
		`revenue by country +orders, products, customers +miss`,
		`open orders +orders +miss`,
		`orders of a customer +orders +miss`,
		`price list +products +hit`,
		`customer by id +customers +hit`,
	} {
		if !regexp.MustCompile(want).Match(out.Bytes()) {
			t.Errorf("nothing in the output matches %q", want)
		}
	}
}

func TestCompareTellsTheDifference(t *testing.T) {
	direct := []measured{{name: "q", results: []any{1, []customer{{ID: 1}}}}}
	if err := compare(direct, []measured{{results: []any{1, []customer{{ID: 1}}}}}); err != nil {
		t.Errorf("equal results: %v", err)
	}
	err := compare(direct, []measured{{results: []any{1, []customer{{ID: 2}}}}})
	if err == nil || !strings.Contains(err.Error(), "q, run 1") {
		t.Errorf("different results: %v", err)
	}
}

// TestStaleReadFails writes past the cache, as a second process would: what is
// shown then must not claim to be as in the database.
func TestStaleReadFails(t *testing.T) {
	cache, err := register()
	if err != nil {
		t.Fatal(err)
	}
	dsn := "file:" + t.TempDir() + "/shop.db?_journal_mode=WAL&_busy_timeout=5000"
	direct, cached := sqlx.MustOpen("sqlite3", dsn), sqlx.MustOpen("sqlite3-cached", dsn)
	defer direct.Close()
	defer cached.Close()
	if err := fillShop(t.Context(), direct, smallSize); err != nil {
		t.Fatal(err)
	}
	if _, err := priceList(t.Context(), cached, 0, smallSize); err != nil {
		t.Fatal(err)
	}
	if _, err := direct.Exec("UPDATE products SET cents = cents + 1"); err != nil {
		t.Fatal(err)
	}
	err = showWrite(t.Context(), io.Discard, direct, cached, cache, smallSize)
	if err == nil || !strings.Contains(err.Error(), "price list, after the write") {
		t.Errorf("a stale price list was shown: %v", err)
	}
}

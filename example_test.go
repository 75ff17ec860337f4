package querycache_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"

	"github.com/querycache/querycache"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// shop makes a SQLite file with a few products, without the cache.
func shop() (file string, remove func()) {
	dir, err := os.MkdirTemp("", "shop")
	check(err)
	file = filepath.Join(dir, "shop.db")
	db := sqlx.MustOpen("sqlite3", file)
	db.MustExec(`CREATE TABLE products (name TEXT, price INTEGER);
		INSERT INTO products VALUES ('tea', 3), ('coffee', 5)`)
	check(db.Close())
	return file, func() { check(os.RemoveAll(dir)) }
}

// openShop opens a shop through the cache.
func openShop(cache *querycache.Cache) (db *sqlx.DB, done func()) {
	file, remove := shop()
	db = sqlx.NewDb(sql.OpenDB(cache.WrapConnector(sqliteConnector(file))), "sqlite3")
	return db, func() {
		check(db.Close())
		check(cache.Close())
		remove()
	}
}

// sqliteConnector connects to a SQLite file.
type sqliteConnector string

func (file sqliteConnector) Connect(context.Context) (driver.Conn, error) {
	return (&sqlite3.SQLiteDriver{}).Open(string(file))
}

func (sqliteConnector) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

// priceOf reads the price of a product, and says if it came from the cache.
func priceOf(ctx context.Context, db *sqlx.DB, cache *querycache.Cache, product string) string {
	before := cache.Stats().Hits
	var price int
	check(db.GetContext(ctx, &price, "SELECT price FROM products WHERE name = ?", product))
	if cache.Stats().Hits > before {
		return fmt.Sprintf("%s costs %d (cached)", product, price)
	}
	return fmt.Sprintf("%s costs %d", product, price)
}

func Example() {
	cache, err := querycache.Register("sqlite3-shop", &sqlite3.SQLiteDriver{}, querycache.Config{})
	check(err)
	defer cache.Close()
	file, remove := shop()
	defer remove()

	// The name of the driver is all that differs from a database without a cache.
	db := sqlx.MustOpen("sqlite3-shop", file)
	defer db.Close()

	var names []string
	const cheap = "SELECT name FROM products WHERE price < ? ORDER BY name"
	for range 3 {
		check(db.Select(&names, cheap, 5))
	}
	fmt.Println(names, cache.Stats().Hits, "hits")

	db.MustExec("UPDATE products SET price = 4 WHERE name = ?", "coffee")
	check(db.Select(&names, cheap, 5))
	fmt.Println(names, cache.Stats().Hits, "hits")
	// Output:
	// [tea] 2 hits
	// [coffee tea] 2 hits
}

func ExampleRegister() {
	cache, err := querycache.Register("sqlite3-cached", &sqlite3.SQLiteDriver{}, querycache.Config{
		TTL: 5 * time.Minute,
	})
	check(err)
	defer cache.Close()

	_, err = querycache.Register("sqlite3-cached", &sqlite3.SQLiteDriver{}, querycache.Config{})
	fmt.Println(err)
	// Output:
	// querycache: name: "sqlite3-cached" is already registered
}

func ExampleNew() {
	cache, err := querycache.New(querycache.Config{MaxBytes: 16 << 20})
	check(err)
	db, done := openShop(cache)
	defer done()

	fmt.Println(priceOf(context.Background(), db, cache, "tea"))
	fmt.Println(priceOf(context.Background(), db, cache, "tea"))
	fmt.Println(priceOf(context.Background(), db, cache, "coffee"))
	// Output:
	// tea costs 3
	// tea costs 3 (cached)
	// coffee costs 5
}

func ExampleConfigError() {
	_, err := querycache.New(querycache.Config{MaxBytes: -1})
	fmt.Println(err)
	// Output:
	// querycache: MaxBytes: -1 is negative
}

func ExampleCache_Wrap() {
	cache, err := querycache.New(querycache.Config{})
	check(err)
	defer cache.Close()
	file, remove := shop()
	defer remove()

	// For a driver that is registered under several names, or with a hook.
	sql.Register("sqlite3-wrapped", cache.Wrap(&sqlite3.SQLiteDriver{}))
	db := sqlx.MustOpen("sqlite3-wrapped", file)
	defer db.Close()

	for range 2 {
		fmt.Println(priceOf(context.Background(), db, cache, "tea"))
	}
	// Output:
	// tea costs 3
	// tea costs 3 (cached)
}

func ExampleCache_WrapConnector() {
	cache, err := querycache.New(querycache.Config{})
	check(err)
	defer cache.Close()
	file, remove := shop()
	defer remove()

	db := sqlx.NewDb(sql.OpenDB(cache.WrapConnector(sqliteConnector(file))), "sqlite3")
	defer db.Close()

	for range 2 {
		fmt.Println(priceOf(context.Background(), db, cache, "tea"))
	}
	// Output:
	// tea costs 3
	// tea costs 3 (cached)
}

func ExampleUnwrap() {
	cache, err := querycache.New(querycache.Config{})
	check(err)
	db, done := openShop(cache)
	defer done()

	conn, err := db.Conn(context.Background())
	check(err)
	defer conn.Close()
	check(conn.PingContext(context.Background())) // Now the connection has reached the database.
	check(conn.Raw(func(driverConn any) error {
		fmt.Printf("%T\n", querycache.Unwrap(driverConn))
		return nil
	}))
	// Output:
	// *sqlite3.SQLiteConn
}

func ExampleUnwrapContext() {
	cache, err := querycache.New(querycache.Config{})
	check(err)
	db, done := openShop(cache)
	defer done()

	ctx := context.Background()
	conn, err := db.Conn(ctx)
	check(err)
	defer conn.Close()
	check(conn.Raw(func(driverConn any) error {
		parent, err := querycache.UnwrapContext(ctx, driverConn)
		if err != nil {
			return err
		}
		fmt.Println(parent.(*sqlite3.SQLiteConn).GetLimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) > 0) //nolint:forcetypeassert // As an application would that knows its driver.
		return nil
	}))
	// Output:
	// true
}

func ExampleCache_InvalidateTables() {
	cache, err := querycache.New(querycache.Config{})
	check(err)
	file, remove := shop()
	defer remove()
	db := sqlx.NewDb(sql.OpenDB(cache.WrapConnector(sqliteConnector(file))), "sqlite3")
	defer db.Close()
	defer cache.Close()
	ctx := context.Background()
	fmt.Println(priceOf(ctx, db, cache, "tea"))

	// Somebody else changes the file: the cache does not see that.
	other := sqlx.MustOpen("sqlite3", file)
	other.MustExec("UPDATE products SET price = 4 WHERE name = 'tea'")
	check(other.Close())
	fmt.Println(priceOf(ctx, db, cache, "tea"))

	cache.InvalidateTables("products")
	fmt.Println(priceOf(ctx, db, cache, "tea"))
	// Output:
	// tea costs 3
	// tea costs 3 (cached)
	// tea costs 4
}

func ExampleCache_InvalidateQuery() {
	cache, err := querycache.New(querycache.Config{})
	check(err)
	db, done := openShop(cache)
	defer done()

	ctx := context.Background()
	fmt.Println(priceOf(ctx, db, cache, "tea"))
	cache.InvalidateQuery("SELECT price FROM products WHERE name = ?", "tea")
	fmt.Println(priceOf(ctx, db, cache, "tea"))
	fmt.Println(priceOf(ctx, db, cache, "tea"))
	// Output:
	// tea costs 3
	// tea costs 3
	// tea costs 3 (cached)
}

func ExampleCache_Purge() {
	cache, err := querycache.New(querycache.Config{})
	check(err)
	db, done := openShop(cache)
	defer done()

	ctx := context.Background()
	fmt.Println(priceOf(ctx, db, cache, "tea"))
	fmt.Println(cache.Stats().Entries, "entries")
	cache.Purge()
	fmt.Println(cache.Stats().Entries, "entries")
	fmt.Println(priceOf(ctx, db, cache, "tea"))
	// Output:
	// tea costs 3
	// 1 entries
	// 0 entries
	// tea costs 3
}

func ExampleCache_SetEnabled() {
	cache, err := querycache.New(querycache.Config{})
	check(err)
	db, done := openShop(cache)
	defer done()

	ctx := context.Background()
	fmt.Println(priceOf(ctx, db, cache, "tea"))
	cache.SetEnabled(false)
	fmt.Println(priceOf(ctx, db, cache, "tea"))
	db.MustExec("UPDATE products SET price = 4 WHERE name = 'tea'") // It invalidates all the same.
	cache.SetEnabled(true)
	fmt.Println(priceOf(ctx, db, cache, "tea"))
	fmt.Println(priceOf(ctx, db, cache, "tea"))
	// Output:
	// tea costs 3
	// tea costs 3
	// tea costs 4
	// tea costs 4 (cached)
}

func ExampleCache_Stats() {
	cache, err := querycache.New(querycache.Config{})
	check(err)
	db, done := openShop(cache)
	defer done()

	var n int
	for range 3 {
		check(db.Get(&n, "SELECT count(*) FROM products"))
		check(db.Get(&n, "SELECT random()"))
	}
	s := cache.Stats()
	fmt.Println(s.Hits, "hits,", s.Misses, "miss,", s.Bypasses, "bypasses")
	for reason, n := range s.BypassReasons {
		fmt.Println(n, "for", reason)
	}
	// Output:
	// 2 hits, 1 miss, 3 bypasses
	// 3 for volatile function
}

func ExampleCache_Close() {
	cache, err := querycache.New(querycache.Config{})
	check(err)
	db, done := openShop(cache)
	defer done()

	ctx := context.Background()
	fmt.Println(priceOf(ctx, db, cache, "tea"))
	check(cache.Close())
	fmt.Println(priceOf(ctx, db, cache, "tea")) // The database stays usable.
	// Output:
	// tea costs 3
	// tea costs 3
}

func ExampleBypass() {
	cache, err := querycache.New(querycache.Config{})
	check(err)
	db, done := openShop(cache)
	defer done()

	ctx := context.Background()
	fmt.Println(priceOf(ctx, db, cache, "tea"))
	fmt.Println(priceOf(querycache.Bypass(ctx), db, cache, "tea"))
	fmt.Println(priceOf(ctx, db, cache, "tea"))
	// Output:
	// tea costs 3
	// tea costs 3
	// tea costs 3 (cached)
}

func ExampleRefresh() {
	cache, err := querycache.New(querycache.Config{})
	check(err)
	file, remove := shop()
	defer remove()
	db := sqlx.NewDb(sql.OpenDB(cache.WrapConnector(sqliteConnector(file))), "sqlite3")
	defer db.Close()
	defer cache.Close()
	ctx := context.Background()
	fmt.Println(priceOf(ctx, db, cache, "tea"))

	other := sqlx.MustOpen("sqlite3", file)
	other.MustExec("UPDATE products SET price = 4 WHERE name = 'tea'")
	check(other.Close())
	fmt.Println(priceOf(querycache.Refresh(ctx), db, cache, "tea"))
	fmt.Println(priceOf(ctx, db, cache, "tea"))
	// Output:
	// tea costs 3
	// tea costs 4
	// tea costs 4 (cached)
}

func ExampleWithTTL() {
	cache, err := querycache.New(querycache.Config{})
	check(err)
	db, done := openShop(cache)
	defer done()

	ctx := context.Background()
	fmt.Println(priceOf(querycache.WithTTL(ctx, time.Millisecond), db, cache, "tea"))
	time.Sleep(2 * time.Millisecond)
	fmt.Println(priceOf(ctx, db, cache, "tea"))
	fmt.Println(priceOf(ctx, db, cache, "tea"))
	// Output:
	// tea costs 3
	// tea costs 3
	// tea costs 3 (cached)
}

// Command sqlx is an issue tracker's store as people write one with sqlx, and a
// few days' use of it. Its output is the same with the driver "sqlite3" and with
// "sqlite3-cached"; what the database is asked is not.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"

	"github.com/querycache/querycache"
)

// driverName is all that changes: make it "sqlite3-cached" and run it again.
const driverName = "sqlite3"

func main() {
	cache, err := querycache.Register("sqlite3-cached", &sqlite3.SQLiteDriver{}, querycache.Config{})
	if err == nil {
		err = run(context.Background(), os.Stdout, driverName)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sqlx:", err)
		os.Exit(1)
	}
	st := cache.Stats()
	fmt.Fprintf(os.Stderr, "from the cache: %d, stored: %d\n", st.Hits, st.Fills)
}

// run makes a tracker in a new file and uses it.
func run(ctx context.Context, out io.Writer, driver string) (err error) {
	dir, err := os.MkdirTemp("", "querycache-sqlx-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	dsn := "file:" + filepath.Join(dir, "issues.db") + "?_journal_mode=WAL&_foreign_keys=on&_busy_timeout=5000"
	db, err := sqlx.ConnectContext(ctx, driver, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := seed(ctx, db); err != nil {
		return err
	}
	return work(ctx, out, &Store{db})
}

package main

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mattn/go-sqlite3"

	"github.com/querycache/querycache"
)

// register registers the cached driver, and both drivers again with a recorder
// below them, once a process.
var register = sync.OnceValue(func() error {
	sql.Register("recorded", &recorder{count: &asked})
	_, err := querycache.Register("recorded-cached", &recorder{count: &askedCached}, querycache.Config{Dialect: querycache.SQLite})
	if err == nil {
		_, err = querycache.Register("sqlite3-cached", &sqlite3.SQLiteDriver{}, querycache.Config{})
	}
	return err
})

var asked, askedCached count

// count is what a database was asked to do.
type count struct{ queries, execs atomic.Int64 }

// reset returns what was counted since the last one.
func (n *count) reset() (queries, execs int64) { return n.queries.Swap(0), n.execs.Swap(0) }

// recorder is go-sqlite3, and counts.
type recorder struct {
	sqlite3.SQLiteDriver
	count *count
}

func (r *recorder) Open(dsn string) (driver.Conn, error) {
	c, err := r.SQLiteDriver.Open(dsn)
	if err != nil {
		return nil, err
	}
	return &recorderConn{c.(*sqlite3.SQLiteConn), r.count}, nil //nolint:forcetypeassert // The driver's own type.
}

type recorderConn struct {
	*sqlite3.SQLiteConn
	count *count
}

func (c *recorderConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.count.queries.Add(1)
	return c.SQLiteConn.QueryContext(ctx, query, args)
}

func (c *recorderConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.count.execs.Add(1)
	return c.SQLiteConn.ExecContext(ctx, query, args)
}

func (c *recorderConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	st, err := c.SQLiteConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return &recorderStmt{st.(*sqlite3.SQLiteStmt), c.count}, nil //nolint:forcetypeassert // The driver's own type.
}

type recorderStmt struct {
	*sqlite3.SQLiteStmt
	count *count
}

func (s *recorderStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.count.queries.Add(1)
	return s.SQLiteStmt.QueryContext(ctx, args)
}

func (s *recorderStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.count.execs.Add(1)
	return s.SQLiteStmt.ExecContext(ctx, args)
}

// TestAThirdOfTheQueries runs the program by both drivers: the output is the
// same, and the database is asked at most a third of the queries, with those that
// read the schema for the cache. Seen to fail with the cache disabled, and with
// writes that invalidate nothing.
func TestAThirdOfTheQueries(t *testing.T) {
	if err := register(); err != nil {
		t.Fatal(err)
	}
	var plain, cached bytes.Buffer
	asked.reset()
	askedCached.reset()
	if err := run(t.Context(), &plain, "recorded"); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), &cached, "recorded-cached"); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(plain.Bytes(), cached.Bytes()) {
		t.Errorf("the output differs; plain:\n%s\ncached:\n%s", &plain, &cached)
	}
	queries, execs := asked.reset()
	cachedQueries, cachedExecs := askedCached.reset()
	t.Logf("plain: %d queries, %d writes; cached: %d queries, %d writes", queries, execs, cachedQueries, cachedExecs)
	if queries == 0 || cachedQueries*3 > queries {
		t.Errorf("%d queries of %d reached the database", cachedQueries, queries)
	}
	if cachedExecs != execs {
		t.Errorf("%d writes reached the database, want %d", cachedExecs, execs)
	}
}

// TestCopy builds the program as it is and a copy with another driver name: their
// output is the same, and the copy had a cache. Seen to fail with writes that
// invalidate nothing.
func TestCopy(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	line := []byte("const driverName = \"sqlite3\"\n")
	if bytes.Count(source, line) != 1 {
		t.Fatalf("main.go does not have the line %s once", line)
	}
	dir := t.TempDir()
	copied := filepath.Join(dir, "main.go")
	changed := bytes.Replace(source, line, []byte("const driverName = \"sqlite3-cached\"\n"), 1)
	if err := os.WriteFile(copied, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	original, err := filepath.Abs("main.go")
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: copied}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}

	plain, plainCounts := program(t)
	cached, cachedCounts := program(t, "-overlay="+file)
	if plain != cached || plain == "" {
		t.Errorf("the output differs; plain:\n%s\ncopy:\n%s", plain, cached)
	}
	if unused := "from the cache: 0, stored: 0\n"; plainCounts != unused || cachedCounts == unused {
		t.Errorf("plain: %scopy: %s", plainCounts, cachedCounts)
	}
}

// program builds the program and runs it.
func program(t *testing.T, flags ...string) (stdout, stderr string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "program")
	args := append([]string{"build", "-ldflags=-s -w", "-o", binary}, flags...)
	if out, err := exec.CommandContext(t.Context(), "go", append(args, ".")...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &errs)
	}
	return out.String(), errs.String()
}

package querycache_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/querycache/querycache"
	"github.com/querycache/querycache/internal/fakedb"
)

// A write can have committed although the parent answers that its context is
// done: go-sqlite3's Query looks at the context after the step. Seen to serve the
// old row with such an error taken for one that undoes the statement.
func TestWriteThatEndsByItsContext(t *testing.T) {
	s := newStage(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, n INT); INSERT INTO t VALUES(1, 0)")
	const read, write = "SELECT n FROM t WHERE id = 1", "UPDATE t SET n = n + 1 WHERE id = 1"
	stmt, err := s.db.PrepareContext(t.Context(), write)
	s.must(stmt, err)
	defer func() { s.must(nil, stmt.Close()) }()
	query := func(q querier) error {
		rows, err := q.QueryContext(t.Context(), write)
		if err != nil {
			return err
		}
		return errors.Join(rows.Err(), rows.Close())
	}
	for name, do := range map[string]func() error{
		"Query":      func() error { return query(s.db) },
		"Exec":       func() error { _, err := s.db.ExecContext(t.Context(), write); return err },
		"Stmt.Query": func() error { return query(prepared{stmt}) },
		"Stmt.Exec":  func() error { _, err := stmt.ExecContext(t.Context()); return err },
	} {
		for _, as := range []error{context.DeadlineExceeded, context.Canceled} {
			s.truth(read)
			s.truth(read)
			s.tap.set(nil, func(_ context.Context, _, text string) error {
				if text == write {
					return as
				}
				return nil
			})
			if err := do(); !errors.Is(err, as) {
				t.Errorf("%s: %v, want %v", name, err, as)
			}
			s.tap.set(nil, nil)
			s.truth(read)
		}
	}
}

// The memory of texts and arguments is within MaxBytes. Seen to fail with texts
// not charged, and with arguments that keep what they were cut from.
func TestTextsAndArgumentsAreBounded(t *testing.T) {
	const maxBytes, many = 4 << 20, 400
	for _, name := range []string{"texts", "arguments"} {
		t.Run(name, func(t *testing.T) {
			cfg := querycache.Config{MaxBytes: maxBytes, MaxEntryBytes: 1 << 20}
			s := newStageWith(t, "CREATE TABLE t(id INTEGER PRIMARY KEY)", cfg, &tap{})
			before := heap()
			for i := range many {
				query, arg := "SELECT id FROM t WHERE id = ?", fmt.Sprint(i)
				if name == "texts" {
					query += strings.Repeat(" ", 300<<10) + "AND id <> " + arg
				} else {
					arg = (arg + strings.Repeat("x", 1<<20))[:len(arg)]
				}
				var id int
				if err := s.db.QueryRowContext(t.Context(), query, arg).Scan(&id); !errors.Is(err, sql.ErrNoRows) {
					t.Fatal(err)
				}
			}
			if grown := heap() - before; grown > 6*maxBytes {
				t.Errorf("%d MiB more on the heap", grown>>20)
			}
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Callers of a query that fails do not queue up behind each other. Seen to take 16
// times as long as one of them with every follower leading anew.
func TestFailuresAreNotQueuedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers, each = 16, 200 * time.Millisecond
		s := newStage(t, "CREATE TABLE t(id INTEGER PRIMARY KEY)")
		const read = "SELECT id FROM t"
		s.truth(read)
		s.cache.Purge()
		fail := errors.New("database is locked")
		s.tap.set(func(_ context.Context, method, text string) error {
			if method == "query" && text == read { // To prepare it, as the analysis does, goes well.
				time.Sleep(each)
				return fail
			}
			return nil
		}, nil)
		began := time.Now()
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				//nolint:sqlclosecheck,rowserrcheck // There are none.
				if _, err := s.db.QueryContext(t.Context(), read); !errors.Is(err, fail) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took > 3*each { // Two of others, and one's own.
			t.Errorf("%v for %d callers", took, callers)
		}
	})
}

// A hit heeds a context that is done, as the database would. Seen to answer with
// rows.
func TestHitWithADoneContext(t *testing.T) {
	s := newStage(t, people)
	const read = "SELECT name FROM people WHERE age > ?"
	for range 2 {
		s.read(read, 1)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	//nolint:sqlclosecheck,rowserrcheck // There are none.
	if _, err := s.conn().QueryContext(ctx, read, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want a cancelled context", err)
	}
}

// A panic of the parent in Next reaches the caller of Next, and the connection
// returns to its pool. Seen to keep the connection with the panic in Query.
func TestPanicInNext(t *testing.T) {
	for _, skip := range []int{0, 1} {
		cache := stageCache(t, querycache.Config{Dialect: querycache.SQLite, NoCatalog: true})
		fake := newFake(t, fakedb.Full())
		db := openStage(t, cache.Wrap(fake.Driver()), "panics")
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE t(id)"); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if _, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES(?)", i); err != nil {
				t.Fatal(err)
			}
		}
		fake.Inject(fakedb.Fault{Method: "Next", Skip: skip, Times: 1, Panic: "boom"})
		got, n := func() (value any, rows int) {
			r, err := db.QueryContext(t.Context(), "SELECT id FROM t")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { value = recover(); _ = r.Close() }()
			for r.Next() {
				rows++
			}
			return r.Err(), rows
		}()
		if fmt.Sprint(got) != "boom" {
			t.Errorf("after %d rows: %v", n, got)
		}
		if open := db.Stats().InUse; open != 0 {
			t.Errorf("%d connections are not returned", open)
		}
	}
}

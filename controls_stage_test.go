//go:build querycache_controls

package querycache

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/querycache/querycache/internal/fakedb"
)

// act is one operation of a client, in a goroutine of its own, that a schedule
// turns by hand: it runs until it reaches the step that it is to stop at.
type act struct {
	x      *exam
	stop   atomic.Int64
	paused chan struct{}
	resume chan struct{}
	done   chan struct{}
	begun  bool
	held   bool
	value  int64
	err    error
}

const noStep = -1

type actKey struct{}

// hold is the step hook: it finds the act through its context.
func hold(ctx context.Context, s step) {
	a, _ := ctx.Value(actKey{}).(*act)
	if a == nil || a.stop.Load() != int64(s) {
		return
	}
	a.paused <- struct{}{}
	<-a.resume
}

// to lets the act go on until it is at the step, or over. It reports which.
func (a *act) to(s step) (reached bool) {
	a.x.t.Helper()
	return a.run(int64(s))
}

// reach lets the act go on until it is at the step.
func (a *act) reach(s step) {
	a.x.t.Helper()
	if !a.to(s) {
		a.x.t.Fatalf("the operation ended before step %d: value %d, error %v", s, a.value, a.err)
	}
}

// finish lets the act go on until it is over, and returns what it read.
func (a *act) finish() int64 {
	a.x.t.Helper()
	a.run(noStep)
	if a.err != nil {
		a.x.t.Fatal(a.err)
	}
	return a.value
}

func (a *act) run(stop int64) (reached bool) {
	a.x.t.Helper()
	a.stop.Store(stop)
	if a.held || !a.begun {
		a.begun, a.held = true, false
		a.resume <- struct{}{}
	}
	select {
	case <-a.paused:
		a.held = true
	case <-a.done:
	case <-time.After(time.Minute):
		a.x.t.Fatalf("an operation neither ended nor came to step %d", stop)
	}
	return a.held
}

// exam is one run of a schedule: on a database and a cache of its own, with one
// protection off or with none.
type exam struct {
	t     *testing.T
	cache *Cache
	db    *sql.DB
	path  string
	fake  *fakedb.DB

	before   Stats
	judged   bool
	violated bool
	seen     string // what the decisive read showed
}

var schemaOfExams = []string{
	"CREATE TABLE a (id INTEGER PRIMARY KEY, v INTEGER)",
	"CREATE TABLE b (id INTEGER PRIMARY KEY, v INTEGER)",
	"INSERT INTO a (id, v) VALUES (1, 0)",
	"INSERT INTO b (id, v) VALUES (1, 0), (2, 0)",
}

// onSQLite makes an exam on a SQLite file in WAL mode, where readers go on
// while a write is committed.
func onSQLite(t *testing.T, options string) *exam {
	t.Helper()
	x := newExam(t, Config{})
	x.path = "file:" + filepath.Join(t.TempDir(), "exam.db") + "?_journal_mode=WAL&_busy_timeout=10000&_synchronous=OFF"
	for _, s := range schemaOfExams {
		x.untracked(s)
	}
	db, err := fakedb.Open(x.cache.Wrap(&sqlite3.SQLiteDriver{}), x.path+options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	x.db = db
	return x
}

// onFake makes an exam on the fake driver, for what SQLite's locks or its being
// in this process make impossible.
func onFake(t *testing.T) *exam {
	t.Helper()
	fake, err := fakedb.New(fakedb.Full())
	if err != nil {
		t.Fatal(err)
	}
	x := newExam(t, Config{Dialect: SQLite, NoCatalog: true})
	x.cache.Networked()
	x.fake = fake
	for _, s := range schemaOfExams {
		x.untracked(s)
	}
	x.db = sql.OpenDB(x.cache.WrapConnector(fake.Connector("exam")))
	t.Cleanup(func() { _ = x.db.Close() })
	return x
}

func newExam(t *testing.T, cfg Config) *exam {
	t.Helper()
	cache, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close() })
	return &exam{t: t, cache: cache}
}

// untracked runs a statement behind the cache's back.
func (x *exam) untracked(statement string) {
	x.t.Helper()
	if x.fake != nil {
		if err := x.fake.Seed("exam", statement); err != nil {
			x.t.Fatal(err)
		}
		return
	}
	db, err := sql.Open("sqlite3", x.path)
	if err != nil {
		x.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(x.t.Context(), statement); err != nil {
		x.t.Fatalf("%s: %v", statement, err)
	}
}

// client is a user of the database with a connection of its own.
type client struct {
	x    *exam
	conn *sql.Conn
}

func (x *exam) client() *client {
	x.t.Helper()
	conn, err := x.db.Conn(x.t.Context())
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { _ = conn.Close() })
	return &client{x, conn}
}

// start makes an operation, which waits for the first turn.
func (c *client) start(f func(ctx context.Context, a *act) error) *act {
	a := &act{x: c.x, paused: make(chan struct{}), resume: make(chan struct{}), done: make(chan struct{})}
	a.stop.Store(noStep)
	ctx := context.WithValue(context.Background(), actKey{}, a)
	go func() {
		defer close(a.done)
		<-a.resume
		a.err = f(ctx, a)
	}()
	c.x.t.Cleanup(func() {
		if a.held || !a.begun { // The schedule failed: let the goroutine end.
			a.stop.Store(noStep)
			a.resume <- struct{}{}
		}
		<-a.done
	})
	return a
}

// reading makes a read.
func (c *client) reading(query string, hints ...func(context.Context) context.Context) *act {
	return c.start(func(ctx context.Context, a *act) error {
		for _, hint := range hints {
			ctx = hint(ctx)
		}
		return c.conn.QueryRowContext(ctx, query).Scan(&a.value)
	})
}

// writing makes a statement.
func (c *client) writing(statement string, args ...any) *act {
	return c.start(func(ctx context.Context, _ *act) error {
		_, err := c.conn.ExecContext(ctx, statement, args...)
		return err
	})
}

// execs runs a statement from beginning to end.
func (c *client) execs(statement string, args ...any) {
	c.x.t.Helper()
	c.writing(statement, args...).finish()
}

// reads reads through the cache, and knows what it must find in either run.
func (c *client) reads(query string, want int64) {
	c.x.t.Helper()
	if got := c.reading(query).finish(); got != want {
		c.x.t.Fatalf("%s: read %d on the way, the schedule is made for %d", query, got, want)
	}
}

// asks reads past the cache.
func (c *client) asks(query string, want int64) {
	c.x.t.Helper()
	if got := c.reading(query, Bypass).finish(); got != want {
		c.x.t.Fatalf("%s: the database says %d, the schedule is made for %d", query, got, want)
	}
}

// decides reads through the cache what only a violation can make another value
// than want.
func (c *client) decides(query string, want int64) {
	c.x.t.Helper()
	c.x.mark()
	c.x.judge(c.reading(query).finish(), want)
}

// mark begins what judge looks back on.
func (x *exam) mark() { x.before = x.cache.Stats() }

// judge takes down what the decisive read showed.
func (x *exam) judge(got, want int64) {
	how, now := "asked the database", x.cache.Stats()
	switch {
	case now.Hits > x.before.Hits:
		how = "hit"
	case now.Coalesced > x.before.Coalesced:
		how = "joined a flight"
	}
	x.judged = true
	x.violated = x.violated || got != want
	x.seen = fmt.Sprintf("%d, %s", got, how)
	if got != want {
		x.seen = fmt.Sprintf("%d instead of %d, %s", got, want, how)
	}
}

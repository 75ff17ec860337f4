package querycache_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/querycache/querycache"
	"github.com/querycache/querycache/internal/fakedb"
)

// The tests of this file are each about one rule of database/sql, or of drivers,
// that a wrapper can break without any single call looking wrong. Each runs on
// the driver alone as well, which is what says that the rule is one.

// setup is a pool over the fake driver, alone or wrapped.
type setup struct {
	*testing.T
	db    *sql.DB
	fake  *fakedb.DB
	cache *querycache.Cache // nil: alone
	mode  mode
}

// everyWay runs a test on the driver alone and in every mode.
func everyWay(t *testing.T, p fakedb.Profile, test func(*setup)) {
	t.Helper()
	in(t, p, append([]mode{{name: "alone"}}, modes...), test)
}

// oneToOne leaves out the mode in which connections change their parents.
func oneToOne(t *testing.T, p fakedb.Profile, test func(*setup)) {
	t.Helper()
	in(t, p, slices.DeleteFunc(append([]mode{{name: "alone"}}, modes...), func(m mode) bool { return m.roams }), test)
}

// in runs a test in each mode. At the end nothing may be open, and the driver's
// contract not broken.
func in(t *testing.T, p fakedb.Profile, list []mode, test func(*setup)) {
	t.Helper()
	for _, m := range list {
		t.Run(m.name, func(t *testing.T) {
			s := &setup{T: t, fake: newFake(t, p), mode: m}
			noError(t, s.fake.Seed("main", schema))
			d, end := s.fake.Driver(), func() {}
			if m.name != "alone" {
				s.cache, end = m.open(t)
				d = s.cache.Wrap(d)
			}
			s.db = must(fakedb.Open(d, "main"))(t)
			test(s)
			noError(t, s.db.Close())
			end()
			if c := s.fake.OpenCounts(); c != (fakedb.Counts{}) {
				t.Errorf("open at the end: %+v", c)
			}
			for _, v := range s.fake.Violations() {
				t.Errorf("the driver's contract was broken: %s", v)
			}
		})
	}
}

// must returns v if there is no error, or ends the test.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func kinds(log []fakedb.Call, conn int) []string {
	var list []string
	for _, c := range log {
		if conn == 0 || c.Conn == conn {
			list = append(list, c.Kind())
		}
	}
	return list
}

// TestRuleParentIsKeptUntilTheConnectionReturns: a transaction, a sql.Conn and
// open rows keep one parent, and a connection that has nothing in its parent
// gives it up. It fails when the parent is given up anywhere but in IsValid.
func TestRuleParentIsKeptUntilTheConnectionReturns(t *testing.T) {
	everyWay(t, fakedb.Full(), func(s *setup) {
		t := s.T
		ctx := context.Background()
		used := func() []int {
			var conns []int
			for _, c := range s.fake.Log("Query", "Exec", "Next", "Commit", "Begin") {
				conns = append(conns, c.Conn)
			}
			s.fake.ResetLog()
			return slices.Compact(conns)
		}
		tx := must(s.db.Begin())(t)
		must(tx.Exec("UPDATE people SET age = 1 WHERE id = 1"))(t)
		other := 0
		noError(t, s.db.QueryRow("SELECT COUNT(*) FROM blobs").Scan(&other))
		used()
		noError(t, tx.QueryRow("SELECT COUNT(*) FROM kinds").Scan(&other))
		must(tx.Exec("UPDATE people SET age = 2 WHERE id = 1"))(t)
		noError(t, tx.Commit())
		if conns := used(); len(conns) != 1 {
			t.Errorf("a transaction ran on connections %v", conns)
		}
		c := must(s.db.Conn(ctx))(t)
		for i := range 3 {
			noError(t, c.QueryRowContext(ctx, fmt.Sprintf("SELECT %d", i)).Scan(&other))
			noError(t, s.db.QueryRow(fmt.Sprintf("SELECT 1%d", i)).Scan(&other))
		}
		noError(t, c.Close())
		used()
		rows := must(s.db.Query("SELECT id FROM people; SELECT 2"))(t) //nolint:rowserrcheck // It is checked through must.
		defer func() { noError(t, rows.Err()) }()
		for rows.Next() {
			if err := s.db.QueryRow("SELECT ?", rows).Scan(&other); err == nil {
				t.Error("rows were accepted as an argument")
			}
		}
		noError(t, rows.Close())
		if conns := used(); len(conns) != 1 {
			t.Errorf("rows came from connections %v", conns)
		}
		for i := range 4 {
			noError(t, s.db.QueryRow(fmt.Sprintf("SELECT 2%d", i)).Scan(&other))
		}
		if conns := used(); (len(conns) > 1) != s.mode.roams {
			t.Errorf("separate queries ran on connections %v", conns)
		}
	})
}

// TestRuleIsValidIsNotAskedAfterErrBadConn: a connection that answered
// ErrBadConn is closed and asked nothing more.
func TestRuleIsValidIsNotAskedAfterErrBadConn(t *testing.T) {
	everyWay(t, fakedb.Full(), func(s *setup) {
		t := s.T
		s.fake.Inject(fakedb.Fault{Method: "Query", Err: driver.ErrBadConn, Lose: true})
		var n int
		noError(t, s.db.QueryRow("SELECT 1").Scan(&n))
		log := kinds(s.fake.Log(), 1)
		at := slices.Index(log, "Query")
		if rest := log[at+1:]; len(rest) != 1 || rest[0] != "Close" {
			t.Errorf("after ErrBadConn the connection saw %v", rest)
		}
	})
}

// TestRuleStmtCloseTouchesNoBusyConnection: database/sql closes a statement with
// the pool locked, when its connection has gone back. It must not wait for, or
// use, a parent that another connection works on by then.
func TestRuleStmtCloseTouchesNoBusyConnection(t *testing.T) {
	everyWay(t, fakedb.Full(), func(s *setup) {
		t := s.T
		stmt := must(s.db.Prepare("UPDATE people SET age = ? WHERE id = 1"))(t)
		must(stmt.Exec(1))(t)
		// The statement's connection is kept busy, so that rows and the query take
		// others: where connections roam these get the two parents of the first.
		first := must(s.db.Conn(context.Background()))(t)
		rows := must(s.db.Query("SELECT id FROM people; SELECT 2"))(t) //nolint:rowserrcheck // It is checked through must.
		gate := fakedb.NewGate()
		s.fake.Inject(fakedb.Fault{Method: "Query", Text: "SELECT 1", Gate: gate})
		done, closed := make(chan error, 1), make(chan error, 1)
		go func() {
			var n int
			done <- s.db.QueryRow("SELECT 1").Scan(&n)
		}()
		<-gate.Reached()
		noError(t, first.Close())
		go func() { closed <- stmt.Close() }()
		select {
		case err := <-closed:
			noError(t, err)
			gate.Release()
			noError(t, <-done)
		case <-time.After(time.Minute):
			t.Error("Close of a statement waits for a query of another connection")
			gate.Release()
			noError(t, errors.Join(<-closed, <-done))
		}
		noError(t, rows.Close())
	})
}

// TestRuleOnlyTheFirstPrepareReachesTheDriver: errors in a text show at Prepare.
// A query that is known is prepared again only where it misses, and how many
// arguments it has is still known.
func TestRuleOnlyTheFirstPrepareReachesTheDriver(t *testing.T) {
	everyWay(t, fakedb.SQLite3(), func(s *setup) {
		t := s.T
		if stmt, err := s.db.Prepare("SELECT 1 +"); err == nil || !strings.Contains(err.Error(), "syntax error") {
			t.Error("Prepare of a text with an error:", err, stmt)
		}
		s.fake.ResetLog()
		for range 3 {
			stmt := must(s.db.Prepare("SELECT name FROM people WHERE id = ?"))(t)
			if len(s.fake.Log("Prepare")) == 0 {
				t.Error("the first Prepare of a text did not reach the driver")
			}
			var name string
			noError(t, stmt.QueryRow(1).Scan(&name))
			err := stmt.QueryRow(1, 2).Scan(&name)
			if err == nil || err.Error() != "sql: expected 1 arguments, got 2" {
				t.Errorf("two arguments for one: %v", err)
			}
			noError(t, stmt.Close())
		}
		if n := len(s.fake.Log("Prepare")); s.mode.name == "cached" && n != 1 {
			t.Errorf("%d Prepares reached the driver", n)
		}
	})
}

// TestRulePreparedCopyRunsWhereItWasPrepared: with lib/pq preparing a COPY starts
// it. It is prepared once, and what follows goes to that very statement.
func TestRulePreparedCopyRunsWhereItWasPrepared(t *testing.T) {
	everyWay(t, fakedb.PQ(), func(s *setup) {
		t := s.T
		var rows atomic.Int64
		s.fake.Handle("COPY", func(context.Context, string, []driver.NamedValue) (*fakedb.Result, error) {
			return &fakedb.Result{RowsAffected: rows.Add(1)}, nil
		})
		tx := must(s.db.Begin())(t)
		stmt := must(tx.Prepare(`COPY people ("id") FROM STDIN`))(t)
		for i := range 3 {
			must(stmt.Exec(i))(t)
		}
		must(stmt.Exec())(t)
		noError(t, stmt.Close())
		noError(t, tx.Commit())
		log := s.fake.Log("Prepare", "Exec")
		if len(log) != 5 || log[0].Kind() != "Prepare" || rows.Load() != 4 {
			t.Errorf("the driver saw %v", log)
		}
		for _, c := range log {
			if c.Conn != log[0].Conn {
				t.Errorf("on another connection: %v", c)
			}
		}
	})
}

// TestRuleResetSessionGetsTheContextOfTheQuery: the parent's ResetSession runs
// at checkout with the context of the call that takes the connection.
func TestRuleResetSessionGetsTheContextOfTheQuery(t *testing.T) {
	oneToOne(t, fakedb.Full(), func(s *setup) {
		t := s.T
		noError(t, s.db.Ping())
		gate := fakedb.NewGate()
		s.fake.Inject(fakedb.Fault{Method: "ResetSession", Gate: gate})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			_, err := s.db.ExecContext(ctx, "UPDATE people SET age = 1")
			done <- err
		}()
		<-gate.Reached()
		cancel()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Error("ResetSession waits on although the query was cancelled")
			gate.Release()
			t.Log(<-done)
		}
	})
}

// TestRuleCancelledTransactionKeepsOnlyAResettableConnection: when the context
// of a transaction ends, database/sql keeps the connection only if the driver
// can both reset and validate it.
func TestRuleCancelledTransactionKeepsOnlyAResettableConnection(t *testing.T) {
	full := fakedb.Full()
	for _, p := range []fakedb.Profile{
		full, full.Without("no resetter", fakedb.SessionResetter), full.Without("no validator", fakedb.Validator),
		fakedb.Bare(), fakedb.Legacy(),
	} {
		t.Run(p.Name, func(t *testing.T) {
			everyWay(t, p, func(s *setup) {
				t := s.T
				ctx, cancel := context.WithCancel(context.Background())
				tx := must(s.db.BeginTx(ctx, nil))(t)
				must(tx.Exec("UPDATE people SET age = 1"))(t)
				cancel()
				for s.db.Stats().InUse > 0 {
					time.Sleep(time.Millisecond)
				}
				if err := tx.Commit(); !errors.Is(err, sql.ErrTxDone) && !errors.Is(err, context.Canceled) {
					t.Errorf("Commit: %v", err)
				}
				want := 0
				if p.Abilities.Has(fakedb.SessionResetter | fakedb.Validator) {
					want = 1
				}
				if got := s.fake.OpenCounts().Conns; got != want {
					t.Errorf("the driver has %d connections open, want %d", got, want)
				}
			})
		})
	}
}

// TestRuleCommitAfterCancelDoesNotReachTheDriver: nothing is in doubt then.
func TestRuleCommitAfterCancelDoesNotReachTheDriver(t *testing.T) {
	everyWay(t, fakedb.Full(), func(s *setup) {
		t := s.T
		ctx, cancel := context.WithCancel(context.Background())
		tx := must(s.db.BeginTx(ctx, nil))(t)
		must(tx.Exec("UPDATE people SET age = 77 WHERE id = 1"))(t)
		cancel()
		if err := tx.Commit(); !errors.Is(err, context.Canceled) && !errors.Is(err, sql.ErrTxDone) {
			t.Errorf("Commit: %v", err)
		}
		var age int
		noError(t, s.db.QueryRow("SELECT age FROM people WHERE id = 1").Scan(&age))
		for s.db.Stats().InUse > 0 {
			time.Sleep(time.Millisecond)
		}
		if n := len(s.fake.Log("Commit")); n != 0 || age != 30 {
			t.Errorf("%d commits reached the driver, age %d", n, age)
		}
	})
}

// TestRuleConnectorIsClosed: sql.DB closes a connector that can be closed.
func TestRuleConnectorIsClosed(t *testing.T) {
	full := fakedb.Full()
	for _, p := range []fakedb.Profile{full, full.Without("no closer", fakedb.ConnectorCloser), fakedb.Bare()} {
		t.Run(p.Name, func(t *testing.T) {
			want := 0
			if p.Abilities.Has(fakedb.DriverContext | fakedb.ConnectorCloser) {
				want = 1
			}
			for name, open := range map[string]func(*querycache.Cache, *fakedb.DB) (*sql.DB, error){
				"Wrap": func(c *querycache.Cache, fake *fakedb.DB) (*sql.DB, error) {
					return fakedb.Open(c.Wrap(fake.Driver()), "main")
				},
				"WrapConnector": func(c *querycache.Cache, fake *fakedb.DB) (*sql.DB, error) {
					return sql.OpenDB(c.WrapConnector(fake.Connector("main"))), nil
				},
			} {
				cache, _ := modes[0].open(t)
				fake := newFake(t, p)
				db := must(open(cache, fake))(t)
				noError(t, db.Ping())
				noError(t, db.Close())
				got := 0
				for _, c := range fake.Log() {
					if c.Method == "Connector.Close" {
						got++
					}
				}
				if got != want {
					t.Errorf("%s: the connector was closed %d times, want %d", name, got, want)
				}
			}
		})
	}
}

// TestRuleLimitsOfThePoolHold: with SetMaxOpenConns the driver never has more
// connections than that.
func TestRuleLimitsOfThePoolHold(t *testing.T) {
	oneToOne(t, fakedb.Full(), func(s *setup) {
		t := s.T
		s.db.SetMaxOpenConns(2)
		var most atomic.Int64
		s.fake.Handle("BUSY", func(context.Context, string, []driver.NamedValue) (*fakedb.Result, error) {
			if n := int64(s.fake.OpenCounts().Conns); n > most.Load() {
				most.Store(n)
			}
			return &fakedb.Result{Columns: []fakedb.Column{{Name: "n"}}}, nil
		})
		var all sync.WaitGroup
		for g := range 8 {
			all.Go(func() {
				for i := range 20 {
					rows, err := s.db.Query(fmt.Sprintf("BUSY %d %d", g, i))
					if err != nil {
						t.Error(err)
						return
					}
					if err := errors.Join(rows.Err(), rows.Close()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if n := most.Load(); n == 0 || n > 2 {
			t.Errorf("the driver had %d connections open at once", n)
		}
	})
}

// counting counts how often it is asked for its value.
type counting struct{ asked *int }

func (c counting) Value() (driver.Value, error) {
	*c.asked++
	return int64(1), nil
}

// TestRuleValuersAreCalledAsOften: a Valuer may have side effects, and is asked
// as often as without the wrapper; once, unless the driver sends database/sql
// from the connection to a statement.
func TestRuleValuersAreCalledAsOften(t *testing.T) {
	for _, p := range fakedb.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			alone := 0
			everyWay(t, p, func(s *setup) {
				t := s.T
				asked := 0
				var name string
				noError(t, s.db.QueryRow("SELECT name FROM people WHERE id = ?", counting{&asked}).Scan(&name))
				must(s.db.Exec("UPDATE people SET age = ? WHERE id = 1", counting{&asked}))(t)
				stmt := must(s.db.Prepare("SELECT age FROM people WHERE id = ?"))(t)
				var age int
				noError(t, stmt.QueryRow(counting{&asked}).Scan(&age))
				noError(t, stmt.Close())
				if s.cache == nil {
					alone = asked
				}
				if asked != alone {
					t.Errorf("asked %d times, without the wrapper %d times", asked, alone)
				}
			})
		})
	}
}

// TestRuleReusedBuffersDoNotReachAHit: values may be valid only until the next
// row, and a client may write into what it got.
func TestRuleReusedBuffersDoNotReachAHit(t *testing.T) {
	p := fakedb.Full()
	p.ReuseBuffers = true
	everyWay(t, p, func(s *setup) {
		t := s.T
		want := []string{"aaa", "bb", "cccc"}
		for pass := range 4 {
			rows := must(s.db.Query("SELECT b FROM blobs ORDER BY id"))(t)
			var got []string
			for rows.Next() {
				var raw sql.RawBytes
				noError(t, rows.Scan(&raw))
				got = append(got, string(raw))
				for i := range raw {
					raw[i] = '!'
				}
			}
			noError(t, errors.Join(rows.Err(), rows.Close()))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("pass %d: %s", pass, diff)
			}
		}
		if s.mode.name == "cached" && s.cache.Stats().Hits != 3 {
			t.Errorf("%d hits, want 3", s.cache.Stats().Hits)
		}
	})
}

// TestRuleSlowRowsComeOneByOne: a query that yields rows slowly and without end
// gives each when the database has it, and Close returns.
func TestRuleSlowRowsComeOneByOne(t *testing.T) {
	everyWay(t, fakedb.Full(), func(s *setup) {
		t := s.T
		rows := make([][]driver.Value, 200)
		for i := range rows {
			rows[i] = []driver.Value{int64(i)}
		}
		s.fake.Handle("WITH", func(context.Context, string, []driver.NamedValue) (*fakedb.Result, error) {
			return &fakedb.Result{Columns: []fakedb.Column{{Name: "n"}}, Rows: rows}, nil
		})
		s.fake.Inject(fakedb.Fault{Method: "Next", Delay: 20 * time.Millisecond, Times: -1})
		for range 2 {
			s.fake.ResetLog()
			rows := must(s.db.Query("WITH RECURSIVE r AS (SELECT 1) SELECT n FROM r"))(t)
			for i := range 3 {
				if !rows.Next() {
					t.Fatal(rows.Err())
				}
				if made := len(s.fake.Log("Next")); made > i+2 {
					t.Errorf("row %d came after the driver was asked for %d", i, made)
				}
			}
			noError(t, rows.Close())
			if made := len(s.fake.Log("Next")); made > 15 {
				t.Errorf("the driver was asked for %d rows until Close returned", made)
			}
		}
	})
}

// TestRuleRawHandsOutTheDriversConnection: also on one that had no need of the
// driver before, by UnwrapContext. What is done there is seen afterwards.
func TestRuleRawHandsOutTheDriversConnection(t *testing.T) {
	everyWay(t, fakedb.Full(), func(s *setup) {
		t := s.T
		ctx := context.Background()
		const query = "SELECT age FROM people WHERE id = 1"
		var age int
		for range 2 {
			noError(t, s.db.QueryRow(query).Scan(&age))
		}
		held := must(s.db.Conn(ctx))(t)
		c := must(s.db.Conn(ctx))(t)
		noError(t, c.Raw(func(dc any) error {
			if s.cache != nil {
				var err error
				if dc, err = querycache.UnwrapContext(ctx, dc); err != nil {
					return err
				}
			}
			parent, ok := dc.(driver.ExecerContext)
			if !ok || fakedb.ConnID(dc) == 0 {
				return fmt.Errorf("a %T was handed out", dc)
			}
			_, err := parent.ExecContext(ctx, "UPDATE people SET age = 5 WHERE id = 1", nil)
			return err
		}))
		noError(t, held.QueryRowContext(ctx, query).Scan(&age))
		if age != 5 {
			t.Errorf("while the connection is out: age %d", age)
		}
		noError(t, c.Close())
		noError(t, held.Close())
		noError(t, s.db.QueryRow(query).Scan(&age))
		if age != 5 {
			t.Errorf("after the connection came back: age %d", age)
		}
		if s.mode.name == "cached" {
			noError(t, s.db.QueryRow(query).Scan(&age))
			if hits := s.cache.Stats().Hits; hits != 2 {
				t.Errorf("%d hits, want one before the connection was out and one after", hits)
			}
		}
	})
}

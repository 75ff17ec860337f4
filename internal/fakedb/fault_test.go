package fakedb_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/querycache/querycache/internal/fakedb"
)

var errBroken = errors.New("broken")

const addOne = "UPDATE people SET age = age + 1 WHERE id = 1"

func age(t *testing.T, d *fakedb.DB) int64 {
	t.Helper()
	table, ok := d.Table("main", "people")
	if !ok {
		t.Fatal("no table")
	}
	n, _ := table.Rows[0][2].(int64)
	return n
}

func TestFaultBeforeAndAfter(t *testing.T) {
	d, db := open(t, fakedb.Full())
	remove := d.Inject(fakedb.Fault{Method: "Exec", Text: "age + 1", Skip: 1, Err: errBroken})
	for i, want := range []error{nil, errBroken, nil} {
		if _, err := db.Exec(addOne); !errors.Is(err, want) {
			t.Errorf("call %d: %v, want %v", i, err, want)
		}
	}
	if got := age(t, d); got != 32 {
		t.Errorf("age %d: the call that failed took effect", got)
	}
	if n := remove(); n != 1 {
		t.Errorf("the fault fired %d times", n)
	}
	d.Inject(fakedb.Fault{Method: "Conn.ExecContext", Err: errBroken, After: true, Times: -1})
	for range 2 {
		if _, err := db.Exec(addOne); !errors.Is(err, errBroken) {
			t.Error(err)
		}
	}
	if got := age(t, d); got != 34 {
		t.Errorf("age %d: a call that failed after its effect lost it", got)
	}
}

func TestFaultBadConnIsRetried(t *testing.T) {
	d, db := open(t, fakedb.Full())
	d.Inject(fakedb.Fault{Method: "Query", Err: driver.ErrBadConn, Lose: true})
	if got := read(t, db, "SELECT 1"); got != "1\nint64(1)" {
		t.Error(got)
	}
	var conns []int
	for _, c := range d.Log("Query", "Close") {
		conns = append(conns, c.Conn)
	}
	if want := []int{1, 1, 2, 2}; len(conns) != 4 || conns[0] != want[0] || conns[2] != want[2] {
		t.Errorf("calls by connection: %v\n%v", conns, d.Log())
	}
}

func TestFaultCommit(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault fakedb.Fault
		age   int64
	}{
		{"refused", fakedb.Fault{Method: "Commit", Err: errBroken}, 30},
		{"lost after it took effect", fakedb.Fault{Method: "Commit", Err: errBroken, After: true, Lose: true}, 31},
		{"lost before", fakedb.Fault{Method: "Commit", Err: errBroken, Lose: true}, 30},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, db := open(t, fakedb.Full())
			d.Inject(tt.fault)
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(addOne); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(); !errors.Is(err, errBroken) {
				t.Errorf("Commit: %v", err)
			}
			if got := age(t, d); got != tt.age {
				t.Errorf("age %d, want %d", got, tt.age)
			}
			if n := db.Stats().OpenConnections; tt.fault.Lose != (n == 0) {
				t.Errorf("%d connections are open", n)
			}
			if open := d.OpenCounts(); open.Txs != 0 {
				t.Errorf("%d transactions are open", open.Txs)
			}
		})
	}
}

func TestFaultPanic(t *testing.T) {
	d, db := open(t, fakedb.Full())
	// Exec, because database/sql never gives back the connection of a Query that panics.
	d.Inject(fakedb.Fault{Method: "Exec", Panic: "boom"})
	func() {
		defer func() {
			if p := recover(); p != "boom" {
				t.Errorf("recovered %v", p)
			}
		}()
		_, err := db.Exec(addOne)
		t.Errorf("returned with %v", err)
	}()
	if log := d.Log("Exec"); len(log) != 1 || log[0].Panic != "boom" {
		t.Errorf("log: %v", log)
	}
}

func TestFaultGateHoldsUntilReleasedOrDone(t *testing.T) {
	d, db := open(t, fakedb.Full())
	gate := fakedb.NewGate()
	d.Inject(fakedb.Fault{Method: "Query", Gate: gate})
	got := make(chan string)
	go func() { got <- read(t, db, "SELECT 1") }()
	<-gate.Reached()
	select {
	case s := <-got:
		t.Fatalf("the call passed a closed gate: %s", s)
	case <-time.After(5 * time.Millisecond):
	}
	gate.Release()
	if s := <-got; s != "1\nint64(1)" {
		t.Error(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.Inject(fakedb.Fault{Method: "Query", Text: "2", Gate: fakedb.NewGate()})
	go func() {
		_, err := db.QueryContext(ctx, "SELECT 2") //nolint:sqlclosecheck,rowserrcheck // There are no rows.
		got <- err.Error()
	}()
	cancel()
	if s := <-got; s != context.Canceled.Error() {
		t.Error(s)
	}
}

func TestFaultInMidRowAndSlowRows(t *testing.T) {
	d, db := open(t, fakedb.Full())
	d.Inject(fakedb.Fault{Method: "Next", Skip: 2, Err: errBroken})
	if got := read(t, db, "SELECT id FROM people"); got != "id\nint64(1)\nint64(2)\nerror: broken" {
		t.Error(got)
	}
	d.Inject(fakedb.Fault{Method: "Next", Times: -1, Delay: 3 * time.Millisecond})
	start := time.Now()
	read(t, db, "SELECT id FROM people")
	if took := time.Since(start); took < 9*time.Millisecond {
		t.Errorf("three slow rows took %v", took)
	}
}

func TestFaultSession(t *testing.T) {
	for _, fault := range []fakedb.Fault{
		{Method: "ResetSession", Err: driver.ErrBadConn},
		{Method: "IsValid", Invalid: true},
	} {
		d, db := open(t, fakedb.Full())
		d.Inject(fault)
		read(t, db, "SELECT 1")
		read(t, db, "SELECT 1")
		if n := len(d.Log("Connect")); n != 2 {
			t.Errorf("%s: %d connections were made, want 2", fault.Method, n)
		}
	}
}

func TestBehaviours(t *testing.T) {
	variants := map[string]fakedb.Profile{}
	for _, p := range fakedb.Profiles() {
		variants[p.Name] = p
	}
	t.Run("skip", func(t *testing.T) {
		d, db := open(t, variants["skip-with-args"])
		read(t, db, "SELECT 1")
		read(t, db, "SELECT ?", 1)
		if got := strings.Join(d.Executed(), ";"); got != "SELECT 1;SELECT ?" || len(d.Log("Prepare")) != 1 {
			t.Errorf("executed %s\n%v", got, d.Log())
		}
	})
	t.Run("unknown inputs", func(t *testing.T) {
		_, db := open(t, variants["unknown-inputs"])
		s, err := db.Prepare("SELECT ?")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var v any
		if err := s.QueryRow(1, 2).Scan(&v); err == nil || !strings.Contains(err.Error(), "wants 1 arguments, got 2") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("checkers", func(t *testing.T) {
		for _, tt := range []struct {
			profile string
			args    []any
			want    string
		}{
			{"full", []any{fakedb.Point{X: 1, Y: 2}}, `string("(1,2)")`},
			{"check-any", []any{[]string{"a", "b"}}, `string("[a b]")`},
			{"check-remove", []any{fakedb.Option{Name: "o"}, 7}, "int64(7)"},
			{"check-skip", []any{int8(7)}, "int64(7)"},
			{"no-checkers", []any{fakedb.Point{}}, "sql: converting argument $1 type: " +
				"unsupported type fakedb.Point, a struct"},
		} {
			_, db := open(t, variants[tt.profile])
			if got := read(t, db, "SELECT ?", tt.args...); !strings.HasSuffix(got, tt.want) {
				t.Errorf("%s: %s, want %s", tt.profile, got, tt.want)
			}
		}
	})
	t.Run("converter", func(t *testing.T) {
		d, db := open(t, fakedb.Bare().With("bare+converter", fakedb.StmtConverter))
		if _, err := db.Exec("UPDATE people SET age = ? WHERE id = 1", "44"); err != nil {
			t.Fatal(err)
		}
		if got := age(t, d); got != 44 {
			t.Errorf("age %d", got)
		}
	})
	t.Run("reused buffers", func(t *testing.T) {
		d, db := open(t, variants["reuse-buffers"])
		if err := d.Seed("main", "CREATE TABLE b (v BLOB); INSERT INTO b VALUES (X'6161'), (X'6262')"); err != nil {
			t.Fatal(err)
		}
		rows, err := db.Query("SELECT v FROM b")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var first, second sql.RawBytes
		if !rows.Next() || rows.Scan(&first) != nil || string(first) != "aa" {
			t.Fatalf("first row %q, %v", first, rows.Err())
		}
		if !rows.Next() || rows.Scan(&second) != nil || string(second) != "bb" || string(first) != "bb" {
			t.Errorf("second row %q, the first became %q", second, first)
		}
	})
	t.Run("returning at close", func(t *testing.T) {
		d, db := open(t, variants["returning-at-close"])
		rows, err := db.Query(addOne + " RETURNING age")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		if !rows.Next() || age(t, d) != 30 {
			t.Errorf("age %d before Close, %v", age(t, d), rows.Err())
		}
		if rows.Next() || age(t, d) != 31 {
			t.Errorf("age %d after the end, %v", age(t, d), rows.Err())
		}
	})
	t.Run("handler", func(t *testing.T) {
		d, db := open(t, fakedb.Full())
		d.Handle("SHOW", func(_ context.Context, query string, _ []driver.NamedValue) (*fakedb.Result, error) {
			return &fakedb.Result{
				Columns: []fakedb.Column{{Name: query, Type: "ODD"}},
				Rows:    [][]driver.Value{{int64(1)}},
				Next:    &fakedb.Result{Columns: []fakedb.Column{{Name: "b"}}},
			}, nil
		})
		if got := read(t, db, "SHOW x"); got != "SHOW x\nint64(1)" {
			t.Error(got)
		}
	})
}

// TestViolations breaks the contract of the driver interfaces in each way that
// is noticed.
func TestViolations(t *testing.T) {
	ctx := context.Background()
	d, err := fakedb.New(fakedb.Full())
	if err != nil {
		t.Fatal(err)
	}
	connect := func() driver.Conn {
		c, err := d.Connector("main").Connect(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := connect()
	s, err := c.Prepare("SELECT 1")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.Query(nil) //nolint:staticcheck // The legacy door is part of what is tested.
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range []func() error{
		c.Close, rows.Close, rows.Close, func() error { return rows.Next(make([]driver.Value, 1)) },
		s.Close, s.Close, func() error { _, err := s.Exec(nil); return err }, //nolint:staticcheck // As above.
	} {
		_ = call()
	}
	other := connect()
	tx, err := other.Begin() //nolint:staticcheck // As above.
	if err != nil {
		t.Fatal(err)
	}
	_ = tx.Commit()
	_ = tx.Rollback()
	gate := fakedb.NewGate()
	d.Inject(fakedb.Fault{Method: "Prepare", Gate: gate})
	done := make(chan struct{})
	prepare := func() {
		_, _ = other.Prepare("SELECT 1")
		done <- struct{}{}
	}
	go prepare()
	<-gate.Reached()
	go prepare()
	for !strings.Contains(strings.Join(d.Violations(), "\n"), "while another call") {
		time.Sleep(time.Millisecond)
	}
	gate.Release()
	<-done
	<-done
	got := strings.Join(d.Violations(), "\n")
	for _, want := range []string{
		"c1 closed with 1 statements and 1 rows open", "c1 Rows.Close after the connection was closed",
		`rows of "SELECT 1" closed twice`, "Rows.Next after Close", `statement "SELECT 1" closed twice`,
		"Stmt.Exec after the statement was closed", "c2 Tx.Rollback of a transaction that has ended",
		"c2 Conn.Prepare while another call on the connection runs",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no violation %q in\n%s", want, got)
		}
	}
}

// TestNoViolations uses the driver as database/sql does, by every profile.
func TestNoViolations(t *testing.T) {
	for _, p := range fakedb.Profiles() {
		d, db := open(t, p)
		want := "name\nstring(\"bob\")"
		if got := read(t, db, "SELECT name FROM people WHERE id = ?", 2); got != want {
			t.Errorf("%s: %s", p.Name, got)
		}
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(addOne); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if err := tx.Commit(); err != nil || age(t, d) != 31 {
			t.Errorf("%s: %v, age %d", p.Name, err, age(t, d))
		}
		if v := d.Violations(); len(v) > 0 {
			t.Errorf("%s: %v", p.Name, v)
		}
	}
}

package passthrough_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/querycache/querycache/internal/fakedb"
	"github.com/querycache/querycache/internal/passthrough"
)

// connect opens one connection of a fake driver without database/sql.
func connect(t *testing.T, p fakedb.Profile) (*fakedb.DB, driver.Conn) {
	t.Helper()
	db, err := fakedb.New(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Seed("x", "CREATE TABLE t (a); INSERT INTO t VALUES (7)"); err != nil {
		t.Fatal(err)
	}
	conn, err := db.Driver().Open("x")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if open := db.OpenCounts(); open != (fakedb.Counts{}) {
			t.Errorf("left open: %+v", open)
		}
	})
	return db, conn
}

// methods are the calls that reached the driver, without the connecting.
func methods(db *fakedb.DB) []string {
	var list []string
	for _, c := range db.Log("Query", "Exec", "Prepare", "Begin", "Ping", "ResetSession", "IsValid", "CheckNamedValue", "Rollback") {
		list = append(list, c.Method)
	}
	return list
}

func same[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: (-want +got)\n%s", what, diff)
	}
}

const read = "SELECT a FROM t"

// TestDoors sends a query, a statement and a begin to drivers of each
// generation: the newest method that the driver has is called, and no other.
func TestDoors(t *testing.T) {
	for _, tt := range []struct {
		profile fakedb.Profile
		queries bool
		want    []string
	}{
		{fakedb.Full(), true, []string{"Conn.QueryContext", "Conn.ExecContext", "Conn.PrepareContext", "Stmt.QueryContext", "Stmt.ExecContext", "Conn.BeginTx", "Tx.Rollback"}},
		{fakedb.Legacy(), true, []string{"Conn.Query", "Conn.Exec", "Conn.Prepare", "Stmt.Query", "Stmt.Exec", "Conn.Begin", "Tx.Rollback"}},
		{fakedb.Bare(), false, []string{"Conn.Prepare", "Stmt.Query", "Stmt.Exec", "Conn.Begin", "Tx.Rollback"}},
	} {
		t.Run(tt.profile.Name, func(t *testing.T) {
			db, conn := connect(t, tt.profile)
			ctx := t.Context()
			same(t, "Queries", tt.queries, passthrough.Queries(conn))
			same(t, "Execs", tt.queries, passthrough.Execs(conn))
			rows, err := passthrough.Query(ctx, conn, read, nil)
			if !tt.queries {
				skips(t, err)
			} else {
				closed(t, rows, err)
			}
			_, err = passthrough.Exec(ctx, conn, "UPDATE t SET a = 8", nil)
			if !tt.queries {
				skips(t, err)
			} else if err != nil {
				t.Error(err)
			}
			st, err := passthrough.Prepare(ctx, conn, read)
			if err != nil {
				t.Fatal(err)
			}
			rows, err = passthrough.StmtQuery(ctx, st, nil)
			closed(t, rows, err)
			if _, err := passthrough.StmtExec(ctx, st, nil); err != nil {
				t.Error(err)
			}
			if err := st.Close(); err != nil {
				t.Error(err)
			}
			tx, err := passthrough.Begin(ctx, conn, driver.TxOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if err := tx.Rollback(); err != nil {
				t.Error(err)
			}
			same(t, "calls", tt.want, methods(db))
		})
	}
}

func skips(t *testing.T, err error) {
	t.Helper()
	if err != driver.ErrSkip { //nolint:errorlint // By identity, as database/sql does.
		t.Errorf("error %v, want ErrSkip itself", err)
	}
}

func closed(t *testing.T, rows driver.Rows, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
		return
	}
	if err := rows.Close(); err != nil {
		t.Error(err)
	}
}

// asSQL is what database/sql itself answers for the driver, to compare with.
func asSQL(t *testing.T, p fakedb.Profile, do func(ctx context.Context, conn *sql.Conn) error) error {
	t.Helper()
	fake, err := fakedb.New(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := fake.Seed("x", "CREATE TABLE t (a)"); err != nil {
		t.Fatal(err)
	}
	db, err := fake.Open("x")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return do(t.Context(), conn)
}

// TestRefusals compares what a driver without contexts is refused with what
// database/sql answers, word for word.
func TestRefusals(t *testing.T) {
	for _, opts := range []driver.TxOptions{
		{Isolation: driver.IsolationLevel(sql.LevelSerializable)},
		{ReadOnly: true},
		{Isolation: driver.IsolationLevel(sql.LevelSnapshot), ReadOnly: true},
	} {
		t.Run(fmt.Sprintf("%+v", opts), func(t *testing.T) {
			db, conn := connect(t, fakedb.Legacy())
			_, err := passthrough.Begin(t.Context(), conn, opts)
			want := asSQL(t, fakedb.Legacy(), func(ctx context.Context, conn *sql.Conn) error {
				_, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.IsolationLevel(opts.Isolation), ReadOnly: opts.ReadOnly})
				return err
			})
			sameText(t, want, err)
			same(t, "calls", nil, methods(db))
		})
	}
	t.Run("named arguments", func(t *testing.T) {
		db, conn := connect(t, fakedb.Legacy())
		_, err := passthrough.Query(t.Context(), conn, read, []driver.NamedValue{{Name: "n", Ordinal: 1, Value: int64(1)}})
		want := asSQL(t, fakedb.Legacy(), func(ctx context.Context, conn *sql.Conn) error {
			rows, err := conn.QueryContext(ctx, read, sql.Named("n", 1))
			if err == nil {
				err = errors.Join(rows.Err(), rows.Close())
			}
			return err
		})
		sameText(t, want, err)
		_, err = passthrough.Exec(t.Context(), conn, read, []driver.NamedValue{{Name: "n", Ordinal: 1}})
		sameText(t, want, err)
		same(t, "calls", nil, methods(db))
	})
}

func sameText(t *testing.T, want, got error) {
	t.Helper()
	if want == nil || got == nil || want.Error() != got.Error() {
		t.Errorf("error %v, want %v", got, want)
	}
}

// TestDoneContext calls a driver without contexts with one that is done: as
// database/sql, it prepares and begins and takes that back, and runs nothing.
func TestDoneContext(t *testing.T) {
	db, conn := connect(t, fakedb.Legacy())
	st, err := passthrough.Prepare(t.Context(), conn, read)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	db.ResetLog()
	for what, do := range map[string]func() error{
		"Query":     func() error { _, err := passthrough.Query(ctx, conn, read, nil); return err },
		"Exec":      func() error { _, err := passthrough.Exec(ctx, conn, read, nil); return err },
		"StmtQuery": func() error { _, err := passthrough.StmtQuery(ctx, st, nil); return err },
		"StmtExec":  func() error { _, err := passthrough.StmtExec(ctx, st, nil); return err },
	} {
		if err := do(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", what, err)
		}
	}
	same(t, "calls", nil, methods(db))
	if _, err := passthrough.Prepare(ctx, conn, read); !errors.Is(err, context.Canceled) {
		t.Errorf("Prepare: error %v", err)
	}
	if _, err := passthrough.Begin(ctx, conn, driver.TxOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Begin: error %v", err)
	}
	same(t, "calls", []string{"Conn.Prepare", "Conn.Begin", "Tx.Rollback"}, methods(db))
}

func TestErrorsAreUntouched(t *testing.T) {
	for _, p := range []fakedb.Profile{fakedb.Full(), fakedb.Legacy()} {
		t.Run(p.Name, func(t *testing.T) {
			db, conn := connect(t, p)
			broken := errors.New("broken")
			for kind, do := range map[string]func() error{
				"Query":   func() error { _, err := passthrough.Query(t.Context(), conn, read, nil); return err },
				"Exec":    func() error { _, err := passthrough.Exec(t.Context(), conn, read, nil); return err },
				"Prepare": func() error { _, err := passthrough.Prepare(t.Context(), conn, read); return err },
				"Begin": func() error {
					_, err := passthrough.Begin(t.Context(), conn, driver.TxOptions{})
					return err
				},
			} {
				db.Inject(fakedb.Fault{Method: kind, Err: broken})
				if err := do(); err != broken { //nolint:errorlint // It must be the error itself.
					t.Errorf("%s: error %v, want %v itself", kind, err, broken)
				}
			}
		})
	}
}

// TestSession asks drivers for what some cannot: the answers without a method
// are those that database/sql assumes.
func TestSession(t *testing.T) {
	broken := errors.New("broken")
	db, conn := connect(t, fakedb.Full())
	for range 2 {
		if err := passthrough.Ping(t.Context(), conn); err != nil {
			t.Error(err)
		}
	}
	db.Inject(fakedb.Fault{Method: "Ping", Err: broken})
	if err := passthrough.Ping(t.Context(), conn); err != broken { //nolint:errorlint // It must be the error itself.
		t.Errorf("Ping: %v", err)
	}
	db.Inject(fakedb.Fault{Method: "ResetSession", Err: driver.ErrBadConn})
	if err := passthrough.Reset(t.Context(), conn); err != driver.ErrBadConn { //nolint:errorlint // By identity, as database/sql does.
		t.Errorf("Reset: %v", err)
	}
	same(t, "valid", true, passthrough.Valid(conn))
	db.Inject(fakedb.Fault{Method: "IsValid", Invalid: true})
	same(t, "valid", false, passthrough.Valid(conn))
	same(t, "calls", []string{"Conn.Ping", "Conn.Ping", "Conn.Ping", "Conn.ResetSession", "Conn.IsValid", "Conn.IsValid"}, methods(db))

	_, bare := connect(t, fakedb.Bare())
	if err := errors.Join(passthrough.Ping(t.Context(), bare), passthrough.Reset(t.Context(), bare)); err != nil {
		t.Error(err)
	}
	same(t, "valid", true, passthrough.Valid(bare))
}

func TestKeptAfterRollback(t *testing.T) {
	for _, tt := range []struct {
		abilities fakedb.Ability
		want      bool
	}{
		{0, false},
		{fakedb.SessionResetter, false},
		{fakedb.Validator, false},
	} {
		_, conn := connect(t, fakedb.Bare().With("bare+"+tt.abilities.String(), tt.abilities))
		same(t, tt.abilities.String(), tt.want, passthrough.KeptAfterRollback(conn))
	}
	_, full := connect(t, fakedb.Full())
	same(t, "both", true, passthrough.KeptAfterRollback(full))
}

// checker answers as the test says.
type checker func(*driver.NamedValue) error

func (c checker) CheckNamedValue(nv *driver.NamedValue) error { return c(nv) }

func TestCheck(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name     string
		checkers []any
		want     error
	}{
		{"nobody", nil, driver.ErrSkip},
		{"none can", []any{nil, 7, struct{}{}}, driver.ErrSkip},
		{"the first that can decides", []any{7, checker(func(*driver.NamedValue) error { return broken }), checker(func(*driver.NamedValue) error { return nil })}, broken},
		{"removed", []any{checker(func(*driver.NamedValue) error { return driver.ErrRemoveArgument })}, driver.ErrRemoveArgument},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := passthrough.Check(&driver.NamedValue{}, tt.checkers...); err != tt.want { //nolint:errorlint // By identity, as database/sql does.
				t.Errorf("error %v, want %v itself", err, tt.want)
			}
		})
	}
}

// point is a type that only a checker can convert.
type point struct{ x int }

// convert is a checker that converts a point, removes a bool, fails for a
// string and skips the rest.
func convert(nv *driver.NamedValue) error {
	switch v := nv.Value.(type) {
	case point:
		nv.Value = int64(v.x)
		return nil
	case bool:
		return driver.ErrRemoveArgument
	case string:
		return errors.New("no texts")
	default:
		return driver.ErrSkip
	}
}

func TestCheckAll(t *testing.T) {
	all := func(int) bool { return false }
	args := []driver.NamedValue{
		{Ordinal: 1, Value: point{5}},
		{Ordinal: 2, Value: true},
		{Ordinal: 3, Name: "n", Value: 7},
		{Ordinal: 4, Value: []byte("b")},
	}
	got, err := passthrough.CheckAll(checker(convert), args, all)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "arguments", []driver.NamedValue{
		{Ordinal: 1, Value: int64(5)}, {Ordinal: 2, Name: "n", Value: int64(7)}, {Ordinal: 3, Value: []byte("b")},
	}, got)
	if args[0].Value != (point{5}) || len(args) != 4 || args[2].Ordinal != 3 {
		t.Error("the caller's arguments were changed")
	}

	// What was checked before is not checked again.
	got, err = passthrough.CheckAll(checker(convert), []driver.NamedValue{{Ordinal: 1, Value: true}, {Ordinal: 2, Value: "kept"}},
		func(ordinal int) bool { return ordinal == 2 })
	if err != nil {
		t.Fatal(err)
	}
	same(t, "arguments", []driver.NamedValue{{Ordinal: 1, Value: "kept"}}, got)
}

// refusing is a driver whose connection checks arguments with convert.
type refusing struct{ driver.Conn }

func (refusing) CheckNamedValue(nv *driver.NamedValue) error { return convert(nv) }

func (r refusing) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return nil, errors.New("not reached")
}

type refusingConnector struct{ driver.Connector }

func (c refusingConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	return refusing{conn}, err
}

// TestCheckAllErrors compares the words of errors with those of database/sql.
func TestCheckAllErrors(t *testing.T) {
	fake, err := fakedb.New(fakedb.Bare())
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(refusingConnector{fake.Connector("x")})
	defer db.Close()
	for _, args := range [][]any{{"text"}, {1, "text"}, {true, "text"}, {sql.Named("who", "text")}, {struct{}{}}, {1, make(chan int)}, {uint64(1) << 63}} {
		rows, want := db.QueryContext(t.Context(), read, args...) //nolint:rowserrcheck // There are no rows.
		if want == nil {
			_ = rows.Close()
			t.Fatalf("%v: database/sql takes it", args)
		}
		named := make([]driver.NamedValue, len(args))
		for i, a := range args {
			named[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
			if n, ok := a.(sql.NamedArg); ok {
				named[i].Name, named[i].Value = n.Name, n.Value
			}
		}
		_, err := passthrough.CheckAll(checker(convert), named, func(int) bool { return false })
		sameText(t, want, err)
	}
}

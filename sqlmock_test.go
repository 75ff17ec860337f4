package querycache_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/DATA-DOG/go-sqlmock"
	"github.com/google/go-cmp/cmp"

	"github.com/querycache/querycache"
)

const (
	mockRead  = "SELECT id, name FROM users WHERE id = ?"
	mockWrite = "UPDATE users SET name = ? WHERE id = ?"
)

// mocked is a mock database behind a cache. What reaches the database is what
// the mock expects, in that order, and nothing else: the mock answers anything
// else with an error, and the cleanup fails where something never came.
type mocked struct {
	*sql.DB
	cache *querycache.Cache
	mock  sqlmock.Sqlmock
}

func newMocked(t *testing.T) *mocked {
	t.Helper()
	raw, mock, err := sqlmock.NewWithDSN(
		t.Name(),
		sqlmock.QueryMatcherOption(sqlmock.QueryMatcherEqual),
		sqlmock.ValueConverterOption(pointConverter{}),
		sqlmock.MonitorPingsOption(true),
	)
	if err != nil {
		t.Fatal(err)
	}
	cache := cacheWith(t, querycache.Config{Dialect: querycache.SQLite, NoCatalog: true})
	m := &mocked{DB: openThrough(t, cache, raw.Driver(), t.Name()), cache: cache, mock: mock}
	t.Cleanup(func() {
		if err := mock.ExpectationsWereMet(); err != nil {
			t.Error(err)
		}
		// Each connection is the same mock, which wants every Close announced.
		for range m.Stats().OpenConnections + 1 {
			mock.ExpectClose()
		}
		if err := errors.Join(m.Close(), raw.Close()); err != nil {
			t.Error(err)
		}
	})
	return m
}

// point is an argument that only the mock's converter knows.
type point struct{ x, y int }

type pointConverter struct{}

func (pointConverter) ConvertValue(v any) (driver.Value, error) {
	if p, ok := v.(point); ok {
		return fmt.Sprintf("(%d,%d)", p.x, p.y), nil
	}
	return driver.DefaultParameterConverter.ConvertValue(v)
}

func userRow(id int, name string) *sqlmock.Rows {
	return sqlmock.NewRows([]string{"id", "name"}).AddRow(id, name)
}

// name reads the name of a user through whatever can query.
func (m *mocked) name(t *testing.T, id any) string {
	t.Helper()
	return nameThrough(t, m, id)
}

func nameThrough(t *testing.T, q interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, id any,
) string {
	t.Helper()
	var got int
	var name string
	if err := q.QueryRowContext(t.Context(), mockRead, id).Scan(&got, &name); err != nil {
		t.Fatal(err)
	}
	return name
}

func (m *mocked) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := m.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

func (m *mocked) hits() uint64 { return m.cache.Stats().Hits }

func same[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: (-want +got)\n%s", what, diff)
	}
}

func TestMockOneQueryForTwoReads(t *testing.T) {
	m := newMocked(t)
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "ann"))
	for range 2 {
		same(t, "name", "ann", m.name(t, 1))
	}
	same(t, "hits", 1, m.hits())
}

func TestMockOtherArgumentsAskAgain(t *testing.T) {
	m := newMocked(t)
	for id, name := range []string{"zoe", "ann"} {
		m.mock.ExpectQuery(mockRead).WithArgs(id).WillReturnRows(userRow(id, name))
		same(t, "first read", name, m.name(t, id))
		same(t, "second read", name, m.name(t, id))
	}
}

// TestMockConcurrentReadsAreOne has 16 callers miss together: the mock expects
// one query and answers a second one with an error. With flights.join always
// answering nil, false, 15 of them fail.
func TestMockConcurrentReadsAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMocked(t)
		m.mock.ExpectQuery(mockRead).WithArgs(1).WillDelayFor(300 * time.Millisecond).WillReturnRows(userRow(1, "ann"))
		const callers = 16
		errs := make([]error, callers)
		var ready, done sync.WaitGroup
		start := make(chan struct{})
		for i := range callers {
			ready.Add(1)
			done.Go(func() {
				ready.Done()
				<-start
				var id int
				var name string
				errs[i] = m.QueryRowContext(t.Context(), mockRead, 1).Scan(&id, &name)
				if errs[i] == nil && name != "ann" {
					errs[i] = fmt.Errorf("name %q", name)
				}
			})
		}
		ready.Wait()
		close(start)
		done.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		s := m.cache.Stats()
		same(t, "misses", 1, s.Misses)
		same(t, "coalesced", callers-1, s.Coalesced)
	})
}

func TestMockTransactionReadsAllReachTheDatabase(t *testing.T) {
	m := newMocked(t)
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "ann"))
	m.mock.ExpectBegin()
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "ann"))
	m.mock.ExpectExec(mockWrite).WithArgs("eve", 1).WillReturnResult(sqlmock.NewResult(0, 1))
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "eve"))
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "eve"))
	m.mock.ExpectCommit()
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "eve"))

	same(t, "before", "ann", m.name(t, 1))
	tx, err := m.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "inside, first", "ann", nameThrough(t, tx, 1))
	if _, err := tx.ExecContext(t.Context(), mockWrite, "eve", 1); err != nil {
		t.Fatal(err)
	}
	// The entry is still good for others: nothing is committed. This read of
	// another connection is a hit, for which the mock expects nothing.
	same(t, "outside", "ann", m.name(t, 1))
	same(t, "inside, own write", "eve", nameThrough(t, tx, 1))
	same(t, "inside, again", "eve", nameThrough(t, tx, 1))
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	same(t, "after COMMIT", "eve", m.name(t, 1))
	same(t, "after COMMIT, again", "eve", m.name(t, 1))
	same(t, "hits", 2, m.hits())
	same(t, "bypasses", map[querycache.Reason]uint64{querycache.ReasonTransaction: 3}, m.cache.Stats().BypassReasons)
}

func TestMockRollbackKeepsEntries(t *testing.T) {
	m := newMocked(t)
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "ann"))
	m.mock.ExpectBegin()
	m.mock.ExpectExec(mockWrite).WithArgs("eve", 1).WillReturnResult(sqlmock.NewResult(0, 1))
	m.mock.ExpectRollback()

	same(t, "before", "ann", m.name(t, 1))
	tx, err := m.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), mockWrite, "eve", 1); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	same(t, "after ROLLBACK", "ann", m.name(t, 1))
	same(t, "hits", 1, m.hits())
}

func TestMockWriteBetweenAsksAgain(t *testing.T) {
	m := newMocked(t)
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "ann"))
	m.mock.ExpectExec("INSERT INTO logs (line) VALUES (?)").WithArgs("x").WillReturnResult(sqlmock.NewResult(1, 1))
	m.mock.ExpectExec(mockWrite).WithArgs("eve", 1).WillReturnResult(sqlmock.NewResult(0, 1))
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "eve"))

	same(t, "before", "ann", m.name(t, 1))
	m.exec(t, "INSERT INTO logs (line) VALUES (?)", "x")
	same(t, "after a write to another table", "ann", m.name(t, 1))
	m.exec(t, mockWrite, "eve", 1)
	for range 2 {
		same(t, "after a write", "eve", m.name(t, 1))
	}
	same(t, "hits", 2, m.hits())
}

func TestMockFailedWriteIsNotTrusted(t *testing.T) {
	m := newMocked(t)
	broken := errors.New("disk full")
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "ann"))
	m.mock.ExpectExec(mockWrite).WithArgs("eve", 1).WillReturnError(broken)
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "eve"))

	same(t, "before", "ann", m.name(t, 1))
	// By the text alone nobody can tell that there is no trigger.
	if _, err := m.ExecContext(t.Context(), mockWrite, "eve", 1); !errors.Is(err, broken) {
		t.Fatalf("error %v, want %v", err, broken)
	}
	same(t, "after a failed write", "eve", m.name(t, 1))
}

func TestMockErrorsAreNotCached(t *testing.T) {
	m := newMocked(t)
	broken := errors.New("no such luck")
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnError(broken)
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "ann").AddRow(2, "bob").RowError(1, broken))
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "ann"))

	if err := m.QueryRowContext(t.Context(), mockRead, 1).Scan(new(int), new(string)); err != broken { //nolint:errorlint // It must be untouched.
		t.Fatalf("error %v, want %v itself", err, broken)
	}
	rows, err := m.QueryContext(t.Context(), mockRead, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		n++
	}
	if err := rows.Err(); err != broken { //nolint:errorlint // It must be untouched.
		t.Fatalf("error %v after the rows, want %v itself", err, broken)
	}
	same(t, "rows before the error", 1, n)
	for range 2 {
		same(t, "after the errors", "ann", m.name(t, 1))
	}
	same(t, "fills", 1, m.cache.Stats().Fills)
}

func TestMockEmptyResultsAreCached(t *testing.T) {
	m := newMocked(t)
	m.mock.ExpectQuery(mockRead).WithArgs(9).WillReturnRows(sqlmock.NewRows([]string{"id", "name"}))
	for range 3 {
		err := m.QueryRowContext(t.Context(), mockRead, 9).Scan(new(int), new(string))
		if !errors.Is(err, sql.ErrNoRows) {
			t.Fatalf("error %v, want %v", err, sql.ErrNoRows)
		}
	}
	rows, err := m.QueryContext(t.Context(), mockRead, 9)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "columns", []string{"id", "name"}, columns)
	if rows.Next() || rows.Err() != nil {
		t.Errorf("a row, or error %v", rows.Err())
	}
	same(t, "hits", 3, m.hits())
}

// TestMockPreparedStatements shows that a text which is known is not prepared
// again before it misses, and that a prepared statement and a plain query share
// an entry.
func TestMockPreparedStatements(t *testing.T) {
	m := newMocked(t)
	m.SetMaxOpenConns(1)
	prepare := m.mock.ExpectPrepare(mockRead)
	prepare.ExpectQuery().WithArgs(1).WillReturnRows(userRow(1, "ann"))

	read := func(st *sql.Stmt) string {
		t.Helper()
		var name string
		if err := st.QueryRowContext(t.Context(), 1).Scan(new(int), &name); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for range 2 {
		st, err := m.PrepareContext(t.Context(), mockRead)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			same(t, "name", "ann", read(st))
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "without preparing", "ann", m.name(t, 1))
	same(t, "hits", 4, m.hits())
}

// TestMockPreparedAfterWrite has a statement that was prepared on a hit reach
// the database when it misses: it is prepared only then.
func TestMockPreparedAfterWrite(t *testing.T) {
	m := newMocked(t)
	m.SetMaxOpenConns(1)
	m.mock.ExpectPrepare(mockRead).ExpectQuery().WithArgs(1).WillReturnRows(userRow(1, "ann"))
	m.mock.ExpectExec(mockWrite).WithArgs("eve", 1).WillReturnResult(sqlmock.NewResult(0, 1))
	m.mock.ExpectPrepare(mockRead).ExpectQuery().WithArgs(1).WillReturnRows(userRow(1, "eve"))

	first, err := m.PrepareContext(t.Context(), mockRead)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	var name string
	if err := first.QueryRowContext(t.Context(), 1).Scan(new(int), &name); err != nil {
		t.Fatal(err)
	}
	second, err := m.PrepareContext(t.Context(), mockRead)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	m.exec(t, mockWrite, "eve", 1)
	if err := second.QueryRowContext(t.Context(), 1).Scan(new(int), &name); err != nil {
		t.Fatal(err)
	}
	same(t, "after the write", "eve", name)
}

func TestMockPrepareErrorsStayWhereTheyAre(t *testing.T) {
	m := newMocked(t)
	broken := errors.New("near SELEC: syntax error")
	m.mock.ExpectPrepare("SELEC 1").WillReturnError(broken)
	if _, err := m.PrepareContext(t.Context(), "SELEC 1"); err != broken { //nolint:errorlint,sqlclosecheck // It must be untouched, and there is no statement.
		t.Errorf("error %v, want %v itself", err, broken)
	}
}

// TestMockCustomArguments passes an argument through the mock's own converter:
// it is converted as without the cache, the converted value is the key, and a
// value that the converter refuses is its error.
func TestMockCustomArguments(t *testing.T) {
	m := newMocked(t)
	m.mock.ExpectQuery(mockRead).WithArgs("(1,2)").WillReturnRows(userRow(1, "ann"))
	m.mock.ExpectQuery(mockRead).WithArgs("(2,1)").WillReturnRows(userRow(2, "bob"))
	for range 2 {
		same(t, "point (1,2)", "ann", m.name(t, point{1, 2}))
		same(t, "point (2,1)", "bob", m.name(t, point{2, 1}))
	}
	same(t, "hits", 2, m.hits())
	if err := m.QueryRowContext(t.Context(), mockRead, struct{ a int }{1}).Scan(new(int), new(string)); err == nil {
		t.Error("an argument that nobody can convert is no error")
	}
}

func TestMockValuersAreCalledOnce(t *testing.T) {
	m := newMocked(t)
	m.mock.ExpectQuery(mockRead).WithArgs("v1").WillReturnRows(userRow(1, "ann"))
	v := &counted{}
	same(t, "name", "ann", m.name(t, v))
	same(t, "calls of Value", 1, v.calls)
	v.calls = 0
	same(t, "name", "ann", m.name(t, v))
	same(t, "calls of Value on a hit", 1, v.calls)
	same(t, "hits", 1, m.hits())
}

type counted struct{ calls int }

func (c *counted) Value() (driver.Value, error) {
	c.calls++
	return fmt.Sprintf("v%d", c.calls), nil
}

func TestMockOnePingIsOnePing(t *testing.T) {
	m := newMocked(t)
	m.mock.ExpectPing()
	if err := m.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
	broken := errors.New("gone")
	m.mock.ExpectPing().WillReturnError(broken)
	if err := m.PingContext(t.Context()); err != broken { //nolint:errorlint // It must be untouched.
		t.Errorf("error %v, want %v itself", err, broken)
	}
}

func TestMockCloseReachesTheConnection(t *testing.T) {
	m := newMocked(t)
	broken := errors.New("cannot say goodbye")
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "ann"))
	m.mock.ExpectClose().WillReturnError(broken)
	same(t, "name", "ann", m.name(t, 1))
	if err := m.Close(); err != broken { //nolint:errorlint // It must be untouched.
		t.Errorf("error %v, want %v itself", err, broken)
	}
}

func TestMockInvalidations(t *testing.T) {
	for _, tt := range []struct {
		name       string
		invalidate func(*querycache.Cache)
		again      bool
	}{
		{"tables", func(c *querycache.Cache) { c.InvalidateTables("users") }, true},
		{"another table", func(c *querycache.Cache) { c.InvalidateTables("logs") }, false},
		{"query", func(c *querycache.Cache) { c.InvalidateQuery(mockRead, 1) }, true},
		{"query as int64", func(c *querycache.Cache) { c.InvalidateQuery(mockRead, int64(1)) }, true},
		{"query as uint8", func(c *querycache.Cache) { c.InvalidateQuery(mockRead, uint8(1)) }, true},
		{"query with comments", func(c *querycache.Cache) { c.InvalidateQuery("/* trace 7 */ "+mockRead+"  -- end", 1) }, true},
		{"another query", func(c *querycache.Cache) { c.InvalidateQuery("SELECT 1", 1) }, false},
		{"an argument that cannot be compared", func(c *querycache.Cache) { c.InvalidateQuery(mockRead, point{}) }, true},
		{"purge", (*querycache.Cache).Purge, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMocked(t)
			m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "ann"))
			want := "ann"
			if tt.again {
				want = "eve"
				m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "eve"))
			}
			same(t, "before", "ann", m.name(t, 1))
			tt.invalidate(m.cache)
			for range 2 {
				same(t, "after", want, m.name(t, 1))
			}
		})
	}
}

func TestMockHints(t *testing.T) {
	m := newMocked(t)
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "ann"))
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "bob"))
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "eve"))
	read := func(ctx context.Context) string {
		t.Helper()
		var name string
		if err := m.QueryRowContext(ctx, mockRead, 1).Scan(new(int), &name); err != nil {
			t.Fatal(err)
		}
		return name
	}
	ctx := t.Context()
	same(t, "fill", "ann", read(ctx))
	same(t, "bypass", "bob", read(querycache.Bypass(ctx)))
	same(t, "the entry is as it was", "ann", read(ctx))
	same(t, "refresh", "eve", read(querycache.Refresh(ctx)))
	same(t, "the entry is new", "eve", read(ctx))
	same(t, "bypasses", map[querycache.Reason]uint64{querycache.ReasonHint: 1}, m.cache.Stats().BypassReasons)
}

// TestMockDisabled shows that writes invalidate while the cache is off. With
// Cache.begin passing over writes while disabled (controlDisabledSkips) the
// last read finds "ann".
func TestMockDisabled(t *testing.T) {
	m := newMocked(t)
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "ann"))
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "ann"))
	m.mock.ExpectExec(mockWrite).WithArgs("eve", 1).WillReturnResult(sqlmock.NewResult(0, 1))
	m.mock.ExpectQuery(mockRead).WithArgs(1).WillReturnRows(userRow(1, "eve"))

	same(t, "on", "ann", m.name(t, 1))
	m.cache.SetEnabled(false)
	same(t, "off", "ann", m.name(t, 1))
	m.cache.SetEnabled(true)
	same(t, "on again", "ann", m.name(t, 1))
	m.cache.SetEnabled(false)
	m.exec(t, mockWrite, "eve", 1)
	m.cache.SetEnabled(true)
	for range 2 {
		same(t, "after a write while off", "eve", m.name(t, 1))
	}
	same(t, "hits", 2, m.hits())
	same(t, "bypasses", map[querycache.Reason]uint64{querycache.ReasonDisabled: 1}, m.cache.Stats().BypassReasons)
}

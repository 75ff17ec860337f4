// Package passthrough forwards calls to a parent driver exactly as
// database/sql itself would make them: with the parent's optional interfaces
// where it has them, and with the fallbacks and refusals of database/sql where
// it has not. It knows nothing of caching.
package passthrough

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
)

// The refusals of database/sql, word for word: code that compares texts sees
// no difference.
var (
	errIsolation = errors.New("sql: driver does not support non-default isolation level")
	errReadOnly  = errors.New("sql: driver does not support read-only transactions")
	errNamed     = errors.New("sql: driver does not support the use of Named Parameters")
)

// Queries reports whether conn can run a query without preparing it.
func Queries(conn driver.Conn) bool {
	if _, ok := conn.(driver.QueryerContext); ok {
		return true
	}
	_, ok := conn.(driver.Queryer) //nolint:staticcheck // Legacy drivers are parents too.
	return ok
}

// Execs reports whether conn can execute a statement without preparing it.
func Execs(conn driver.Conn) bool {
	if _, ok := conn.(driver.ExecerContext); ok {
		return true
	}
	_, ok := conn.(driver.Execer) //nolint:staticcheck // Legacy drivers are parents too.
	return ok
}

// Query runs a query on conn without preparing it, or answers
// [driver.ErrSkip] where conn cannot.
func Query(ctx context.Context, conn driver.Conn, query string, args []driver.NamedValue) (driver.Rows, error) {
	if q, ok := conn.(driver.QueryerContext); ok {
		return q.QueryContext(ctx, query, args)
	}
	q, ok := conn.(driver.Queryer) //nolint:staticcheck // Legacy drivers are parents too.
	if !ok {
		return nil, driver.ErrSkip
	}
	values, err := plain(ctx, args)
	if err != nil {
		return nil, err
	}
	return q.Query(query, values)
}

// Exec executes a statement on conn without preparing it, or answers
// [driver.ErrSkip] where conn cannot.
func Exec(ctx context.Context, conn driver.Conn, query string, args []driver.NamedValue) (driver.Result, error) {
	if e, ok := conn.(driver.ExecerContext); ok {
		return e.ExecContext(ctx, query, args)
	}
	e, ok := conn.(driver.Execer) //nolint:staticcheck // Legacy drivers are parents too.
	if !ok {
		return nil, driver.ErrSkip
	}
	values, err := plain(ctx, args)
	if err != nil {
		return nil, err
	}
	return e.Exec(query, values)
}

// Prepare prepares a statement on conn.
func Prepare(ctx context.Context, conn driver.Conn, query string) (driver.Stmt, error) {
	if p, ok := conn.(driver.ConnPrepareContext); ok {
		return p.PrepareContext(ctx, query)
	}
	s, err := conn.Prepare(query)
	if err == nil && ctx.Err() != nil {
		_ = s.Close()
		return nil, ctx.Err()
	}
	return s, err
}

// Begin starts a transaction on conn, and refuses isolation levels and
// read-only transactions where conn cannot be told of them.
func Begin(ctx context.Context, conn driver.Conn, opts driver.TxOptions) (driver.Tx, error) {
	if b, ok := conn.(driver.ConnBeginTx); ok {
		return b.BeginTx(ctx, opts)
	}
	if opts.Isolation != 0 {
		return nil, errIsolation
	}
	if opts.ReadOnly {
		return nil, errReadOnly
	}
	tx, err := conn.Begin() //nolint:staticcheck // Legacy drivers are parents too.
	if err == nil && ctx.Err() != nil {
		_ = tx.Rollback()
		return nil, ctx.Err()
	}
	return tx, err
}

// StmtQuery runs a prepared query.
func StmtQuery(ctx context.Context, stmt driver.Stmt, args []driver.NamedValue) (driver.Rows, error) {
	if q, ok := stmt.(driver.StmtQueryContext); ok {
		return q.QueryContext(ctx, args)
	}
	values, err := plain(ctx, args)
	if err != nil {
		return nil, err
	}
	return stmt.Query(values) //nolint:staticcheck // Legacy drivers are parents too.
}

// StmtExec executes a prepared statement.
func StmtExec(ctx context.Context, stmt driver.Stmt, args []driver.NamedValue) (driver.Result, error) {
	if e, ok := stmt.(driver.StmtExecContext); ok {
		return e.ExecContext(ctx, args)
	}
	values, err := plain(ctx, args)
	if err != nil {
		return nil, err
	}
	return stmt.Exec(values) //nolint:staticcheck // Legacy drivers are parents too.
}

// Ping pings conn where it can be pinged.
func Ping(ctx context.Context, conn driver.Conn) error {
	if p, ok := conn.(driver.Pinger); ok {
		return p.Ping(ctx)
	}
	return nil
}

// Reset resets the session of conn where it can be reset.
func Reset(ctx context.Context, conn driver.Conn) error {
	if r, ok := conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

// Valid reports whether conn may be used again.
func Valid(conn driver.Conn) bool {
	if v, ok := conn.(driver.Validator); ok {
		return v.IsValid()
	}
	return true
}

// KeptAfterRollback reports whether database/sql keeps conn when the context
// of its transaction ended: it does where conn both resets and validates.
func KeptAfterRollback(conn driver.Conn) bool {
	_, resets := conn.(driver.SessionResetter)
	_, validates := conn.(driver.Validator)
	return resets && validates
}

// Check checks one argument with the checkers given, in that order; a nil
// checker is passed over. It answers ErrSkip when all of them skip.
func Check(nv *driver.NamedValue, checkers ...any) error {
	for _, c := range checkers {
		if checker, ok := c.(driver.NamedValueChecker); ok {
			return checker.CheckNamedValue(nv)
		}
	}
	return driver.ErrSkip
}

// CheckAll does for a parent that is reached late what database/sql does for
// one at hand: every argument goes through the parent's checker, what it skips
// through the default conversion, and what it removes is removed. Errors are
// worded as database/sql words them. Arguments for which checked reports true
// have been through it already.
func CheckAll(checker driver.NamedValueChecker, args []driver.NamedValue, checked func(ordinal int) bool) ([]driver.NamedValue, error) {
	out := make([]driver.NamedValue, 0, len(args))
	for _, nv := range args {
		done := checked(nv.Ordinal)
		nv.Ordinal = len(out) + 1
		if done {
			out = append(out, nv)
			continue
		}
		err := checker.CheckNamedValue(&nv)
		//nolint:errorlint // database/sql compares these by identity.
		switch err {
		case nil:
		case driver.ErrRemoveArgument:
			continue
		case driver.ErrSkip:
			if nv.Value, err = driver.DefaultParameterConverter.ConvertValue(nv.Value); err != nil {
				return nil, wrap(&nv, err)
			}
		default:
			return nil, wrap(&nv, err)
		}
		out = append(out, nv)
	}
	return out, nil
}

func wrap(nv *driver.NamedValue, err error) error {
	name := fmt.Sprintf("$%d", nv.Ordinal)
	if nv.Name != "" {
		name = fmt.Sprintf("with name %q", nv.Name)
	}
	return fmt.Errorf("sql: converting argument %s type: %w", name, err)
}

// plain strips names, which a legacy driver cannot be told of, and honours a
// context that is done.
func plain(ctx context.Context, args []driver.NamedValue) ([]driver.Value, error) {
	values := make([]driver.Value, len(args))
	for i, a := range args {
		if a.Name != "" {
			return nil, errNamed
		}
		values[i] = a.Value
	}
	return values, ctx.Err()
}

package fakedb

import (
	"context"
	"database/sql/driver"
)

var (
	_ driver.StmtQueryContext  = (*stmt)(nil)
	_ driver.StmtExecContext   = (*stmt)(nil)
	_ driver.NamedValueChecker = (*stmt)(nil)
	_ stmtConverter            = (*stmt)(nil)
)

// stmt is a prepared statement with every method; its shape hides some.
type stmt struct {
	conn    *conn
	query   string
	program *program
	inputs  int
	closed  bool
}

// use reports a call on a closed statement.
func (s *stmt) use(method string) {
	if s.closed {
		s.conn.db.violate("c%d %s after the statement was closed", s.conn.id, method)
	}
}

// NumInput implements [driver.Stmt].
func (s *stmt) NumInput() int { return s.inputs }

// QueryContext implements [driver.StmtQueryContext].
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.use("Stmt.QueryContext")
	return s.conn.query(ctx, Call{Method: "Stmt.QueryContext", Text: s.query, Args: args}, SkipNever)
}

// Query implements [driver.Stmt].
func (s *stmt) Query(args []driver.Value) (driver.Rows, error) {
	s.use("Stmt.Query")
	return s.conn.query(context.Background(), Call{Method: "Stmt.Query", Text: s.query, Args: ordinals(args)}, SkipNever)
}

// ExecContext implements [driver.StmtExecContext].
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.use("Stmt.ExecContext")
	return s.conn.exec(ctx, Call{Method: "Stmt.ExecContext", Text: s.query, Args: args}, SkipNever)
}

// Exec implements [driver.Stmt].
func (s *stmt) Exec(args []driver.Value) (driver.Result, error) {
	s.use("Stmt.Exec")
	return s.conn.exec(context.Background(), Call{Method: "Stmt.Exec", Text: s.query, Args: ordinals(args)}, SkipNever)
}

// CheckNamedValue implements [driver.NamedValueChecker].
func (s *stmt) CheckNamedValue(v *driver.NamedValue) error {
	s.use("Stmt.CheckNamedValue")
	return s.conn.do(context.Background(),
		Call{Method: "Stmt.CheckNamedValue", Text: s.query, Args: []driver.NamedValue{*v}},
		func() error { return s.conn.db.profile.StmtCheck.check(v) })
}

// ColumnConverter implements driver.ColumnConverter: a parameter that is written
// to a column is converted to the column's type.
func (s *stmt) ColumnConverter(idx int) driver.ValueConverter {
	var converter driver.ValueConverter = driver.DefaultParameterConverter
	if s.program == nil {
		return converter
	}
	ref := s.program.converted[idx+1]
	into := s.conn.session.store.current()[ref.table]
	if into == nil {
		return converter
	}
	at := into.column(ref.name)
	if ref.name == "" && idx < len(into.columns) {
		at = idx
	}
	if at < 0 {
		return converter
	}
	switch column := into.columns[at]; column.Type {
	case "INTEGER":
		converter = driver.Int32
	case "TEXT":
		converter = driver.String
	case "BOOLEAN":
		converter = driver.Bool
	}
	return driver.Null{Converter: converter}
}

// Close implements [driver.Stmt].
func (s *stmt) Close() error {
	return s.conn.do(context.Background(), Call{Method: "Stmt.Close", Text: s.query}, func() error {
		if s.closed {
			s.conn.db.violate("c%d statement %q closed twice", s.conn.id, s.query)
			return nil
		}
		s.closed = true
		s.conn.count(Counts{Stmts: -1})
		return nil
	})
}

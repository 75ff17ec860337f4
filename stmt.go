package querycache

import (
	"context"
	"database/sql/driver"

	"github.com/querycache/querycache/internal/analysis"
	"github.com/querycache/querycache/internal/passthrough"
)

var (
	_ driver.Stmt              = (*stmt)(nil)
	_ driver.StmtQueryContext  = (*stmt)(nil)
	_ driver.StmtExecContext   = (*stmt)(nil)
	_ driver.NamedValueChecker = (*stmt)(nil)
	_ driver.ColumnConverter   = convertingStmt{} //nolint:staticcheck // Legacy drivers are parents too.
)

// stmt is a prepared statement: its text, and the parent's statement on the
// parent that was last used. A cached query whose text is known is prepared
// there only when it misses.
type stmt struct {
	conn   *conn
	text   string
	inputs int
	checks bool // the parent's statement checks or converts arguments itself

	parent   *parent // on which it is prepared
	prepared driver.Stmt

	steps      bool // executed by one step, it may be open still
	stepsWrite bool // and it writes
}

// convertingStmt is a statement whose parent converts arguments by column.
type convertingStmt struct{ *stmt }

// ColumnConverter returns the parent's converter.
func (s convertingStmt) ColumnConverter(i int) driver.ValueConverter {
	if ps, err := s.now(context.Background()); err == nil {
		if cc, ok := ps.(driver.ColumnConverter); ok { //nolint:staticcheck // Legacy drivers are parents too.
			return cc.ColumnConverter(i)
		}
	}
	return driver.DefaultParameterConverter
}

// PrepareContext prepares a statement. The first time that a text is prepared
// it is on the parent, so that errors in it show here.
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s := &stmt{conn: c, text: query}
	if p := c.known(query); p != nil && p.Cacheable && c.tx == txNone {
		if n := p.inputs.Load(); n != 0 {
			s.inputs = int(n) - 2
			return s, nil
		}
	}
	ps, err := s.first(ctx)
	if err != nil {
		return nil, err
	}
	s.inputs = ps.NumInput()
	_, s.checks = ps.(driver.NamedValueChecker)
	if _, ok := ps.(driver.ColumnConverter); ok { //nolint:staticcheck // Legacy drivers are parents too.
		s.checks = true
		return convertingStmt{s}, nil
	}
	if p := c.known(query); p != nil && !s.checks {
		p.inputs.Store(int64(s.inputs) + 2)
	}
	return s, nil
}

// first prepares the statement for the first time. That alone can change the
// session: SQLite runs some PRAGMAs when it compiles them.
func (s *stmt) first(ctx context.Context) (driver.Stmt, error) {
	c := s.conn
	if _, err := c.use(ctx); err != nil {
		return nil, err
	}
	p := c.plan(ctx, s.text)
	if p.Kind != analysis.Session && p.Kind != analysis.Opaque && !p.DirtyReads && !p.NoRollback {
		return s.now(ctx)
	}
	e, err := c.start(ctx, p, 0)
	if err != nil {
		return nil, err
	}
	defer e.abandon()
	ps, err := s.now(ctx)
	e.done(nil, err)
	return ps, err
}

// now returns the parent's statement on the parent that the connection uses
// now.
func (s *stmt) now(ctx context.Context) (driver.Stmt, error) {
	p, err := s.conn.use(ctx)
	if err != nil {
		return nil, err
	}
	return s.on(ctx, p)
}

func (s *stmt) on(ctx context.Context, p *parent) (driver.Stmt, error) {
	if s.parent == p {
		return s.prepared, nil
	}
	s.release()
	ps, err := passthrough.Prepare(ctx, p.conn, s.text)
	if err != nil {
		return nil, err
	}
	s.parent, s.prepared = p, ps
	p.prepared(s, ps)
	return ps, nil
}

// release leaves the parent's statement to the parent that owns it, which
// another connection may be using.
func (s *stmt) release() {
	if s.parent != nil {
		s.parent.letGo(s, true)
		s.parent, s.prepared = nil, nil
	}
}

// Close closes the parent's statement. database/sql may call it with the
// pool's lock held and after the connection was returned: where the parent has
// gone to another connection it is left to be closed there.
func (s *stmt) Close() error {
	if s.parent == nil {
		return nil
	}
	if s.parent != s.conn.parent {
		s.release()
		return nil
	}
	s.conn.join()
	s.parent.letGo(s, false)
	err := s.prepared.Close()
	s.parent, s.prepared = nil, nil
	s.finished()
	return err
}

// NumInput is what the parent's statement said.
func (s *stmt) NumInput() int { return s.inputs }

// CheckNamedValue checks an argument as the parent's statement would, or else
// its connection.
func (s *stmt) CheckNamedValue(nv *driver.NamedValue) error {
	if !s.checks {
		return s.conn.CheckNamedValue(nv)
	}
	ps, err := s.now(context.Background())
	if err != nil {
		return err
	}
	return passthrough.Check(nv, ps, s.parent.conn)
}

// QueryContext serves the query from the cache, or runs it.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.query(ctx, s.text, args, s)
}

// ExecContext executes the statement.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.exec(ctx, s.text, args, s)
}

// Query runs the query with plain values.
func (s *stmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), named(args))
}

// Exec executes the statement with plain values.
func (s *stmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), named(args))
}

func named(args []driver.Value) []driver.NamedValue {
	nvs := make([]driver.NamedValue, len(args))
	for i, v := range args {
		nvs[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return nvs
}

// queryOn runs the parent's query.
func (s *stmt) queryOn(ctx context.Context, p *parent, args []driver.NamedValue) (driver.Rows, error) {
	ps, err := s.on(ctx, p)
	if err != nil {
		return nil, err
	}
	rows, err := passthrough.StmtQuery(ctx, ps, args)
	s.finished()
	return rows, err
}

// execOn executes the parent's statement. SQLite's drivers execute by a single
// step: a statement that yields rows is open afterwards, and if it writes,
// takes effect only when it is executed again or closed.
func (s *stmt) execOn(ctx context.Context, p *parent, args []driver.NamedValue, e *effect) (driver.Result, error) {
	ps, err := s.on(ctx, p)
	if err != nil {
		e.done(nil, err)
		return nil, err
	}
	res, err := passthrough.StmtExec(ctx, ps, args)
	at(ctx, stepSent)
	s.finished()
	if err != nil || !e.plan.ReturnsRows {
		e.done(res, err)
		return res, err
	}
	s.steps = true
	s.stepsWrite = e.write != nil || !e.plan.target.empty()
	s.conn.open++
	if e.over {
		return res, nil
	}
	e.handOver(s.stepsWrite)
	return res, nil
}

// finished notes that the statement, if it was open, is not any more.
func (s *stmt) finished() {
	if !s.steps {
		return
	}
	s.steps = false
	s.conn.closedRows(s.stepsWrite)
}

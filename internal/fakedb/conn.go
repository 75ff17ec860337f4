package fakedb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
)

var (
	_ driver.QueryerContext     = (*conn)(nil)
	_ driver.ExecerContext      = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.Pinger             = (*conn)(nil)
	_ driver.SessionResetter    = (*conn)(nil)
	_ driver.Validator          = (*conn)(nil)
	_ driver.NamedValueChecker  = (*conn)(nil)
	_ legacyQueryer             = (*conn)(nil)
	_ legacyExecer              = (*conn)(nil)
)

var errInvalid = errors.New("querycache: fakedb: the connection is not valid")

// conn is a connection with every method; its shape hides some.
type conn struct {
	db      *DB
	id      int
	busy    sync.Mutex // held during a call
	session session
	// What follows is touched only inside a call.
	closed bool
	lost   bool
	tx     *tx
	opened Counts // guarded by DB.mu
}

func (c *conn) do(ctx context.Context, call Call, effect func() error) error {
	return c.db.call(ctx, call, c, effect)
}

// lose drops the connection as a broken network does.
func (c *conn) lose() {
	c.lost = true
	c.session.tx = nil
}

// count adjusts the counts of open objects.
func (c *conn) count(change Counts) {
	c.db.mu.Lock()
	defer c.db.mu.Unlock()
	c.opened.add(change)
	c.db.open.add(change)
}

func (c *conn) stillOpen() Counts {
	c.db.mu.Lock()
	defer c.db.mu.Unlock()
	return c.opened
}

// abandon ends what a call was to end, without the effect that it was to have.
func (c *conn) abandon(kind string, effect func() error) {
	if kind == "Close" {
		_ = effect()
		return
	}
	c.session.tx = nil
	c.endTx()
}

func (c *conn) endTx() {
	if c.tx != nil {
		c.tx = nil
		c.count(Counts{Txs: -1})
	}
}

// ID returns the number of the connection in the log.
func (c *conn) ID() int { return c.id }

// ConnID returns the number in the log of a connection of this driver, as
// (*sql.Conn).Raw hands it out, or 0 for anything else.
func ConnID(driverConn any) int {
	if c, ok := driverConn.(baseConn); ok {
		return c.ID()
	}
	return 0
}

// Prepare implements [driver.Conn].
func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.prepare(context.Background(), "Conn.Prepare", query)
}

// PrepareContext implements [driver.ConnPrepareContext].
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return c.prepare(ctx, "Conn.PrepareContext", query)
}

func (c *conn) prepare(ctx context.Context, method, query string) (driver.Stmt, error) {
	s := &stmt{conn: c, query: query, inputs: -1}
	err := c.do(ctx, Call{Method: method, Text: query}, func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		p, err := c.db.parse(query)
		switch {
		case err == nil:
			s.program = p
			if !c.db.profile.UnknownInputs {
				s.inputs = p.params
			}
		case c.db.handler(query) == nil:
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.count(Counts{Stmts: 1})
	return stmtShapes[c.db.profile.Abilities&StmtAbilities](s), nil
}

// QueryContext implements [driver.QueryerContext].
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.query(ctx, Call{Method: "Conn.QueryContext", Text: query, Args: args}, c.db.profile.SkipQuery)
}

// Query implements driver.Queryer.
func (c *conn) Query(query string, args []driver.Value) (driver.Rows, error) {
	return c.query(context.Background(), Call{Method: "Conn.Query", Text: query, Args: ordinals(args)},
		c.db.profile.SkipQuery)
}

func (c *conn) query(ctx context.Context, call Call, skip Skip) (driver.Rows, error) {
	var r *rows
	err := c.do(ctx, call, func() error {
		if skip.applies(call.Args) {
			return driver.ErrSkip
		}
		results, effect, err := c.run(ctx, call, c.db.profile.ReturningAtClose)
		if err == nil {
			r = newRows(ctx, c, call.Text, results, effect)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	c.count(Counts{Rows: 1})
	return rowsShapes[c.db.profile.Abilities&RowsAbilities](r), nil
}

// ExecContext implements [driver.ExecerContext].
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.exec(ctx, Call{Method: "Conn.ExecContext", Text: query, Args: args}, c.db.profile.SkipExec)
}

// Exec implements driver.Execer.
func (c *conn) Exec(query string, args []driver.Value) (driver.Result, error) {
	return c.exec(context.Background(), Call{Method: "Conn.Exec", Text: query, Args: ordinals(args)},
		c.db.profile.SkipExec)
}

func (c *conn) exec(ctx context.Context, call Call, skip Skip) (driver.Result, error) {
	var last *Result
	err := c.do(ctx, call, func() error {
		if skip.applies(call.Args) {
			return driver.ErrSkip
		}
		results, _, err := c.run(ctx, call, false)
		if len(results) > 0 {
			last = results[len(results)-1]
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if last == nil || last.NoCounts {
		return driver.ResultNoRows, nil
	}
	return counts{last.LastInsertID, last.RowsAffected}, nil
}

// counts is the result of an Exec.
type counts struct{ id, affected int64 }

// LastInsertId implements [driver.Result].
func (r counts) LastInsertId() (int64, error) { return r.id, nil }

// RowsAffected implements [driver.Result].
func (r counts) RowsAffected() (int64, error) { return r.affected, nil }

// run executes a text by its handler or by the language.
func (c *conn) run(ctx context.Context, call Call, late bool) ([]*Result, func() error, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if h := c.db.handler(call.Text); h != nil {
		res, err := h(ctx, call.Text, call.Args)
		if err != nil || res == nil {
			return nil, nil, err
		}
		return []*Result{res}, nil, nil
	}
	p, err := c.db.parse(call.Text)
	if err != nil {
		return nil, nil, err
	}
	if len(call.Args) != p.params {
		return nil, nil, fmt.Errorf("querycache: fakedb: the statement wants %d arguments, got %d",
			p.params, len(call.Args))
	}
	return c.session.run(p, plain(call.Args), late)
}

// Begin implements [driver.Conn].
func (c *conn) Begin() (driver.Tx, error) {
	return c.begin(context.Background(), "Conn.Begin", driver.TxOptions{})
}

// BeginTx implements [driver.ConnBeginTx].
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	return c.begin(ctx, "Conn.BeginTx", opts)
}

func (c *conn) begin(ctx context.Context, method string, opts driver.TxOptions) (driver.Tx, error) {
	t := &tx{c}
	err := c.do(ctx, Call{Method: method}, func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.session.begin(opts); err != nil {
			return err
		}
		c.tx = t
		c.count(Counts{Txs: 1})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Ping implements [driver.Pinger].
func (c *conn) Ping(ctx context.Context) error {
	return c.do(ctx, Call{Method: "Conn.Ping"}, ctx.Err)
}

// ResetSession implements [driver.SessionResetter].
func (c *conn) ResetSession(ctx context.Context) error {
	return c.do(ctx, Call{Method: "Conn.ResetSession"}, func() error { return nil })
}

// IsValid implements [driver.Validator].
func (c *conn) IsValid() bool {
	err := c.do(context.Background(), Call{Method: "Conn.IsValid"}, func() error { return nil })
	return err == nil
}

// CheckNamedValue implements [driver.NamedValueChecker].
func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	return c.do(context.Background(), Call{Method: "Conn.CheckNamedValue", Args: []driver.NamedValue{*v}},
		func() error { return c.db.profile.ConnCheck.check(v) })
}

// Close implements [driver.Conn].
func (c *conn) Close() error {
	return c.do(context.Background(), Call{Method: "Conn.Close"}, func() error {
		if c.closed {
			return nil
		}
		if open := c.stillOpen(); open.Stmts > 0 || open.Rows > 0 {
			c.db.violate("c%d closed with %d statements and %d rows open", c.id, open.Stmts, open.Rows)
		}
		c.closed = true
		c.session.tx = nil
		c.endTx()
		c.count(Counts{Conns: -1})
		return nil
	})
}

type tx struct{ conn *conn }

// Commit implements [driver.Tx].
func (t *tx) Commit() error { return t.end("Tx.Commit", t.conn.session.commit) }

// Rollback implements [driver.Tx].
func (t *tx) Rollback() error { return t.end("Tx.Rollback", t.conn.session.rollback) }

func (t *tx) end(method string, how func() error) error {
	return t.conn.do(context.Background(), Call{Method: method}, func() error {
		if t.conn.tx != t {
			t.conn.db.violate("c%d %s of a transaction that has ended", t.conn.id, method)
			return errNoTransaction
		}
		t.conn.endTx()
		return how()
	})
}

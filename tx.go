package querycache

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"

	"github.com/querycache/querycache/internal/analysis"
	"github.com/querycache/querycache/internal/passthrough"
)

// txState is whether a transaction is open on a connection.
type txState int

const (
	txNone txState = iota
	txOpen
	txUnknown // a statement of transaction control failed, and the parent cannot be asked
)

// transaction is what a connection knows of its transaction.
type transaction struct {
	tx          txState
	txAt        uint64           // the word of everything before it began
	txSchema    bool             // it has changed the schema
	collected   target           // what it has written
	collectedAt uint64           // the word of everything that its first write was planned on
	plans       map[string]*plan // made since it last changed the schema, of its own view of it
	savepoints  []string         // where the parent cannot be asked: the first one began it, if bySavepoint
	bySavepoint bool
}

// collect notes what a statement of the transaction wrote.
func (t *transaction) collect(o target, plannedAt uint64) {
	if o.empty() {
		return
	}
	if t.collected.empty() {
		t.collectedAt = plannedAt
	}
	if plannedAt != t.collectedAt {
		t.collected.everything = true // Written under different schemas.
	}
	t.collected.add(o)
	if o.everything {
		t.txSchema, t.plans = true, nil
	}
}

// effect is a statement that may do more than read, on its way.
type effect struct {
	conn  *conn
	plan  *plan
	write *write
	at    uint64 // the word of everything before it was sent
	args  int
	over  bool
}

// start begins what the plan writes. Inside a transaction nothing takes effect
// before COMMIT: what is written is collected until then.
func (c *conn) start(ctx context.Context, p *plan, args int) (effect, error) {
	e := effect{conn: c, plan: p, args: args}
	if p.Kind == analysis.Read {
		e.over = true
		return e, nil
	}
	if c.tx == txNone && len(p.Control) > 0 {
		c.foresee(ctx)
	}
	if c.tx == txOpen {
		c.asked() // An error while reading may have rolled it back.
	}
	e.at = c.source.words.everything.load()
	t, plannedAt := p.target, p.at
	if c.tx != txNone {
		if c.tx == txOpen && !c.boundary(p) {
			return e, nil
		}
		if !c.collected.empty() {
			var all target
			all.add(c.collected)
			all.add(t)
			if !t.empty() && c.collectedAt != plannedAt {
				all.everything = true
			}
			t, plannedAt = all, c.collectedAt
		}
	}
	if t.empty() {
		return e, nil
	}
	var err error
	e.write, err = c.cache.begin(ctx, c.source.words, t, plannedAt)
	return e, err
}

// boundary reports whether a statement can make what its transaction wrote
// take effect.
func (c *conn) boundary(p *plan) bool {
	for _, step := range p.Control {
		switch step.Verb {
		case analysis.Commit, analysis.Release, analysis.Uncertain:
			return true
		case analysis.Rollback:
			if c.noUndo {
				return true
			}
		}
	}
	return false
}

// done ends the statement: the parent has returned.
func (e *effect) done(res driver.Result, err error) {
	if e.over {
		return
	}
	e.over = true
	c := e.conn
	o := c.outcome(e.plan, res, err)
	if !isSkip(err) {
		c.follow(e, err)
	}
	c.endWrite(e.write, o)
}

// abandon ends a statement whose parent panicked.
func (e *effect) abandon() { e.done(nil, errAbandoned) }

var errAbandoned = errors.New("querycache: the parent did not return")

// outcome is what is known of a statement from what the parent returned.
func (c *conn) outcome(p *plan, res driver.Result, err error) outcome {
	switch {
	case isSkip(err):
		return unchanged // It comes back through a prepared statement.
	case err == nil:
		if res != nil && p.NoRowsUndone && !p.Trailing && !c.raw {
			if n, err := res.RowsAffected(); err == nil && n == 0 {
				return unchanged
			}
		}
		return changed
	case !c.cache.settled && (lost(err) || errors.Is(err, errAbandoned)):
		return inDoubt
	case lost(err):
		return changed // go-sqlite3's Query looks at the context after the step that committed.
	case p.ErrorUndone && !c.noUndo && !c.raw && !errors.Is(err, errAbandoned):
		return unchanged
	default:
		return changed
	}
}

// brokenNet reports whether a connection to a server broke.
func brokenNet(err error) bool {
	var n net.Error
	return errors.As(err, &n) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// follow notes what a statement did to the transaction and to the session.
func (c *conn) follow(e *effect, err error) {
	c.changeSession(e.plan, e.args, err)
	if len(e.plan.Control) > 0 || e.plan.Session {
		c.plans = nil // A savepoint that is rolled back takes its tables with it.
	}
	before := c.tx
	c.tx = c.txAfter(e.plan, err)
	if c.tx == txNone {
		c.transaction = transaction{}
		return
	}
	if before == txNone {
		c.begun++
		c.transaction = transaction{tx: c.tx, txAt: e.at, savepoints: c.savepoints, bySavepoint: c.bySavepoint}
	}
	c.collect(e.plan.target, e.plan.at)
}

// txAfter is the state of the transaction after a statement. A parent that can
// be asked is asked: SQLite ends transactions by itself on some errors.
func (c *conn) txAfter(p *plan, err error) txState {
	if errors.Is(err, errAbandoned) {
		return txUnknown
	}
	if c.parent != nil {
		if a, ok := c.parent.conn.(interface{ AutoCommit() bool }); ok {
			if a.AutoCommit() {
				return txNone
			}
			return txOpen
		}
	}
	state := c.tx
	for _, step := range p.Control {
		if err != nil || step.Verb == analysis.Uncertain {
			return txUnknown
		}
		state = c.txStep(state, step)
	}
	return state
}

// txStep follows one statement of transaction control that succeeded.
func (c *conn) txStep(state txState, step analysis.TxStep) txState {
	switch step.Verb {
	case analysis.Begin:
		c.savepoints, c.bySavepoint = nil, false
		return txOpen
	case analysis.Commit, analysis.Rollback:
		c.savepoints = nil
		return txNone
	case analysis.Savepoint:
		if state == txNone {
			c.savepoints, c.bySavepoint = nil, true
		}
		c.savepoints = append(c.savepoints, step.Name)
		return txOpen
	case analysis.Release:
		for i, name := range slices.Backward(c.savepoints) {
			if name == step.Name {
				c.savepoints = c.savepoints[:i]
				if i == 0 && c.bySavepoint {
					return txNone
				}
				return state
			}
		}
	}
	return state
}

// endWrite ends a write, or keeps it in flight while a statement of the same
// connection that writes is open: what is stacked on it takes effect only when
// that is closed.
func (c *conn) endWrite(w *write, o outcome) {
	switch {
	case w == nil:
	case o != unchanged && c.openWrites > 0 && !broken(controlStacked):
		c.pending = append(c.pending, w)
		c.doubtful = c.doubtful || o == inDoubt
	default:
		w.end(o)
	}
}

// handOver ends the parent's call for a statement whose rows stay open. If it
// writes, it ends when they and all other rows of the connection that write
// are closed.
func (e *effect) handOver(writes bool) {
	e.over = true
	c := e.conn
	c.follow(e, nil)
	if !writes {
		return
	}
	c.openWrites++
	switch {
	case e.write == nil:
	case broken(controlReturningEarly):
		e.write.end(changed)
	default:
		c.pending = append(c.pending, e.write)
	}
}

// asked asks the parent for the state of its transaction, where it can be
// asked, after a statement's rows were closed.
func (c *conn) asked() {
	if c.parent == nil {
		return
	}
	a, ok := c.parent.conn.(interface{ AutoCommit() bool })
	switch {
	case !ok:
	case a.AutoCommit():
		c.transaction = transaction{}
	case c.tx == txNone:
		c.begun++
		c.tx = txOpen
	}
}

// closedRows notes that a statement's rows are closed.
func (c *conn) closedRows(writes bool) {
	c.open--
	if !writes {
		return
	}
	c.openWrites--
	if c.openWrites <= 0 {
		c.endPending()
	}
}

// endPending ends the writes that waited for open statements.
func (c *conn) endPending() {
	o := changed
	if c.doubtful {
		o = inDoubt
	}
	for _, w := range c.pending {
		if c.tx != txNone {
			c.collect(w.target, w.words.everything.load()) // A BEGIN came between: it takes effect at COMMIT.
		}
		w.end(o)
	}
	clear(c.pending)
	c.pending, c.doubtful = c.pending[:0], false
}

// BeginTx starts a transaction on the parent.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	p, err := c.use(ctx)
	if err != nil {
		return nil, err
	}
	if c.tx == txNone {
		c.foresee(ctx)
	}
	at := c.source.words.everything.load()
	parent, err := passthrough.Begin(ctx, p.conn, opts)
	if err != nil {
		return nil, err
	}
	if c.tx == txNone {
		c.transaction = transaction{tx: txOpen, txAt: at}
	}
	c.begun++
	c.tx = txOpen
	return &tx{conn: c, parent: parent, ctx: ctx}, nil
}

// foresee reads the schema, if need be, for the statements of the transaction
// that is about to begin.
func (c *conn) foresee(ctx context.Context) {
	if !c.raw && !c.cache.config.NoCatalog && c.open == 0 {
		c.refreshSchema(ctx)
		c.schema(ctx)
	}
}

// tx is a transaction that database/sql began.
type tx struct {
	conn   *conn
	parent driver.Tx
	ctx    context.Context //nolint:containedctx // database/sql tells Rollback of it only by ending it.
}

// Commit commits. What the transaction wrote is in flight meanwhile.
func (t *tx) Commit() error {
	c := t.conn
	var w *write
	if !c.collected.empty() {
		var err error
		if w, err = c.cache.begin(t.ctx, c.source.words, c.collected, c.collectedAt); err != nil {
			return err
		}
	}
	o := changed
	if !c.cache.settled {
		o = inDoubt // Should the parent panic.
	}
	defer func() { c.endWrite(w, o) }()
	err := t.parent.Commit()
	at(t.ctx, stepSent)
	if !lost(err) {
		o = changed
	}
	c.ended(err)
	return err
}

// Rollback rolls back: nothing has taken effect.
func (t *tx) Rollback() error {
	c := t.conn
	if c.noUndo && !c.collected.empty() {
		w, err := c.cache.begin(t.ctx, c.source.words, c.collected, c.collectedAt)
		if err != nil {
			return err
		}
		defer func() { c.endWrite(w, changed) }()
	}
	err := t.parent.Rollback()
	if t.ctx.Err() != nil && !c.source.shape.Load().keptOnRollback {
		// database/sql discards a connection that cannot be reset when the
		// context of its transaction ends. It takes this one for one that can.
		c.broken = true
	}
	c.ended(err)
	return err
}

// ended notes that the parent was told to end the transaction.
func (c *conn) ended(err error) {
	state := txNone
	if c.parent != nil {
		if a, ok := c.parent.conn.(interface{ AutoCommit() bool }); ok {
			if !a.AutoCommit() {
				state = txOpen
			}
		} else if err != nil {
			state = txUnknown
		}
	}
	if state == txNone {
		c.transaction = transaction{}
	}
	c.tx = state
}

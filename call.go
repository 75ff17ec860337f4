package querycache

import (
	"context"
	"database/sql/driver"
	"slices"

	"github.com/querycache/querycache/internal/analysis"
	"github.com/querycache/querycache/internal/passthrough"
	"github.com/querycache/querycache/internal/rowset"
)

// call is one query on its way: look-up, miss, fill. A connection has one at a
// time and reuses it.
type call struct {
	conn *conn
	ctx  context.Context //nolint:containedctx // A call lives as long as its context.
	text string
	args []driver.NamedValue
	stmt *stmt // nil: without preparing
	plan *plan

	hints  *hints    // of the context
	set    *settings // in force
	hash   uint64
	query  *word
	words  []*word  // the plan's, and those that the context declares
	stamps []uint64 // of words and of the query's, captured at once
	born   int64    // when they were
	result *rowset.Result

	found   *item // with the key of the call; nil: none
	expired bool  // it had
	late    bool  // and was served nevertheless
	parent  bool  // the connection had one before the call
}

// query serves a query from the cache, or sends it to the parent: without
// preparing it, or through st.
func (c *conn) query(ctx context.Context, text string, args []driver.NamedValue, st *stmt) (driver.Rows, error) {
	c.followed = 0
	rows, err := c.answer(ctx, text, args, st)
	if c.call.ctx != nil {
		c.call.forget()
	}
	return rows, err
}

// forget lets go of what is the caller's or the store's.
func (q *call) forget() {
	q.ctx, q.args, q.stmt, q.result, q.hints, q.found = nil, nil, nil, nil, nil, nil
}

func (c *conn) answer(ctx context.Context, text string, args []driver.NamedValue, st *stmt) (driver.Rows, error) {
	at(ctx, stepCall)
	h := hintsOf(ctx)
	if h == nil {
		h = &noHints
	} else if h.trace != nil && c.trace == nil {
		return c.traced(ctx, h.trace, text, args, st)
	}
	p := c.known(text)
	if p == nil {
		if _, err := c.use(ctx); err != nil {
			return nil, err
		}
		p = c.plan(ctx, text)
	}
	if c.trace != nil {
		c.trace.plan = p
	}
	if p.Kind != analysis.Read {
		return c.queryEffect(ctx, text, args, st, p)
	}
	if reason := c.unfit(p, h); reason != ReasonNone {
		return c.pass(ctx, text, args, st, reason)
	}
	q := &c.call
	*q = call{conn: c, ctx: ctx, text: text, args: args, stmt: st, plan: p, hints: h, set: &p.settings, parent: c.parent != nil}
	if h.hinted {
		c.set = p.settings
		c.set.hintedBy(h)
		q.set = &c.set
	}
	if reason := q.bypass(); reason != ReasonNone {
		return q.pass(reason)
	}
	if !q.set.refresh {
		if result := c.cache.lookup(q); result != nil {
			if err := ctx.Err(); err != nil {
				if c.trace != nil {
					c.trace.out.Kind = Hit
				}
				return nil, err // As the parent would have it.
			}
			return q.hit(result), nil
		}
	}
	return q.miss()
}

// hit hands out what was found.
func (q *call) hit(result *rowset.Result) driver.Rows {
	n := q.conn.counters
	n.hits.Add(1)
	n.saved.Add(uint64(q.found.Value.took))
	if q.late {
		n.stale.Add(1)
	}
	if q.conn.trace != nil {
		q.answered(Hit, result)
	}
	return q.conn.replayed(result)
}

// unfit says why no read of this statement on this connection can be served
// now.
func (c *conn) unfit(p *plan, h *hints) Reason {
	switch {
	case p.refused != ReasonNone && !p.overruled(h):
		return p.refused
	case c.tx != txNone && !broken(controlOldSnapshot):
		return ReasonTransaction
	case c.scope == nil, c.dirty && !broken(controlReadUncommitted):
		return ReasonSession
	case !c.cache.enabled.Load():
		return ReasonDisabled
	case h.bypass:
		return ReasonHint
	}
	return ReasonNone
}

// bypass says why the cache must not be asked for this call, and finds where
// to ask it.
func (q *call) bypass() Reason {
	c, p := q.conn, q.plan
	if p.Trailing && q.stmt != nil {
		return reasonStatement + Reason(analysis.SeveralStatements)
	}
	hash, kinds, ok := hashArgs(p.hash, q.args)
	if !ok {
		return ReasonArguments
	}
	if p.NowArgs && speaksOfNow(q.args) {
		return reasonStatement + Reason(analysis.Volatile)
	}
	q.query = &c.source.words.query[hash%queryWords]
	q.hash = c.scope.hash(hash ^ kinds)
	if !broken(controlUnkeyedHints) {
		q.hash ^= p.extraHash ^ q.hints.hash
	}
	return ReasonNone
}

// capture reads the words that the result will depend on. It reports whether
// all of them are clean, and the plan still good.
func (q *call) capture() bool {
	q.words = q.plan.words
	if h := q.hints; h.extra != "" {
		q.words = q.conn.source.words.depend(slices.Clip(q.words), q.plan.scope.behind(h.tables), h.tags)
	}
	stamps := q.conn.stamps[:0]
	for _, w := range q.words {
		stamps = append(stamps, w.load())
	}
	stamps = append(stamps, q.query.load())
	q.conn.stamps, q.stamps = stamps, stamps
	if broken(controlWordsBeforeCall) {
		if earlier := q.plan.stale.Swap(new(slices.Clone(stamps))); earlier != nil {
			copy(stamps, *earlier)
		}
	}
	for _, s := range stamps {
		if !clean(s) && !broken(controlServeDirty) && !broken(controlJoinInFlight) {
			return false
		}
	}
	return stamps[0] == q.plan.at
}

// maxFollowed is how many flights a caller follows that bring nothing: the first
// may have failed for a reason of its own.
const maxFollowed = 2

// miss asks the database, or waits for a caller that already does.
func (q *call) miss() (driver.Rows, error) {
	c := q.conn
	q.born = c.cache.now()
	if c.trace != nil {
		c.trace.missed(q)
	}
	if c.schemaDue(q.born) {
		if _, err := c.use(q.ctx); err != nil {
			return q.failed(err)
		}
		c.refreshSchema(q.ctx)
	}
	if c.open > 0 && !broken(controlOpenStatement) {
		return q.pass(ReasonOpenStatement)
	}
	if !q.capture() {
		return q.pass(ReasonInFlight)
	}
	at(q.ctx, stepWords)
	if q.set.refresh || q.plan.slow.Load() || c.followed >= maxFollowed {
		// A refresh joins nobody. Slow rows cannot be shared, and what has failed
		// again is not waited for by one caller after the other.
		return q.lead(nil)
	}
	f, leads := c.cache.flights.join(q)
	if leads && c.cache.store.Peek(q.hash) != nil {
		// Another flight has landed since the look-up.
		if result := c.cache.lookup(q); result != nil {
			c.cache.flights.land(f, nil)
			return q.hit(result), nil
		}
	}
	if f == nil || leads {
		return q.lead(f)
	}
	if rows, err := q.follow(f); rows != nil || err != nil {
		return rows, err
	}
	c.followed++
	return c.answer(q.ctx, q.text, q.args, q.stmt)
}

// lead sends the query to the database and stores its result. The flight f, if
// any, lands whatever happens.
func (q *call) lead(f *flight) (driver.Rows, error) {
	c := q.conn
	if f != nil {
		defer func() { c.cache.flights.land(f, q.result) }()
	}
	ctx, cancel := q.ctx, context.CancelFunc(nil)
	if q.guarded() {
		ctx, cancel = context.WithCancel(ctx)
	}
	at(q.ctx, stepQuery)
	parent, err := c.send(ctx, q.text, q.args, q.stmt)
	if err != nil {
		if cancel != nil {
			cancel()
		}
		return q.failed(err)
	}
	at(q.ctx, stepQueried)
	if broken(controlWordsAfterQuery) || q.set.refresh && broken(controlRefreshLate) {
		q.capture()
	}
	return q.read(parent, cancel)
}

// guarded reports whether rows that do not come may keep nobody waiting: the
// rows are then read ahead aside, and the parent's context is made one that can
// be cancelled. A statement whose rows came at once is read without that.
func (q *call) guarded() bool {
	p := q.plan
	return p.columns.Load() == nil || p.slow.Load()
}

// send sends a query to the parent.
func (c *conn) send(ctx context.Context, text string, args []driver.NamedValue, st *stmt) (driver.Rows, error) {
	parent, err := c.use(ctx)
	if err != nil {
		return nil, err
	}
	if st == nil || !st.checks {
		if args, err = c.checkLate(parent, args); err != nil {
			return nil, err
		}
	}
	if st == nil {
		return passthrough.Query(ctx, parent.conn, text, args)
	}
	return st.queryOn(ctx, parent, args)
}

// pass sends a read to the parent and leaves the cache as it is.
func (c *conn) pass(ctx context.Context, text string, args []driver.NamedValue, st *stmt, reason Reason) (driver.Rows, error) {
	parent, err := c.send(ctx, text, args, st)
	if !isSkip(err) {
		c.counters.bypasses[reason].Add(1)
	}
	if c.trace != nil {
		c.trace.bypassed(reason)
	}
	if err != nil {
		return nil, err
	}
	return c.watch(parent), nil
}

func (q *call) pass(reason Reason) (driver.Rows, error) {
	return q.conn.pass(q.ctx, q.text, q.args, q.stmt, reason)
}

// queryEffect sends a query that may do more than read.
func (c *conn) queryEffect(ctx context.Context, text string, args []driver.NamedValue, st *stmt, p *plan) (driver.Rows, error) {
	if _, err := c.use(ctx); err != nil {
		return nil, err
	}
	c.refreshSchema(ctx)
	if c.trace != nil {
		c.trace.bypassed(reasonStatement + Reason(p.Reason))
	}
	e, err := c.start(ctx, p, len(args))
	if err != nil {
		return nil, err
	}
	defer e.abandon()
	parent, err := c.send(ctx, text, args, st)
	at(ctx, stepSent)
	if err != nil {
		e.done(nil, err)
		return nil, err
	}
	if p.Kind == analysis.Pass {
		c.counters.bypasses[reasonStatement+Reason(p.Reason)].Add(1)
	}
	writes := e.write != nil || !p.target.empty()
	e.handOver(writes)
	r := c.watch(parent)
	r.writes, r.effects = writes, true
	return r, nil
}

// exec executes a statement: without preparing it, or through st.
func (c *conn) exec(ctx context.Context, text string, args []driver.NamedValue, st *stmt) (driver.Result, error) {
	parent, err := c.use(ctx)
	if err != nil {
		return nil, err
	}
	if st == nil || !st.checks {
		if args, err = c.checkLate(parent, args); err != nil {
			return nil, err
		}
	}
	c.refreshSchema(ctx)
	p := c.plan(ctx, text)
	e, err := c.start(ctx, p, len(args))
	if err != nil {
		return nil, err
	}
	defer e.abandon()
	if st != nil {
		return st.execOn(ctx, parent, args, &e)
	}
	res, err := passthrough.Exec(ctx, parent.conn, text, args)
	at(ctx, stepSent)
	e.done(res, err)
	return res, err
}

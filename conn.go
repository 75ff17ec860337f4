package querycache

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/querycache/querycache/internal/passthrough"
	"github.com/querycache/querycache/internal/rowset"
)

var (
	_ driver.Conn               = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.Pinger             = (*conn)(nil)
	_ driver.SessionResetter    = (*conn)(nil)
	_ driver.Validator          = (*conn)(nil)
	_ driver.NamedValueChecker  = (*conn)(nil)
	_ driver.QueryerContext     = connQ{}
	_ driver.ExecerContext      = connE{}
	_ driver.QueryerContext     = connQE{}
	_ driver.ExecerContext      = connQE{}
)

// conn is a connection as database/sql sees it. It gets its parent, a real
// connection, when it first needs one. database/sql uses a connection from one
// goroutine at a time.
type conn struct {
	cache     *Cache
	source    *source
	connector *connector
	counters  *counters
	parent    *parent

	scope   *scope // nil: what the connection sees cannot be told
	home    *scope // in which it began
	session string // the session-changing statements that it has run
	dirty   bool   // reads what is not committed
	noUndo  bool   // ROLLBACK undoes nothing
	raw     bool   // was handed out
	rawOut  *write // while it is
	catalog *catalog

	transaction

	open       int      // statements whose rows are not closed
	openWrites int      // those of them that write
	pending    []*write // writes that end when the last of them is closed
	doubtful   bool     // one of them may take effect later

	checked uint64 // bits of the arguments that the parent has checked
	broken  bool   // not to be used again
	begun   int    // transactions begun

	call   call     // of the query being looked up
	set    settings // of a call whose context hints
	trace  *tracing // of a call that is watched
	stamps []uint64
	replay rowset.Replay
	rows   rows

	recorder rowset.Recorder
	reading  *aside // reads ahead on the parent
	finds    uint64 // look-ups, for the store's sampling
	followed int    // flights that the call has followed
}

func newConn(cn *connector) *conn {
	s := cn.source
	c := &conn{cache: s.cache, source: s, connector: cn, dirty: s.uncommit, noUndo: s.noUndo}
	c.counters = &s.cache.stripes[s.cache.conns.Add(1)%stripes]
	c.scope, c.home = s.shared, s.shared
	return c
}

// The four shapes of a connection. database/sql treats one that can query or
// execute without preparing otherwise than one that cannot: it converts
// arguments before the statement's own checker has seen them.
type (
	connQ  struct{ *conn }
	connE  struct{ *conn }
	connQE struct{ *conn }
)

func (c *conn) shaped() driver.Conn {
	switch shape := c.source.shape.Load(); {
	case shape.queries && shape.execs:
		return connQE{c}
	case shape.queries:
		return connQ{c}
	case shape.execs:
		return connE{c}
	default:
		return c
	}
}

func (c connQ) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.query(ctx, query, args, nil)
}

func (c connE) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.exec(ctx, query, args, nil)
}

func (c connQE) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.query(ctx, query, args, nil)
}

func (c connQE) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.exec(ctx, query, args, nil)
}

// use returns the connection's parent, and gets it one where it has none.
func (c *conn) use(ctx context.Context) (*parent, error) {
	c.join()
	if c.parent != nil {
		return c.parent, nil
	}
	p, err := c.cache.policy.acquire(ctx, c)
	c.broken = err != nil
	if err != nil {
		return nil, err
	}
	p.flush()
	c.parent = p
	if c.scope == c.source.shared && c.source.private.Load() {
		c.privateScope()
	}
	c.home = c.scope // A connection that has left it keeps its parent.
	return p, nil
}

// pinned reports whether the connection's state is in its parent, so that it
// must keep it.
func (c *conn) pinned() bool {
	return c.tx != txNone || c.scope != c.source.shared || c.raw || c.open > 0 || len(c.pending) > 0 || c.noUndo
}

// privateScope gives the connection a scope that no other shares.
func (c *conn) privateScope() {
	c.closeScope()
	c.scope = newScope(c.source, c.session)
	c.scope.over = new(atomic.Bool)
}

func (c *conn) closeScope() {
	if c.scope != nil && c.scope.over != nil {
		c.scope.over.Store(true)
	}
}

// changeSession notes a statement that changes what later ones mean. Of one that
// failed nobody knows how far it came.
func (c *conn) changeSession(p *plan, args int, err error) {
	c.dirty = c.dirty || p.DirtyReads
	c.noUndo = c.noUndo || p.NoRollback
	if !p.Session && !p.Private || c.scope == nil {
		return
	}
	text := strings.ToUpper(p.Text)
	if strings.Contains(text, "TACH") || strings.Contains(text, "TEMP") {
		c.catalog = nil // Other relations, by the same names or new ones.
	}
	if strings.Contains(text, "COUNT_CHANGES") {
		c.distrust() // Writes yield rows from now on, and stay open after one step.
		return
	}
	alone := c.scope.over != nil || p.Private || args > 0 || err != nil
	c.session = sessionDigest(c.session, p.Text)
	if !alone {
		if s := c.source.scope(c.session); s != nil {
			c.scope = s
			return
		}
	}
	if len(c.session) > maxSession {
		c.session = ""
	}
	c.privateScope()
}

// Prepare prepares a statement.
func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// Begin starts a transaction.
func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// Ping pings the parent.
func (c *conn) Ping(ctx context.Context) error {
	p, err := c.use(ctx)
	if err != nil {
		return err
	}
	return passthrough.Ping(ctx, p.conn)
}

// ResetSession resets the parent, if there is one: a connection that has none
// has no session.
func (c *conn) ResetSession(ctx context.Context) error {
	if c.parent == nil {
		return nil
	}
	return passthrough.Reset(ctx, c.parent.conn)
}

// IsValid is called whenever the connection returns to its pool.
func (c *conn) IsValid() bool {
	c.endRaw()
	valid := !c.broken && (c.parent == nil || passthrough.Valid(c.parent.conn))
	if valid {
		c.cache.policy.returned(c)
	}
	return valid
}

// Close closes the parent, if there is one, and ends what was not ended. A
// transaction that is open is rolled back by that.
func (c *conn) Close() error {
	c.join()
	var err error
	if c.parent != nil {
		err = c.cache.policy.release(c)
		c.parent = nil
	}
	c.endRaw()
	c.openWrites = 0
	c.endPending()
	c.closeScope()
	return err
}

func (c *conn) connect(ctx context.Context) error {
	_, err := c.use(ctx)
	return err
}

func (c *conn) unwrap() any {
	if c.parent == nil {
		return nil
	}
	c.distrust()
	if c.rawOut == nil {
		// A begin can fail only across processes: there is nothing to send then.
		c.rawOut, _ = c.cache.begin(context.Background(), c.source.words, target{everything: true}, 0)
	}
	return c.parent.conn
}

// distrust makes the connection's reads bypass and its writes invalidate
// everything, for good: nothing is known of what it has become.
func (c *conn) distrust() {
	c.raw = true
	c.closeScope()
	c.scope = nil
}

func (c *conn) endRaw() {
	if c.rawOut == nil {
		return
	}
	if c.asked(); c.tx != txNone {
		c.collected.everything = true // Begun there, and not ended.
		c.collectedAt = unsure
	}
	c.rawOut.end(changed)
	c.rawOut = nil
}

// CheckNamedValue checks an argument as the parent would. A hit has no parent:
// where the parent has a checker, values that can be compared as they are wait
// for it until one is needed.
func (c *conn) CheckNamedValue(nv *driver.NamedValue) error {
	if nv.Ordinal <= 1 {
		c.checked = 0
	}
	if !c.source.shape.Load().checks {
		switch v := nv.Value.(type) {
		case int64, float64, bool, string, []byte, time.Time, nil:
			return nil // What the default conversion leaves as it is.
		case int:
			nv.Value = int64(v)
			return nil
		}
		return driver.ErrSkip
	}
	if keyable(nv.Value) && nv.Ordinal <= 64 {
		c.checked &^= 1 << (nv.Ordinal - 1) // One that was removed had the same place.
		return nil
	}
	p, err := c.use(context.Background())
	if err != nil {
		return err
	}
	if nv.Ordinal <= 64 {
		c.checked |= 1 << (nv.Ordinal - 1)
	}
	return passthrough.Check(nv, p.conn)
}

// checkLate has the parent check what waited for it.
func (c *conn) checkLate(p *parent, args []driver.NamedValue) ([]driver.NamedValue, error) {
	if len(args) == 0 || !c.source.shape.Load().checks {
		return args, nil
	}
	checker, ok := p.conn.(driver.NamedValueChecker)
	if !ok {
		return args, nil
	}
	return passthrough.CheckAll(checker, args, func(ordinal int) bool {
		return ordinal > 64 || c.checked&(1<<(ordinal-1)) != 0
	})
}

// replayed hands out a result. The connection's own replay serves all but a
// second one that is open at the same time.
func (c *conn) replayed(result *rowset.Result) driver.Rows {
	r := &c.replay
	if r.InUse() {
		r = &rowset.Replay{}
	}
	r.Open(result)
	return r
}

// isSkip reports whether the parent asks to be called through a prepared
// statement. database/sql compares it by identity.
func isSkip(err error) bool {
	return err == driver.ErrSkip //nolint:errorlint // By identity, as database/sql does.
}

// lost reports whether an error leaves open if the parent has executed what it
// was sent.
func lost(err error) bool {
	return err != nil && (errors.Is(err, driver.ErrBadConn) || errors.Is(err, context.Canceled) ||
		errors.Is(err, context.DeadlineExceeded) || brokenNet(err))
}

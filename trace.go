package querycache

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/querycache/querycache/internal/rowset"
)

// Kind is what became of a query.
type Kind int

// The kinds. Every query is one of them.
const (
	Bypassed  Kind = iota // the database answered, and the cache was not asked
	Miss                  // the database answered, and the cache had nothing to serve
	Hit                   // the cache answered
	Coalesced             // another caller's miss answered, which was under way
)

// String returns the kind in lower case.
func (k Kind) String() string {
	switch k {
	case Bypassed:
		return "bypass"
	case Miss:
		return "miss"
	case Hit:
		return "hit"
	case Coalesced:
		return "coalesced"
	default:
		return "Kind(" + strconv.Itoa(int(k)) + ")"
	}
}

// Outcome is what became of one query: see [WithTrace]. It holds no argument of
// the query and no row, but for what the database's error or a tag says of them.
type Outcome struct {
	Kind Kind

	// Reason is why it was a bypass or a miss, ReasonNone for the others.
	Reason Reason

	// Stale is set for a hit that had expired: it was served while it is
	// refreshed, or since the database cannot be reached.
	Stale bool

	// Filled is set for a miss whose result was stored, and Refused says why
	// another one was not.
	Filled  bool
	Refused Reason

	// Fingerprint is the statement without literals, parameters and comments.
	Fingerprint string

	// Tables are what the result depends on: the tables that are read, and those
	// that hints and rules add. Tags are its tags.
	Tables, Tags []string

	// Hint is what a comment of the statement asks for, as written, and HintErr
	// why it cannot be understood. Context is what the query's context asks for,
	// in the same words. Rule is the index in [Config.Rules] of the rule in force,
	// or -1.
	Hint    string
	HintErr error
	Context string
	Rule    int

	// Age is how long ago the result was asked for in the database, and TTL how
	// long it will be served yet: 0 when it has expired or is not stored, negative
	// if it does not expire.
	Age, TTL time.Duration

	// Size is the memory of a result that was served or stored, in bytes.
	Size int64

	// Database is how long the query waited for the database; of rows that come
	// slowly, for those that were awaited. Saved is what a hit would have waited,
	// going by the miss that stored its result.
	Database, Saved time.Duration

	// InvalidatedBy is, for a miss because of an invalidation, the fingerprint of
	// the statement that caused it, or the name of the method of [Cache].
	InvalidatedBy string

	// Err is the error that the database answered.
	Err error
}

// WithTrace returns a context whose queries tell f what became of them: once for
// each query, before Query returns, or for rows that are handed out as they come,
// when they are closed. That is in the goroutine of the query, but for rows that
// database/sql closes since their context has ended. Where database/sql tries
// another connection, each try tells; a driver that panics does not. A later trace
// takes the place of an earlier one; nil takes it back. f must not use the
// connection or the transaction of the query.
func WithTrace(ctx context.Context, f func(Outcome)) context.Context {
	return derive(ctx, func(h *hints) { h.trace = f })
}

// tracing is a query that is watched.
type tracing struct {
	told  func(Outcome)
	conn  *conn
	plan  *plan
	hints *hints
	out   Outcome

	failed error // what ended the rows
}

// traced is answer for a query that is watched.
func (c *conn) traced(ctx context.Context, told func(Outcome), text string, args []driver.NamedValue, st *stmt) (driver.Rows, error) {
	c.cache.watched.Store(true)
	t := &tracing{told: told, conn: c, hints: hintsOf(ctx)}
	c.trace = t
	began := c.cache.now()
	rows, err := func() (driver.Rows, error) {
		defer func() { c.trace = nil }() // Also where the parent panics.
		return c.answer(ctx, text, args, st)
	}()
	if isSkip(err) {
		return rows, err // It comes back through a prepared statement.
	}
	if r, ok := rows.(*stream); ok && r.trace == t {
		return rows, err // To be told when they are closed.
	}
	t.tell(time.Duration(c.cache.now()-began), err)
	return rows, err
}

// answered notes a read that was answered without the database.
func (q *call) answered(k Kind, result *rowset.Result) {
	t := q.conn.trace
	if t == nil {
		return
	}
	t.out.Kind, t.out.Size = k, result.Size()
	t.out.Reason, t.out.InvalidatedBy = ReasonNone, ""
	if k != Hit {
		return
	}
	c, it := q.conn.cache, q.found
	now := c.now()
	t.out.Stale, t.out.Saved, t.out.Age = q.late, time.Duration(it.Value.took), time.Duration(now-it.Born)
	t.out.TTL = max(time.Duration(q.ends(it)-now), 0)
	if it.Value.expires == 0 && q.set.maxAge == 0 {
		t.out.TTL = -1
	}
}

// bypassed notes why the cache was not asked.
func (t *tracing) bypassed(why Reason) {
	t.out.Kind, t.out.Reason, t.out.InvalidatedBy = Bypassed, why, ""
}

// missed notes why a query is a miss, before what it brings is stored.
func (t *tracing) missed(q *call) {
	t.out.Kind = Miss
	c := t.conn.cache
	switch {
	case q.set.refresh:
		t.out.Reason = ReasonRefresh
	case q.expired:
		t.out.Reason = ReasonExpired
	case q.found != nil:
		t.out.Reason, t.out.InvalidatedBy = ReasonInvalidated, q.found.Value.killer()
	default:
		t.out.Reason = ReasonCold
		if by := c.graves.find(q.hash); by != "" {
			t.out.Reason, t.out.InvalidatedBy = ReasonInvalidated, by
		}
	}
}

// stored notes what became of a result.
func (t *tracing) stored(it *item, refused Reason) {
	t.out.Filled, t.out.Refused = refused == ReasonNone, refused
	t.out.Size = it.Value.result.Size()
	switch {
	case refused != ReasonNone:
	case it.Value.expires == 0:
		t.out.TTL = -1
	default:
		t.out.TTL = max(time.Duration(it.Value.expires-t.conn.cache.now()), 0)
	}
}

// tell tells whoever watches. Waited is how long the query took so far.
func (t *tracing) tell(waited time.Duration, err error) {
	o := &t.out
	if err == nil {
		err = t.failed
	}
	o.Err, o.Rule = err, -1
	if o.Kind == Bypassed || o.Kind == Miss {
		o.Database = waited
	}
	if p := t.plan; p != nil {
		o.Fingerprint, o.Rule, o.HintErr = p.Fingerprint, p.rule, p.hintErr
		if p.hint != nil {
			o.Hint = p.hint.Text
		}
		o.Tables = sorted(slices.Concat(p.Reads, p.tables, t.hints.tables))
		o.Tags = sorted(slices.Concat(p.tags, t.hints.tags))
	}
	o.Context = t.hints.String()
	t.told(*o)
}

// String says what a context asks for, in the words of a comment's hint.
func (h *hints) String() string {
	var items []string
	if h.ttl != 0 {
		items = append(items, "ttl="+ttlString(h.ttl))
	}
	if len(h.tables) > 0 {
		items = append(items, "tables="+strings.Join(h.tables, ","))
	}
	if len(h.tags) > 0 {
		items = append(items, "tags="+strings.Join(h.tags, ","))
	}
	if h.bypass {
		items = append(items, "bypass")
	}
	if h.refresh {
		items = append(items, "refresh")
	}
	return strings.Join(items, " ")
}

func ttlString(d time.Duration) string {
	if d < 0 {
		return "none"
	}
	return d.String()
}

// killer is the fingerprint of the statement that made the entry invalid, empty if
// that is not known.
func (e *entry) killer() string {
	moved := func(w *word, stamp uint64) bool { return w.load()>>inFlightBits != stamp>>inFlightBits }
	cause := func(w *word) string {
		if by := w.cause.Load(); by != nil {
			return *by
		}
		return ""
	}
	for i, w := range e.words {
		if moved(w, e.stamps[i]) {
			return cause(w)
		}
	}
	if moved(e.query, e.stamps[len(e.words)]) {
		return cause(e.query)
	}
	return ""
}

// graves remember what invalidated entries that are freed already, the later over
// the earlier.
type graves [1 << 12]atomic.Pointer[grave]

type grave struct {
	hash uint64
	by   string
}

func (g *graves) at(hash uint64) *atomic.Pointer[grave] { return &g[hash%uint64(len(g))] }

func (g *graves) bury(it *item) {
	if by := it.Value.killer(); by != "" {
		g.at(it.Hash).Store(&grave{it.Hash, by})
	}
}

// refill takes the note of an entry back that was stored anew.
func (g *graves) refill(hash uint64) {
	if g.find(hash) != "" {
		g.at(hash).Store(nil)
	}
}

func (g *graves) find(hash uint64) string {
	if found := g.at(hash).Load(); found != nil && found.hash == hash {
		return found.by
	}
	return ""
}

var _ fmt.Stringer = (*hints)(nil)

package querycache

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/querycache/querycache/internal/analysis"
	"github.com/querycache/querycache/internal/hint"
	"github.com/querycache/querycache/internal/rowset"
	"github.com/querycache/querycache/internal/sqltok"
)

// plan is what the cache knows of a statement in a scope: its analysis, and
// what is computed from it once. It is good while the word of everything is
// what it was when the analysis began: any change of the schema moves it.
type plan struct {
	*analysis.Plan
	tuning
	scope  *scope
	raw    string // the text as it is asked for; a clone, since a caller may overwrite its own
	at     uint64
	bare   string  // the text without comments around it, also where they name a column
	hash   uint64  // of bare
	words  []*word // everything, the tables read, and what it depends on by hint and rule
	target target  // what it writes

	columns atomic.Pointer[rowset.Columns] // as last seen
	inputs  atomic.Int64                   // what NumInput said, plus two; 0: not known
	slow    atomic.Bool                    // its result could not be shared: the rows did not come at once, or were too many
	endless atomic.Bool                    // a probe for its end found none
	stale   atomic.Pointer[[]uint64]       // for controlWordsBeforeCall
}

func newPlan(s *scope, a *analysis.Plan, raw string, at uint64) *plan {
	p := &plan{Plan: a, scope: s, raw: strings.Clone(raw), at: at, bare: sqltok.Bare(sqltok.SQLite, a.Text)}
	p.hash = hashString(0, p.bare)
	p.hint, p.hintErr = hint.Of(sqltok.SQLite, raw)
	p.rule, p.unruled = -1, false
	if a.Kind == analysis.Read {
		p.rule, p.unruled = s.source.cache.rule(p)
	}
	p.tune()
	return p
}

// tune works out what hint and rules make of the plan, and its words.
func (p *plan) tune() {
	s, a := p.scope, p.Plan
	s.source.cache.tune(p)
	ws := s.source.words
	if a.Kind == analysis.Read {
		p.words = append([]*word{&ws.everything}, ws.tables(a.Reads)...)
		if n := len(p.words); n > 2 && broken(controlJoinOneWord) {
			p.words = p.words[:n-1]
		}
		p.words = ws.depend(p.words, s.behind(p.tables), p.tags)
	}
	if a.Kind == analysis.Write || len(a.Writes) > 0 || a.Everything {
		p.target = target{
			tables: ws.depend(ws.written(a.Writes), s.behind(p.tables), p.tags),
			// What a hint that is not understood declares may be anything.
			everything: a.Everything || p.hintErr != nil, cause: &a.Fingerprint,
		}
		if len(p.tables)+len(p.tags) > 0 {
			own := *a
			own.NoRowsUndone = false // It says nothing of what is declared.
			p.Plan = &own
		}
	}
}

// plans remembers plans by scope and text, in bounded memory: a small table
// that is looked up without hashing the text, and behind it two generations of
// a map, the older of which is dropped when the younger is full.
type plans struct {
	recent [recentPlans]atomic.Pointer[plan]

	mu         sync.RWMutex // guards what follows
	young, old map[planKey]*plan
	bytes      int // of the texts in young
}

type planKey struct {
	scope *scope
	text  string
}

const (
	recentPlans    = 1 << 10
	maxPlans       = 1 << 12
	maxPlanBytes   = 4 << 20
	wordOfPlan     = 64        // bytes that a plan takes for each word that it names
	maxRemembered  = 256 << 10 // longer texts are analysed each time
	maxRecent      = 4 << 10   // longer texts are not in the small table
	longText       = 8 << 10   // longer texts are not compiled to be analysed
	pointerSpread  = 0x9e3779b97f4a7c15
	recentPlanBits = 10
)

// slot is where a text at this address is kept.
func (ps *plans) slot(s *scope, text string) *atomic.Pointer[plan] {
	address := uint64(uintptr(unsafe.Pointer(unsafe.StringData(text)))) + uint64(len(text)) + s.id<<20
	return &ps.recent[address*pointerSpread>>(64-recentPlanBits)]
}

// find returns the plan of a text, or nil. It may be of another schema: the
// caller compares at.
func (ps *plans) find(s *scope, text string) *plan {
	slot := ps.slot(s, text)
	if p := slot.Load(); p != nil && p.scope == s && p.raw == text {
		return p
	}
	p := ps.behind(planKey{s, text})
	if p == nil {
		return nil
	}
	if len(text) <= maxRecent {
		slot.Store(p)
	}
	return p
}

// behind looks a text up in the maps.
func (ps *plans) behind(k planKey) *plan {
	ps.mu.RLock()
	p := ps.young[k]
	if p != nil {
		ps.mu.RUnlock()
		return p
	}
	p = ps.old[k]
	ps.mu.RUnlock()
	if p != nil {
		ps.keep(planKey{p.scope, p.raw}, p) // Not k: its text is the caller's, who may overwrite it.
	}
	return p
}

// keep remembers a plan in the maps.
func (ps *plans) keep(k planKey, p *plan) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.young == nil || len(ps.young) >= maxPlans || ps.bytes >= maxPlanBytes {
		ps.old, ps.young, ps.bytes = ps.young, make(map[planKey]*plan), 0
	}
	if ps.young[k] == nil {
		ps.bytes += len(k.text) + len(p.words)*wordOfPlan
	}
	ps.young[k] = p
}

// put remembers a plan for its canonical text. Comments that are different each
// time, as tracing puts there, do not fill the maps.
func (ps *plans) put(p *plan) {
	if len(p.raw) <= maxRemembered {
		ps.keep(planKey{p.scope, p.raw}, p)
	}
}

// alias returns a plan for a text that differs from its own in leading and
// trailing comments and white space alone, and remembers it. A hint is the one
// comment that is kept in the maps: it is the same each time.
func (ps *plans) alias(p *plan, text string) *plan {
	p = p.called(text)
	if p.hint != nil && p.hint.Alone && len(text) <= maxRemembered {
		ps.keep(planKey{p.scope, p.raw}, p)
	}
	if len(text) <= maxRecent {
		ps.slot(p.scope, text).Store(p)
	}
	return p
}

// called is the same plan for another raw text, with what its comments hint.
func (p *plan) called(text string) *plan {
	if text == p.raw {
		return p
	}
	q := &plan{
		Plan: p.Plan, tuning: p.tuning, scope: p.scope, raw: strings.Clone(text), at: p.at,
		bare: p.bare, hash: p.hash, words: p.words, target: p.target,
	}
	h, err := hint.Of(sqltok.SQLite, text)
	if h != nil || err != nil || p.hint != nil || p.hintErr != nil {
		q.hint, q.hintErr = h, err
		q.tune()
	}
	q.columns.Store(p.columns.Load())
	q.slow.Store(p.slow.Load())
	q.endless.Store(p.endless.Load())
	q.inputs.Store(p.inputs.Load())
	return q
}

// known returns the plan of a text if it is good now, without asking anybody.
func (c *conn) known(text string) *plan {
	if c.scope == nil {
		return nil
	}
	p := c.cache.plans.find(c.scope, text)
	if p == nil || p.at != c.source.words.everything.load() {
		return nil
	}
	return p
}

// plan returns the plan of a text, analysed on this connection where it is not
// known. The connection has its parent.
func (c *conn) plan(ctx context.Context, text string) *plan {
	if p := c.known(text); p != nil {
		return p
	}
	canonical := sqltok.Canonical(sqltok.SQLite, text)
	if canonical != text {
		if p := c.known(canonical); p != nil {
			return c.cache.plans.alias(p, text)
		}
	}
	if p := c.plans[text]; p != nil {
		return p
	}
	a, at := c.analyse(ctx, text)
	s := c.scope
	if s == nil {
		s = c.source.shared
	}
	p := newPlan(s, a, canonical, at)
	if p.Volatile || !c.current(at) || c.scope == nil {
		p = p.called(text)
		c.remember(p, text)
		return p
	}
	c.cache.plans.put(p)
	return c.cache.plans.alias(p, text)
}

// maxOwnPlans bounds the plans of one transaction that has changed the schema.
const maxOwnPlans = 1 << 8

// remember keeps a plan that nobody else can use: a transaction that makes tables and
// fills them is not to read the schema for each row.
func (t *transaction) remember(p *plan, text string) {
	if !t.txSchema || p.Volatile || len(text) > maxRecent {
		return
	}
	if t.plans == nil || len(t.plans) >= maxOwnPlans {
		t.plans = make(map[string]*plan)
	}
	t.plans[strings.Clone(text)] = p
}

// analyse analyses a statement on this connection. It returns with it the word
// of everything that the knowledge of the schema is as old as.
func (c *conn) analyse(ctx context.Context, text string) (*analysis.Plan, uint64) {
	at := c.source.words.everything.load()
	if c.raw {
		// Nothing is known of what the connection has become.
		a := *analysis.Analyze(ctx, sqltok.SQLite, text, nil, nil)
		a.Everything = a.Kind != analysis.Read && a.Kind != analysis.Control
		a.ErrorUndone, a.NoRowsUndone, a.ReturnsRows = false, false, true
		return &a, at
	}
	if c.cache.config.NoCatalog {
		return analysis.Analyze(ctx, sqltok.SQLite, text, nil, nil), at
	}
	cat := c.schema(ctx)
	switch {
	case cat == nil:
		c.cache.warnUnread()
		return c.unseen(ctx, text), at
	case len(text) > longText:
		return analysis.Analyze(ctx, sqltok.SQLite, text, cat.Catalog, nil), cat.at
	default:
		return analysis.Analyze(ctx, sqltok.SQLite, text, cat.Catalog, c.engine()), cat.at
	}
}

// unseen is the plan of a statement whose schema cannot be read now.
func (c *conn) unseen(ctx context.Context, text string) *analysis.Plan {
	a := *analysis.Analyze(ctx, sqltok.SQLite, text, nil, nil)
	a.Volatile, a.ErrorUndone, a.NoRowsUndone = true, false, false
	if a.Cacheable {
		a.Cacheable, a.Reason = false, analysis.UnknownRelation
	}
	if a.Kind == analysis.Write {
		a.Everything = true
	}
	return &a
}

// current reports whether what this connection sees of the schema is what at
// stands for: a transaction, or a statement that is still open, may hold an
// older snapshot.
func (c *conn) current(at uint64) bool {
	if !clean(at) {
		return false
	}
	if c.tx != txNone {
		return c.txAt == at && !c.txSchema
	}
	return c.open == 0
}

// engine shows the connection's parent to the analysis.
func (c *conn) engine() *engine {
	return &engine{
		conn:   c.parent.conn,
		listen: c.source.listen,
		own:    c.cache.config.Authorizer,
	}
}

// unsure is a word of everything that it never has: one with a write in flight.
const unsure = 1

// schema returns what this connection knows of the schema, read anew where the
// schema has changed. It returns nil where it cannot be read.
//
// Each connection reads for itself: SQLite compiles against the schema that the
// connection has in memory, and notices that another one changed it only when
// it runs a statement. And it reads before a transaction, not inside: there, a
// read would pin a snapshot that the application has not asked for yet, and
// its first write could fail for it.
func (c *conn) schema(ctx context.Context) *catalog {
	at := c.source.words.everything.load()
	if c.catalog != nil && c.catalog.at == at && !c.txSchema {
		c.scope.show(c.catalog)
		return c.catalog
	}
	if c.tx != txNone && !c.txSchema {
		return c.catalog
	}
	e := c.engine()
	if c.scope == c.source.shared && !c.source.hooked && c.current(at) {
		if known := c.scope.catalog.Load(); known != nil && known.at == at {
			if _, err := e.Query(ctx, "SELECT 1 FROM sqlite_master LIMIT 1"); err != nil {
				return nil
			}
			c.catalog = known
			return known
		}
	}
	snapshot, err := analysis.LoadSQLite(ctx, e)
	if err != nil {
		return nil
	}
	if !c.current(at) {
		// Good for this statement: it may show what is rolled back, or what
		// an open statement pins.
		return &catalog{Catalog: snapshot, at: unsure}
	}
	cat := &catalog{Catalog: snapshot, at: at}
	cat.checked.Store(c.cache.now())
	c.catalog = cat
	c.scope.show(cat)
	return cat
}

// show lets the connections of a scope know a catalog, unless they know a newer one.
func (s *scope) show(cat *catalog) {
	for s != nil {
		known := s.catalog.Load()
		if known != nil && known.at >= cat.at || s.catalog.CompareAndSwap(known, cat) {
			return
		}
	}
}

// refreshSchema compares the version of the schema with that of the snapshot,
// when that was last done longer than [Config.CatalogMaxAge] ago, and makes
// everything invalid if somebody else has changed it.
func (c *conn) refreshSchema(ctx context.Context) {
	if c.tx != txNone || c.open > 0 || !c.schemaDue(c.cache.now()) {
		return
	}
	cat := c.scope.catalog.Load()
	cat.checked.Store(c.cache.now())
	version, err := analysis.SQLiteVersion(ctx, c.engine())
	if err != nil || version == cat.Version() {
		return
	}
	c.source.words.everything.cause.Store(&causeSchema)
	c.source.words.everything.bump()
	c.cache.reaper.allDead()
	c.counters.invalidations.Add(1)
	c.cache.config.Logger.Info("querycache: the schema was changed by somebody else; everything is invalid")
}

// schemaDue reports whether it is time to compare versions.
func (c *conn) schemaDue(now int64) bool {
	if c.scope == nil {
		return false
	}
	cat := c.scope.catalog.Load()
	return cat != nil && cat.at == c.source.words.everything.load() &&
		now-cat.checked.Load() >= int64(c.cache.config.CatalogMaxAge)
}

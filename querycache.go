package querycache

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/querycache/querycache/internal/rowset"
	"github.com/querycache/querycache/internal/store"
)

// Cache holds results and knows when they are valid. It is shared by all
// databases opened through it: a write through any of them invalidates what
// all of them cached. It is safe for concurrent use.
type Cache struct {
	config    Config
	defaults  settings // of config
	largest   int64    // that a result may be
	rules     []rule
	store     *store.Store[entry]
	plans     plans
	flights   flights
	reaper    reaper
	refreshes refreshes
	graves    graves
	watched   atomic.Bool // a query was traced: the reaper fills graves
	base      time.Time   // of the monotonic clock
	enabled   atomic.Bool
	closed    atomic.Bool
	policy    policy
	unread    sync.Once // for warnUnread
	settled   bool      // a call of the parent that returned has no effect any more

	counters *counters // for what no connection counts
	stripes  [stripes]counters
	conns    atomic.Uint64 // connections made, to spread them over stripes

	mu      sync.Mutex // guards what follows
	words   *words
	sources map[sourceKey]weak.Pointer[source]
	split   map[sourceKey]weak.Pointer[words] // with SplitByDSN
	doubts  map[*write]*time.Timer
	wrong   map[string]bool // what was complained of
}

// New returns a cache with no database yet. Use [Cache.Wrap],
// [Cache.WrapConnector] or, for a driver name, [Register]. The error is a
// *[ConfigError].
func New(cfg Config) (*Cache, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.Dialect != 0 {
		if err := cfg.supports(nil); err != nil {
			return nil, err
		}
	}
	rules, err := cfg.compile()
	if err != nil {
		return nil, err
	}
	c := &Cache{
		config:  cfg,
		rules:   rules,
		base:    time.Now(),
		policy:  oneToOne{},
		settled: true,
		words:   newWords(),
		sources: make(map[sourceKey]weak.Pointer[source]),
		split:   make(map[sourceKey]weak.Pointer[words]),
		doubts:  make(map[*write]*time.Timer),
		wrong:   make(map[string]bool),
	}
	c.counters = &c.stripes[0]
	c.store, err = store.New[entry](store.Config{MaxBytes: cfg.MaxBytes, MaxItem: cfg.largest(), Now: c.now})
	if err != nil {
		return nil, &ConfigError{"MaxBytes", err.Error()}
	}
	c.defaults, c.largest = settings{ttl: cfg.TTL, maxAge: max(cfg.TTL, 0), maxBytes: cfg.MaxEntryBytes}, c.store.Largest()
	c.enabled.Store(true)
	c.reaper.start(c)
	c.refreshes.cache = c
	return c, nil
}

// Register makes a cache and registers the wrapped driver d under name, to be
// opened with sql.Open. The error is a *[ConfigError]: among others, for an
// empty or taken name and for a driver whose dialect cannot be told.
func Register(name string, d driver.Driver, cfg Config) (*Cache, error) {
	switch {
	case name == "":
		return nil, &ConfigError{"name", "is empty"}
	case isNil(d):
		return nil, &ConfigError{"driver", "is nil"}
	case slices.Contains(sql.Drivers(), name):
		return nil, &ConfigError{"name", fmt.Sprintf("%q is already registered", name)}
	}
	if _, err := cfg.withDefaults(); err != nil {
		return nil, err
	}
	if err := cfg.supports(d); err != nil {
		return nil, err
	}
	c, err := New(cfg)
	if err != nil {
		return nil, err
	}
	if err := register(name, c.Wrap(d)); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// register registers a driver, also where another package takes the name
// between the look and the call.
func register(name string, d driver.Driver) (err error) {
	defer func() {
		if recover() != nil {
			err = &ConfigError{"name", fmt.Sprintf("%q is already registered", name)}
		}
	}()
	sql.Register(name, d)
	return nil
}

// SetEnabled switches serving and storing on or off. While it is off reads go
// to the database and writes still invalidate, so that switching on again is
// safe. A new cache is on.
func (c *Cache) SetEnabled(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed.Load() {
		c.enabled.Store(on)
	}
}

// warnUnread tells an operator, once, that nothing can be cached for want of the
// schema.
func (c *Cache) warnUnread() {
	c.unread.Do(func() {
		c.config.Logger.Warn("querycache: the schema cannot be read; statements that need it are not cached, and writes invalidate everything")
	})
}

// Close frees all results and ends the cache's goroutines. Databases opened
// through it stay usable, uncached. Close returns nil.
func (c *Cache) Close() error {
	c.mu.Lock()
	closed := c.closed.Swap(true)
	c.enabled.Store(false)
	c.mu.Unlock()
	if closed {
		return nil
	}
	c.refreshes.close()
	c.reaper.close()
	c.store.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for w, timer := range c.doubts {
		timer.Stop()
		delete(c.doubts, w)
	}
	return nil
}

// complain tells an operator what makes the cache of less use than it could be.
func (c *Cache) complain(what string, args ...any) { c.config.Logger.Warn(what, args...) }

// maxComplaints bounds how many different things are complained of once.
const maxComplaints = 1 << 8

// complainOnce is complain, once for each id.
func (c *Cache) complainOnce(id, what string, args ...any) {
	c.mu.Lock()
	known := c.wrong[id] || len(c.wrong) >= maxComplaints
	if !known {
		c.wrong[id] = true
	}
	c.mu.Unlock()
	if !known {
		c.complain(what, args...)
	}
}

// now is the cache's monotonic clock, in nanoseconds.
func (c *Cache) now() int64 { return int64(time.Since(c.base)) }

// doubt keeps a write whose outcome is unknown in flight until it can have no
// effect any more.
func (c *Cache) doubt(w *write) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return // Nothing is served any more: it may stay in flight.
	}
	c.doubts[w] = time.AfterFunc(c.config.InDoubt, func() {
		c.mu.Lock()
		delete(c.doubts, w)
		c.mu.Unlock()
		w.settle(changed)
	})
}

// item is an entry as the store holds it.
type item = store.Item[entry]

// entry is a result and what its validity rests on.
type entry struct {
	key    key
	result rowset.Result
	words  []*word // everything, then the tables
	query  *word
	stamps []uint64 // of words, then of query: all clean
	gate   gate     // nil: open

	expires int64 // on the cache's clock; 0: never. It may be stored, and served late, until the item expires.
	took    int64 // how long its query kept the caller waiting, in nanoseconds

	oneArg    [1]driver.NamedValue // where key has one
	fewStamps [4]uint64            // where there are no more
}

// gate is a further condition of validity.
type gate interface {
	open() bool
}

// valid reports whether nothing that the entry depends on was written since
// its query began, and nothing is being written now.
func (e *entry) valid() bool {
	for i, w := range e.words {
		if !same(w.load(), e.stamps[i]) {
			return false
		}
	}
	return same(e.query.load(), e.stamps[len(e.words)]) && (e.gate == nil || e.gate.open())
}

// dead reports whether the entry can never be served again.
func (e *entry) dead() bool {
	older := func(w *word, stamp uint64) bool { return w.load()>>inFlightBits != stamp>>inFlightBits }
	for i, w := range e.words {
		if older(w, e.stamps[i]) {
			return true
		}
	}
	return older(e.query, e.stamps[len(e.words)]) || (e.gate != nil && !e.gate.open())
}

func same(now, stamp uint64) bool {
	if broken(controlServeDirty) {
		return now>>inFlightBits == stamp>>inFlightBits
	}
	return now == stamp
}

// lookup finds the entry of a call, valid and not expired.
func (c *Cache) lookup(q *call) *rowset.Result {
	q.conn.finds++
	it := c.store.FindNth(q.hash, q.conn.finds)
	if it == nil || !it.Value.key.of(q) {
		return nil
	}
	q.found = it
	e := &it.Value
	if !e.valid() && (q.set.swr == 0 || !broken(controlLateWithoutWords)) {
		return nil
	}
	if e.expires != 0 || q.set.maxAge != 0 {
		if now := c.now(); now >= q.ends(it) {
			return c.lookLate(q, it, now)
		}
	}
	return &e.result
}

// filling is a result on its way into the store.
type filling struct {
	key    key
	plan   *plan
	words  []*word
	query  *word
	stamps []uint64
	born   int64
	ttl    time.Duration
	window time.Duration // for how long it may be served late
	hash   uint64
}

// entrySize is what an entry takes beside its result and its key, in bytes.
const entrySize = 256

// fill stores the result that it holds, unless something that it depends on was
// written since its words were captured. It says why not.
func (c *Cache) fill(f *filling, it *item) (refused Reason) {
	e := &it.Value
	e.key, e.gate = f.key.own(e.oneArg[:0]), f.key.scope.gate()
	e.words, e.query, e.stamps = f.words, f.query, append(e.fewStamps[:0], f.stamps...)
	switch {
	case !c.enabled.Load():
		return ReasonDisabled
	case !e.valid():
		return ReasonWritten
	}
	it.Hash, it.Born = f.hash, f.born
	e.expires = f.expires()
	if it.Expires = e.expires; e.expires != 0 {
		it.Expires = later(e.expires, f.window)
	}
	it.Cost = entrySize + int64(8*len(f.stamps)) + e.result.Size() + f.key.size()
	if !c.store.Put(it) {
		return ReasonNoRoom
	}
	for _, w := range e.words[1:] {
		w.tagged.add(c.store, it)
	}
	if c.watched.Load() {
		c.graves.refill(it.Hash)
	}
	return ReasonNone
}

// expires is when the entry expires: its TTL, less up to a tenth at random,
// after its words were captured.
func (f *filling) expires() int64 {
	if f.ttl < 0 {
		return 0
	}
	ttl := int64(f.ttl)
	if tenth := ttl / 10; tenth > 0 {
		ttl -= rand.Int64N(tenth)
	}
	return max(later(f.born, time.Duration(ttl)), 1)
}

// later is d after t, or as late as it gets.
func later(t int64, d time.Duration) int64 {
	if int64(d) > math.MaxInt64-t {
		return math.MaxInt64
	}
	return t + int64(d)
}

// forget frees the entry that has this hash, unless its query began later than born.
func (c *Cache) forget(hash uint64, born int64) {
	if it := c.store.Peek(hash); it != nil && it.Born <= born {
		c.store.Delete(it)
	}
}

// eachWords calls f with every set of words.
func (c *Cache) eachWords(f func(*words)) {
	c.mu.Lock()
	sets := []*words{c.words}
	for _, weakly := range c.split {
		if ws := weakly.Value(); ws != nil {
			sets = append(sets, ws)
		}
	}
	c.mu.Unlock()
	for _, ws := range sets {
		f(ws)
	}
}

// eachScope calls f with the scope that the connections of each source share.
func (c *Cache) eachScope(f func(*scope)) {
	c.mu.Lock()
	scopes := make([]*scope, 0, len(c.sources))
	for _, weakly := range c.sources {
		if s := weakly.Value(); s != nil {
			scopes = append(scopes, s.shared)
		}
	}
	c.mu.Unlock()
	for _, s := range scopes {
		f(s)
	}
}

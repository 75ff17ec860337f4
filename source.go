package querycache

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/querycache/querycache/internal/analysis"
	"github.com/querycache/querycache/internal/passthrough"
)

// sourceKey is the identity of a database: a driver and a data source name, or
// a connector.
type sourceKey struct {
	parent any
	dsn    string
	named  bool
}

// source is one database as its connections share it.
type source struct {
	cache  *Cache
	words  *words
	driver driver.Driver
	shared *scope // of connections whose session is as the driver made it

	openers  int         // guarded by the cache's mutex
	private  atomic.Bool // each connection has a database, or at least entries, of its own
	eager    bool        // the database vanishes with its last connection
	uncommit bool        // connections read what is not committed
	noUndo   bool        // ROLLBACK undoes nothing
	hooked   bool        // the application may have done something to each new connection
	listen   bool        // the authorizer's slot is free
	unfit    atomic.Bool // for refreshes: a reader beside the others would lock them out
	shape    atomic.Pointer[shape]

	mu     sync.Mutex // guards scopes
	scopes map[string]*scope
}

// shape is what the parent's connections can do.
type shape struct {
	queries, execs bool
	checks         bool // a NamedValueChecker
	keptOnRollback bool
}

// source returns the source of a database, one for all its openers.
func (c *Cache) source(id sourceKey, d driver.Driver) *source {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sources[id].Value(); s != nil {
		s.openers++
		return s
	}
	s := &source{cache: c, words: c.words, driver: d, openers: 1}
	if c.config.SplitByDSN {
		s.words = c.wordsOf(id)
	}
	s.shared = newScope(s, "")
	if id.named {
		s.readDSN(id.dsn)
	}
	s.hooked = (!id.named || hasConnectHook(d)) && !c.config.NoCatalog
	if !id.named && !c.config.NoCatalog {
		s.unfit.Store(true) // Its cache may be a shared one: nobody tells.
	}
	s.listen = c.config.Authorizer != nil || id.named && !hasConnectHook(d)
	// A weak track: databases that are opened and closed again and again do
	// not pile up.
	c.sources[id] = weak.Make(s)
	runtime.AddCleanup(s, c.forgetSource, id)
	return s
}

// wordsOf returns the words of one database. They live as long as any of its
// connections: a transaction outlives the sql.DB that began it, and what it
// commits must reach the readers of the next one. The caller holds c.mu.
func (c *Cache) wordsOf(id sourceKey) *words {
	if ws := c.split[id].Value(); ws != nil {
		return ws
	}
	ws := newWords()
	c.split[id] = weak.Make(ws)
	runtime.AddCleanup(ws, c.forgetWords, id)
	return ws
}

// forgetWords removes words that are gone, unless they have a successor.
func (c *Cache) forgetWords(id sourceKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.split[id].Value() == nil {
		delete(c.split, id)
	}
}

// leave notes that a database was closed. What its last opener leaves behind
// does not survive: the file may be another one when the name is next opened.
func (c *Cache) leave(id sourceKey, s *source) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.openers--
	if s.openers == 0 && c.sources[id].Value() == s {
		delete(c.sources, id)
	}
}

// forgetSource removes a source that is gone, unless it has a successor.
func (c *Cache) forgetSource(id sourceKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sources[id].Value() == nil {
		delete(c.sources, id)
	}
}

// readDSN tells from a SQLite data source name what its connections share.
func (s *source) readDSN(dsn string) {
	name, query, _ := strings.Cut(dsn, "?")
	name = strings.TrimPrefix(name, "file:")
	query = strings.ToLower(query)
	memory := name == "" || strings.Contains(name, ":memory:") ||
		strings.Contains(query, "mode=memory") || strings.Contains(query, "vfs=memdb")
	// Also a memory database that connections share is gone with the last of
	// them, and a new one may have its name: entries end with connections.
	s.eager = memory
	s.private.Store(memory)
	s.unfit.Store(strings.Contains(query, "cache=shared")) // Its tables are locked by readers.
	s.uncommit = strings.Contains(query, "read_uncommitted")
	s.noUndo = strings.Contains(query, "_journal_mode=off") || strings.Contains(query, "_journal=off")
}

// lazy reports whether a connection may wait until it is needed. One whose
// database is its own may not: until then nobody could tell it from the others.
// And one that the application may have changed must be looked at.
func (s *source) lazy() bool {
	return !s.eager && !s.hooked && !s.private.Load() && s.shape.Load() != nil
}

// learn looks at a new connection of the parent.
func (s *source) learn(ctx context.Context, dc driver.Conn) {
	if s.shape.Load() != nil {
		return
	}
	_, checks := dc.(driver.NamedValueChecker)
	if !s.cache.config.NoCatalog && !s.eager {
		// A connector does not show its data source name: ask for the file.
		rows, err := (&engine{conn: dc}).Query(context.WithoutCancel(ctx), "SELECT file FROM pragma_database_list WHERE name = 'main'")
		if err != nil || len(rows) == 0 || isEmpty(rows[0][0]) {
			s.private.Store(true)
		}
	}
	s.shape.CompareAndSwap(nil, &shape{
		queries:        passthrough.Queries(dc),
		execs:          passthrough.Execs(dc),
		checks:         checks,
		keptOnRollback: passthrough.KeptAfterRollback(dc),
	})
}

// inspect looks at what the application's ConnectHook or connector made of a new
// connection: what is attached to it and what it has in memory, if it reads what
// is not committed, and if it can roll back.
func (c *conn) inspect(ctx context.Context, dc driver.Conn) {
	e, ctx := &engine{conn: dc}, context.WithoutCancel(ctx)
	databases, err := e.Query(ctx, "SELECT name, file FROM pragma_database_list WHERE name <> 'main' ORDER BY seq")
	dirty, dirtyErr := e.Query(ctx, "PRAGMA read_uncommitted")
	journal, journalErr := e.Query(ctx, "PRAGMA journal_mode")
	if err != nil || dirtyErr != nil || journalErr != nil || len(dirty) != 1 || len(journal) != 1 {
		c.distrust()
		return
	}
	c.dirty = c.dirty || dirty[0][0] != int64(0)
	c.noUndo = c.noUndo || journal[0][0] == "off"
	private := false
	for _, db := range databases {
		private = private || isEmpty(db[1])
		c.session = sessionDigest(c.session, fmt.Sprint(db...))
	}
	if c.session == "" {
		return
	}
	if s := c.source.scope(c.session); s != nil && !private {
		c.scope = s
	} else {
		c.privateScope()
	}
}

func isEmpty(v any) bool {
	switch v := v.(type) {
	case string:
		return v == ""
	case []byte:
		return len(v) == 0
	default:
		return true
	}
}

// maxScopes bounds the sessions of one source that are kept apart by name;
// further ones are private to their connection.
const maxScopes = 256

// scope is part of the identity of entries: the source, and the session-
// changing statements that the connection has run. Connections with the same
// scope see the same.
type scope struct {
	source  *source
	session string
	id      uint64
	catalog atomic.Pointer[catalog]
	over    *atomic.Bool // private scopes: the connection is closed
}

var scopeIDs atomic.Uint64

func newScope(s *source, session string) *scope {
	return &scope{source: s, session: session, id: scopeIDs.Add(1)}
}

func (s *scope) hash(query uint64) uint64 { return mix(query, s.id) }

// gate is closed when the connection that alone could use the scope is.
func (s *scope) gate() gate {
	if s.over == nil {
		return nil
	}
	return s
}

func (s *scope) open() bool { return !s.over.Load() }

// behind adds to the names of tables those that a view of one of these names reads:
// nobody writes a view.
func (s *scope) behind(names []string) []string {
	cat := s.catalog.Load()
	if cat == nil || len(names) == 0 {
		return names
	}
	return cat.Behind(names)
}

// scope returns the scope of a session, one for all connections that have run
// the same statements.
func (s *source) scope(session string) *scope {
	if session == "" {
		return s.shared
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sc := s.scopes[session]; sc != nil {
		return sc
	}
	if len(s.scopes) >= maxScopes || len(session) > maxSession {
		return nil
	}
	if s.scopes == nil {
		s.scopes = make(map[string]*scope)
	}
	sc := newScope(s, session)
	s.scopes[session] = sc
	return sc
}

// maxSession bounds the statements that a session is known by, in bytes.
const maxSession = 4 << 10

// catalog is a snapshot of the schema, and the word of everything when it was
// taken.
type catalog struct {
	*analysis.Catalog
	at      uint64
	checked atomic.Int64 // when its version was last compared, by the cache's clock
}

// engine shows a connection of the parent to the analysis.
type engine struct {
	conn   driver.Conn
	listen bool
	own    func(op int, arg1, arg2, arg3 string) int // the application's authorizer
}

// Query runs a small query on the connection.
func (e *engine) Query(ctx context.Context, text string) ([][]any, error) {
	rows, err := passthrough.Query(ctx, e.conn, text, nil)
	if err == driver.ErrSkip { //nolint:errorlint // Compared by identity, as database/sql does.
		stmt, err := passthrough.Prepare(ctx, e.conn, text)
		if err != nil {
			return nil, err
		}
		defer func() { _ = stmt.Close() }()
		if rows, err = passthrough.StmtQuery(ctx, stmt, nil); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all [][]any
	for {
		row := make([]driver.Value, len(rows.Columns()))
		if err := rows.Next(row); err == io.EOF { //nolint:errorlint // Compared by identity, as database/sql does.
			return all, nil
		} else if err != nil {
			return nil, err
		}
		values := make([]any, len(row))
		for i, v := range row {
			if b, ok := v.([]byte); ok {
				v = string(b)
			}
			values[i] = v
		}
		all = append(all, values)
	}
}

// Prepare compiles a statement and throws it away.
func (e *engine) Prepare(ctx context.Context, text string) error {
	stmt, err := passthrough.Prepare(ctx, e.conn, text)
	if err != nil {
		return err
	}
	return stmt.Close()
}

// Authorize installs or removes the recorder in the connection's one
// authorizer slot.
func (e *engine) Authorize(record func(op int, a, b, c string) int) bool {
	r, ok := e.conn.(interface {
		RegisterAuthorizer(callback func(int, string, string, string) int)
	})
	if !ok || !e.listen {
		return false
	}
	switch {
	case e.own == nil:
		r.RegisterAuthorizer(record)
	case record == nil:
		r.RegisterAuthorizer(e.own)
	default:
		r.RegisterAuthorizer(func(op int, a, b, c string) int {
			record(op, a, b, c)
			return e.own(op, a, b, c)
		})
	}
	return true
}

var _ analysis.Engine = (*engine)(nil)

package querycache

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// maxRefreshes bounds the connections that are made to refresh.
	maxRefreshes = 16
	// refreshTime bounds one refresh.
	refreshTime = 30 * time.Second
	// refreshPause is how long an entry whose refresh has failed is left alone.
	refreshPause = time.Second
	// leaveTime bounds the wait for refreshes that were told to end: a driver may
	// not listen.
	leaveTime = 5 * time.Second
)

// refreshes are the queries that run in the background to replace entries that
// have expired, while those are still served: one for each entry.
type refreshes struct {
	cache    *Cache
	counters counters
	running  sync.Map // hash -> *refresh

	mu     sync.Mutex // guards what follows, and adding to running
	count  int        // in running
	closed bool
}

// refresh is one of them. What it is made of outlives the call that asked for it.
type refresh struct {
	hash      uint64
	connector *connector
	scope     *scope
	text      string
	args      []driver.NamedValue
	hints     hints
	ctx       context.Context //nolint:containedctx // Its own, ended by Close.
	cancel    context.CancelFunc
	done      chan struct{}
}

// ask reports whether the entry of a call is being refreshed, and sees to it where
// that can be done: a new connection is one of the scope that the call's began in.
func (r *refreshes) ask(q *call, it *item) bool {
	c := q.conn
	if c.scope != c.home || c.scope.over != nil || c.source.unfit.Load() {
		return false
	}
	if _, running := r.running.Load(q.hash); running {
		return true // Without a lock: many may ask meanwhile.
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, running := r.running.Load(q.hash); running {
		return true
	}
	if r.closed || c.connector.closed.Load() || r.count >= maxRefreshes {
		return false
	}
	job := &refresh{
		hash: q.hash, connector: c.connector, scope: c.scope,
		text: strings.Clone(q.text), args: it.Value.key.own(nil).args, // A driver may write into them.
		hints: *q.hints, done: make(chan struct{}),
	}
	job.hints.hinted, job.hints.refresh, job.hints.background, job.hints.trace = true, true, true, nil
	ctx := context.WithValue(context.Background(), hintsKey{}, &job.hints)
	job.ctx, job.cancel = context.WithTimeout(ctx, refreshTime)
	r.running.Store(q.hash, job)
	r.count++
	go r.run(job)
	return true
}

// run runs a refresh. Whatever it fails with, the entry stays as it was: the next
// reader tries again, or asks the database itself.
func (r *refreshes) run(job *refresh) {
	refreshed := false
	defer func() {
		if p := recover(); p != nil {
			r.cache.complain("querycache: a driver panicked while a result was refreshed", "panic", fmt.Sprintf("%T", p))
		}
		if !refreshed {
			select {
			case <-time.After(refreshPause): // It counts as running: nobody tries again at once.
			case <-job.ctx.Done():
			}
		}
		job.cancel()
		r.mu.Lock()
		r.running.Delete(job.hash)
		r.count--
		r.mu.Unlock()
		close(job.done)
	}()
	c := newConn(job.connector)
	c.counters = &r.counters
	defer func() { _ = c.Close() }()
	if _, err := c.use(job.ctx); err != nil || c.scope != job.scope || !c.mayRefresh(job.ctx) {
		return
	}
	fills := r.counters.fills.Load()
	rows, closeStmt, err := c.refresh(job)
	if err != nil {
		return
	}
	defer closeStmt()
	drain(job.ctx, rows)
	refreshed = r.counters.fills.Load() > fills // Or that of another: then there is less to wait for.
}

// mayRefresh reports whether a reader beside the application's own connections can
// make none of their writes fail: in WAL mode SQLite's readers and writers do not lock
// each other out.
func (c *conn) mayRefresh(ctx context.Context) bool {
	if c.cache.config.NoCatalog {
		return true // Nothing is asked of the database.
	}
	e := &engine{conn: c.parent.conn}
	databases, err := e.Query(ctx, "SELECT name FROM pragma_database_list WHERE name <> 'temp'")
	if err != nil {
		return false
	}
	for _, db := range databases {
		name := strings.ReplaceAll(fmt.Sprint(db[0]), `"`, `""`)
		mode, err := e.Query(ctx, `PRAGMA "`+name+`".journal_mode`)
		if err != nil {
			return false
		}
		if len(mode) != 1 || mode[0][0] != "wal" {
			c.source.unfit.Store(true)
			return false
		}
	}
	return true
}

// refresh runs the query of a refresh, as database/sql would.
func (c *conn) refresh(job *refresh) (rows driver.Rows, closeStmt func(), err error) {
	if c.source.shape.Load().queries {
		rows, err := c.query(job.ctx, job.text, job.args, nil)
		if !isSkip(err) {
			return rows, func() {}, err
		}
	}
	ds, err := c.PrepareContext(job.ctx, job.text)
	if err != nil {
		return nil, nil, err
	}
	st, ok := ds.(driver.StmtQueryContext)
	if !ok {
		return nil, nil, driver.ErrSkip
	}
	rows, err = st.QueryContext(job.ctx, job.args)
	if err != nil {
		_ = ds.Close()
		return nil, nil, err
	}
	return rows, func() { _ = ds.Close() }, nil
}

// drain reads rows that are recorded to their end.
func drain(ctx context.Context, rows driver.Rows) {
	if s, ok := rows.(*stream); ok {
		row := make([]driver.Value, len(rows.Columns()))
		for ctx.Err() == nil && (s.recording || s.ahead != nil) && s.end == nil {
			if rows.Next(row) != nil {
				break
			}
		}
	}
	_ = rows.Close()
}

// leave ends the refreshes of a connector, or all of them, and waits for them, so
// long as the driver listens.
func (r *refreshes) leave(cn *connector) {
	r.mu.Lock()   // One that is being added is there, or finds its connector closed.
	r.mu.Unlock() //nolint:staticcheck // Nothing is guarded: it is waited for.
	var jobs []*refresh
	r.running.Range(func(_, v any) bool {
		job := v.(*refresh) //nolint:forcetypeassert // Only refreshes are stored.
		if cn == nil || job.connector == cn {
			job.cancel()
			jobs = append(jobs, job)
		}
		return true
	})
	if len(jobs) == 0 {
		return
	}
	late := time.NewTimer(leaveTime)
	defer late.Stop()
	for _, job := range jobs {
		select {
		case <-job.done:
		case <-late.C:
			r.cache.complain("querycache: a driver does not end its queries when their context does")
			return
		}
	}
}

func (r *refreshes) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.leave(nil)
}

package querycache

import (
	"context"
	"database/sql/driver"
	"sync"
)

// parent is a real connection.
type parent struct {
	conn driver.Conn

	mu      sync.Mutex // guards what follows: a statement may be let go while another connection uses the parent
	stmts   map[*stmt]driver.Stmt
	closing []driver.Stmt // whose owners have gone; see stmt.Close
}

// prepared notes a statement that is open on the parent.
func (p *parent) prepared(s *stmt, ps driver.Stmt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stmts == nil {
		p.stmts = make(map[*stmt]driver.Stmt)
	}
	p.stmts[s] = ps
}

// letGo takes a statement from its owner: to be closed now by the caller, or
// later, when the parent is next used or closed.
func (p *parent) letGo(s *stmt, later bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ps := p.stmts[s]; ps != nil && later {
		p.closing = append(p.closing, ps)
	}
	delete(p.stmts, s)
}

// flush closes the statements that wait for it.
func (p *parent) flush() {
	p.mu.Lock()
	closing := p.closing
	p.closing = nil
	p.mu.Unlock()
	for _, s := range closing {
		_ = s.Close()
	}
}

// close closes the parent, and before it what is still open on it.
func (p *parent) close() error {
	p.mu.Lock()
	for s, ps := range p.stmts {
		p.closing = append(p.closing, ps)
		delete(p.stmts, s)
	}
	p.mu.Unlock()
	p.flush()
	return p.conn.Close()
}

// policy decides which parent a connection uses, and how long. A parent whose
// state ties it to its connection (conn.pinned) stays.
type policy interface {
	// acquire returns a parent for c, which has none.
	acquire(ctx context.Context, c *conn) (*parent, error)
	// returned is called when c returns to its pool. It may take c's parent.
	returned(c *conn)
	// release closes c's parent for good, or takes it.
	release(c *conn) error
}

// oneToOne gives each connection a parent of its own, when it first needs one
// and until it is closed.
type oneToOne struct{}

func (oneToOne) acquire(ctx context.Context, c *conn) (*parent, error) { return c.connectParent(ctx) }

func (oneToOne) returned(*conn) {}

func (oneToOne) release(c *conn) error { return c.parent.close() }

// connectParent opens a parent.
func (c *conn) connectParent(ctx context.Context) (*parent, error) {
	dc, err := c.connector.parent.Connect(ctx)
	if err != nil {
		return nil, err
	}
	c.source.learn(ctx, dc)
	p := &parent{conn: dc}
	if c.source.hooked {
		c.inspect(ctx, dc)
	}
	if own := c.cache.config.Authorizer; own != nil {
		(&engine{conn: dc, listen: true, own: own}).Authorize(nil)
	}
	return p, nil
}

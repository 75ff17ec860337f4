package querycache

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync"
	"time"

	"github.com/querycache/querycache/internal/passthrough"
)

// Roam makes connections give their parent up whenever they may and take
// another one at the next need, as a pool of parents behind them would. It is
// called before the first connection is made; the function returned closes the
// parents that nobody holds.
func (c *Cache) Roam() (closeAll func()) {
	r := &roaming{free: make(map[*source][]roamer)}
	c.policy = r
	return r.close
}

// Networked makes the cache take its parent for one behind a network, whose
// calls may take effect after they have returned.
func (c *Cache) Networked() { c.settled = false }

// Wait waits until the reaper has nothing to do.
func (c *Cache) Wait() {
	for len(c.reaper.queue) > 0 || c.reaper.all.Load() {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(time.Millisecond)
}

type roamer struct {
	parent *parent
	last   *conn
}

type roaming struct {
	mu   sync.Mutex
	free map[*source][]roamer
}

func (r *roaming) acquire(ctx context.Context, c *conn) (*parent, error) {
	for {
		p := r.take(c)
		if p == nil {
			return c.connectParent(ctx)
		}
		if err := passthrough.Reset(ctx, p.conn); errors.Is(err, driver.ErrBadConn) {
			_ = p.close()
			continue
		}
		return p, nil
	}
}

// take returns a free parent that c did not use last.
func (r *roaming) take(c *conn) *parent {
	r.mu.Lock()
	defer r.mu.Unlock()
	free := r.free[c.source]
	for i, f := range free {
		if f.last != c {
			r.free[c.source] = append(free[:i:i], free[i+1:]...)
			return f.parent
		}
	}
	return nil
}

func (r *roaming) returned(c *conn) {
	if c.parent == nil || c.pinned() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free[c.source] = append(r.free[c.source], roamer{c.parent, c})
	c.parent = nil
}

func (r *roaming) release(c *conn) error { return oneToOne{}.release(c) }

func (r *roaming) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, free := range r.free {
		for _, f := range free {
			_ = f.parent.close()
		}
	}
	clear(r.free)
}

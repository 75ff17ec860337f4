package fakedb

import (
	"context"
	"database/sql/driver"
)

// call runs one call to the driver: it is logged, checked against the contract,
// and struck by the fault that chooses it. on is nil for a call on the driver
// or the connector. A call that closes something takes effect whatever its
// fault says.
func (d *DB) call(ctx context.Context, c Call, on *conn, effect func() error) (err error) {
	if on != nil {
		c.Conn = on.id
		if !on.busy.TryLock() {
			d.violate("c%d %s while another call on the connection runs", c.Conn, c.Method)
			on.busy.Lock()
		}
		defer on.busy.Unlock()
		if on.closed {
			d.violate("c%d %s after the connection was closed", c.Conn, c.Method)
		}
	}
	c = d.started(c)
	returned := false
	defer func() {
		var p any
		if !returned {
			p = recover()
		}
		d.ended(c.Seq, err, p)
		if p != nil {
			panic(p)
		}
	}()
	err = d.struck(ctx, c, on, effect)
	returned = true
	return err
}

// struck runs effect between the two moments at which a fault may strike.
func (d *DB) struck(ctx context.Context, c Call, on *conn, effect func() error) error {
	f := d.fault(c)
	closes := c.Kind() == "Close" || c.Kind() == "Commit" || c.Kind() == "Rollback"
	if f != nil && !f.After {
		if err := f.strike(ctx, on); err != nil {
			if closes {
				on.abandon(c.Kind(), effect)
			}
			return err
		}
	}
	if on != nil && on.lost && c.Kind() != "Close" && c.Kind() != "CheckNamedValue" {
		if closes {
			on.abandon(c.Kind(), effect)
		}
		return driver.ErrBadConn
	}
	err := effect()
	if f != nil && f.After {
		if struck := f.strike(ctx, on); struck != nil {
			return struck
		}
	}
	return err
}

package fakedb

import (
	"context"
	"database/sql/driver"
)

var (
	_ driver.Driver        = (*fakeDriver)(nil)
	_ driver.DriverContext = (*contextDriver)(nil)
	_ driver.Connector     = (*connector)(nil)
)

type fakeDriver struct{ db *DB }

// Open implements [driver.Driver].
func (f *fakeDriver) Open(dsn string) (driver.Conn, error) {
	return f.db.connect(context.Background(), "Driver.Open", dsn)
}

type contextDriver struct{ fakeDriver }

// OpenConnector implements [driver.DriverContext].
func (f *contextDriver) OpenConnector(dsn string) (driver.Connector, error) {
	err := f.db.call(context.Background(), Call{Method: "Driver.OpenConnector", Text: dsn}, nil,
		func() error { return nil })
	if err != nil {
		return nil, err
	}
	return f.db.Connector(dsn), nil
}

type connector struct {
	db  *DB
	dsn string
}

// Connect implements [driver.Connector].
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	return c.db.connect(ctx, "Connector.Connect", c.dsn)
}

// Driver implements [driver.Connector].
func (c *connector) Driver() driver.Driver { return c.db.Driver() }

type closingConnector struct{ *connector }

// Close implements io.Closer.
func (c *closingConnector) Close() error {
	return c.db.call(context.Background(), Call{Method: "Connector.Close", Text: c.dsn}, nil,
		func() error { return nil })
}

func (d *DB) connect(ctx context.Context, method, dsn string) (driver.Conn, error) {
	d.mu.Lock()
	d.conns++
	c := &conn{db: d, id: d.conns}
	d.mu.Unlock()
	c.session.store = d.store(dsn)
	err := d.call(ctx, Call{Method: method, Text: dsn}, c, ctx.Err)
	if err != nil {
		return nil, err
	}
	c.count(Counts{Conns: 1})
	return connShapes[d.profile.Abilities&ConnAbilities](c), nil
}

package querycache

import (
	"context"
	"database/sql/driver"
	"io"
	"reflect"
	"sync/atomic"
)

var (
	_ driver.Driver        = (*wrapped)(nil)
	_ driver.DriverContext = (*wrapped)(nil)
	_ driver.Connector     = (*connector)(nil)
	_ io.Closer            = (*connector)(nil)
)

// wrapped is a driver with the cache around it.
type wrapped struct {
	cache  *Cache
	parent driver.Driver
}

// Wrap returns d with the cache around it. Where the dialect of d cannot be
// told, or is not supported, opening it answers a *[ConfigError].
func (c *Cache) Wrap(d driver.Driver) driver.Driver {
	return &wrapped{cache: c, parent: d}
}

// WrapConnector returns cn with the cache around it, for sql.OpenDB. Where the
// dialect cannot be told, or is not supported, connecting answers a
// *[ConfigError].
func (c *Cache) WrapConnector(cn driver.Connector) driver.Connector {
	if isNil(cn) {
		return failing{&ConfigError{"connector", "is nil"}, &wrapped{cache: c}}
	}
	w := &wrapped{cache: c, parent: cn.Driver()}
	if err := c.config.supports(w.parent); err != nil {
		return failing{err, w}
	}
	id := sourceKey{parent: w}
	if reflect.ValueOf(cn).Comparable() {
		id.parent = cn
	}
	return &connector{source: c.source(id, w.parent), id: id, driver: w, parent: cn}
}

// Open connects to the database called name.
func (w *wrapped) Open(name string) (driver.Conn, error) {
	cn, err := w.OpenConnector(name)
	if err != nil {
		return nil, err
	}
	return cn.Connect(context.Background())
}

// OpenConnector returns a connector to the database called name.
func (w *wrapped) OpenConnector(name string) (driver.Connector, error) {
	if isNil(w.parent) {
		return nil, &ConfigError{"driver", "is nil"}
	}
	if err := w.cache.config.supports(w.parent); err != nil {
		return nil, err
	}
	var cn driver.Connector = dsnConnector{name, w.parent}
	if dc, ok := w.parent.(driver.DriverContext); ok {
		var err error
		if cn, err = dc.OpenConnector(name); err != nil {
			return nil, err
		}
	}
	id := sourceKey{parent: w, dsn: name, named: true}
	if reflect.ValueOf(w.parent).Comparable() {
		id.parent = w.parent
	}
	return &connector{source: w.cache.source(id, w.parent), id: id, driver: w, parent: cn}, nil
}

// dsnConnector connects through a driver that knows no connectors, as
// database/sql does.
type dsnConnector struct {
	dsn    string
	driver driver.Driver
}

func (d dsnConnector) Connect(context.Context) (driver.Conn, error) { return d.driver.Open(d.dsn) }

func (d dsnConnector) Driver() driver.Driver { return d.driver }

// failing is a connector that cannot connect.
type failing struct {
	err    error
	driver driver.Driver
}

func (f failing) Connect(context.Context) (driver.Conn, error) { return nil, f.err }

func (f failing) Driver() driver.Driver { return f.driver }

// connector makes connections to one database.
type connector struct {
	source *source
	id     sourceKey
	driver *wrapped
	parent driver.Connector
	closed atomic.Bool
}

// Driver returns the wrapped driver.
func (cn *connector) Driver() driver.Driver { return cn.driver }

// Close closes the parent connector, where it can be closed.
func (cn *connector) Close() error {
	if !cn.closed.Swap(true) {
		cn.source.cache.refreshes.leave(cn)
		cn.source.cache.leave(cn.id, cn.source)
	}
	if closer, ok := cn.parent.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// Connect returns a connection. The first one of a database reaches the
// database at once, to see what the parent's connections can do; later ones do
// when they are first needed, so that a hit needs none.
func (cn *connector) Connect(ctx context.Context) (driver.Conn, error) {
	c := newConn(cn)
	if !cn.source.lazy() {
		if _, err := c.use(ctx); err != nil {
			return nil, err
		}
	}
	return c.shaped(), nil
}

// Unwrap returns the parent of a connection that [database/sql.Conn.Raw] hands
// out, or nil where the connection has not reached the database yet or is not
// one of this package: see [UnwrapContext].
//
// What is done with the parent is not seen. Until the connection returns to
// its pool it counts as a write in flight on everything, so that nothing is
// served from the cache; afterwards reads on this one connection bypass the
// cache and its writes invalidate everything.
func Unwrap(driverConn any) any {
	if u, ok := driverConn.(unwrapper); ok {
		return u.unwrap()
	}
	return nil
}

// UnwrapContext is [Unwrap], but connects to the database where need be. It
// returns nil and no error for a connection that is not one of this package.
func UnwrapContext(ctx context.Context, driverConn any) (any, error) {
	u, ok := driverConn.(unwrapper)
	if !ok {
		return nil, nil
	}
	if err := u.connect(ctx); err != nil {
		return nil, err
	}
	return u.unwrap(), nil
}

type unwrapper interface {
	connect(ctx context.Context) error
	unwrap() any
}

// isNil reports whether v is nil or holds a nil pointer.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	r := reflect.ValueOf(v)
	return r.Kind() == reflect.Pointer && r.IsNil()
}

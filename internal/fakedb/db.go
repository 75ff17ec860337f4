package fakedb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// DB is a fake database server together with the driver that reaches it. All of
// its methods may be called at any time, from any goroutine.
type DB struct {
	profile Profile

	mu         sync.Mutex // guards what follows
	stores     map[string]*store
	programs   map[string]*program
	handlers   []handler
	log        []Call
	faults     []*Fault
	violations []string
	calls      int
	conns      int
	open       Counts
}

// Counts tells how many of each kind of object are open.
type Counts struct{ Conns, Stmts, Rows, Txs int }

func (c *Counts) add(change Counts) {
	c.Conns += change.Conns
	c.Stmts += change.Stmts
	c.Rows += change.Rows
	c.Txs += change.Txs
}

// Handler answers a statement in place of the language. It may return a nil
// Result for a statement without rows.
type Handler func(ctx context.Context, query string, args []driver.NamedValue) (*Result, error)

type handler struct {
	prefix string
	serve  Handler
}

// New returns an empty database behind a driver of that profile. Not every
// combination of abilities exists as a type: the error says so.
func New(p Profile) (*DB, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	return &DB{profile: p, stores: map[string]*store{}, programs: map[string]*program{}}, nil
}

// Profile returns what the driver was made from.
func (d *DB) Profile() Profile { return d.profile }

// Driver returns the driver. Connections of one DSN, up to a question mark, see
// the same data.
func (d *DB) Driver() driver.Driver {
	if d.profile.Abilities.Has(DriverContext) {
		return &contextDriver{fakeDriver{d}}
	}
	return &fakeDriver{d}
}

// Connector returns a connector for dsn, whether or not the driver has DriverContext.
func (d *DB) Connector(dsn string) driver.Connector {
	c := &connector{db: d, dsn: dsn}
	if d.profile.Abilities.Has(ConnectorCloser) {
		return &closingConnector{c}
	}
	return c
}

// Open opens a pool of connections to dsn as [sql.Open] does.
func (d *DB) Open(dsn string) (*sql.DB, error) { return Open(d.Driver(), dsn) }

// Open does for any driver what [sql.Open] does for a registered one.
func Open(d driver.Driver, dsn string) (*sql.DB, error) {
	dc, ok := d.(driver.DriverContext)
	if !ok {
		return sql.OpenDB(dsnConnector{d, dsn}), nil
	}
	c, err := dc.OpenConnector(dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(c), nil
}

type dsnConnector struct {
	driver driver.Driver
	dsn    string
}

func (c dsnConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c dsnConnector) Driver() driver.Driver                        { return c.driver }

func (d *DB) store(dsn string) *store {
	name, _, _ := strings.Cut(dsn, "?")
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stores[name]
	if s == nil {
		s = &store{tables: map[string]*table{}}
		d.stores[name] = s
	}
	return s
}

// Seed runs statements on the data of dsn without passing through the driver:
// nothing is logged and no fault fires.
//
// The language has SELECT with expressions, aliases, several tables, WHERE,
// ORDER BY, LIMIT and the aggregates COUNT, SUM, MIN and MAX; INSERT, UPDATE and
// DELETE, each with RETURNING; CREATE TABLE and DROP TABLE; BEGIN, COMMIT,
// ROLLBACK and savepoints; SET and PRAGMA, which hold a value for the
// connection; comments; ?, ?1, $1, :name and @name; several statements in one
// text. Values are NULL, integers, floats, 'text', X'00', TRUE, FALSE and
// TIMESTAMP '2006-01-02T15:04:05Z'. A transaction reads the snapshot of its
// begin (at READ COMMITTED, of each statement), and fails to commit if a table
// that it changed was changed by another in the meantime.
func (d *DB) Seed(dsn, statements string) error {
	p, err := d.parse(statements)
	if err != nil {
		return err
	}
	s := session{store: d.store(dsn)}
	_, _, err = s.run(p, nil, false)
	return err
}

// Table returns what is committed in a table of dsn, or false if there is none.
func (d *DB) Table(dsn, name string) (Table, bool) {
	t := d.store(dsn).current()[strings.ToLower(name)]
	if t == nil {
		return Table{}, false
	}
	rows := make([][]driver.Value, len(t.rows))
	for i, row := range t.rows {
		rows[i] = slices.Clone(row)
	}
	return Table{Columns: slices.Clone(t.columns), Rows: rows, Version: t.version}, true
}

// Handle answers every statement that starts with prefix by h. The latest
// handler that fits wins.
func (d *DB) Handle(prefix string, h Handler) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.handlers = append(d.handlers, handler{prefix, h})
}

func (d *DB) handler(query string) Handler {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range slices.Backward(d.handlers) {
		if strings.HasPrefix(query, h.prefix) {
			return h.serve
		}
	}
	return nil
}

// OpenCounts tells how many connections, statements, rows and transactions the driver
// handed out and were not ended since.
func (d *DB) OpenCounts() Counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open
}

// Violations lists what callers did that the contract of database/sql/driver forbids.
func (d *DB) Violations() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.violations)
}

func (d *DB) violate(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.violations = append(d.violations, fmt.Sprintf(format, args...))
}

// parse returns the program of a text; programs are kept.
func (d *DB) parse(query string) (*program, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.programs[query]; p != nil {
		return p, nil
	}
	p, err := parse(query)
	if err == nil {
		d.programs[query] = p
	}
	return p, err
}

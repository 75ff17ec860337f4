package benchmarks

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/querycache/querycache"
	"github.com/querycache/querycache/internal/benchmarks/noop"
)

// Door is where a query comes in.
type Door string

// The doors. What a hint costs drowns in what database/sql does; at the driver's
// own door nothing is measured but the look-up and the replay.
const (
	SQLDoor    Door = "database/sql"
	DriverDoor Door = "driver"
)

// The ways that are compared with each other.
const (
	Plain = "plain"
	// Again is Plain once more, in a cache of its own: by how much the two differ is
	// what cannot be told apart.
	Again = "plain, again"
)

// Way is one way to ask for a hit of one row.
type Way struct {
	Name string
	// AtMost is how many nanoseconds more than Plain it may cost; zero asks for
	// nothing.
	AtMost float64

	text  string
	ctx   context.Context //nolint:containedctx // Derived once, as its users should.
	rules []querycache.Rule
}

const (
	atMostComment = 10
	atMostContext = 60
)

// Ways returns the ways, Plain first. Contexts are derived from the background,
// so that the look-up of a hint finds it at once, or finds nothing at once.
func Ways() []Way {
	ctx := context.Background()
	tables := []string{"people"}
	return []Way{
		{Name: Plain, text: byID, ctx: ctx},
		{Name: Again, text: byID, ctx: ctx},
		{Name: "comment ttl, swr", AtMost: atMostComment, text: "/* querycache: ttl=1h swr=10s */ " + byID, ctx: ctx},
		{
			Name: "comment tables, tags", AtMost: atMostComment,
			text: "/* querycache: tables=teams tags=front */ " + byID, ctx: ctx,
		},
		{Name: "rule ttl", AtMost: atMostComment, text: byID, ctx: ctx, rules: []querycache.Rule{
			{Tables: tables, TTL: time.Hour},
		}},
		{Name: "rule ttl, tags", AtMost: atMostComment, text: byID, ctx: ctx, rules: []querycache.Rule{
			{Tables: tables, TTL: time.Hour, Tags: []string{"front"}},
		}},
		{Name: "context ttl", AtMost: atMostContext, text: byID, ctx: querycache.WithTTL(ctx, time.Hour)},
		{
			Name: "context tables, tags", AtMost: atMostContext, text: byID,
			ctx: querycache.WithTags(querycache.WithTables(ctx, "teams"), "front"),
		},
		{Name: "trace", text: byID, ctx: querycache.WithTrace(ctx, func(querycache.Outcome) {})},
	}
}

// Open makes the way ready: a cache over the no-op driver, with the entry filled.
func (w Way) Open(f *Fixture, d Door) (*Bench, error) {
	// As a connector the driver has no data source name, which would make each
	// connection a database of its own.
	connector, err := noop.New(f.row).OpenConnector("")
	if err != nil {
		return nil, err
	}
	cache, err := querycache.New(querycache.Config{
		Dialect: querycache.SQLite, NoCatalog: true, TTL: time.Hour, Rules: w.rules,
	})
	if err != nil {
		return nil, err
	}
	s := &session{
		db:  sqlx.NewDb(sql.OpenDB(cache.WrapConnector(connector)), "sqlite3"),
		out: make([]Person, 1),
	}
	a := &Alternative{Name: w.Name, body: w.body(d), sessions: []*session{s}}
	b := &Bench{Alternatives: []*Alternative{a}, kind: Hit, entries: 1, cache: cache, restore: func() {}}
	if err := b.warm(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", w.Name, err), b.Close())
	}
	return b, nil
}

func (w Way) body(d Door) body {
	if d == DriverDoor {
		return atDriver(w.ctx, w.text, int64(1))
	}
	return func(s *session, n int) error {
		return s.repeat(w.ctx, s.db.DB, n, w.text, always(int64(1)))
	}
}

// atDriver calls a connection of the driver itself. Its way out of the pool is
// shared by all n queries and vanishes.
func atDriver(ctx context.Context, query string, arg driver.Value) body {
	return func(s *session, n int) error {
		conn, err := s.db.Conn(ctx)
		if err != nil {
			return err
		}
		err = conn.Raw(func(driverConn any) error {
			q, ok := driverConn.(driver.QueryerContext)
			if !ok {
				return fmt.Errorf("a %T cannot query", driverConn)
			}
			args := []driver.NamedValue{{Ordinal: 1, Value: arg}}
			row := make([]driver.Value, 6)
			for range n {
				if err := readOne(ctx, q, query, args, row); err != nil {
					return err
				}
			}
			return s.keep(row)
		})
		return errors.Join(err, conn.Close())
	}
}

// readOne reads the only row of a query, and as database/sql does, on to the end.
func readOne(ctx context.Context, q driver.QueryerContext, query string, args []driver.NamedValue, row []driver.Value) error {
	rows, err := q.QueryContext(ctx, query, args)
	if err != nil {
		return err
	}
	if err := rows.Next(row); err != nil {
		return errors.Join(err, rows.Close())
	}
	if err := rows.Next(row); !errors.Is(err, io.EOF) {
		return errors.Join(errManyRows, err, rows.Close())
	}
	return rows.Close()
}

// keep puts a row of the driver where scan puts its own.
func (s *session) keep(row []driver.Value) error {
	p, known := Person{}, [6]bool{}
	p.ID, known[0] = row[0].(int64)
	p.Name, known[1] = row[1].(string)
	p.Email, known[2] = row[2].(string)
	p.Age, known[3] = row[3].(int64)
	p.Score, known[4] = row[4].(float64)
	p.Active, known[5] = row[5].(bool)
	if known != [6]bool{true, true, true, true, true, true} {
		return fmt.Errorf("the row %v has other types than expected", row)
	}
	s.out[0], s.read = p, 1
	return nil
}

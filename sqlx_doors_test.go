package querycache_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
)

// part is a row as sqlx scans it, with a nested struct from the join.
type part struct {
	ID     int64          `db:"id"`
	Name   string         `db:"name"`
	Note   sql.NullString `db:"note"`
	Photo  []byte         `db:"photo"`
	Weight *float64       `db:"weight"`
	Listed time.Time      `db:"listed"`
	Maker  struct {
		Name string `db:"name"`
	} `db:"maker"`
}

// from is the argument of a door as a struct with more fields than are named.
type from struct {
	ID     int64 `db:"id"`
	Unused []byte
}

// handle is what *sqlx.DB and *sqlx.Tx have in common.
type handle interface {
	sqlx.Ext
	sqlx.ExtContext
	Get(dest any, query string, args ...any) error
	GetContext(ctx context.Context, dest any, query string, args ...any) error
	Select(dest any, query string, args ...any) error
	SelectContext(ctx context.Context, dest any, query string, args ...any) error
	MustExec(query string, args ...any) sql.Result
	MustExecContext(ctx context.Context, query string, args ...any) sql.Result
	NamedQuery(query string, arg any) (*sqlx.Rows, error)
	NamedExec(query string, arg any) (sql.Result, error)
	NamedExecContext(ctx context.Context, query string, arg any) (sql.Result, error)
	Preparex(query string) (*sqlx.Stmt, error)
	PreparexContext(ctx context.Context, query string) (*sqlx.Stmt, error)
	PrepareNamed(query string) (*sqlx.NamedStmt, error)
	PrepareNamedContext(ctx context.Context, query string) (*sqlx.NamedStmt, error)
}

var (
	_ handle = (*sqlx.DB)(nil)
	_ handle = (*sqlx.Tx)(nil)
)

// seat is where one door is used: a database or a transaction, and a query of its
// own, so that no door is served what another stored.
type seat struct {
	*testing.T
	ctx   context.Context //nolint:containedctx // For the doors that take one.
	base  *sqlx.DB
	at    handle // the database, or a transaction of it
	query string // with "?" as the handle binds it
	named string // with ":id"
}

func seatAt(t *testing.T, base *sqlx.DB, at handle, door string) *seat {
	t.Helper()
	text := `SELECT p.id, p.name, p.note, p.photo, p.weight, p.listed, m.name AS "maker.name"
		FROM parts p JOIN makers m ON m.id = p.maker_id WHERE p.id >= %s AND '` + door + `' <> '' ORDER BY p.id`
	return &seat{t, t.Context(), base, at, at.Rebind(fmt.Sprintf(text, "?")), fmt.Sprintf(text, ":id")}
}

// closing closes what a door prepared when the test ends.
func (s *seat) closing(c io.Closer, err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = c.Close() })
}

// tx is the transaction of a seat in one.
func (s *seat) tx() *sqlx.Tx { return s.at.(*sqlx.Tx) } //nolint:forcetypeassert // As the door wants it.

func (s *seat) connx() *sqlx.Conn {
	s.Helper()
	c, err := s.base.Connx(s.ctx)
	s.closing(c, err)
	return c
}

// door is one way to read with sqlx. What it prepares it prepares when it is
// opened.
type door struct {
	name string
	open func(s *seat) reader
}

// reader reads the parts from the second on, or that one.
type reader func() (any, error)

// getting is a reader that scans one part.
func getting(get func(dest any) error) reader {
	return func() (any, error) {
		var p part
		err := get(&p)
		return p, err
	}
}

// selecting is a reader that scans all parts.
func selecting(all func(dest any) error) reader {
	return func() (any, error) {
		var ps []part
		err := all(&ps)
		return ps, err
	}
}

// rowsOf is a reader that scans row by row.
func rowsOf(query func() (*sqlx.Rows, error), scan func(*sqlx.Rows) (any, error)) reader {
	return func() (any, error) {
		rows, err := query()
		if err != nil {
			return nil, err
		}
		defer func() { _ = rows.Close() }()
		var all []any
		for rows.Next() {
			v, err := scan(rows)
			if err != nil {
				return nil, err
			}
			all = append(all, v)
		}
		return all, rows.Err()
	}
}

// rowOf is a reader that scans one row.
func rowOf(query func() *sqlx.Row, scan func(scanner) (any, error)) reader {
	return func() (any, error) { return scan(query()) }
}

// scanner is what *sqlx.Row and *sqlx.Rows have in common.
type scanner interface {
	StructScan(dest any) error
	MapScan(dest map[string]any) error
	SliceScan() ([]any, error)
}

func structScan[S scanner](s S) (any, error) {
	var p part
	err := s.StructScan(&p)
	return p, err
}

func mapScan[S scanner](s S) (any, error) {
	m := map[string]any{}
	err := s.MapScan(m)
	return m, err
}

func sliceScan[S scanner](s S) (any, error) { return s.SliceScan() }

// readDoors are the ways to read that a database and a transaction have.
var readDoors = []door{
	{"Get", func(s *seat) reader { return getting(func(v any) error { return s.at.Get(v, s.query, 2) }) }},
	{"GetContext", func(s *seat) reader {
		return getting(func(v any) error { return s.at.GetContext(s.ctx, v, s.query, 2) })
	}},
	{"sqlx.Get", func(s *seat) reader { return getting(func(v any) error { return sqlx.Get(s.at, v, s.query, 2) }) }},
	{"sqlx.GetContext", func(s *seat) reader {
		return getting(func(v any) error { return sqlx.GetContext(s.ctx, s.at, v, s.query, 2) })
	}},
	{"Select", func(s *seat) reader { return selecting(func(v any) error { return s.at.Select(v, s.query, 2) }) }},
	{"SelectContext", func(s *seat) reader {
		return selecting(func(v any) error { return s.at.SelectContext(s.ctx, v, s.query, 2) })
	}},
	{"sqlx.Select", func(s *seat) reader { return selecting(func(v any) error { return sqlx.Select(s.at, v, s.query, 2) }) }},
	{"sqlx.SelectContext", func(s *seat) reader {
		return selecting(func(v any) error { return sqlx.SelectContext(s.ctx, s.at, v, s.query, 2) })
	}},
	{"Queryx, StructScan", func(s *seat) reader {
		return rowsOf(func() (*sqlx.Rows, error) { return s.at.Queryx(s.query, 2) }, structScan)
	}},
	{"Queryx, MapScan", func(s *seat) reader {
		return rowsOf(func() (*sqlx.Rows, error) { return s.at.Queryx(s.query, 2) }, mapScan)
	}},
	{"Queryx, SliceScan", func(s *seat) reader {
		return rowsOf(func() (*sqlx.Rows, error) { return s.at.Queryx(s.query, 2) }, sliceScan)
	}},
	{"QueryxContext", func(s *seat) reader {
		return rowsOf(func() (*sqlx.Rows, error) { return s.at.QueryxContext(s.ctx, s.query, 2) }, mapScan)
	}},
	{"sqlx.StructScan", func(s *seat) reader {
		return selecting(func(v any) error {
			rows, err := s.at.Query(s.query, 2)
			if err != nil {
				return err
			}
			defer func() { _ = rows.Close() }()
			if err := sqlx.StructScan(rows, v); err != nil {
				return err
			}
			return rows.Err()
		})
	}},
	{"QueryRowx, StructScan", func(s *seat) reader {
		return rowOf(func() *sqlx.Row { return s.at.QueryRowx(s.query, 2) }, structScan)
	}},
	{"QueryRowx, MapScan", func(s *seat) reader {
		return rowOf(func() *sqlx.Row { return s.at.QueryRowx(s.query, 2) }, mapScan)
	}},
	{"QueryRowx, SliceScan", func(s *seat) reader {
		return rowOf(func() *sqlx.Row { return s.at.QueryRowx(s.query, 2) }, sliceScan)
	}},
	{"QueryRowxContext", func(s *seat) reader {
		return rowOf(func() *sqlx.Row { return s.at.QueryRowxContext(s.ctx, s.query, 2) }, structScan)
	}},
	{"NamedQuery of a map", func(s *seat) reader {
		return rowsOf(func() (*sqlx.Rows, error) { return s.at.NamedQuery(s.named, map[string]any{"id": 2}) }, structScan)
	}},
	{"NamedQuery of a struct", func(s *seat) reader {
		return rowsOf(func() (*sqlx.Rows, error) { return s.at.NamedQuery(s.named, from{ID: 2}) }, mapScan)
	}},
	{"sqlx.NamedQuery", func(s *seat) reader {
		return rowsOf(func() (*sqlx.Rows, error) { return sqlx.NamedQuery(s.at, s.named, &from{ID: 2}) }, sliceScan)
	}},
	{"sqlx.NamedQueryContext", func(s *seat) reader {
		return rowsOf(func() (*sqlx.Rows, error) { return sqlx.NamedQueryContext(s.ctx, s.at, s.named, from{ID: 2}) }, structScan)
	}},
	{"BindNamed, Select", func(s *seat) reader {
		return selecting(func(v any) error {
			query, args, err := s.at.BindNamed(s.named, from{ID: 2})
			if err != nil {
				return err
			}
			return s.at.Select(v, query, args...)
		})
	}},
	{"Named, Rebind, Select", func(s *seat) reader {
		return selecting(func(v any) error {
			query, args, err := sqlx.Named(s.named, from{ID: 2})
			if err != nil {
				return err
			}
			return s.at.Select(v, s.at.Rebind(query), args...)
		})
	}},
	{"In of three, Rebind, Select", func(s *seat) reader { return selecting(inOf(s, 2, 3, 4)) }},
	{"In of one, Rebind, Select", func(s *seat) reader { return selecting(inOf(s, 2)) }},
}

// inOf selects the parts with these numbers.
func inOf(s *seat, ids ...int64) func(dest any) error {
	return func(dest any) error {
		query, args, err := sqlx.In("SELECT id, name, note FROM parts WHERE id IN (?) AND name <> ? ORDER BY id", ids, "shaft")
		if err != nil {
			return err
		}
		return s.at.Select(dest, s.at.Rebind(query), args...)
	}
}

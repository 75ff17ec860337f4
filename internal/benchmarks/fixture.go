package benchmarks

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/mattn/go-sqlite3"

	"github.com/querycache/querycache/internal/benchmarks/noop"
)

// people is the number of rows of the table; hot is how many of them the case
// with many entries asks for.
const (
	people = 10_000
	hot    = 4_096
	page   = 100
)

const (
	columns     = "id, name, email, age, score, active"
	byID        = "SELECT " + columns + " FROM people WHERE id = ?"
	byEmail     = "SELECT " + columns + " FROM people WHERE email = ?"
	pageAfter   = "SELECT " + columns + " FROM people WHERE id > ? ORDER BY id LIMIT 100"
	volatile    = "SELECT " + columns + " FROM people WHERE id = ? AND random() IS NOT NULL"
	distinctRow = "SELECT " + columns + " FROM people WHERE id = ? % 10000 + 1"
	// The argument may be any number, and a page after 9,900 would not be full.
	distinctPage = "SELECT " + columns + " FROM people WHERE id > ? % 9900 ORDER BY id LIMIT 100"
	update       = "UPDATE people SET age = ? WHERE id = ?"
	ageOf        = "SELECT age FROM people WHERE id = ?"
)

const schema = `
CREATE TABLE people (
	id     INTEGER PRIMARY KEY,
	name   TEXT NOT NULL,
	email  TEXT NOT NULL UNIQUE,
	age    INTEGER NOT NULL,
	score  REAL NOT NULL,
	active BOOLEAN NOT NULL
);
INSERT INTO people (id, name, email, age, score, active)
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
SELECT i, printf('Person %05d', i), printf('person%05d@example.com', i), 18 + i % 60,
	(i * 37 % 1000) / 10.0, i % 2
FROM n;
`

// Person is one row of the table.
type Person struct {
	ID     int64   `db:"id"`
	Name   string  `db:"name"`
	Email  string  `db:"email"`
	Age    int64   `db:"age"`
	Score  float64 `db:"score"`
	Active bool    `db:"active"`
}

// Fixture is a folder with the SQLite files of the benchmarks, and what the
// no-op driver answers, read from them.
type Fixture struct {
	dir    string
	copies int
	row    *noop.Result
	page   *noop.Result
	hot    []*noop.Result
}

// NewFixture writes the files into dir, which must exist and is the caller's to
// remove.
func NewFixture(dir string) (*Fixture, error) {
	f := &Fixture{dir: dir}
	db, err := sql.Open("sqlite3", f.shared())
	if err != nil {
		return nil, err
	}
	err = errors.Join(f.fill(db), db.Close())
	if err != nil {
		return nil, fmt.Errorf("making the database in %s: %w", dir, err)
	}
	return f, nil
}

func (f *Fixture) fill(db *sql.DB) error {
	if _, err := db.Exec(schema); err != nil {
		return err
	}
	var err error
	if f.row, err = capture(db, byID, int64(1)); err != nil {
		return err
	}
	if f.page, err = capture(db, pageAfter, int64(0)); err != nil {
		return err
	}
	// The no-op driver answers argument i with result i modulo hot, and the ids
	// asked for are 1 to hot.
	f.hot = make([]*noop.Result, hot)
	for id := int64(1); id <= hot; id++ {
		if f.hot[id%hot], err = capture(db, byID, id); err != nil {
			return err
		}
	}
	return nil
}

// shared names the database that the reading cases share.
func (f *Fixture) shared() string {
	return dsn(filepath.Join(f.dir, "people.db"))
}

// private makes a copy of the database for one that writes, so that no other
// pays for its log.
func (f *Fixture) private() (string, error) {
	f.copies++
	path := filepath.Join(f.dir, fmt.Sprintf("copy%d.db", f.copies))
	db, err := sql.Open("sqlite3", f.shared())
	if err != nil {
		return "", err
	}
	_, err = db.Exec("VACUUM INTO ?", path)
	return dsn(path), errors.Join(err, db.Close())
}

func dsn(path string) string {
	return "file:" + path + "?_journal_mode=WAL&_synchronous=NORMAL&_busy_timeout=5000"
}

// capture runs a query on go-sqlite3 itself and keeps columns and values just as
// the driver gave them, so that the no-op driver gives the same.
func capture(db *sql.DB, query string, arg int64) (*noop.Result, error) {
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	var result *noop.Result
	err = conn.Raw(func(driverConn any) error {
		c, ok := driverConn.(*sqlite3.SQLiteConn)
		if !ok {
			return fmt.Errorf("expected a connection of go-sqlite3, got a %T", driverConn)
		}
		rows, err := c.QueryContext(ctx, query, []driver.NamedValue{{Ordinal: 1, Value: arg}})
		if err != nil {
			return err
		}
		result, err = read(rows)
		return errors.Join(err, rows.Close())
	})
	return result, errors.Join(err, conn.Close())
}

func read(rows driver.Rows) (*noop.Result, error) {
	typed, ok := rows.(*sqlite3.SQLiteRows)
	if !ok {
		return nil, fmt.Errorf("expected rows of go-sqlite3, got a %T", rows)
	}
	names := typed.Columns()
	described := make([]noop.Column, len(names))
	for i, name := range names {
		nullable, _ := typed.ColumnTypeNullable(i)
		described[i] = noop.Column{
			Name:         name,
			DatabaseType: typed.ColumnTypeDatabaseTypeName(i),
			ScanType:     typed.ColumnTypeScanType(i),
			Nullable:     nullable,
		}
	}
	var values []driver.Value
	for {
		row := make([]driver.Value, len(names))
		switch err := rows.Next(row); {
		case errors.Is(err, io.EOF):
			return noop.NewResult(described, values), nil
		case err != nil:
			return nil, err
		}
		values = append(values, row...)
	}
}

package fakedb

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Column describes a column of a table, or of a scripted result.
type Column struct {
	Name string
	// Type is the database's name for the type: INTEGER, REAL, TEXT, VARCHAR,
	// DECIMAL, BLOB, BOOLEAN, TIMESTAMP, or anything else.
	Type string
	// Length, Precision and Scale are what the type was declared with, or 0.
	Length, Precision, Scale int64
	Nullable                 bool
	// Key marks the primary key, which is filled in where an INSERT leaves it out.
	Key bool
}

// Table is the content of a table at one moment.
type Table struct {
	Columns []Column
	Rows    [][]driver.Value
	// Version counts the statements that changed the table, from 1 for its creation.
	Version uint64
}

// table is an immutable table once it is published in a store or a transaction.
type table struct {
	name    string
	columns []Column
	rows    [][]driver.Value
	nextKey int64
	version uint64
}

// column returns the index of the column of that name, or -1.
func (t *table) column(name string) int {
	for i, c := range t.columns {
		if strings.EqualFold(c.Name, name) {
			return i
		}
	}
	return -1
}

// changed returns a copy of t with other rows and the next version.
func (t *table) changed(rows [][]driver.Value) *table {
	next := *t
	next.rows = rows
	next.version++
	return &next
}

// store is one database: what connections of one DSN share.
type store struct {
	mu     sync.Mutex
	tables map[string]*table
}

// current returns the committed tables. The map is never changed after it was
// published.
func (s *store) current() map[string]*table {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tables
}

// txn is a transaction: a snapshot, and what was changed since.
type txn struct {
	store *store
	base  map[string]*table
	// over holds the tables that the transaction changed, nil for a dropped one.
	over map[string]*table
	// perStatement makes tables that the transaction did not change be read as
	// they are now, not as they were in the snapshot.
	perStatement bool
	readOnly     bool
	savepoints   []savepoint
}

type savepoint struct {
	name string
	over map[string]*table
}

var (
	errNoTransaction = errors.New("querycache: fakedb: no transaction is active")
	errNested        = errors.New("querycache: fakedb: cannot start a transaction within a transaction")
	errReadOnly      = errors.New("querycache: fakedb: the transaction is read-only")
)

func (s *store) begin() *txn {
	return &txn{store: s, base: s.current(), over: map[string]*table{}}
}

func (t *txn) table(name string) (*table, error) {
	found, changed := t.over[name]
	if !changed {
		from := t.base
		if t.perStatement {
			from = t.store.current()
		}
		found = from[name]
	}
	if found == nil {
		return nil, fmt.Errorf("querycache: fakedb: no such table: %s", name)
	}
	return found, nil
}

// put replaces a table inside the transaction, from what was read of it; nil
// stands for a table that is absent.
func (t *txn) put(name string, from, to *table) {
	if _, changed := t.over[name]; !changed && t.perStatement {
		t.base = maps.Clone(t.base)
		t.base[name] = from
	}
	t.over[name] = to
}

// commit publishes the changes, unless another transaction changed one of the
// tables first.
func (t *txn) commit() error {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	next := maps.Clone(t.store.tables)
	for _, name := range slices.Sorted(maps.Keys(t.over)) {
		to := t.over[name]
		if t.store.tables[name] != t.base[name] {
			return fmt.Errorf("querycache: fakedb: table %s was changed by another transaction", name)
		}
		if to == nil {
			delete(next, name)
		} else {
			next[name] = to
		}
	}
	t.store.tables = next
	return nil
}

// save marks a point to return to.
func (t *txn) save(name string) {
	t.savepoints = append(t.savepoints, savepoint{name, maps.Clone(t.over)})
}

// restore forgets the savepoint and those after it; with undo, what was changed
// since as well, and the savepoint itself stays.
func (t *txn) restore(name string, undo bool) error {
	for i := len(t.savepoints) - 1; i >= 0; i-- {
		if t.savepoints[i].name != name {
			continue
		}
		if undo {
			t.over = maps.Clone(t.savepoints[i].over)
			t.savepoints = t.savepoints[:i+1]
		} else {
			t.savepoints = t.savepoints[:i]
		}
		return nil
	}
	return fmt.Errorf("querycache: fakedb: no such savepoint: %s", name)
}

package fakedb

import (
	"database/sql/driver"
	"fmt"
	"slices"
)

// Result is what a statement answers: rows, counts, and the result sets that follow.
type Result struct {
	Columns []Column
	Rows    [][]driver.Value
	// LastInsertID and RowsAffected are answered by an Exec. NoCounts makes both
	// fail, as [driver.ResultNoRows] does.
	LastInsertID, RowsAffected int64
	NoCounts                   bool
	// Next is the result set that follows.
	Next *Result
}

// run executes one statement that is neither about the transaction nor the session.
func (t *txn) run(s *statement, args []driver.NamedValue) (*Result, error) {
	if t.readOnly && s.kind.writes() {
		return nil, errReadOnly
	}
	switch s.kind {
	case kindInsert:
		return t.insert(s, args)
	case kindUpdate, kindDelete:
		return t.modify(s, args)
	case kindCreate, kindDrop:
		return t.define(s)
	}
	return t.query(s, args)
}

func (t *txn) define(s *statement) (*Result, error) {
	from, err := t.table(s.table)
	exists := err == nil
	switch {
	case s.kind == kindDrop && exists:
		t.put(s.table, from, nil)
	case s.kind == kindDrop && !s.ifExists:
		return nil, err
	case s.kind == kindCreate && !exists:
		t.put(s.table, nil, &table{name: s.table, columns: s.define, nextKey: 1, version: 1})
	case s.kind == kindCreate && !s.ifExists:
		return nil, fmt.Errorf("querycache: fakedb: table %s already exists", s.table)
	}
	return &Result{NoCounts: true}, nil
}

func (t *txn) query(s *statement, args []driver.NamedValue) (*Result, error) {
	rows, scope, err := t.rows(s, args)
	if err != nil {
		return nil, err
	}
	if err := sortRows(rows, s.order); err != nil {
		return nil, err
	}
	if s.aggregate {
		// A group's plain columns are those of its first row, or NULL.
		one := &env{args: args, scope: scope, group: rows}
		if len(rows) > 0 {
			one.scope = rows[0].scope
		}
		rows = []*env{one}
	}
	if s.limit != nil {
		v, err := s.limit(&env{args: args})
		if err != nil {
			return nil, err
		}
		if n, ok := v.(int64); ok && n >= 0 {
			rows = rows[:min(int(n), len(rows))]
		}
	}
	return project(s.fields, scope, rows)
}

// rows returns the rows of the product of the statement's tables that its
// condition accepts, and the shape of a row.
func (t *txn) rows(s *statement, args []driver.NamedValue) ([]*env, []bound, error) {
	sources := s.sources
	if s.kind != kindSelect {
		sources = []source{{s.table, s.table}}
	}
	product := [][]bound{nil}
	var shape []bound
	for _, src := range sources {
		from, err := t.table(src.table)
		if err != nil {
			return nil, nil, err
		}
		shape = append(shape, bound{src.alias, from, nil})
		var next [][]bound
		for _, left := range product {
			for _, row := range from.rows {
				next = append(next, append(slices.Clip(left), bound{src.alias, from, row}))
			}
		}
		product = next
	}
	// A column that does not exist is an error of an empty table as well.
	if s.where != nil {
		if _, err := s.where(&env{args: args, scope: shape}); err != nil {
			return nil, nil, err
		}
	}
	var rows []*env
	for _, scope := range product {
		e := &env{args: args, scope: scope}
		if s.where != nil {
			if ok, err := truth(s.where, e); err != nil {
				return nil, nil, err
			} else if !ok {
				continue
			}
		}
		rows = append(rows, e)
	}
	return rows, shape, nil
}

func sortRows(rows []*env, order []ordering) error {
	var failed error
	slices.SortStableFunc(rows, func(a, b *env) int {
		for _, o := range order {
			x, err := o.value(a)
			if err == nil {
				var y driver.Value
				y, err = o.value(b)
				if c := compare(x, y); c != 0 && err == nil {
					if o.descending {
						return -c
					}
					return c
				}
			}
			if err != nil {
				failed = err
			}
		}
		return 0
	})
	return failed
}

// project computes the select list for each row.
func project(fields []field, shape []bound, rows []*env) (*Result, error) {
	fields = expand(fields, shape)
	res := new(Result)
	for _, f := range fields {
		c := Column{Nullable: true}
		for _, b := range shape {
			if i := b.table.column(f.column.name); i >= 0 && (f.column.table == "" || f.column.table == b.alias) {
				c = b.table.columns[i]
				break
			}
		}
		c.Name = f.name
		res.Columns = append(res.Columns, c)
	}
	if len(rows) == 0 {
		// A column that does not exist is an error of an empty result as well.
		if _, err := evaluate(fields, &env{scope: shape}); err != nil && len(shape) > 0 {
			return nil, err
		}
	}
	for _, e := range rows {
		row, err := evaluate(fields, e)
		if err != nil {
			return nil, err
		}
		res.Rows = append(res.Rows, row)
	}
	return res, nil
}

// expand replaces a star by the columns of all tables.
func expand(fields []field, shape []bound) []field {
	var list []field
	for _, f := range fields {
		if !f.star {
			list = append(list, f)
			continue
		}
		for _, b := range shape {
			for _, c := range b.table.columns {
				ref := columnRef{b.alias, c.Name}
				list = append(list, field{
					name: c.Name, column: ref,
					value: func(e *env) (driver.Value, error) { return e.column(ref) },
				})
			}
		}
	}
	return list
}

func evaluate(fields []field, e *env) ([]driver.Value, error) {
	row := make([]driver.Value, len(fields))
	for i, f := range fields {
		v, err := f.value(e)
		if err != nil {
			return nil, err
		}
		row[i] = v
	}
	return row, nil
}

func (t *txn) insert(s *statement, args []driver.NamedValue) (*Result, error) {
	into, err := t.table(s.table)
	if err != nil {
		return nil, err
	}
	res := new(Result)
	next := into.changed(slices.Clone(into.rows))
	var added []*env
	for _, values := range s.values {
		row, key, err := next.build(s.columns, values, &env{args: args})
		if err != nil {
			return nil, err
		}
		next.rows = append(next.rows, row)
		next.nextKey = max(next.nextKey, key+1)
		res.LastInsertID = key
		res.RowsAffected++
		added = append(added, &env{args: args, scope: []bound{{s.table, next, row}}})
	}
	t.put(s.table, into, next)
	return withReturning(s, next, added, res)
}

// build makes one row of t and tells its key.
func (t *table) build(columns []string, values []expr, e *env) ([]driver.Value, int64, error) {
	if columns == nil {
		for _, c := range t.columns {
			columns = append(columns, c.Name)
		}
	}
	if len(values) != len(columns) {
		return nil, 0, fmt.Errorf("querycache: fakedb: %d values for %d columns", len(values), len(columns))
	}
	row := make([]driver.Value, len(t.columns))
	for i, name := range columns {
		at := t.column(name)
		if at < 0 {
			return nil, 0, fmt.Errorf("querycache: fakedb: table %s has no column named %s", t.name, name)
		}
		v, err := values[i](e)
		if err != nil {
			return nil, 0, err
		}
		row[at] = v
	}
	key := t.nextKey
	for i, c := range t.columns {
		if c.Key && row[i] == nil {
			row[i] = key
		} else if n, ok := row[i].(int64); ok && c.Key {
			key = n
		}
	}
	return row, key, t.check(row, t.rows)
}

// check reports a constraint that row breaks beside the others.
func (t *table) check(row []driver.Value, others [][]driver.Value) error {
	for i, c := range t.columns {
		if row[i] == nil && !c.Nullable {
			return fmt.Errorf("querycache: fakedb: NOT NULL constraint failed: %s.%s", t.name, c.Name)
		}
		for _, o := range others {
			if c.Key && compare(o[i], row[i]) == 0 {
				return fmt.Errorf("querycache: fakedb: UNIQUE constraint failed: %s.%s", t.name, c.Name)
			}
		}
	}
	return nil
}

// modify runs an UPDATE or a DELETE.
func (t *txn) modify(s *statement, args []driver.NamedValue) (*Result, error) {
	from, err := t.table(s.table)
	if err != nil {
		return nil, err
	}
	hits, _, err := t.rows(s, args)
	if err != nil {
		return nil, err
	}
	matched := map[*driver.Value]*env{}
	for _, e := range hits {
		matched[&e.scope[0].row[0]] = e
	}
	next := from.changed(nil)
	var touched []*env
	for _, row := range from.rows {
		e := matched[&row[0]]
		if e != nil {
			touched = append(touched, e)
			if s.kind == kindDelete {
				continue
			}
			if row, err = from.assign(s.sets, e); err != nil {
				return nil, err
			}
			e.scope = []bound{{s.table, next, row}}
		}
		if err := next.check(row, next.rows); err != nil {
			return nil, err
		}
		next.rows = append(next.rows, row)
	}
	if len(touched) > 0 {
		t.put(s.table, from, next)
	}
	return withReturning(s, next, touched, &Result{RowsAffected: int64(len(touched))})
}

// assign returns the row of e with the assignments made.
func (t *table) assign(sets []assignment, e *env) ([]driver.Value, error) {
	row := slices.Clone(e.scope[0].row)
	for _, set := range sets {
		at := t.column(set.column)
		if at < 0 {
			return nil, fmt.Errorf("querycache: fakedb: no such column: %s", set.column)
		}
		v, err := set.value(e)
		if err != nil {
			return nil, err
		}
		row[at] = v
	}
	return row, nil
}

// withReturning adds the rows of a RETURNING clause to res.
func withReturning(s *statement, t *table, rows []*env, res *Result) (*Result, error) {
	if s.fields == nil {
		return res, nil
	}
	out, err := project(s.fields, []bound{{s.table, t, nil}}, rows)
	if err != nil {
		return nil, err
	}
	out.LastInsertID, out.RowsAffected = res.LastInsertID, res.RowsAffected
	return out, nil
}

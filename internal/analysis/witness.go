package analysis

import (
	"context"
	"strings"

	"github.com/querycache/querycache/internal/sqltok"
)

// Codes that SQLite's authorizer calls back with.
const (
	authDelete   = 9
	authInsert   = 18
	authRead     = 20
	authSelect   = 21
	authUpdate   = 23
	authFunction = 31
	authRecurse  = 33
)

// witness records what an engine says while it compiles one statement.
type witness struct {
	reads  map[string]bool // by name, true where a column was named
	writes map[string]ops
	calls  map[string]bool
	rowid  bool
	heard  bool
	other  bool // something else than reading and changing rows

	recurses bool // a common table expression reads itself
}

// note is the authorizer: it allows everything.
func (w *witness) note(op int, a, b, _ string) int {
	w.heard = true
	switch op {
	case authRead:
		name := fold(a)
		w.reads[name] = w.reads[name] || b != ""
		w.rowid = w.rowid || b == "ROWID"
	case authInsert:
		w.writes[fold(a)] |= opInsert
	case authUpdate:
		w.writes[fold(a)] |= opUpdate
	case authDelete:
		w.writes[fold(a)] |= opDelete
	case authFunction:
		w.calls[fold(b)] = true
	case authRecurse:
		w.recurses = true
	case authSelect:
	default:
		w.other = true
	}
	return 0
}

// ask compiles one statement under the eyes of a witness. It returns nil where
// the connection has none, or where it heard nothing: a statement that was
// compiled before is not compiled again.
func ask(ctx context.Context, eng Engine, source string) (*witness, error) {
	w := &witness{reads: map[string]bool{}, writes: map[string]ops{}, calls: map[string]bool{}}
	if !eng.Authorize(w.note) {
		return nil, nil
	}
	defer eng.Authorize(nil)
	if err := eng.Prepare(ctx, source); err != nil {
		return nil, err
	}
	if !w.heard {
		return nil, nil
	}
	return w, nil
}

// hear adds what a witness saw.
func (t *touched) hear(c *Catalog, sh *shape, w *witness) {
	for name, column := range w.reads {
		t.heardRead(c, sh, name, column)
	}
	if w.rowid {
		t.reads[Rowid] = true
	}
	t.everything = t.everything || w.other
	t.recurses = w.recurses
	t.follow(sh.policy == sqltok.KwReplace, func(replace bool) { t.witnessed(c, w.writes, replace) })
	t.placed(c, sh)
	seen := map[*relation]bool{}
	for _, r := range sh.hits {
		t.bodies(c, r, seen)
	}
	for name := range w.calls {
		if len(w.writes) > 0 || !t.onlyDefault(c, sh, w, name) {
			t.calls[name] = true
		}
	}
}

// onlyDefault reports whether a function that depends on the moment is heard of
// because a column that is read has it in its DEFAULT: it was called when the row
// was written. It cannot be in a generated column, and neither the text nor a view
// behind it spells it.
func (t *touched) onlyDefault(c *Catalog, sh *shape, w *witness, name string) bool {
	if !volatileSQLite[name] && !datedSQLite[name] || sh.spells(name) {
		return false
	}
	for _, v := range t.views {
		if v.spells(name) {
			return false
		}
	}
	found := false
	for table := range w.reads {
		if r := c.relations[table]; r != nil {
			if contains(r.computed, name) {
				return false
			}
			found = found || contains(r.checked, name)
		}
	}
	return found
}

// spells reports whether the text calls the function.
func (sh *shape) spells(name string) bool {
	if sh.clock && strings.HasPrefix(name, "current_") {
		return true
	}
	for _, call := range sh.calls {
		if call.name == name {
			return true
		}
	}
	return false
}

// placed adds the tables that stand in the place of one. The witness passes
// over a table whose columns serve only to join by name: of c in
// "SELECT * FROM a NATURAL JOIN c" it says nothing if a has all of its columns.
func (t *touched) placed(c *Catalog, sh *shape) {
	for _, ref := range sh.refs {
		if ref.ops != opRead || ref.cte || ref.call {
			continue
		}
		if r := c.relations[ref.name]; r != nil && r.base {
			t.inspect(r)
		}
	}
}

// heardRead adds one table that the engine reads. It names views too, which
// are no tables, and common table expressions where no column of theirs is used.
func (t *touched) heardRead(c *Catalog, sh *shape, name string, column bool) {
	r := c.relations[name]
	switch {
	case r != nil && c.knows(name):
		if r.base || r.virtual() {
			t.inspect(r)
		}
	case tabularSQLite[name], internalName(name):
		t.tabular(name)
	case !column && (contains(sh.ctes, name) || c.viewCTEs[name]):
	default:
		t.forbid(UnknownRelation)
		t.stale = true
	}
}

// bodies gathers the views behind a name, for their literals.
func (t *touched) bodies(c *Catalog, r *relation, seen map[*relation]bool) {
	if seen[r] {
		return
	}
	seen[r] = true
	t.enter(r)
	for i := range r.queries {
		q := &r.queries[i]
		t.views = append(t.views, q)
		t.placed(c, &q.shape)
		for _, hit := range q.hits {
			t.bodies(c, hit, seen)
		}
	}
}

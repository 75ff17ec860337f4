package analysis

// touched is what one statement of data reads and changes, gathered by any of
// the three ways.
type touched struct {
	reads  map[string]bool
	writes map[string]ops
	closed map[string]ops  // changes whose consequences are in writes
	calls  map[string]bool // functions that were seen to be called

	recurses bool            // a common table expression reads itself, or may
	views    []*query        // bodies of the views behind the names in the text
	through  map[string]bool // the names of those views
	reason   Reason          // the first thing that forbids caching

	replaced   bool // a conflict on the way may be resolved by REPLACE
	everything bool
	stale      bool // the catalog does not fit the statement
}

func newTouched() *touched {
	return &touched{
		reads: map[string]bool{}, writes: map[string]ops{}, calls: map[string]bool{}, through: map[string]bool{},
	}
}

func (t *touched) forbid(r Reason) {
	if t.reason == Cached {
		t.reason = r
	}
}

// read adds what a name in the catalog stands for: itself where it is a table,
// what the view reads where it is one.
func (t *touched) read(c *Catalog, r *relation, seen map[*relation]bool) {
	if seen[r] {
		return
	}
	seen[r] = true
	t.inspect(r)
	t.enter(r)
	for i := range r.queries {
		q := &r.queries[i]
		t.views = append(t.views, q)
		t.recurses = t.recurses || len(q.ctes) > 0
		for _, call := range q.calls {
			t.calls[call.name] = true
		}
		if q.rowid {
			t.reads[Rowid] = true
		}
		if q.clock {
			t.forbid(Volatile)
		}
		for _, ref := range q.refs {
			t.resolve(c, &q.shape, ref)
		}
		for _, hit := range q.hits {
			t.read(c, hit, seen)
		}
	}
}

// inspect adds one relation itself, and what forbids caching it.
func (t *touched) inspect(r *relation) {
	if r.base || r.virtual() {
		t.reads[r.name] = true
	}
	switch {
	case r.internal:
		t.forbid(InternalTable)
	case r.virtual(), r.shadow:
		t.forbid(VirtualTable)
	case r.unclear:
		t.forbid(UnknownRelation)
	}
	for _, name := range r.computed {
		t.calls[name] = true
	}
}

// enter notes that the statement reads through a relation, if it is a view.
func (t *touched) enter(r *relation) {
	if r.view {
		t.through[r.name] = true
	}
}

// resolve checks that a name in the place of a table is known.
func (t *touched) resolve(c *Catalog, sh *shape, ref ref) {
	if ref.cte || c.knows(ref.name) {
		return
	}
	switch {
	case ref.call || ref.schema == "" && tabularSQLite[ref.name]:
		t.tabular(ref.name)
	case internalName(ref.name):
		t.forbid(InternalTable)
	case ref.schema == "" && contains(sh.ctes, ref.name):
	default:
		t.forbid(UnknownRelation)
		t.stale = true
	}
}

// tabular checks a function in the place of a table.
func (t *touched) tabular(name string) {
	switch {
	case tabularSQLite[name]:
	case internalName(name):
		t.forbid(InternalTable)
	default:
		t.forbid(VirtualTable)
	}
}

// internalName reports whether a name that no catalog shows belongs to the
// engine itself.
func internalName(name string) bool {
	return hasPrefix(name, "sqlite_") || hasPrefix(name, "pragma_")
}

func hasPrefix(s, prefix string) bool { return len(s) >= len(prefix) && s[:len(prefix)] == prefix }

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// knows reports whether a relation stands behind name.
func (c *Catalog) knows(name string) bool {
	r := c.relations[name]
	return r != nil && (r.base || r.view || r.virtual())
}

// follow runs add, which adds changes and all that follows from them. Where a
// conflict may be resolved by REPLACE anywhere on the way, it runs again with
// that policy everywhere: what fires for a row that REPLACE deletes inherits it.
func (t *touched) follow(replace bool, add func(replace bool)) {
	t.replaced, t.closed = false, map[string]ops{}
	add(replace)
	if t.replaced && !replace {
		clear(t.closed)
		add(true)
	}
}

// change adds a change of a table and all that follows from it. Foreign keys
// count whether or not they are enforced: that is a setting of the connection.
func (t *touched) change(c *Catalog, name string, o ops, replace bool) {
	r := c.relations[name]
	if r == nil || !c.knows(name) {
		t.everything, t.stale = true, true
		return
	}
	if o&(opInsert|opUpdate) != 0 {
		t.replaced = t.replaced || r.replaces
		if replace || r.replaces {
			o |= opDelete
		}
	}
	fresh := o &^ t.closed[name]
	if fresh == 0 {
		return
	}
	t.closed[name] |= fresh
	t.writes[name] |= fresh
	t.storage(r)
	for _, tr := range r.triggers {
		if tr.on&fresh == 0 {
			continue
		}
		t.everything = t.everything || tr.unclear
		for _, call := range tr.calls {
			t.calls[call] = true
		}
		for _, w := range tr.writes {
			t.change(c, w.name, w.ops, replace)
		}
	}
	t.cascade(c, r, fresh, replace)
}

// cascade adds what foreign keys do to the children of a changed table.
func (t *touched) cascade(c *Catalog, r *relation, fresh ops, replace bool) {
	for _, k := range r.children {
		var does ops
		if fresh&opDelete != 0 {
			does |= k.onDelete
		}
		if fresh&opUpdate != 0 {
			does |= k.onUpdate
		}
		if does != 0 {
			t.change(c, k.name, does, replace)
		}
	}
}

// storage adds what lies behind a changed relation.
func (t *touched) storage(r *relation) {
	if r.virtual() {
		t.everything = t.everything || !knownModules[r.module]
		for _, name := range r.shadows {
			t.writes[name] |= opInsert | opUpdate | opDelete
		}
	}
	switch r.name {
	case "sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema":
		t.everything = true
	}
	for _, name := range r.computed {
		t.calls[name] = true
	}
	for _, name := range r.checked {
		t.calls[name] = true
	}
}

// witnessed adds changes that the engine itself has shown, triggers and their
// effects included. What it shows depends on settings of its connection, so the
// foreign keys and the deletions of REPLACE are closed over besides. That may
// come back to a table it has shown, with other columns or another trigger.
func (t *touched) witnessed(c *Catalog, seen map[string]ops, replace bool) {
	for name, o := range seen {
		r := c.relations[name]
		if r == nil || !c.knows(name) {
			t.everything, t.stale = true, true
			continue
		}
		t.writes[name] |= o
		t.replaced = t.replaced || r.replaces && o&(opInsert|opUpdate) != 0
		t.storage(r)
	}
	for name, o := range seen {
		r := c.relations[name]
		if r == nil {
			continue
		}
		if replace && o&(opInsert|opUpdate) != 0 && o&opDelete == 0 {
			t.change(c, name, opDelete, true)
		}
		t.cascade(c, r, o, replace)
	}
}

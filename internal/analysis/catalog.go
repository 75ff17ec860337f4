package analysis

import (
	"maps"
	"slices"
	"strings"

	"github.com/querycache/querycache/internal/sqltok"
)

// Catalog is an immutable snapshot of what a schema hides behind its names:
// views, triggers, foreign keys, virtual tables and registered functions.
// Relations of all attached databases that share a bare name are one.
type Catalog struct {
	version        string
	dialect        Dialect
	relations      map[string]*relation
	functions      map[string]function
	functionsKnown bool
	shadowsKnown   bool
	viewCTEs       map[string]bool // names that common table expressions of views have
	mayFail        bool            // FAIL or ROLLBACK stands in some table or trigger
}

// Version returns the schema versions of every database of the connection when
// the catalog was loaded, as [SQLiteVersion] tells them.
func (c *Catalog) Version() string { return c.version }

// Behind returns names, and the tables that are read behind those of them that are
// views.
func (c *Catalog) Behind(names []string) []string {
	all := slices.Clone(names)
	for _, name := range names {
		r := c.relations[name]
		if r == nil || !r.view {
			continue
		}
		t := newTouched()
		t.read(c, r, map[*relation]bool{})
		all = slices.AppendSeq(all, maps.Keys(t.reads))
	}
	return all
}

// function is what the engine says of one function name.
type function struct {
	application   bool // registered by the application or an extension
	deterministic bool
}

// relation is what stands behind one bare name.
type relation struct {
	name     string
	base     bool   // a table with rows of its own
	view     bool   // a view
	module   string // of a virtual table
	shadow   bool   // a virtual table's storage
	internal bool   // sqlite_*

	queries  []query   // the bodies of the views
	triggers []trigger // of tables and views
	children []child   // tables whose foreign keys point here
	shadows  []string  // of a virtual table
	computed []string  // functions in generated columns
	checked  []string  // functions in checks and defaults

	replaces  bool // a constraint, or a trigger that writes here, resolves conflicts by REPLACE
	conflicts bool // a constraint has any conflict clause
	unclear   bool // the definition could not be read
}

// virtual reports whether rows come from a module.
func (r *relation) virtual() bool { return r.module != "" }

// query is the body of a view: what it reads, by name.
type query struct {
	statement
	shape
}

// trigger is what one trigger does.
type trigger struct {
	on      ops
	writes  []write
	calls   []string
	unclear bool
}

// write is a change of one table.
type write struct {
	name     string
	ops      ops
	replaces bool
}

// child is what a change of a parent's row does to a table that points to it.
type child struct {
	name     string
	onDelete ops
	onUpdate ops
}

// entry is one row of a schema table.
type entry struct {
	kind, name, table, sql string
}

// knownModules are the modules of virtual tables that write to their own
// storage only. What another one writes is not known.
var knownModules = set(`fts3 fts4 fts5 geopoly rtree rtree_i32`)

// newCatalog returns an empty catalog of SQLite's relations.
func newCatalog() *Catalog {
	return &Catalog{
		dialect:   SQLite,
		relations: map[string]*relation{},
		functions: map[string]function{},
		viewCTEs:  map[string]bool{},
	}
}

// relation returns what stands behind name, adding it where nothing did.
func (c *Catalog) relation(name string) *relation {
	r := c.relations[name]
	if r == nil {
		r = &relation{name: name}
		c.relations[name] = r
	}
	return r
}

// add takes in one row of a schema table. Views and triggers come after every
// table: their names are told from the relations.
func (c *Catalog) add(e entry) {
	name := fold(e.name)
	switch e.kind {
	case "table":
		c.addTable(c.relation(name), e.sql)
	case "view":
		c.relation(name).view = true
	case "trigger":
		r := c.relation(fold(e.table))
		t := c.readTrigger(e.sql)
		r.triggers = append(r.triggers, t)
		for _, w := range t.writes {
			if w.replaces {
				c.relation(w.name).replaces = true
			}
		}
	}
}

func (c *Catalog) addTable(r *relation, sql string) {
	s, err := lex(c.dialect, sql)
	if sql == "" {
		// Tables without a definition are the engine's own.
		r.base, r.internal = true, true
		return
	}
	if err != nil || len(s.toks) < 3 {
		r.base, r.unclear = true, true
		c.mayFail = true
		return
	}
	if s.toks[1].Is(sqltok.KwVirtual) {
		r.module = moduleOf(s)
		return
	}
	r.base = true
	c.readConflicts(r, s)
	c.readForeignKeys(r.name, s)
	for i, t := range s.toks {
		if s.at(i+1).Kind != sqltok.Open {
			if t.Is(sqltok.KwDefault) && s.at(i+1).Kind == sqltok.Word && volatileSQLite[s.name(i+1)] {
				r.checked = append(r.checked, s.name(i+1)) // CURRENT_TIMESTAMP
			}
			continue
		}
		switch t.Keyword {
		case sqltok.KwAs:
			r.computed = append(r.computed, calls(s, i+1, s.closing(i+1))...)
		case sqltok.KwCheck, sqltok.KwDefault:
			r.checked = append(r.checked, calls(s, i+1, s.closing(i+1))...)
		}
	}
}

// calls returns the functions that an expression between two tokens calls.
func calls(s statement, from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		t := s.toks[i]
		if t.Kind != sqltok.Word && t.Kind != sqltok.Quoted || s.at(i+1).Kind != sqltok.Open ||
			reserved(t.Keyword) || s.at(i-1).Is(sqltok.KwAs) {
			continue
		}
		out = append(out, s.name(i))
	}
	return out
}

// moduleOf returns the name behind USING in CREATE VIRTUAL TABLE.
func moduleOf(s statement) string {
	for i, t := range s.toks {
		if t.Is(sqltok.KwUsing) && s.at(i+1).IsName() {
			return s.name(i + 1)
		}
	}
	return "?"
}

func (c *Catalog) readConflicts(r *relation, s statement) {
	for i, t := range s.toks {
		if t.Is(sqltok.KwFail) || t.Is(sqltok.KwRollback) {
			c.mayFail = true
		}
		if t.Is(sqltok.KwConflict) {
			r.conflicts = true
			r.replaces = r.replaces || s.at(i+1).Is(sqltok.KwReplace)
		}
	}
}

// readForeignKeys finds what deleting from or updating a parent does to the
// table whose definition s is.
func (c *Catalog) readForeignKeys(table string, s statement) {
	for i, t := range s.toks {
		if !t.Is(sqltok.KwReferences) || !s.at(i+1).IsName() {
			continue
		}
		k := child{name: table}
		for j := i + 2; j < len(s.toks) && !s.at(j).Is(sqltok.KwReferences); j++ {
			if !s.at(j - 1).Is(sqltok.KwOn) {
				continue
			}
			var does ops
			switch next := s.at(j + 1); {
			case next.Is(sqltok.KwCascade) && s.at(j).Is(sqltok.KwDelete):
				does = opDelete
			case next.Is(sqltok.KwCascade), next.Is(sqltok.KwSet):
				does = opUpdate
			}
			switch s.at(j).Keyword {
			case sqltok.KwDelete:
				k.onDelete |= does
			case sqltok.KwUpdate:
				k.onUpdate |= does
			}
		}
		if k.onDelete|k.onUpdate != 0 {
			parent := c.relation(s.name(i + 1))
			parent.children = append(parent.children, k)
		}
	}
}

// readTrigger finds when a trigger fires and what its body writes.
func (c *Catalog) readTrigger(sql string) trigger {
	s, err := lex(c.dialect, sql)
	body := -1
	if err == nil {
		body = index(s, sqltok.KwBegin)
	}
	if body < 0 {
		c.mayFail = true
		return trigger{on: opInsert | opUpdate | opDelete, unclear: true}
	}
	t := trigger{on: firesOn(s, body)}
	for _, tok := range s.toks {
		c.mayFail = c.mayFail || tok.Is(sqltok.KwFail) || tok.Is(sqltok.KwRollback)
	}
	t.calls = calls(s, max(index(s, sqltok.KwWhen), 0), body)
	rest := s.toks[body+1:]
	for len(rest) > 0 {
		n := 0
		for n < len(rest) && rest[n].Kind != sqltok.Semicolon {
			n++
		}
		one := statement{text: s.text, toks: rest[:n]}
		rest = rest[min(n+1, len(rest)):]
		if n == 0 || len(rest) == 0 && one.toks[0].Is(sqltok.KwEnd) {
			continue
		}
		t.read(walk(one, nil))
	}
	return t
}

// read adds one statement of a trigger's body.
func (t *trigger) read(sh shape) {
	t.unclear = t.unclear || !sh.ok || sh.dml
	for _, c := range sh.calls {
		t.calls = append(t.calls, c.name)
	}
	for _, r := range sh.refs {
		if r.ops != opRead {
			t.writes = append(t.writes, write{name: r.name, ops: sh.effect(r.ops), replaces: sh.policy == sqltok.KwReplace})
		}
	}
}

// effect adds to what a statement does to its target what its conflict clauses
// may do besides.
func (s *shape) effect(o ops) ops {
	if s.doUpdate {
		o |= opUpdate
	}
	if s.policy == sqltok.KwReplace {
		o |= opDelete
	}
	return o
}

// firesOn finds the event of a trigger between its name and its body: the last
// verb before the ON that names the table.
func firesOn(s statement, body int) ops {
	for i := range body {
		switch {
		case !s.at(i+1).Is(sqltok.KwOn) && !s.at(i+1).Is(sqltok.KwOf):
		case s.at(i).Is(sqltok.KwInsert):
			return opInsert
		case s.at(i).Is(sqltok.KwDelete):
			return opDelete
		case s.at(i).Is(sqltok.KwUpdate):
			return opUpdate
		}
	}
	return opInsert | opUpdate | opDelete
}

// finish reads the views, once every name is known, and ties the storage of
// virtual tables to them.
func (c *Catalog) finish(views []entry) {
	for _, e := range views {
		r := c.relation(fold(e.name))
		s, err := lex(c.dialect, e.sql)
		as := -1
		if err == nil {
			as = index(s, sqltok.KwAs)
		}
		if as < 0 {
			r.unclear = true
			continue
		}
		body := statement{text: s.text, toks: s.toks[as+1:]}
		q := query{statement: body, shape: walk(body, c)}
		r.unclear = r.unclear || !q.ok || q.dml || !q.reads()
		r.queries = append(r.queries, q)
		for _, name := range q.ctes {
			c.viewCTEs[name] = true
		}
	}
	c.tieShadows()
}

// tieShadows finds the virtual table that a table's name begins with. Engines
// before 3.37 do not say which tables are shadows: there, any such name is one.
func (c *Catalog) tieShadows() {
	for name, r := range c.relations {
		r.internal = r.internal || strings.HasPrefix(name, "sqlite_")
		for i := range len(name) {
			if name[i] != '_' || c.shadowsKnown && !r.shadow {
				continue
			}
			if owner := c.relations[name[:i]]; owner != nil && owner.virtual() {
				r.shadow = true
				owner.shadows = append(owner.shadows, name)
			}
		}
	}
}

// index returns the place of the first bare keyword k, or -1.
func index(s statement, k sqltok.Keyword) int {
	for i, t := range s.toks {
		if t.Is(k) {
			return i
		}
	}
	return -1
}

// lex cuts a definition from the schema into tokens.
func lex(d Dialect, sql string) (statement, error) {
	toks, err := sqltok.Scan(d, sql)
	return statement{text: sql, toks: toks}, err
}

// fold returns name with ASCII letters in lower case.
func fold(name string) string {
	for i := range len(name) {
		if c := name[i]; c >= 'A' && c <= 'Z' {
			b := []byte(name)
			for ; i < len(b); i++ {
				if b[i] >= 'A' && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return name
}

package analysis

import "github.com/querycache/querycache/internal/sqltok"

// statement is one statement of a text: a run of its tokens without the final
// semicolon.
type statement struct {
	text string
	toks []sqltok.Token
}

func (s statement) source() string {
	if len(s.toks) == 0 {
		return ""
	}
	return s.text[s.toks[0].Start:s.toks[len(s.toks)-1].End]
}

// at returns the token at i, or one of no kind outside the statement.
func (s statement) at(i int) sqltok.Token {
	if i < 0 || i >= len(s.toks) {
		return sqltok.Token{}
	}
	return s.toks[i]
}

func (s statement) name(i int) string { return s.toks[i].Name(s.text) }

// ops is a set of what is done to a table.
type ops uint8

const (
	opRead ops = 1 << iota
	opInsert
	opUpdate
	opDelete
)

// ref is a name in a place where only a table can stand.
type ref struct {
	schema, name string
	ops          ops
	call         bool // a table-valued function
	cte          bool // surely a common table expression
}

// call is a function and its arguments: the tokens between open and end, or an
// operator that is a function behind the scenes where open is negative.
type call struct {
	name      string
	open, end int
}

// shape is what the text of one statement of data shows.
type shape struct {
	verb   sqltok.Keyword // SELECT, VALUES, INSERT, REPLACE, UPDATE or DELETE
	policy sqltok.Keyword // of INSERT OR, UPDATE OR; REPLACE for REPLACE INTO
	refs   []ref
	calls  []call
	ctes   []string    // the name of every common table expression
	hits   []*relation // relations of the catalog by any name in the text

	ok        bool // the text was understood
	with      bool
	returning bool
	doUpdate  bool // ON CONFLICT DO UPDATE
	clock     bool // CURRENT_TIMESTAMP and the like
	rowid     bool
	params    bool
	dml       bool // INSERT, UPDATE, DELETE or INTO where a read cannot have it
}

func (s *shape) reads() bool { return s.verb == sqltok.KwSelect || s.verb == sqltok.KwValues }

// place is where the walker stands inside one pair of parentheses.
type place uint8

const (
	inExpr   place = iota
	atTable        // a table, a subquery or a parenthesised join comes next
	inTables       // after a table of a FROM list: a comma starts another
)

type level struct {
	place place
	with  bool // in the list of a WITH: a comma starts another
	ctes  int  // how many were in scope outside
	call  int  // index into calls, or -1
}

// walker reads the tokens of one statement once, left to right.
type walker struct {
	statement
	shape
	cat    *Catalog
	levels []level
	scope  []string // common table expressions in scope
	verbAt int
	call   int // of the function name just read, or -1
	buf    [64]byte
}

// walk reads a statement of data. The relations of cat are found by any name.
func walk(s statement, cat *Catalog) shape {
	var room [16]level
	w := walker{statement: s, cat: cat, levels: append(room[:0], level{call: -1}), call: -1}
	w.verbAt = w.mainVerb()
	if w.verbAt < 0 {
		return w.shape
	}
	w.verb = s.toks[w.verbAt].Keyword
	w.with = w.verbAt > 0
	w.ok = true
	for i := 0; i < len(s.toks); i++ {
		i = w.step(i)
	}
	w.ok = w.ok && len(w.levels) == 1 && w.levels[0].place != atTable
	return w.shape
}

// mainVerb returns the index of the keyword that says what the statement does,
// behind the list of a WITH, or -1.
func (w *walker) mainVerb() int {
	i := 0
	if w.at(0).Is(sqltok.KwWith) {
		body := w.withHeader(0)
		for body >= 0 {
			i = w.closing(body) + 1
			if w.at(i).Kind != sqltok.Comma {
				break
			}
			body = w.cteHeader(i + 1)
		}
	}
	switch w.at(i).Keyword {
	case sqltok.KwSelect, sqltok.KwValues, sqltok.KwInsert, sqltok.KwReplace, sqltok.KwUpdate, sqltok.KwDelete:
		return i
	default:
		return -1
	}
}

// closing returns the index of the parenthesis that closes the one at i, or
// the number of tokens where none does.
func (s statement) closing(i int) int {
	depth := 0
	for ; i < len(s.toks); i++ {
		switch s.toks[i].Kind {
		case sqltok.Open:
			depth++
		case sqltok.Close:
			if depth--; depth == 0 {
				return i
			}
		default:
		}
	}
	return i
}

// withHeader returns the index of the parenthesis that opens the first body of
// the WITH at i, or -1 where it is no such clause but a name.
func (w *walker) withHeader(i int) int {
	if body := w.cteHeader(i + 1); body >= 0 {
		return body
	}
	if w.at(i + 1).Is(sqltok.KwRecursive) {
		return w.cteHeader(i + 2)
	}
	return -1
}

// cteHeader does the same for the common table expression whose name is at i.
func (w *walker) cteHeader(i int) int {
	if !w.at(i).IsName() {
		return -1
	}
	if i++; w.at(i).Kind == sqltok.Open {
		i = w.closing(i) + 1
	}
	if !w.at(i).Is(sqltok.KwAs) {
		return -1
	}
	if i++; w.at(i).Is(sqltok.KwNot) {
		i++
	}
	if w.at(i).Is(sqltok.KwMaterialized) {
		i++
	}
	if w.at(i).Kind != sqltok.Open {
		return -1
	}
	return i
}

func (w *walker) here() *level { return &w.levels[len(w.levels)-1] }

// step reads what stands at i and returns the index of the last token read.
func (w *walker) step(i int) int {
	switch t := w.toks[i]; t.Kind {
	case sqltok.Open:
		w.open()
	case sqltok.Close:
		w.close(i)
	case sqltok.Comma:
		return w.comma(i)
	case sqltok.Param:
		w.params = true
	case sqltok.Operator:
		if s := t.Text(w.text); len(s) > 1 && s[0] == '-' {
			w.calls = append(w.calls, call{name: s, open: -1})
		}
	case sqltok.Word, sqltok.Quoted, sqltok.String:
		return w.word(i)
	default:
	}
	return i
}

func (w *walker) open() {
	here := w.here()
	inner := level{ctes: len(w.scope), call: w.call}
	if here.place == atTable {
		here.place, inner.place = inTables, atTable
	}
	w.call = -1
	w.levels = append(w.levels, inner)
}

func (w *walker) close(i int) {
	here := *w.here()
	if len(w.levels) == 1 || here.place == atTable {
		w.ok = false
		return
	}
	if here.call >= 0 {
		w.calls[here.call].end = i
	}
	w.scope = w.scope[:here.ctes]
	w.levels = w.levels[:len(w.levels)-1]
}

func (w *walker) comma(i int) int {
	here := w.here()
	if here.with {
		if body := w.cteHeader(i + 1); body >= 0 {
			return w.define(i+1, body)
		}
	}
	if here.place == inTables {
		here.place = atTable
	}
	return i
}

// define brings the common table expression at i into scope. Its own body sees
// it too: SQLite takes the name there for a recursive reference or an error,
// never for a table.
func (w *walker) define(i, body int) int {
	name := w.name(i)
	w.scope = append(w.scope, name)
	w.ctes = append(w.ctes, name)
	w.here().with = true
	return body - 1
}

// word reads a name, a keyword or a string.
func (w *walker) word(i int) int {
	t := w.toks[i]
	if w.here().place == atTable && !w.subquery(i) {
		return w.table(i, opRead)
	}
	if t.Keyword != 0 {
		if last, done := w.keyword(i, t.Keyword); done {
			return last
		}
	}
	if t.Kind == sqltok.String {
		return i
	}
	if w.at(i+1).Kind == sqltok.Open && w.callable(i) {
		w.call = len(w.calls)
		w.calls = append(w.calls, call{name: w.name(i), open: i + 1})
		return i
	}
	if w.at(i+1).Kind != sqltok.Dot {
		w.look(i)
	}
	return i
}

// subquery reports whether a query begins at i where a table may stand.
func (w *walker) subquery(i int) bool {
	switch w.toks[i].Keyword {
	case sqltok.KwSelect, sqltok.KwValues:
		return true
	case sqltok.KwWith:
		return w.withHeader(i) >= 0
	default:
		return false
	}
}

// look finds what the catalog knows by the name at i.
func (w *walker) look(i int) {
	name := w.toks[i].AppendName(w.buf[:0], w.text)
	switch string(name) {
	case "rowid", "_rowid_", "oid":
		w.rowid = true
	}
	if w.cat == nil {
		return
	}
	if r := w.cat.relations[string(name)]; r != nil {
		w.hits = append(w.hits, r)
	}
}

// table reads the name of a table that begins at i.
func (w *walker) table(i int, o ops) int {
	if !w.at(i).IsName() {
		w.ok = false
		return i - 1
	}
	here := w.here()
	here.place = inTables
	r := ref{ops: o}
	if w.at(i+1).Kind == sqltok.Dot && w.at(i+2).IsName() {
		r.schema = w.name(i)
		i += 2
	}
	if w.at(i+1).Is(sqltok.KwAs) && w.at(i+2).Kind == sqltok.Open {
		return i // WINDOW a AS (…), b AS (…)
	}
	r.name = w.name(i)
	r.call = o == opRead && w.at(i+1).Kind == sqltok.Open
	if o == opRead && r.schema == "" && !r.call {
		for _, cte := range w.scope {
			r.cte = r.cte || cte == r.name
		}
	}
	if o != opRead {
		here.place = inExpr
	}
	if !r.cte {
		w.look(i)
	}
	w.refs = append(w.refs, r)
	return i
}

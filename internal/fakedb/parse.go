package fakedb

import "strings"

type statementKind int

const (
	kindSelect statementKind = iota
	kindInsert
	kindUpdate
	kindDelete
	kindCreate
	kindDrop
	kindBegin
	kindCommit
	kindRollback
	kindSavepoint
	kindRollbackTo
	kindRelease
	kindSetting
)

// writes reports whether a statement of this kind may change a table.
func (k statementKind) writes() bool { return kindInsert <= k && k <= kindDrop }

// statement is one parsed statement.
type statement struct {
	kind      statementKind
	table     string
	ifExists  bool
	sources   []source
	fields    []field
	aggregate bool
	columns   []string
	values    [][]expr
	sets      []assignment
	where     expr
	order     []ordering
	limit     expr
	define    []Column
}

// yields reports whether the statement returns rows.
func (s *statement) yields() bool {
	return s.kind == kindSelect || s.fields != nil || s.kind == kindSetting
}

type source struct{ table, alias string }

// field is one item of a select list: an expression, or a star.
type field struct {
	name   string
	value  expr
	column columnRef
	star   bool
}

type columnRef struct{ table, name string }

type assignment struct {
	column string
	value  expr
}

type ordering struct {
	value      expr
	descending bool
}

// program is a parsed text: its statements and its parameters.
type program struct {
	statements []*statement
	params     int
	// converted tells by parameter, counted from 1, which column it is written to.
	converted map[int]columnRef
}

// parser reads tokens. The first error sticks and ends it.
type parser struct {
	text      string
	tokens    []token
	pos       int
	err       error
	named     map[string]int
	prog      program
	aggregate bool
}

func parse(text string) (*program, error) {
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := &parser{text: text, tokens: tokens, named: map[string]int{}}
	p.prog.converted = map[int]columnRef{}
	for p.err == nil && p.peek().kind != tokenEOF {
		if p.accept(";") {
			continue
		}
		s := p.statement()
		if p.peek().kind != tokenEOF && !p.peek().is(";") {
			p.fail()
		}
		p.prog.statements = append(p.prog.statements, s)
	}
	if p.err != nil {
		return nil, p.err
	}
	return &p.prog, nil
}

func (p *parser) peek() token { return p.tokens[p.pos] }

func (p *parser) next() token {
	t := p.tokens[p.pos]
	if t.kind != tokenEOF {
		p.pos++
	}
	return t
}

func (p *parser) fail() {
	if p.err == nil {
		p.err = syntaxError(p.text, p.peek().start)
	}
	p.pos = len(p.tokens) - 1
}

// accept consumes the words if they come next, all of them.
func (p *parser) accept(words ...string) bool {
	for i, w := range words {
		if p.pos+i >= len(p.tokens) || !p.tokens[p.pos+i].is(w) {
			return false
		}
	}
	p.pos += len(words)
	return true
}

func (p *parser) expect(words ...string) {
	if !p.accept(words...) {
		p.fail()
	}
}

// ident reads a name: a bare or quoted word, without its schema.
func (p *parser) ident() string {
	name := p.word()
	for p.accept(".") {
		name = p.word()
	}
	return strings.ToLower(name)
}

func (p *parser) word() string {
	t := p.peek()
	if t.kind != tokenWord && t.kind != tokenQuoted {
		p.fail()
		return ""
	}
	return p.next().text
}

func (p *parser) idents() []string {
	p.expect("(")
	list := []string{p.ident()}
	for p.accept(",") {
		list = append(list, p.ident())
	}
	p.expect(")")
	return list
}

func (p *parser) statement() *statement {
	s := new(statement)
	switch {
	case p.accept("select"):
		p.selectStatement(s)
	case p.accept("insert", "into"):
		p.insert(s)
	case p.accept("update"):
		p.update(s)
	case p.accept("delete", "from"):
		s.kind, s.table = kindDelete, p.ident()
		p.whereClause(s)
		p.returning(s)
	case p.accept("create", "table"):
		p.create(s)
	case p.accept("drop", "table"):
		s.kind, s.ifExists = kindDrop, p.accept("if", "exists")
		s.table = p.ident()
	default:
		p.control(s)
	}
	return s
}

// control reads a statement about the transaction or the session.
func (p *parser) control(s *statement) {
	switch {
	case p.accept("begin"), p.accept("start", "transaction"):
		s.kind = kindBegin
		_ = p.accept("deferred") || p.accept("immediate") || p.accept("exclusive")
		p.accept("transaction")
	case p.accept("commit"), p.accept("end"):
		s.kind = kindCommit
		p.accept("transaction")
	case p.accept("rollback"):
		s.kind = kindRollback
		p.accept("transaction")
		if p.accept("to") {
			p.accept("savepoint")
			s.kind, s.table = kindRollbackTo, p.ident()
		}
	case p.accept("savepoint"):
		s.kind, s.table = kindSavepoint, p.ident()
	case p.accept("release"):
		p.accept("savepoint")
		s.kind, s.table = kindRelease, p.ident()
	case p.accept("pragma"), p.accept("set"):
		s.kind, s.table = kindSetting, p.ident()
		if p.accept("=") {
			s.limit = p.expr()
		}
	default:
		p.fail()
	}
}

func (p *parser) selectStatement(s *statement) {
	s.fields, s.aggregate = p.fields()
	if p.accept("from") {
		s.sources = []source{p.source()}
		for p.accept(",") || p.accept("join") || p.accept("inner", "join") {
			s.sources = append(s.sources, p.source())
			if p.accept("on") {
				s.where = both(s.where, p.expr())
			}
		}
	}
	p.whereClause(s)
	if p.accept("order", "by") {
		s.order = []ordering{p.ordering()}
		for p.accept(",") {
			s.order = append(s.order, p.ordering())
		}
	}
	if p.accept("limit") {
		s.limit = p.expr()
	}
}

func (p *parser) ordering() ordering {
	o := ordering{value: p.expr()}
	o.descending = p.accept("desc")
	if !o.descending {
		p.accept("asc")
	}
	return o
}

func (p *parser) source() source {
	s := source{table: p.ident()}
	s.alias = s.table
	if p.accept("as") {
		s.alias = p.ident()
	} else if t := p.peek(); t.kind == tokenWord && !reserved[strings.ToLower(t.text)] {
		s.alias = p.ident()
	}
	return s
}

// reserved are the words that follow a table and are not its alias.
var reserved = map[string]bool{
	"where": true, "order": true, "limit": true, "join": true, "inner": true, "on": true, "set": true,
	"returning": true, "values": true,
}

func (p *parser) whereClause(s *statement) {
	if p.accept("where") {
		s.where = both(s.where, p.expr())
	}
}

func (p *parser) returning(s *statement) {
	if p.accept("returning") {
		s.fields, _ = p.fields()
	}
}

// fields reads a select list and tells whether it aggregates.
func (p *parser) fields() ([]field, bool) {
	p.aggregate = false
	list := []field{p.field()}
	for p.accept(",") {
		list = append(list, p.field())
	}
	return list, p.aggregate
}

func (p *parser) field() field {
	if p.accept("*") {
		return field{star: true}
	}
	start := p.peek().start
	f := field{}
	f.value, f.column = p.exprRef()
	f.name = p.text[start:p.tokens[max(p.pos-1, 0)].end]
	if f.column.name != "" {
		f.name = f.column.name
	}
	if p.accept("as") {
		f.name = p.word()
	}
	return f
}

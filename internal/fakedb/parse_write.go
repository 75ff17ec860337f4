package fakedb

import (
	"strconv"
	"strings"
)

func (p *parser) insert(s *statement) {
	s.kind, s.table = kindInsert, p.ident()
	if p.peek().is("(") {
		s.columns = p.idents()
	}
	if p.accept("default", "values") {
		s.columns, s.values = []string{}, [][]expr{{}}
	} else {
		p.expect("values")
		s.values = [][]expr{p.tuple(s)}
		for p.accept(",") {
			s.values = append(s.values, p.tuple(s))
		}
	}
	p.returning(s)
}

// tuple reads one row of VALUES.
func (p *parser) tuple(s *statement) []expr {
	p.expect("(")
	var list []expr
	for {
		ref := columnRef{table: s.table}
		if len(list) < len(s.columns) {
			ref.name = s.columns[len(list)]
		}
		list = append(list, p.written(ref))
		if !p.accept(",") {
			p.expect(")")
			return list
		}
	}
}

// written reads an expression whose value goes into a column, and remembers the
// column if the expression is one parameter.
func (p *parser) written(to columnRef) expr {
	before, first := p.pos, p.peek()
	e := p.expr()
	if first.kind == tokenParam && p.pos == before+1 {
		p.prog.converted[p.prog.params] = to
	}
	return e
}

func (p *parser) update(s *statement) {
	s.kind, s.table = kindUpdate, p.ident()
	p.expect("set")
	for {
		column := p.ident()
		p.expect("=")
		s.sets = append(s.sets, assignment{column, p.written(columnRef{s.table, column})})
		if !p.accept(",") {
			break
		}
	}
	p.whereClause(s)
	p.returning(s)
}

func (p *parser) create(s *statement) {
	s.kind, s.ifExists = kindCreate, p.accept("if", "not", "exists")
	s.table = p.ident()
	p.expect("(")
	for {
		s.define = append(s.define, p.columnDefinition())
		if !p.accept(",") {
			p.expect(")")
			return
		}
	}
}

func (p *parser) columnDefinition() Column {
	c := Column{Name: p.ident(), Nullable: true}
	if p.peek().kind == tokenWord {
		c.Type = strings.ToUpper(p.word())
	}
	if p.accept("(") {
		c.Length = p.number()
		if p.accept(",") {
			c.Precision, c.Scale, c.Length = c.Length, p.number(), 0
		}
		p.expect(")")
	}
	for {
		switch {
		case p.accept("primary", "key"):
			c.Key, c.Nullable = true, false
		case p.accept("not", "null"):
			c.Nullable = false
		default:
			return c
		}
	}
}

func (p *parser) number() int64 {
	n, err := strconv.ParseInt(p.peek().text, 10, 64)
	if err != nil {
		p.fail()
	}
	p.next()
	return n
}

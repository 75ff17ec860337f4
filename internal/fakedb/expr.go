package fakedb

import (
	"database/sql/driver"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// expr computes a value from a row, or from a group of rows.
type expr func(*env) (driver.Value, error)

// env is what an expression can see.
type env struct {
	args  []driver.NamedValue
	scope []bound
	// group holds the rows that an aggregate runs over.
	group []*env
}

// bound is a row of a table under the name that the statement gives it.
type bound struct {
	alias string
	table *table
	row   []driver.Value
}

func (e *env) column(ref columnRef) (driver.Value, error) {
	for _, b := range e.scope {
		if ref.table != "" && ref.table != b.alias {
			continue
		}
		if i := b.table.column(ref.name); i >= 0 {
			if b.row == nil {
				return nil, nil
			}
			return b.row[i], nil
		}
	}
	return nil, fmt.Errorf("querycache: fakedb: no such column: %s", ref.name)
}

// both returns the conjunction of two conditions, the first of which may be absent.
func both(a, b expr) expr {
	if a == nil {
		return b
	}
	return logical(a, b, false)
}

// logical returns a AND b, or a OR b where or is set.
func logical(a, b expr, or bool) expr {
	return func(e *env) (driver.Value, error) {
		x, err := truth(a, e)
		if err != nil || x == or {
			return x, err
		}
		return truth(b, e)
	}
}

func truth(x expr, e *env) (bool, error) {
	v, err := x(e)
	if err != nil {
		return false, err
	}
	switch v := v.(type) {
	case bool:
		return v, nil
	case int64:
		return v != 0, nil
	}
	return false, nil
}

func (p *parser) expr() expr {
	e, _ := p.exprRef()
	return e
}

// exprRef reads an expression; where it is one column, the reference tells which.
func (p *parser) exprRef() (expr, columnRef) {
	left, ref := p.conjunction()
	for p.accept("or") {
		right, _ := p.conjunction()
		left, ref = logical(left, right, true), columnRef{}
	}
	return left, ref
}

func (p *parser) conjunction() (expr, columnRef) {
	left, ref := p.comparison()
	for p.accept("and") {
		right, _ := p.comparison()
		left, ref = logical(left, right, false), columnRef{}
	}
	return left, ref
}

func (p *parser) comparison() (expr, columnRef) {
	left, ref := p.sum()
	for {
		switch {
		case p.accept("is", "not", "null"):
			left = isNull(left, false)
		case p.accept("is", "null"):
			left = isNull(left, true)
		case p.accept("in"):
			left = p.in(left)
		default:
			op := p.peek()
			accepts := comparisons[op.text]
			if op.kind != tokenOp || accepts == nil {
				return left, ref
			}
			p.next()
			right, _ := p.sum()
			left = binary(left, right, func(a, b driver.Value) (driver.Value, error) {
				return accepts(compare(a, b)), nil
			})
		}
		ref = columnRef{}
	}
}

var comparisons = map[string]func(int) bool{
	"=":  func(c int) bool { return c == 0 },
	"<>": func(c int) bool { return c != 0 },
	"!=": func(c int) bool { return c != 0 },
	"<":  func(c int) bool { return c < 0 },
	"<=": func(c int) bool { return c <= 0 },
	">":  func(c int) bool { return c > 0 },
	">=": func(c int) bool { return c >= 0 },
}

func isNull(x expr, want bool) expr {
	return func(e *env) (driver.Value, error) {
		v, err := x(e)
		return (v == nil) == want, err
	}
}

func (p *parser) in(left expr) expr {
	p.expect("(")
	var found expr = func(*env) (driver.Value, error) { return false, nil }
	for {
		right := p.expr()
		found = logical(found, binary(left, right, func(a, b driver.Value) (driver.Value, error) {
			return compare(a, b) == 0, nil
		}), true)
		if !p.accept(",") {
			p.expect(")")
			return found
		}
	}
}

// binary applies op to two values; NULL in either gives NULL.
func binary(a, b expr, op func(a, b driver.Value) (driver.Value, error)) expr {
	return func(e *env) (driver.Value, error) {
		x, err := a(e)
		if err != nil {
			return nil, err
		}
		y, err := b(e)
		if err != nil || x == nil || y == nil {
			return nil, err
		}
		return op(x, y)
	}
}

func (p *parser) sum() (expr, columnRef) {
	left, ref := p.primary()
	for {
		op := p.peek()
		if op.kind != tokenOp || !arithmeticOps[op.text] {
			return left, ref
		}
		p.next()
		right, _ := p.primary()
		left, ref = binary(left, right, func(a, b driver.Value) (driver.Value, error) {
			return arithmetic(op.text, a, b)
		}), columnRef{}
	}
}

var arithmeticOps = map[string]bool{"+": true, "-": true, "*": true, "/": true, "||": true}

func arithmetic(op string, a, b driver.Value) (driver.Value, error) {
	if op == "||" {
		return asText(a) + asText(b), nil
	}
	x, xok := a.(int64)
	y, yok := b.(int64)
	if !xok || !yok {
		f, fok := number(a)
		g, gok := number(b)
		if !fok || !gok {
			return nil, fmt.Errorf("querycache: fakedb: operator %s wants numbers", op)
		}
		return map[string]float64{"+": f + g, "-": f - g, "*": f * g, "/": f / g}[op], nil
	}
	switch op {
	case "+":
		return x + y, nil
	case "-":
		return x - y, nil
	case "*":
		return x * y, nil
	}
	if y == 0 {
		return nil, fmt.Errorf("querycache: fakedb: division by zero")
	}
	return x / y, nil
}

func (p *parser) primary() (expr, columnRef) {
	start := p.pos
	switch t := p.next(); t.kind {
	case tokenNumber:
		return p.numberLiteral(t.text, 1), columnRef{}
	case tokenString:
		return literal(t.text), columnRef{}
	case tokenBlob:
		b, err := hex.DecodeString(t.text)
		if err != nil {
			p.fail()
		}
		return literal(b), columnRef{}
	case tokenParam:
		return p.param(t.text), columnRef{}
	case tokenWord, tokenQuoted:
		return p.nameLed(t)
	case tokenOp:
		if t.text == "(" {
			e := p.expr()
			p.expect(")")
			return e, columnRef{}
		}
		if t.text == "-" && p.peek().kind == tokenNumber {
			return p.numberLiteral(p.next().text, -1), columnRef{}
		}
	case tokenEOF:
	}
	p.pos = start
	p.fail()
	return literal(nil), columnRef{}
}

func literal(v driver.Value) expr {
	return func(*env) (driver.Value, error) { return v, nil }
}

func (p *parser) numberLiteral(text string, sign int64) expr {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return literal(sign * n)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		p.fail()
	}
	return literal(float64(sign) * f)
}

// nameLed reads what starts with a word: a constant, a function or a column.
func (p *parser) nameLed(t token) (expr, columnRef) {
	switch {
	case t.is("null"):
		return literal(nil), columnRef{}
	case t.is("true"), t.is("false"):
		return literal(t.is("true")), columnRef{}
	case t.is("timestamp") && p.peek().kind == tokenString:
		at, err := time.Parse(time.RFC3339Nano, p.next().text)
		if err != nil {
			p.fail()
		}
		return literal(at), columnRef{}
	case t.kind == tokenWord && p.peek().is("("):
		return p.function(strings.ToLower(t.text)), columnRef{}
	}
	ref := columnRef{name: strings.ToLower(t.text)}
	if p.accept(".") {
		ref.table, ref.name = ref.name, strings.ToLower(p.word())
	}
	return func(e *env) (driver.Value, error) { return e.column(ref) }, ref
}

// function reads the arguments of an aggregate function.
func (p *parser) function(name string) expr {
	fold := aggregates[name]
	if fold == nil {
		p.fail()
		return literal(nil)
	}
	p.expect("(")
	inner := literal(true)
	if name != "count" || !p.accept("*") {
		inner = p.expr()
	}
	p.expect(")")
	p.aggregate = true
	return func(e *env) (driver.Value, error) {
		acc := fold(nil, nil)
		for _, row := range e.group {
			v, err := inner(row)
			if err != nil {
				return nil, err
			}
			if v != nil {
				acc = fold(acc, v)
			}
		}
		return acc, nil
	}
}

// aggregates fold the values that are not NULL; a nil value asks for the start.
var aggregates = map[string]func(acc, v driver.Value) driver.Value{
	"count": func(acc, v driver.Value) driver.Value {
		n, _ := acc.(int64)
		if v == nil {
			return n
		}
		return n + 1
	},
	"sum": func(acc, v driver.Value) driver.Value {
		if acc == nil || v == nil {
			return v
		}
		sum, err := arithmetic("+", acc, v)
		if err != nil {
			return nil
		}
		return sum
	},
	"max": func(acc, v driver.Value) driver.Value {
		if acc == nil || compare(v, acc) > 0 {
			return v
		}
		return acc
	},
	"min": func(acc, v driver.Value) driver.Value {
		if acc == nil || compare(v, acc) < 0 {
			return v
		}
		return acc
	},
}

// param reads ?, ?1, $1, :name or @name.
func (p *parser) param(text string) expr {
	if text == "?" {
		p.prog.params++
		return argument(p.prog.params, "")
	}
	if n, err := strconv.Atoi(text[1:]); err == nil {
		p.prog.params = max(p.prog.params, n)
		return argument(n, "")
	}
	name := text[1:]
	if p.named[name] == 0 {
		p.prog.params++
		p.named[name] = p.prog.params
	}
	return argument(p.named[name], name)
}

// argument returns the argument of that name, or else the unnamed one at that place.
func argument(ordinal int, name string) expr {
	return func(e *env) (driver.Value, error) {
		for _, a := range e.args {
			if name != "" && a.Name == name || a.Name == "" && a.Ordinal == ordinal {
				return a.Value, nil
			}
		}
		return nil, fmt.Errorf("querycache: fakedb: no argument for parameter %d", ordinal)
	}
}

package sqltok

import "fmt"

// Dialect names the SQL of one family of engines. The zero value names none.
type Dialect uint8

// SQLite is the dialect of SQLite 3.
const SQLite Dialect = 1

// String returns the dialect's name.
func (d Dialect) String() string {
	if d == SQLite {
		return "SQLite"
	}
	return fmt.Sprintf("Dialect(%d)", uint8(d))
}

// class says which rule of the lexer reads the token that begins with a byte.
type class uint8

const (
	classIllegal class = iota
	classSpace
	classWord
	classDigit
	classDot
	classQuote
	classMark
	classSigil
	classMinus
	classSlash
	classSingle
	classOperator
	classBlob
	classBOM
)

// quote says how a quoted token ends and what it is.
type quote struct {
	end     byte
	doubled bool
	kind    Kind
}

// rules is what one dialect does its own way; the engine in lex.go reads it.
type rules struct {
	class    [256]class
	space    [256]bool // what may follow once white space has begun
	part     [256]bool // what a word consists of after its first byte
	quotes   [256]quote
	single   [256]Kind
	keywords map[string]Keyword
}

// table returns the rules of d, or nil where d is unknown.
func (d Dialect) table() *rules {
	if d == SQLite {
		return &sqlite
	}
	return nil
}

// sqlite follows the tokenizer of SQLite 3.54 (aiClass and sqlite3CtypeMap).
var sqlite = sqliteRules()

func sqliteRules() rules {
	r := rules{keywords: sqliteKeywords}
	for b := range 256 {
		c := byte(b)
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c >= 0x80:
			r.class[b], r.part[b] = classWord, true
		case c >= '0' && c <= '9':
			r.class[b], r.part[b] = classDigit, true
		}
	}
	r.part['$'] = true
	r.class['x'], r.class['X'] = classBlob, classBlob
	r.class[0xEF] = classBOM
	for _, c := range []byte(" \t\n\f\r") {
		r.class[c], r.space[c] = classSpace, true
	}
	// A vertical tab cannot begin white space, but goes on with it.
	r.space['\v'] = true
	r.quotes['\''] = quote{end: '\'', doubled: true, kind: String}
	r.quotes['"'] = quote{end: '"', doubled: true, kind: Quoted}
	r.quotes['`'] = quote{end: '`', doubled: true, kind: Quoted}
	r.quotes['['] = quote{end: ']', kind: Quoted}
	for b, q := range r.quotes {
		if q.end != 0 {
			r.class[b] = classQuote
		}
	}
	for c, k := range map[byte]Kind{
		'(': Open, ')': Close, ',': Comma, ';': Semicolon,
		'+': Operator, '*': Operator, '%': Operator, '&': Operator, '~': Operator,
	} {
		r.class[c], r.single[c] = classSingle, k
	}
	for _, c := range []byte("=<>!|") {
		r.class[c] = classOperator
	}
	for _, c := range []byte("$@:#") {
		r.class[c] = classSigil
	}
	r.class['.'] = classDot
	r.class['?'] = classMark
	r.class['-'] = classMinus
	r.class['/'] = classSlash
	return r
}

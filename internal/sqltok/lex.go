package sqltok

import (
	"math"
	"strings"
	"unicode/utf8"
)

// Scan cuts text into tokens.
func Scan(d Dialect, text string) ([]Token, error) {
	return Append(make([]Token, 0, 8+len(text)/4), d, text)
}

// Append cuts text into tokens and appends them to dst. On an error it returns
// dst with the tokens before the place that could not be read.
func Append(dst []Token, d Dialect, text string) ([]Token, error) {
	r := d.table()
	switch {
	case r == nil:
		return dst, ErrDialect
	case len(text) > math.MaxInt32:
		return dst, ErrTooLong
	case strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text):
		return dst, ErrEncoding
	}
	l := lexer{rules: r, text: text}
	for l.pos < len(text) {
		start := l.pos
		kind, err := l.next()
		if err != nil {
			return dst, err
		}
		if kind == 0 {
			continue
		}
		t := Token{Start: int32(start), End: int32(l.pos), Kind: kind}
		if kind == Word {
			t.Keyword = l.keyword(text[start:l.pos])
		}
		dst = append(dst, t)
	}
	return dst, nil
}

// lexer reads one text. It is a value on the stack of [Append].
type lexer struct {
	rules *rules
	text  string
	pos   int
}

// at returns the byte n places ahead, or 0 past the end, as in the C sources
// that this follows. NUL itself was refused before.
func (l *lexer) at(n int) byte {
	if l.pos+n < len(l.text) {
		return l.text[l.pos+n]
	}
	return 0
}

// next reads one token, comment or run of white space; the last two are kind 0.
func (l *lexer) next() (Kind, error) {
	c := l.text[l.pos]
	switch l.rules.class[c] {
	case classSpace:
		return l.space(), nil
	case classWord:
		return l.word(), nil
	case classBlob:
		if l.at(1) == '\'' {
			return l.blob()
		}
		return l.word(), nil
	case classBOM:
		if strings.HasPrefix(l.text[l.pos:], "\ufeff") {
			l.pos += 3
			return 0, nil
		}
		return l.word(), nil
	case classDigit:
		return l.number()
	case classDot:
		if isDigit(l.at(1)) {
			return l.number()
		}
		l.pos++
		return Dot, nil
	case classQuote:
		return l.quoted(l.rules.quotes[c])
	case classMark:
		l.pos++
		for isDigit(l.at(0)) {
			l.pos++
		}
		return Param, nil
	case classSigil:
		return l.sigil()
	case classMinus:
		return l.minus(), nil
	case classSlash:
		return l.slash(), nil
	case classSingle:
		l.pos++
		return l.rules.single[c], nil
	case classOperator:
		return l.operator()
	default:
		return 0, ErrIllegal
	}
}

func (l *lexer) space() Kind {
	for l.pos < len(l.text) && l.rules.space[l.text[l.pos]] {
		l.pos++
	}
	return 0
}

func (l *lexer) word() Kind {
	l.pos++
	l.skipPart()
	return Word
}

func (l *lexer) skipPart() {
	for l.pos < len(l.text) && l.rules.part[l.text[l.pos]] {
		l.pos++
	}
}

// keyword looks a bare word up. The longest keyword fits the buffer.
func (l *lexer) keyword(s string) Keyword {
	var buf [longestKeyword]byte
	if len(s) < 2 || len(s) > len(buf) {
		return 0
	}
	for i := range len(s) {
		buf[i] = lower(s[i])
	}
	return l.rules.keywords[string(buf[:len(s)])]
}

func (l *lexer) quoted(q quote) (Kind, error) {
	for i := l.pos + 1; i < len(l.text); i++ {
		if l.text[i] != q.end {
			continue
		}
		if q.doubled && i+1 < len(l.text) && l.text[i+1] == q.end {
			i++
			continue
		}
		l.pos = i + 1
		return q.kind, nil
	}
	return 0, ErrUnterminated
}

func (l *lexer) blob() (Kind, error) {
	i := l.pos + 2
	for i < len(l.text) && isHex(l.text[i]) {
		i++
	}
	if i >= len(l.text) {
		return 0, ErrUnterminated
	}
	if l.text[i] != '\'' || (i-l.pos)%2 != 0 {
		return 0, ErrIllegal
	}
	l.pos = i + 1
	return Blob, nil
}

// number reads a number. A digit separator stands between digits only, and a
// number that runs into a word is no token.
func (l *lexer) number() (Kind, error) {
	if l.at(0) == '0' && lower(l.at(1)) == 'x' && isHex(l.at(2)) {
		l.pos += 2
		l.digits(isHex)
	} else {
		l.digits(isDigit)
		if l.at(0) == '.' {
			l.pos++
			l.digits(isDigit)
		}
		l.exponent()
	}
	if l.pos < len(l.text) && l.rules.part[l.text[l.pos]] {
		return 0, ErrIllegal
	}
	return Number, nil
}

func (l *lexer) digits(is func(byte) bool) {
	for is(l.at(0)) || l.at(0) == '_' && is(l.at(1)) {
		l.pos++
	}
}

func (l *lexer) exponent() {
	if lower(l.at(0)) != 'e' {
		return
	}
	n := 1
	if l.at(n) == '+' || l.at(n) == '-' {
		n++
	}
	if isDigit(l.at(n)) {
		l.pos += n
		l.digits(isDigit)
	}
}

// sigil reads a named parameter: a sigil and a word, "::" inside and a
// parenthesised suffix without white space included.
func (l *lexer) sigil() (Kind, error) {
	l.pos++
	named := false
	for l.pos < len(l.text) {
		c := l.text[l.pos]
		switch {
		case l.rules.part[c]:
			named = true
			l.pos++
		case c == '(' && named:
			return l.suffix()
		case c == ':' && l.at(1) == ':':
			l.pos += 2
		default:
			return l.param(named)
		}
	}
	return l.param(named)
}

func (l *lexer) param(named bool) (Kind, error) {
	if !named {
		return 0, ErrIllegal
	}
	return Param, nil
}

func (l *lexer) suffix() (Kind, error) {
	for l.pos++; l.pos < len(l.text); l.pos++ {
		switch c := l.text[l.pos]; {
		case c == ')':
			l.pos++
			return Param, nil
		case l.rules.space[c]:
			return 0, ErrIllegal
		}
	}
	return 0, ErrUnterminated
}

func (l *lexer) minus() Kind {
	switch {
	case l.at(1) == '-':
		if n := strings.IndexByte(l.text[l.pos:], '\n'); n >= 0 {
			l.pos += n
		} else {
			l.pos = len(l.text)
		}
		return 0
	case l.at(1) == '>' && l.at(2) == '>':
		l.pos += 3
	case l.at(1) == '>':
		l.pos += 2
	default:
		l.pos++
	}
	return Operator
}

// slash reads a division or a comment. A comment may stay open at the end, but
// the text "/*" alone at the end is a division and a star.
func (l *lexer) slash() Kind {
	if l.at(1) != '*' || l.pos+2 >= len(l.text) {
		l.pos++
		return Operator
	}
	if n := strings.Index(l.text[l.pos+2:], "*/"); n >= 0 {
		l.pos += n + 4
	} else {
		l.pos = len(l.text)
	}
	return 0
}

func (l *lexer) operator() (Kind, error) {
	c, n := l.at(0), l.at(1)
	switch {
	case c == '!' && n != '=':
		return 0, ErrIllegal
	case c == '|' && n == '|',
		n == '=' && c != '|',
		c == '<' && (n == '>' || n == '<'),
		c == '>' && n == '>':
		l.pos += 2
	default:
		l.pos++
	}
	return Operator, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isHex(c byte) bool {
	c = lower(c)
	return isDigit(c) || c >= 'a' && c <= 'f'
}

package sqltok

import "strings"

// Canonical returns text without leading and trailing comments, white space and
// empty statements. What is inside stays as it is, since an unnamed column is
// named by its text. Text that cannot be cut into tokens is returned whole.
func Canonical(d Dialect, text string) string {
	var buf [64]Token
	toks, err := Append(buf[:0], d, text)
	if err != nil {
		return text
	}
	return Trim(toks, text)
}

// Trim does what [Canonical] does with the tokens of text at hand.
func Trim(toks []Token, text string) string {
	lo, hi := 0, len(toks)
	for lo < hi && toks[lo].Kind == Semicolon {
		lo++
	}
	for hi > lo && toks[hi-1].Kind == Semicolon {
		hi--
	}
	if lo == hi {
		return ""
	}
	start, end := int(toks[lo].Start), int(toks[hi-1].End)
	switch {
	case Trailing(toks, text):
		end = len(text)
	case namedToTheEnd(toks[lo:hi]) && hi < len(toks):
		end = int(toks[hi].Start)
	case namedToTheEnd(toks[lo:hi]):
		end = len(text)
	}
	return strings.TrimSpace(text[start:end])
}

// Bare returns text without leading and trailing comments, white space and empty
// statements, also where a comment names a column. It identifies nothing.
func Bare(d Dialect, text string) string {
	var buf [64]Token
	toks, err := Append(buf[:0], d, text)
	if err != nil {
		return text
	}
	lo, hi := 0, len(toks)
	for lo < hi && toks[lo].Kind == Semicolon {
		lo++
	}
	for hi > lo && toks[hi-1].Kind == Semicolon {
		hi--
	}
	if lo == hi {
		return ""
	}
	return text[toks[lo].Start:toks[hi-1].End]
}

// Trailing reports whether anything but white space follows the semicolon
// behind the last statement. Drivers take it for one more statement when they
// run a text, and for nothing when they prepare it.
func Trailing(toks []Token, text string) bool {
	hi := len(toks)
	for hi > 0 && toks[hi-1].Kind == Semicolon {
		hi--
	}
	return hi < len(toks) && strings.TrimSpace(text[toks[hi].End:]) != ""
}

// namedToTheEnd reports whether the last column of a SELECT may be named by the
// text up to the end of the statement, comments included: it has no AS, and no
// clause follows.
func namedToTheEnd(toks []Token) bool {
	if n := len(toks); !toks[0].Is(KwSelect) && !toks[0].Is(KwWith) || n > 2 && toks[n-2].Is(KwAs) {
		return false
	}
	depth := 0
	for _, t := range toks {
		switch {
		case t.Kind == Open:
			depth++
		case t.Kind == Close:
			depth--
		case depth > 0:
		case t.Is(KwFrom), t.Is(KwWhere), t.Is(KwGroup), t.Is(KwHaving), t.Is(KwWindow), t.Is(KwOrder), t.Is(KwLimit),
			t.Is(KwUnion), t.Is(KwIntersect), t.Is(KwExcept):
			return false
		}
	}
	return true
}

// Fingerprint returns text with literals and parameters replaced by ?, lists
// of them collapsed to one, comments dropped, white space made uniform and bare
// words in lower case. It groups statements for statistics and decides nothing.
// Text that cannot be cut into tokens is returned whole.
func Fingerprint(d Dialect, text string) string {
	var buf [64]Token
	toks, err := Append(buf[:0], d, text)
	if err != nil {
		return text
	}
	return Shape(toks, text)
}

// Shape does what [Fingerprint] does with the tokens of text at hand.
func Shape(toks []Token, text string) string {
	for len(toks) > 0 && toks[len(toks)-1].Kind == Semicolon {
		toks = toks[:len(toks)-1]
	}
	for len(toks) > 0 && toks[0].Kind == Semicolon {
		toks = toks[1:]
	}
	p := printer{out: make([]byte, 0, len(text)), text: text}
	for i := 0; i < len(toks); i++ {
		if n := listLen(toks[i:]); n > 0 {
			p.put(Token{Kind: Open}, "(")
			p.put(Token{Kind: Param}, "?")
			p.put(Token{Kind: Close}, ")")
			i += n - 1
			i += repeats(toks[i+1:])
			continue
		}
		if toks[i].isSign(text) && i+1 < len(toks) && toks[i+1].Kind == Number && p.opens() {
			continue // It belongs to its number, as in a list.
		}
		p.token(toks[i])
	}
	return string(p.out)
}

func (t Token) isSign(text string) bool {
	return t.Kind == Operator && (t.Text(text) == "-" || t.Text(text) == "+")
}

// opens reports whether a value follows what was printed, so that a sign is no
// subtraction.
func (p *printer) opens() bool {
	switch p.last.Kind {
	case Operator, Open, Comma:
		return true
	default:
		return p.last.Keyword != 0
	}
}

// listLen returns how many tokens a parenthesised list of values spans that
// toks begins with, or 0.
func listLen(toks []Token) int {
	if len(toks) < 3 || toks[0].Kind != Open {
		return 0
	}
	for i := 1; i < len(toks); i += 2 {
		for i < len(toks) && toks[i].Kind == Operator {
			i++ // A sign belongs to its number.
		}
		if i+1 >= len(toks) || !toks[i].isValue() {
			return 0
		}
		switch toks[i+1].Kind {
		case Close:
			return i + 2
		case Comma:
		default:
			return 0
		}
	}
	return 0
}

// repeats returns how many tokens further lists of values span, as in the
// VALUES of an INSERT with several rows.
func repeats(toks []Token) int {
	n := 0
	for n+1 < len(toks) && toks[n].Kind == Comma {
		l := listLen(toks[n+1:])
		if l == 0 {
			break
		}
		n += l + 1
	}
	return n
}

func (t Token) isValue() bool {
	switch t.Kind {
	case String, Blob, Number, Param:
		return true
	default:
		return t.Is(KwNull)
	}
}

// printer joins tokens with one space where two of them need it.
type printer struct {
	out  []byte
	text string
	last Token
}

func (p *printer) token(t Token) {
	switch t.Kind {
	case String, Blob, Number, Param:
		p.put(Token{Kind: Param}, "?")
	case Word:
		p.space(t)
		p.out = appendLower(p.out, t.Text(p.text))
		p.last = t
	default:
		p.put(t, t.Text(p.text))
	}
}

func (p *printer) put(t Token, s string) {
	p.space(t)
	p.out = append(p.out, s...)
	p.last = t
}

// space separates t from what stands before it. Nothing stands beside a dot,
// inside parentheses, before a comma, nor between a name and its arguments.
func (p *printer) space(t Token) {
	switch {
	case len(p.out) == 0, p.last.Kind == Open, p.last.Kind == Dot:
	case t.Kind == Close, t.Kind == Comma, t.Kind == Dot, t.Kind == Semicolon:
	case t.Kind == Open && p.last.Kind == Word && p.last.Keyword == 0:
	default:
		p.out = append(p.out, ' ')
	}
}

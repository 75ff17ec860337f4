package sqltok

import "strings"

// Comment is a comment of a text: text[Start:End], its marks included.
type Comment struct{ Start, End int32 }

// Body returns what stands between the marks of the comment.
func (c Comment) Body(text string) string {
	s := text[c.Start:c.End]
	if strings.HasPrefix(s, "--") {
		return s[2:]
	}
	// A comment may stay open, and "/*/" does not close itself.
	return strings.TrimSuffix(s[2:], "*/")
}

// Outer appends the comments of text that stand before its first statement and
// behind its last one to dst: all but semicolons and white space is between
// the two. toks are the tokens of text. Where text holds no statement, all of
// its comments are outer ones.
func Outer(dst []Comment, d Dialect, toks []Token, text string) []Comment {
	r := d.table()
	if r == nil {
		return dst
	}
	lo, hi := 0, len(toks)
	for lo < hi && toks[lo].Kind == Semicolon {
		lo++
	}
	if lo == hi {
		return appendComments(dst, r, text, 0, len(text))
	}
	for toks[hi-1].Kind == Semicolon {
		hi--
	}
	dst = appendComments(dst, r, text, 0, int(toks[lo].Start))
	return appendComments(dst, r, text, int(toks[hi-1].End), len(text))
}

// appendComments appends the comments of text[start:end], which holds nothing
// else but white space and semicolons.
func appendComments(dst []Comment, r *rules, text string, start, end int) []Comment {
	l := lexer{rules: r, text: text, pos: start}
	for l.pos < end {
		c := Comment{Start: int32(l.pos)}
		if _, err := l.next(); err != nil {
			return dst // Not for a text that was cut into tokens.
		}
		switch c.End = int32(l.pos); r.class[text[c.Start]] {
		case classMinus, classSlash:
			dst = append(dst, c)
		}
	}
	return dst
}

// Package sqltok cuts SQL text into tokens.
//
// It knows words, quotes, comments and parameters, and nothing of grammar.
// One engine reads every dialect; what differs between dialects is data.
package sqltok

import "errors"

// Kind tells what a token is.
type Kind uint8

// The kinds of tokens. White space and comments are no tokens.
const (
	Word      Kind = iota + 1 // a bare word: keyword or name
	Quoted                    // "x", `x` or [x]
	String                    // 'x'
	Blob                      // x'00'
	Number                    // 1, 0x1F, .5, 1e5
	Param                     // ?, ?1, :a, @a, $a::b(c)
	Operator                  // anything of +-*/%=<>!|&~ and their compounds
	Semicolon                 // ;
	Open                      // (
	Close                     // )
	Comma                     // ,
	Dot                       // .
)

// Token is one token: text[Start:End] of the text it was read from.
type Token struct {
	Start, End int32
	Kind       Kind
	Keyword    Keyword // of a bare word that is a keyword this project looks at
}

// Text returns the token as it stands in text.
func (t Token) Text(text string) string { return text[t.Start:t.End] }

// Is reports whether the token is the bare keyword k.
func (t Token) Is(k Keyword) bool { return t.Keyword == k }

// IsName reports whether the token can stand where a name is wanted. SQLite
// takes a string literal there too.
func (t Token) IsName() bool { return t.Kind == Word || t.Kind == Quoted || t.Kind == String }

// Name returns the token without its quotes, ASCII letters folded to lower case.
func (t Token) Name(text string) string { return string(t.AppendName(nil, text)) }

// AppendName appends what [Token.Name] returns to dst, so that a caller with a
// buffer can look a name up without allocating.
func (t Token) AppendName(dst []byte, text string) []byte {
	s := t.Text(text)
	if t.Kind != Quoted && t.Kind != String {
		return appendLower(dst, s)
	}
	end := s[len(s)-1]
	s = s[1 : len(s)-1]
	for i := 0; i < len(s); i++ {
		dst = append(dst, lower(s[i]))
		if s[i] == end && end != ']' {
			i++
		}
	}
	return dst
}

// Unquote returns the token without its quotes, its case kept.
func (t Token) Unquote(text string) string {
	s := t.Text(text)
	if t.Kind != Quoted && t.Kind != String {
		return s
	}
	end := s[len(s)-1]
	out := make([]byte, 0, len(s))
	s = s[1 : len(s)-1]
	for i := 0; i < len(s); i++ {
		out = append(out, s[i])
		if s[i] == end && end != ']' {
			i++
		}
	}
	return string(out)
}

// Errors that [Append] returns for text that cannot be cut into tokens.
var (
	ErrUnterminated = errors.New("querycache: unterminated quote in SQL text")
	ErrIllegal      = errors.New("querycache: illegal character in SQL text")
	ErrEncoding     = errors.New("querycache: SQL text holds NUL or invalid UTF-8")
	ErrTooLong      = errors.New("querycache: SQL text too long")
	ErrDialect      = errors.New("querycache: unknown SQL dialect")
)

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

func appendLower(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = append(dst, lower(s[i]))
	}
	return dst
}

package fakedb

import (
	"fmt"
	"strings"
)

type tokenKind int

const (
	tokenEOF tokenKind = iota
	tokenWord
	tokenQuoted
	tokenNumber
	tokenString
	tokenBlob
	tokenParam
	tokenOp
)

// token is one lexical unit of a statement. Its text has its quotes removed.
type token struct {
	kind       tokenKind
	text       string
	start, end int
}

// is reports whether t is the bare word or the operator s.
func (t token) is(s string) bool {
	return (t.kind == tokenWord || t.kind == tokenOp) && strings.EqualFold(t.text, s)
}

func syntaxError(text string, at int) error {
	rest := text[at:]
	if len(rest) > 20 {
		rest = rest[:20]
	}
	return fmt.Errorf("querycache: fakedb: syntax error near %q", rest)
}

// lex splits text into tokens, the last of which is tokenEOF.
func lex(text string) ([]token, error) {
	var tokens []token
	for i := 0; ; {
		i = skipSpace(text, i)
		if i >= len(text) {
			return append(tokens, token{start: len(text), end: len(text)}), nil
		}
		t, err := lexOne(text, i)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
		i = t.end
	}
}

// skipSpace returns the offset of the first byte from i on that is neither
// white space nor part of a comment.
func skipSpace(text string, i int) int {
	for i < len(text) {
		switch rest := text[i:]; {
		case strings.IndexByte(" \t\r\n\f", text[i]) >= 0:
			i++
		case strings.HasPrefix(rest, "--"):
			n := strings.IndexByte(rest, '\n')
			if n < 0 {
				return len(text)
			}
			i += n + 1
		case strings.HasPrefix(rest, "/*"):
			n := strings.Index(rest, "*/")
			if n < 0 {
				return len(text)
			}
			i += n + 2
		default:
			return i
		}
	}
	return i
}

func lexOne(text string, i int) (token, error) {
	switch c := text[i]; {
	case c == '\'':
		return lexQuoted(text, i, tokenString)
	case c == '"', c == '`', c == '[':
		return lexQuoted(text, i, tokenQuoted)
	case (c == 'x' || c == 'X') && strings.HasPrefix(text[i+1:], "'"):
		t, err := lexQuoted(text, i+1, tokenBlob)
		t.start = i
		return t, err
	case isWordByte(c) && !isDigit(c):
		end := scan(text, i, isWordByte)
		return token{tokenWord, text[i:end], i, end}, nil
	case isDigit(c):
		end := scan(text, i, func(c byte) bool { return isDigit(c) || c == '.' })
		return token{tokenNumber, text[i:end], i, end}, nil
	case c == '?', c == '$', c == ':', c == '@':
		end := scan(text, i+1, isWordByte)
		if c != '?' && end == i+1 {
			return token{}, syntaxError(text, i)
		}
		return token{tokenParam, text[i:end], i, end}, nil
	}
	for _, op := range []string{"<>", "!=", "<=", ">=", "||"} {
		if strings.HasPrefix(text[i:], op) {
			return token{tokenOp, op, i, i + 2}, nil
		}
	}
	if strings.IndexByte("(),;=<>+-*/.", text[i]) >= 0 {
		return token{tokenOp, text[i : i+1], i, i + 1}, nil
	}
	return token{}, syntaxError(text, i)
}

// lexQuoted reads the quoted text that starts at i; a doubled quote stands for one.
func lexQuoted(text string, i int, kind tokenKind) (token, error) {
	quote := text[i]
	if quote == '[' {
		quote = ']'
	}
	var b strings.Builder
	for j := i + 1; j < len(text); j++ {
		if text[j] != quote {
			b.WriteByte(text[j])
			continue
		}
		if j+1 < len(text) && text[j+1] == quote {
			b.WriteByte(quote)
			j++
			continue
		}
		return token{kind, b.String(), i, j + 1}, nil
	}
	return token{}, syntaxError(text, i)
}

func scan(text string, i int, in func(byte) bool) int {
	for i < len(text) && in(text[i]) {
		i++
	}
	return i
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isWordByte(c byte) bool {
	return isDigit(c) || c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}

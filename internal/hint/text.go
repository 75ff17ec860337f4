package hint

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	word  = "querycache"
	white = " \t\n\v\f\r"
	// An error is for a log: a hint may be as long as a statement may.
	longestFault = 100
)

// Error tells what a hint says that is not understood.
type Error struct {
	Text   string // the piece at fault, cut to 100 bytes, valid UTF-8
	Reason string
}

// Error returns the piece at fault and what is wrong with it.
func (e *Error) Error() string { return fmt.Sprintf("hint %q: %s", e.Text, e.Reason) }

func fault(text, reason string) *Error {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	if len(text) > longestFault {
		n := longestFault
		for !utf8.RuneStart(text[n]) {
			n--
		}
		text = text[:n]
	}
	return &Error{Text: text, Reason: reason}
}

// mentioned reports whether text holds the word at all, which next to no text
// does: all others are done with after this.
func mentioned(text string) bool { return mentionedBy(text, 'q') || mentionedBy(text, 'Q') }

func mentionedBy(text string, first byte) bool {
	for {
		n := strings.IndexByte(text, first)
		if n < 0 {
			return false
		}
		if startsWithWord(text[n:]) {
			return true
		}
		text = text[n+1:]
	}
}

func startsWithWord(s string) bool {
	if len(s) < len(word) {
		return false
	}
	for i := range len(word) {
		if s[i]|0x20 != word[i] {
			return false
		}
	}
	return true
}

// opening reports whether the first word of a comment makes it a hint, and
// returns what follows the word.
func opening(body string) (rest string, is bool) {
	body = strings.TrimLeft(body, white)
	if !startsWithWord(body) {
		return "", false
	}
	rest = body[len(word):]
	r, _ := utf8.DecodeRuneInString(rest)
	return rest, r != '_' && r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

// cutItem returns the item that s begins with: all up to white space outside of
// quotes. A doubled quote closes and opens again.
func cutItem(s string) (item string, closed bool) {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case !quoted && strings.IndexByte(white, s[i]) >= 0:
			return s[:i], true
		}
	}
	return s, !quoted
}

// lower folds ASCII only: U+212A is no K of a unit.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, s)
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// Package hint reads the comments of a statement that speak to the cache.
//
// A hint stands in a comment before the first token of a statement or behind
// its last one, where semicolons count as white space:
//
//	/* querycache: ttl=30s tables=main.users,orders */ SELECT …
//	SELECT … -- querycache: bypass
//
// A comment is a hint when its first word is querycache. All other comments are
// left alone, those of other tools and of the database among them: /*+ … */ and
// /*! … */ are no hints, nor is any comment inside of a statement.
//
// # Grammar
//
// What stands between the marks of the comment, in the notation of the Go
// specification; letters in quotes stand for both cases:
//
//	hint     = { white } "querycache:" { white } [ item { white { white } item } ] { white } .
//	item     = "ttl=" ( duration | "none" )
//	         | "swr=" duration
//	         | "stale-if-error=" duration
//	         | "tables=" names
//	         | "tags=" names
//	         | "max-bytes=" size
//	         | "bypass"
//	         | "refresh" .
//	names    = name { "," name } .
//	name     = bare { bare } | `"` quoted { quoted } `"` .
//	bare     = "a" … "z" | digit | "_" | "." | "-" | ":" | "/" | /* any character beyond ASCII */ .
//	quoted   = /* any character but a double quote */ | `""` .
//	duration = /* what time.ParseDuration reads, as in 1m30s */ .
//	size     = digit { digit } [ "B" | "KB" | "MB" | "GB" | "KiB" | "MiB" | "GiB" ] .
//	digit    = "0" … "9" .
//	white    = /* space, tab, newline, vertical tab, form feed or carriage return */ .
//
// No duration is negative, those of swr and stale-if-error are not zero, nor is
// a size. KB is 1000 bytes and KiB is 1024. An item stands once in all hints of
// a statement. A dot in the name of a table parts it from its schema.
//
// What begins like a hint and does not follow the grammar is an [Error]: the
// statement has a hint that is not understood.
package hint

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/querycache/querycache/internal/sqltok"
)

// Hint is what the hint comments of a statement say together.
type Hint struct {
	Text         string        // as written behind "querycache:", several joined by a space
	TTL          time.Duration // with HasTTL; negative: no expiry
	HasTTL       bool          // a TTL of zero is legal: the result is not kept
	SWR          time.Duration // 0: not given
	StaleIfError time.Duration // 0: not given
	MaxBytes     int64         // 0: not given
	Tables       []string      // as written, without quotes and duplicates
	Tags         []string      // as written, without quotes and duplicates
	Bypass       bool
	Refresh      bool
	Alone        bool // no other comment stands around the statement
}

// Of returns the hint of a statement, or nil where it has none. A text that
// cannot be cut into tokens has none. The error is an [*Error].
func Of(d sqltok.Dialect, text string) (*Hint, error) {
	switch {
	case !mentioned(text):
		return nil, nil
	case broken(text):
		return nil, findBroken(d, text)
	}
	var p parser
	comments := outer(d, text)
	for _, c := range comments {
		if err := p.comment(c.Body(text)); err != nil {
			return nil, err
		}
	}
	if p.found == 0 {
		return nil, nil
	}
	p.hint.Alone = p.found == len(comments)
	return &p.hint, nil
}

// outer returns the comments that may be hints.
func outer(d sqltok.Dialect, text string) []sqltok.Comment {
	var buf [64]sqltok.Token
	toks, err := sqltok.Append(buf[:0], d, text)
	if err != nil {
		return nil
	}
	return sqltok.Outer(nil, d, toks, text)
}

// findBroken returns an error for a hint with a byte that no text may hold. The
// tokenizer refuses the whole text for such a byte, so that it reads a text with
// others in place of them. Where they are outside of hints, there is no hint.
func findBroken(d sqltok.Dialect, text string) error {
	masked := mask(text)
	for _, c := range outer(d, masked) {
		if _, is := opening(c.Body(masked)); !is {
			continue
		}
		for _, s := range strings.Fields(c.Body(text)) {
			if broken(s) {
				return fault(s, "NUL or invalid UTF-8")
			}
		}
	}
	return nil
}

// mask replaces each byte that no text may hold with one of a word.
func mask(text string) string {
	out := []byte(text)
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r == 0 || r == utf8.RuneError && n == 1 {
			out[i] = '_'
		}
		i += n
	}
	return string(out)
}

func broken(s string) bool { return strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) }

// parser gathers what the hint comments of one statement say.
type parser struct {
	hint  Hint
	found int // hints
	seen  []string
}

func (p *parser) comment(body string) error {
	rest, is := opening(body)
	if !is {
		return nil
	}
	rest, ok := strings.CutPrefix(rest, ":")
	if !ok {
		return fault(strings.Trim(body, white), `no colon behind "querycache"`)
	}
	rest = strings.Trim(rest, white)
	if p.found > 0 && p.hint.Text != "" && rest != "" {
		p.hint.Text += " "
	}
	p.hint.Text += rest
	p.found++
	for rest != "" {
		item, closed := cutItem(rest)
		if !closed {
			return fault(item, "a quote is not closed")
		}
		if reason := p.item(item); reason != "" {
			return fault(item, reason)
		}
		rest = strings.TrimLeft(rest[len(item):], white)
	}
	return nil
}

// item takes one item in and returns what is wrong with it.
func (p *parser) item(item string) string {
	key, value, valued := strings.Cut(item, "=")
	key = lower(key)
	if slices.Contains(p.seen, key) {
		return key + " is given twice"
	}
	p.seen = append(p.seen, key)
	h := &p.hint
	switch key {
	case "bypass", "refresh":
		if valued {
			return key + " takes no value"
		}
		h.Bypass = h.Bypass || key == "bypass"
		h.Refresh = h.Refresh || key == "refresh"
		return ""
	case "ttl", "swr", "stale-if-error", "tables", "tags", "max-bytes":
		if value == "" {
			return key + " needs a value"
		}
	default:
		return "unknown key"
	}
	var reason string
	switch key {
	case "ttl":
		h.HasTTL = true
		if lower(value) == "none" {
			h.TTL = -1
			break
		}
		h.TTL, reason = duration(value)
	case "swr":
		h.SWR, reason = positive(value)
	case "stale-if-error":
		h.StaleIfError, reason = positive(value)
	case "tables":
		h.Tables, reason = names(value)
	case "tags":
		h.Tags, reason = names(value)
	case "max-bytes":
		h.MaxBytes, reason = size(value)
	}
	return reason
}

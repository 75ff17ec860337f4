package analysis

import (
	"slices"
	"strings"
	"unicode"

	"github.com/querycache/querycache/internal/sqltok"
)

// purity is what is known of a function.
type purity uint8

const (
	pure     purity = iota
	dated           // pure unless it is asked for the present or the time zone
	volatile        // built in, and depends on more than its arguments
	unknown         // not known to be pure
	opaque          // may do anything, to any table
)

// pureSQLite holds the built-in functions that were observed to be pure: the
// same arguments, the same answer, on every connection.
var pureSQLite = set(`-> ->> abs acos acosh asin asinh atan atan2 atanh avg cast ceil ceiling char coalesce concat
	concat_ws cos cosh count cume_dist degrees dense_rank exp first_value floor format glob group_concat hex if
	ifnull iif instr json json_array json_array_insert json_array_length json_each json_error_position json_extract
	json_group_array json_group_object json_insert json_object json_patch json_pretty json_quote json_remove
	json_replace json_set json_tree json_type json_valid jsonb jsonb_array jsonb_array_insert jsonb_each
	jsonb_extract jsonb_group_array jsonb_group_object jsonb_insert jsonb_object jsonb_patch jsonb_remove
	jsonb_replace jsonb_set jsonb_tree lag last_value lead length like likelihood likely ln log log10 log2 lower
	ltrim max min mod nth_value ntile nullif octet_length percent_rank pi pow power printf quote radians rank
	replace round row_number rtrim sign sin sinh sqrt string_agg substr substring sum tan tanh total trim trunc
	typeof unhex unicode unistr unistr_quote unlikely upper zeroblob`)

// tabularSQLite holds the pure functions that stand where a table does.
var tabularSQLite = set(`json_each json_tree jsonb_each jsonb_tree`)

var datedSQLite = set(`date datetime julianday strftime time timediff unixepoch`)

// volatileSQLite holds built-in functions that depend on the clock, on chance,
// on the session or on the build, and change nothing that a query could see.
var volatileSQLite = set(`changes current_date current_time current_timestamp last_insert_rowid random randomblob
	sqlite_compileoption_get sqlite_compileoption_used sqlite_log sqlite_offset sqlite_source_id sqlite_version
	total_changes`)

// harmlessSQLite holds functions that SQLite's own extensions register as an
// application would, and the LIKE that PRAGMA case_sensitive_like puts in place.
// They are not cached, and they reach no ordinary table.
var harmlessSQLite = set(`bm25 fts5 fts5_source_id glob highlight like match matchinfo offsets optimize rtreecheck
	rtreedepth rtreenode snippet soundex subtype`)

// opaqueSQLite holds functions that change files, accounts or the process.
var opaqueSQLite = set(`auth_user_add auth_user_change auth_user_delete edit eval fts3_tokenizer load_extension
	readfile writefile`)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}

// flagDeterministic is how PRAGMA function_list shows SQLITE_DETERMINISTIC.
const flagDeterministic = 0x800

// purity judges the function of that name, with what the catalog knows of
// functions that the application has registered. Deterministic means to SQLite
// the same answer within one statement: not enough to be cached, enough to be
// no more than a read.
func (c *Catalog) purity(name string) purity {
	if opaqueSQLite[name] {
		return opaque
	}
	if c != nil {
		if !c.functionsKnown {
			return unknown
		}
		flags, listed := c.functions[name]
		switch {
		case !listed && name[0] != '-' && !operatorSQLite[name]:
			return opaque
		case flags.application && !flags.deterministic && !harmlessSQLite[name]:
			return opaque
		case flags.application:
			return unknown
		}
	}
	switch {
	case pureSQLite[name]:
		return pure
	case datedSQLite[name]:
		return dated
	case volatileSQLite[name]:
		return volatile
	case c != nil || harmlessSQLite[name]:
		return unknown
	default:
		return opaque
	}
}

// operatorSQLite holds what is written like a function and compiled without one.
var operatorSQLite = set(`cast raise`)

// IsNow reports whether a text bound as an argument could make a date function
// answer by the clock or the time zone: one of SQLite's words for them, or a
// piece that an expression could build one from.
func IsNow(text string) bool {
	return isNow(text) || isPieceOfNow(text)
}

var nowWords = [...]string{"now", "localtime", "utc", "subsec", "subsecond"}

func isNow(text string) bool {
	for _, w := range nowWords {
		if strings.EqualFold(text, w) {
			return true
		}
	}
	return false
}

// isPieceOfNow reports whether text holds such a word, or is part of one.
func isPieceOfNow(text string) bool {
	folded := strings.ToLower(text)
	for _, w := range nowWords {
		if strings.Contains(folded, w) || folded != "" && strings.Contains(w, folded) {
			return true
		}
	}
	return false
}

// timeless reports whether the date functions among the calls of s surely do
// not ask for the present: they are given a time value that is not computed, no
// literal of the whole statement is a word for the present, and none is spelt in a
// subquery.
func timeless(s statement, sh *shape) bool {
	found := sh.clock
	for _, c := range sh.calls {
		if !datedSQLite[c.name] || c.open < 0 {
			continue
		}
		found = true
		if !timelessCall(s, c) {
			return false
		}
	}
	return !sh.clock && (!found || quietLiterals(s) && !spelt(s, sh))
}

// quietLiterals reports whether no literal of s is, or holds, a word for the
// present. It could reach a date function through a subquery or a view. A name
// in quotes may be a literal too.
func quietLiterals(s statement) bool {
	for _, t := range s.toks {
		switch t.Kind {
		case sqltok.String:
			if slices.ContainsFunc(strings.FieldsFunc(t.Unquote(s.text), notLetter), isNow) {
				return false
			}
		case sqltok.Quoted:
			if isNow(t.Unquote(s.text)) {
				return false
			}
		default:
		}
	}
	return true
}

func notLetter(r rune) bool { return !unicode.IsLetter(r) }

// spellers are functions that could make a word for the present from pieces.
var spellers = set(`char coalesce concat concat_ws format group_concat hex if ifnull iif json json_extract
	json_group_array json_object jsonb_extract lower ltrim max min nullif printf quote replace rtrim string_agg substr
	substring trim unhex unistr upper`)

// timelessCall reports whether a date function is given a time value, and nothing
// but literals, parameters and columns.
func timelessCall(s statement, c call) bool {
	args := 1
	for i := c.open + 1; i < c.end; i++ {
		switch s.toks[i].Kind {
		case sqltok.Comma:
			args++
		case sqltok.Open, sqltok.Close, sqltok.Operator, sqltok.Blob:
			return false
		default:
		}
	}
	needed := 1
	if c.name == "strftime" || c.name == "timediff" {
		needed = 2
	}
	return c.end > c.open+1 && args >= needed
}

// spelt reports whether a column of a subquery could hold a word for the present
// that is spelt out of pieces.
func spelt(s statement, sh *shape) bool {
	selects, joined := 0, false
	for _, t := range s.toks {
		if t.Is(sqltok.KwSelect) || t.Is(sqltok.KwWith) || t.Is(sqltok.KwValues) {
			selects++
		}
		if t.Kind == sqltok.Operator {
			op := s.text[t.Start:t.End]
			joined = joined || op == "||" || op == "->" || op == "->>"
		}
		joined = joined || t.Kind == sqltok.Blob
	}
	for _, c := range sh.calls {
		joined = joined || spellers[c.name]
	}
	return selects > 1 && joined
}

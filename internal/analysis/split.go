package analysis

import "github.com/querycache/querycache/internal/sqltok"

// split cuts tokens into statements. The semicolons in the body of a trigger
// belong to it: its END stands behind a semicolon, as no other END does.
func split(text string, toks []sqltok.Token) []statement {
	var out []statement
	start, trigger, body := 0, false, false
	for i, t := range toks {
		if i == start {
			trigger, body = createsTrigger(toks[i:]), false
		}
		if trigger && t.Is(sqltok.KwBegin) {
			body = true
		}
		if t.Kind != sqltok.Semicolon || body && !endsTrigger(toks, i) {
			continue
		}
		if i > start {
			out = append(out, statement{text: text, toks: toks[start:i]})
		}
		start = i + 1
	}
	if start < len(toks) {
		out = append(out, statement{text: text, toks: toks[start:]})
	}
	return out
}

func createsTrigger(toks []sqltok.Token) bool {
	toks = unexplained(toks)
	if len(toks) < 2 || !toks[0].Is(sqltok.KwCreate) {
		return false
	}
	if toks[1].Is(sqltok.KwTemp) || toks[1].Is(sqltok.KwTemporary) {
		toks = toks[1:]
	}
	return len(toks) > 1 && toks[1].Is(sqltok.KwTrigger)
}

// unexplained drops EXPLAIN and EXPLAIN QUERY PLAN from the front.
func unexplained(toks []sqltok.Token) []sqltok.Token {
	if len(toks) == 0 || !toks[0].Is(sqltok.KwExplain) {
		return toks
	}
	toks = toks[1:]
	if len(toks) > 1 && toks[0].Is(sqltok.KwQuery) && toks[1].Is(sqltok.KwPlan) {
		toks = toks[2:]
	}
	return toks
}

// endsTrigger reports whether the semicolon at i ends a CREATE TRIGGER.
func endsTrigger(toks []sqltok.Token, i int) bool {
	return i > 1 && toks[i-1].Is(sqltok.KwEnd) && toks[i-2].Kind == sqltok.Semicolon
}

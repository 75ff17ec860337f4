package analysis

import "github.com/querycache/querycache/internal/sqltok"

// keyword reads the keyword k at i. It reports false where k may be a name or
// a function too, for the caller to go on with.
func (w *walker) keyword(i int, k sqltok.Keyword) (last int, done bool) {
	here := w.here()
	switch k {
	case sqltok.KwSelect, sqltok.KwValues:
		here.place, here.with = inExpr, false
	case sqltok.KwWhere, sqltok.KwGroup, sqltok.KwHaving, sqltok.KwOrder, sqltok.KwLimit,
		sqltok.KwUnion, sqltok.KwExcept, sqltok.KwIntersect, sqltok.KwSet:
		here.place = inExpr
	case sqltok.KwReturning:
		here.place, w.returning = inExpr, true
	case sqltok.KwJoin:
		here.place = atTable
	case sqltok.KwFrom:
		return w.from(i), true
	case sqltok.KwIn:
		if w.at(i + 1).IsName() {
			place := here.place
			i = w.table(i+1, opRead)
			here.place = place
		}
	case sqltok.KwAs:
		return w.alias(i), true
	case sqltok.KwWith:
		body := w.withHeader(i)
		if body < 0 {
			return i, false
		}
		name := i + 1
		if w.cteHeader(name) < 0 {
			name++
		}
		return w.define(name, body), true
	case sqltok.KwInsert, sqltok.KwUpdate, sqltok.KwDelete, sqltok.KwReplace, sqltok.KwInto:
		return w.change(i, k)
	case sqltok.KwCurrentDate, sqltok.KwCurrentTime, sqltok.KwCurrentTimestamp:
		w.clock = true
	case sqltok.KwLike, sqltok.KwGlob, sqltok.KwMatch, sqltok.KwRegexp:
		w.calls = append(w.calls, call{name: w.name(i), open: -1})
		return i, false
	default:
		return i, reserved(k)
	}
	return i, true
}

func (w *walker) from(i int) int {
	switch {
	case w.at(i - 1).Is(sqltok.KwDistinct):
		// IS DISTINCT FROM compares.
	case i-1 == w.verbAt && w.verb == sqltok.KwDelete:
		return w.table(i+1, opDelete)
	default:
		w.here().place = atTable
	}
	return i
}

// alias skips the name after AS, which names no table.
func (w *walker) alias(i int) int {
	if t := w.at(i + 1); t.IsName() && !t.Is(sqltok.KwNot) && !t.Is(sqltok.KwMaterialized) {
		return i + 1
	}
	return i
}

// change reads the verbs that change data.
func (w *walker) change(i int, k sqltok.Keyword) (last int, done bool) {
	main := i == w.verbAt
	if main {
		w.here().with = false
	}
	switch k {
	case sqltok.KwReplace:
		if !main {
			return i, false
		}
		w.policy = k
	case sqltok.KwInto:
		if w.verb != sqltok.KwInsert && w.verb != sqltok.KwReplace {
			w.dml = true
			return i, true
		}
		return w.table(i+1, opInsert), true
	case sqltok.KwUpdate:
		switch {
		case main:
			return w.table(w.or(i)+1, opUpdate), true
		case w.at(i - 1).Is(sqltok.KwDo):
			w.doUpdate = true
		default:
			w.dml = true
		}
	case sqltok.KwInsert:
		w.dml = w.dml || !main
		return w.or(i), true
	default:
		w.dml = w.dml || !main
	}
	return i, true
}

// or reads the conflict policy behind the verb at i.
func (w *walker) or(i int) int {
	if !w.at(i + 1).Is(sqltok.KwOr) {
		return i
	}
	w.policy = w.at(i + 2).Keyword
	return i + 2
}

// callable reports whether the name at i, with a parenthesis behind it, is a
// function.
func (w *walker) callable(i int) bool {
	prev := w.at(i - 1)
	switch w.toks[i].Keyword {
	case sqltok.KwOver, sqltok.KwFilter:
		return prev.Kind != sqltok.Close
	case sqltok.KwOffset:
		return prev.Kind != sqltok.Number && prev.Kind != sqltok.Param && prev.Kind != sqltok.Close
	case sqltok.KwBy:
		return !prev.Is(sqltok.KwOrder) && !prev.Is(sqltok.KwGroup) && !prev.Is(sqltok.KwPartition)
	case sqltok.KwConflict:
		return !prev.Is(sqltok.KwOn)
	default:
		return true
	}
}

// reserved reports whether SQLite takes the keyword for nothing else, so that a
// parenthesis behind it holds no arguments.
func reserved(k sqltok.Keyword) bool {
	switch k {
	case sqltok.KwAll, sqltok.KwAnd, sqltok.KwAs, sqltok.KwBetween, sqltok.KwCase, sqltok.KwCheck,
		sqltok.KwCollate, sqltok.KwCommit, sqltok.KwCreate, sqltok.KwDefault, sqltok.KwDelete,
		sqltok.KwDistinct, sqltok.KwDrop, sqltok.KwElse, sqltok.KwEscape, sqltok.KwExcept, sqltok.KwExists,
		sqltok.KwFrom, sqltok.KwGroup, sqltok.KwHaving, sqltok.KwIn, sqltok.KwIndex, sqltok.KwInsert,
		sqltok.KwIntersect, sqltok.KwInto, sqltok.KwIs, sqltok.KwIsnull, sqltok.KwJoin, sqltok.KwLimit,
		sqltok.KwNot, sqltok.KwNothing, sqltok.KwNotnull, sqltok.KwNull, sqltok.KwOn, sqltok.KwOr,
		sqltok.KwOrder, sqltok.KwPrimary, sqltok.KwReferences, sqltok.KwReturning, sqltok.KwSelect,
		sqltok.KwSet, sqltok.KwTable, sqltok.KwThen, sqltok.KwTo, sqltok.KwTransaction, sqltok.KwUnion,
		sqltok.KwUnique, sqltok.KwUpdate, sqltok.KwUsing, sqltok.KwValues, sqltok.KwWhen, sqltok.KwWhere:
		return true
	default:
		return false
	}
}

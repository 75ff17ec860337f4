package analysis

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/querycache/querycache/internal/sqltok"
)

// Analyze tells what text is and touches. It asks the engine where cat and eng
// are given and the engine can witness, the catalog where only cat is given,
// and trusts the text alone where neither is: then there must be no views,
// triggers or cascades. The plan holds no part of text's memory.
func Analyze(ctx context.Context, d Dialect, text string, cat *Catalog, eng Engine) *Plan {
	var buf [64]sqltok.Token
	toks, err := sqltok.Append(buf[:0], d, text)
	if err != nil {
		return unlexable(text)
	}
	p := &Plan{Text: strings.Clone(sqltok.Trim(toks, text)), Fingerprint: sqltok.Shape(toks, text)}
	a := analyzer{ctx: ctx, cat: cat, eng: eng}
	parts := split(text, toks)
	switch len(parts) {
	case 0:
		p.Kind, p.Reason = Pass, NotRead
	case 1:
		a.one(p, parts[0])
	default:
		a.several(p, parts)
	}
	p.Trailing = sqltok.Trailing(toks, text)
	if p.Reason != Cached {
		p.NowArgs = false
	}
	p.Cacheable = p.Kind == Read && p.Reason == Cached
	return p
}

// unlexable is the plan of a text that cannot be read at all. The engine may
// read it differently, so it may hold anything.
func unlexable(text string) *Plan {
	text = strings.Clone(text)
	p := &Plan{Text: text, Fingerprint: text}
	p.opaque(Unlexable)
	p.Control = []TxStep{{Verb: Uncertain}}
	p.Session, p.Private = true, true
	return p
}

// opaque makes p the plan of something that was not understood.
func (p *Plan) opaque(r Reason) {
	p.Kind, p.Reason = Opaque, r
	p.Everything, p.ReturnsRows = true, true
}

// analyzer holds what one analysis may ask.
type analyzer struct {
	ctx context.Context
	cat *Catalog
	eng Engine
}

// several merges the plans of the statements of one text.
func (a *analyzer) several(p *Plan, parts []statement) {
	p.Reason = SeveralStatements
	changed := false
	for _, s := range parts {
		var q Plan
		a.one(&q, s)
		// What a statement means may hang on the ones before it, of which the
		// engine knows nothing yet.
		if changed && q.Kind == Write {
			q.Everything = true
		}
		changed = changed || q.Session || q.Kind >= Schema
		p.merge(&q)
	}
	p.Reads, p.Views, p.Writes = compact(p.Reads), compact(p.Views), compact(p.Writes)
}

func (p *Plan) merge(q *Plan) {
	p.Kind = max(p.Kind, q.Kind)
	p.Reads = append(p.Reads, q.Reads...)
	p.Views = append(p.Views, q.Views...)
	p.Writes = append(p.Writes, q.Writes...)
	p.Control = append(p.Control, q.Control...)
	p.Everything = p.Everything || q.Everything
	p.Session = p.Session || q.Session
	p.Private = p.Private || q.Private
	p.DirtyReads = p.DirtyReads || q.DirtyReads
	p.NoRollback = p.NoRollback || q.NoRollback
	p.ReturnsRows = p.ReturnsRows || q.ReturnsRows
	p.Volatile = p.Volatile || q.Volatile
}

func compact(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// one fills in the plan of one statement.
func (a *analyzer) one(p *Plan, s statement) {
	switch s.toks[0].Keyword {
	case sqltok.KwSelect, sqltok.KwValues, sqltok.KwWith,
		sqltok.KwInsert, sqltok.KwReplace, sqltok.KwUpdate, sqltok.KwDelete:
		a.data(p, s)
	default:
		p.Reason = NotRead
		command(p, s)
	}
}

// data fills in the plan of a statement that reads or changes rows.
func (a *analyzer) data(p *Plan, s statement) {
	sh := walk(s, a.cat)
	if !sh.ok || sh.dml {
		a.misread(p, s, &sh)
		return
	}
	p.Kind = Write
	if sh.reads() {
		p.Kind = Read
	}
	p.ReturnsRows = sh.reads() || sh.returning
	t, err := a.touch(s, &sh)
	if err != nil {
		p.Reason, p.Volatile = Refused, true
		p.Everything = p.Kind != Read
		return
	}
	a.judge(t, &sh)
	p.Everything = t.everything
	p.Volatile = t.stale
	p.Recursive = t.recurses
	p.Reason = t.reason
	switch {
	case p.Everything && sh.reads():
		p.Kind = Opaque
	case p.Kind == Write:
		p.Reason = NotRead
	default:
		a.clock(p, s, &sh, t)
	}
	p.Reads = slices.Sorted(maps.Keys(t.reads))
	p.Views = slices.Sorted(maps.Keys(t.through))
	for name, o := range t.writes {
		if o&^opRead != 0 && (a.cat == nil || a.cat.stored(name)) {
			p.Writes = append(p.Writes, name)
		}
	}
	slices.Sort(p.Writes)
	if p.Kind == Write {
		a.prove(p, &sh, t)
	}
}

// misread fills in the plan of a statement whose text is beyond the walker. A
// read stays one where no verb that changes data stands in it.
func (a *analyzer) misread(p *Plan, s statement, sh *shape) {
	p.opaque(Misread)
	if sh.dml || s.toks[0].Is(sqltok.KwWith) && !sh.reads() {
		return
	}
	switch s.toks[0].Keyword {
	case sqltok.KwSelect, sqltok.KwValues, sqltok.KwWith:
		p.Kind, p.Everything = Read, false
	}
}

// touch gathers what a statement reads and changes, by the best way there is.
func (a *analyzer) touch(s statement, sh *shape) (*touched, error) {
	t := newTouched()
	if a.cat == nil {
		t.trust(sh)
		t.recurses = len(sh.ctes) > 0
		return t, nil
	}
	if a.eng != nil {
		w, err := ask(a.ctx, a.eng, s.source())
		if err != nil {
			return nil, err
		}
		if w != nil {
			t.hear(a.cat, sh, w)
			return t, nil
		}
	}
	t.search(a.cat, sh)
	t.recurses = t.recurses || len(sh.ctes) > 0
	return t, nil
}

// search closes the names in the text over the catalog.
func (t *touched) search(c *Catalog, sh *shape) {
	seen := map[*relation]bool{}
	for _, r := range sh.hits {
		t.read(c, r, seen)
	}
	if sh.rowid {
		t.reads[Rowid] = true
	}
	for _, call := range sh.calls {
		t.calls[call.name] = true
	}
	for _, ref := range sh.refs {
		if ref.ops == opRead {
			t.resolve(c, sh, ref)
			continue
		}
		t.follow(sh.policy == sqltok.KwReplace, func(replace bool) {
			t.change(c, ref.name, sh.effect(ref.ops), replace)
		})
	}
}

// trust takes the names in the text for tables.
func (t *touched) trust(sh *shape) {
	for _, ref := range sh.refs {
		switch {
		case ref.ops != opRead:
			t.writes[ref.name] |= sh.effect(ref.ops)
			t.everything = t.everything || internalName(ref.name)
		case ref.cte:
		case ref.call, ref.schema == "" && tabularSQLite[ref.name]:
			t.tabular(ref.name)
		case internalName(ref.name):
			t.forbid(InternalTable)
		default:
			t.reads[ref.name] = true
		}
	}
	if sh.rowid {
		t.reads[Rowid] = true
	}
	for _, call := range sh.calls {
		t.calls[call.name] = true
	}
}

// judge applies what is known of the functions that were called.
func (a *analyzer) judge(t *touched, sh *shape) {
	for name := range t.calls {
		switch a.cat.purity(name) {
		case volatile:
			t.forbid(Volatile)
		case unknown:
			t.forbid(UnknownFunction)
		case opaque:
			t.forbid(UnknownFunction)
			t.everything = true
		default:
		}
	}
	if sh.clock {
		t.forbid(Volatile)
	}
}

// clock looks for the present in the arguments of date functions, in the text
// and in the views behind it.
func (a *analyzer) clock(p *Plan, s statement, sh *shape, t *touched) {
	dates := false
	for name := range t.calls {
		dates = dates || datedSQLite[name]
	}
	if !dates || p.Reason != Cached {
		return
	}
	p.NowArgs = sh.params
	found := hasDate(sh)
	ok := timeless(s, sh) && quietLiterals(s)
	for _, v := range t.views {
		found = found || hasDate(&v.shape)
		ok = ok && timeless(v.statement, &v.shape) && quietLiterals(v.statement)
	}
	if !ok || !found {
		p.Reason, p.NowArgs = Volatile, false
	}
}

func hasDate(sh *shape) bool {
	for _, c := range sh.calls {
		if datedSQLite[c.name] {
			return true
		}
	}
	return false
}

// stored reports whether a written name has rows, or is not known to have none.
func (c *Catalog) stored(name string) bool {
	r := c.relations[name]
	return r == nil || !r.view || r.base || r.virtual()
}

// prove fills in what an error and a count of a write prove.
func (a *analyzer) prove(p *Plan, sh *shape, t *touched) {
	if a.cat == nil || p.Everything || p.Volatile {
		return
	}
	var target *relation
	for _, ref := range sh.refs {
		if ref.ops != opRead {
			target = a.cat.relations[ref.name]
		}
	}
	if target == nil || !target.base || target.view || target.virtual() || target.shadow || target.internal {
		return
	}
	p.ErrorUndone = !a.cat.mayFail && !sh.returning && sh.policy != sqltok.KwFail && sh.policy != sqltok.KwRollback
	plain := sh.policy == 0 || sh.policy == sqltok.KwIgnore || sh.policy == sqltok.KwAbort
	p.NoRowsUndone = plain && !sh.with && !sh.returning && !sh.doUpdate && !target.conflicts && len(target.triggers) == 0
	for name := range t.calls {
		p.NoRowsUndone = p.NoRowsUndone && !a.cat.functions[name].application
	}
}

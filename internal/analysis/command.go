package analysis

import (
	"strings"

	"github.com/querycache/querycache/internal/sqltok"
)

// command fills in the plan of a statement that is told by its first words.
func command(p *Plan, s statement) {
	switch s.toks[0].Keyword {
	case sqltok.KwBegin, sqltok.KwCommit, sqltok.KwEnd, sqltok.KwRollback, sqltok.KwSavepoint, sqltok.KwRelease:
		p.Kind = Control
		p.Control = []TxStep{control(s)}
	case sqltok.KwPragma:
		pragma(p, s)
	case sqltok.KwAttach:
		p.Kind, p.Session = Session, true
		p.Private = !attachesFile(s)
		p.Everything = len(calls(s, 1, len(s.toks))) > 0
	case sqltok.KwDetach:
		p.Kind, p.Session = Session, true
	case sqltok.KwExplain:
		explain(p, s)
	case sqltok.KwAnalyze, sqltok.KwReindex:
		p.Kind = Pass
	case sqltok.KwVacuum:
		p.Kind = Pass
		if index(s, sqltok.KwInto) < 0 {
			p.Writes = []string{Rowid}
		}
	case sqltok.KwCreate:
		create(p, s)
	case sqltok.KwAlter, sqltok.KwDrop:
		p.Kind, p.Everything = Schema, true
	default:
		p.opaque(Misread)
	}
}

// explain fills in the plan of EXPLAIN, which runs nothing. A PRAGMA may do its
// work while it is compiled.
func explain(p *Plan, s statement) {
	rest := unexplained(s.toks)
	if len(rest) > 0 && rest[0].Is(sqltok.KwPragma) {
		pragma(p, statement{text: s.text, toks: rest})
	} else {
		p.Kind = Pass
	}
	p.Reason, p.ReturnsRows = Explain, true
}

func control(s statement) TxStep {
	last := len(s.toks) - 1
	switch s.toks[0].Keyword {
	case sqltok.KwBegin:
		return TxStep{Verb: Begin}
	case sqltok.KwSavepoint:
		return TxStep{Verb: Savepoint, Name: s.name(last)}
	case sqltok.KwRelease:
		return TxStep{Verb: Release, Name: s.name(last)}
	case sqltok.KwRollback:
		if i := index(s, sqltok.KwTo); i > 0 {
			return TxStep{Verb: RollbackTo, Name: s.name(last)}
		}
		return TxStep{Verb: Rollback}
	default:
		return TxStep{Verb: Commit}
	}
}

// attachesFile reports whether ATTACH surely names a file on disk, which every
// connection that attaches it shares.
func attachesFile(s statement) bool {
	i := 1
	if s.at(i).Is(sqltok.KwDatabase) {
		i++
	}
	t := s.at(i)
	if t.Kind != sqltok.String || !s.at(i+1).Is(sqltok.KwAs) {
		return false
	}
	return onDisk(strings.ToLower(t.Unquote(s.text)))
}

// onDisk reports whether a file name, in lower case, surely is of a file that
// stays. In a URI the mode or the VFS may say otherwise.
func onDisk(file string) bool {
	if file == "" || strings.Contains(file, ":memory:") {
		return false
	}
	uri, ok := strings.CutPrefix(file, "file:")
	return !ok || uri != "" && uri[0] != '?' && !strings.Contains(uri, "mode=") &&
		!strings.Contains(uri, "vfs=") && !strings.Contains(uri, "%")
}

// create fills in the plan of CREATE. What is temporary belongs to its
// connection alone, and hides what others see under the same name.
func create(p *Plan, s statement) {
	p.Kind, p.Everything = Schema, true
	i := 1
	temp := s.at(i).Is(sqltok.KwTemp) || s.at(i).Is(sqltok.KwTemporary)
	if temp || s.at(i).Is(sqltok.KwUnique) || s.at(i).Is(sqltok.KwVirtual) {
		i++
	}
	if i++; s.at(i).Is(sqltok.KwIf) {
		i += 3
	}
	if !temp && (s.at(i+1).Kind != sqltok.Dot || !s.at(i).IsName() || s.name(i) != "temp") {
		return
	}
	p.Session, p.Private = true, true
	// A module may write anywhere, and so may the functions of CREATE … AS.
	if index(s, sqltok.KwVirtual) != 1 && !queries(s) {
		p.Kind, p.Everything = Session, false
	}
}

// queries reports whether a CREATE TABLE runs a query that calls a function
// which is not known to be pure.
func queries(s statement) bool {
	if index(s, sqltok.KwTable) < 0 || index(s, sqltok.KwAs) < 0 {
		return false
	}
	for _, name := range calls(s, index(s, sqltok.KwAs), len(s.toks)) {
		if !pureSQLite[name] && !datedSQLite[name] && !volatileSQLite[name] {
			return true
		}
	}
	return false
}

// Package analysis tells what a SQL statement is and which tables it touches.
//
// It knows three ways to the same [Plan]: the engine's own witness while it
// compiles the statement, the names in the text closed over a snapshot of the
// schema, and the text alone. Whatever is not understood comes back as something
// that is not cached, or that invalidates everything: analysis never fails.
package analysis

import (
	"context"

	"github.com/querycache/querycache/internal/sqltok"
)

// Dialect names the SQL of one family of engines.
type Dialect = sqltok.Dialect

// SQLite is the dialect of SQLite 3.
const SQLite = sqltok.SQLite

// Rowid is a pseudo table: read by whoever reads a rowid that VACUUM may
// renumber, written by VACUUM.
const Rowid = "\x00rowid"

// Kind is what a statement is, by its strongest effect.
type Kind uint8

// The kinds of statements, weakest first.
const (
	Pass    Kind = iota + 1 // no effect on data or session: VACUUM, EXPLAIN, a harmless PRAGMA
	Read                    // reads only
	Control                 // begins or ends a transaction or a savepoint
	Session                 // changes what later statements of its connection mean
	Write                   // changes rows
	Schema                  // changes the schema
	Opaque                  // not understood
)

var kindNames = [...]string{"none", "pass", "read", "control", "session", "write", "schema", "opaque"}

// String returns the kind in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Reason says why the result of a statement may not be cached.
type Reason uint8

// The reasons, in the order in which they are looked for.
const (
	Cached            Reason = iota // it may be
	NotRead                         // not a read
	SeveralStatements               // more than one statement in the text
	Unlexable                       // the text cannot be cut into tokens
	Misread                         // the text cannot be understood
	Explain                         // EXPLAIN shows plans, which no table's words guard
	Refused                         // the engine does not compile it
	Volatile                        // random numbers, the clock, the session
	UnknownFunction                 // a function not known to be pure
	VirtualTable                    // a virtual table or what lies behind it
	InternalTable                   // sqlite_*, pragma_*
	UnknownRelation                 // a name that no catalog shows
)

var reasonNames = [...]string{
	"cacheable", "not a read", "several statements", "unlexable", "not understood", "explain", "refused by the engine",
	"volatile function", "unknown function", "virtual table", "internal table", "unknown relation",
}

// String returns the reason in a few words.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "unknown"
}

// Verb is what a statement of transaction control does.
type Verb uint8

// The verbs of transaction control. Uncertain stands for text that could not be
// read and may hold any of the others.
const (
	Begin Verb = iota + 1
	Commit
	Rollback
	Savepoint
	Release
	RollbackTo
	Uncertain
)

var verbNames = [...]string{"none", "begin", "commit", "rollback", "savepoint", "release", "rollback to", "uncertain"}

// String returns the verb in lower case.
func (v Verb) String() string {
	if int(v) < len(verbNames) {
		return verbNames[v]
	}
	return "unknown"
}

// TxStep is one statement of transaction control. Name is the savepoint's, in
// lower case, and empty for the others.
type TxStep struct {
	Verb Verb
	Name string
}

// Plan is what a statement is and touches. It is immutable once returned.
type Plan struct {
	Text        string // canonical text
	Fingerprint string // for statistics
	Kind        Kind
	Cacheable   bool   // the result may be stored, under the words of Reads
	Reason      Reason // why not

	Reads  []string // sorted bare names of base tables in lower case; more than is read, never less
	Writes []string // likewise, closed over triggers, foreign keys and REPLACE
	Views  []string // sorted bare names of the views that it reads through, and of more

	Everything bool     // the effect is a schema change or is not understood
	Control    []TxStep // every statement of transaction control, in order
	Session    bool     // changes what later statements of this connection mean
	Private    bool     // and so that no other connection can share its state
	DirtyReads bool     // from here on this connection may read what is not committed
	NoRollback bool     // from here on ROLLBACK on this connection undoes nothing

	Trailing     bool // something follows the last semicolon: run directly and prepared it may answer differently
	Recursive    bool // may have no end: a common table expression reads itself, or that is not known
	NowArgs      bool // cacheable only if [IsNow] is false of every bound text and blob
	ReturnsRows  bool // yields rows: executed by a single step it may stay open
	ErrorUndone  bool // an error of this statement left nothing behind
	NoRowsUndone bool // "0 rows affected" means that nothing changed
	Volatile     bool // this analysis must not be remembered
}

// Engine is one live connection, used by one goroutine at a time.
type Engine interface {
	// Query runs a small catalog query and returns its rows.
	Query(ctx context.Context, text string) ([][]any, error)
	// Prepare compiles the statement and discards it.
	Prepare(ctx context.Context, text string) error
	// Authorize makes record hear what the compiler is about to do, or nobody
	// where it is nil. It reports false if the connection cannot do so.
	Authorize(record func(op int, a, b, c string) int) bool
}

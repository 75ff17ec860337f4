package querycache

import (
	"database/sql/driver"
	"encoding/binary"

	"github.com/querycache/querycache/internal/sqltok"
)

// key is the identity of an entry: where its query ran, its text without
// leading and trailing comments and white space, its arguments with their
// types, and what it depends on by hint and rule. A hash finds an entry; only the
// full key decides.
type key struct {
	scope *scope
	text  string
	args  []driver.NamedValue
	extra *extra // nil: nothing
}

// extra names tables and tags that were declared: an entry that was filled without
// them must not serve a reader that declares them.
type extra struct {
	plan, context string
}

// extra is what the call declares, nil where it declares nothing.
func (q *call) extra() *extra {
	if q.hints.extra == "" {
		return q.plan.keyed
	}
	return &extra{q.plan.extra, q.hints.extra}
}

// of reports whether k is the key of a call.
func (k *key) of(q *call) bool {
	if !k.equal(q.conn.scope, q.plan.Text, q.args) {
		return false
	}
	if q.hints.extra == "" && k.extra == q.plan.keyed || broken(controlUnkeyedHints) {
		return true
	}
	return k.extra != nil && *k.extra == extra{q.plan.extra, q.hints.extra}
}

// own returns k with arguments of its own, in room where they fit: the caller
// may change its slices, and what its pointers point to.
func (k key) own(room []driver.NamedValue) key {
	if len(k.args) == 0 {
		k.args = nil
		return k
	}
	k.args = append(room, k.args...)
	for i := range k.args {
		k.args[i].Value = ownValue(k.args[i].Value)
	}
	return k
}

func (k *key) size() int64 {
	n := int64(len(k.text)) + int64(len(k.args))*64 // A plan may share the text, or be forgotten.
	if k.extra != nil {
		n += int64(len(k.extra.plan)+len(k.extra.context)) + 32
	}
	for i := range k.args {
		n += valueSize(k.args[i].Value)
	}
	return n
}

func (k *key) equal(scope *scope, text string, args []driver.NamedValue) bool {
	if k.scope != scope || len(k.args) != len(args) || k.text != text {
		return false
	}
	for i := range args {
		if k.args[i].Name != args[i].Name || !equalValue(k.args[i].Value, args[i].Value) {
			return false
		}
	}
	return true
}

// bareNames is what words may know a table as: the name as it is, what it says as
// SQL, without a schema and quotes, and what is behind its dots, since a name need
// be no word of SQL. As in SQLite only ASCII letters are folded.
func bareNames(name string) []string {
	folded := []byte(name)
	for i, b := range folded {
		if 'A' <= b && b <= 'Z' {
			folded[i] = b + 'a' - 'A'
		}
	}
	names := []string{string(folded)}
	for i, b := range folded {
		if b == '.' && i+1 < len(folded) {
			names = append(names, string(folded[i+1:]))
		}
	}
	if toks, err := sqltok.Scan(sqltok.SQLite, name); err == nil && dotted(toks) {
		names = append(names, toks[len(toks)-1].Name(name))
	}
	return names
}

// dotted reports whether tokens are names with dots between them.
func dotted(toks []sqltok.Token) bool {
	for i, t := range toks {
		if i%2 == 0 && !t.IsName() || i%2 == 1 && t.Kind != sqltok.Dot {
			return false
		}
	}
	return len(toks)%2 == 1
}

// sessionDigest folds a session-changing statement into the digest of those
// before it.
func sessionDigest(before, text string) string {
	return string(binary.AppendUvarint([]byte(before), uint64(len(text)))) + text
}

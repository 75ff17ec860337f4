package script

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// target runs statements.
type target interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// runner is a script on its way.
type runner struct {
	ctx     context.Context //nolint:containedctx // A runner lives as long as its context.
	env     Env
	targets map[string]target
	conns   map[string]*sql.Conn
	txs     map[string]*sql.Tx
	stmts   map[string]*sql.Stmt
	watched []watched
}

// watched is a read that is looked at after each step that may write.
type watched struct{ name, text string }

// end closes what the script left open.
func (r *runner) end() {
	for _, s := range r.stmts {
		_ = s.Close()
	}
	for _, tx := range r.txs {
		_ = tx.Rollback()
	}
	for _, c := range r.conns {
		_ = c.Close()
	}
}

// takesText holds the steps with a statement below them.
var takesText = map[string]bool{"prepare": true, "query": true, "exec": true, "watch": true}

// run runs a step. Errors of the database come back beside the output.
func (r *runner) run(s *step) ([]string, error) {
	if s.text != "" && !takesText[s.verb] {
		return nil, mistakef("takes no statement: is an empty line missing?")
	}
	if control := r.env.Controls[s.verb]; control != nil {
		return r.effect(func() error { return control(s.args) })
	}
	name, err := s.name(0)
	if err != nil {
		return nil, err
	}
	switch s.verb {
	case "open":
		return nil, r.open(name)
	case "close":
		return nil, r.close(name)
	case "begin":
		return nil, r.begin(name, s)
	case "prepare":
		return nil, r.prepare(name, s)
	case "commit", "rollback":
		return r.effect(func() error { return r.finish(name, s.verb) })
	case "watch":
		r.watched = append(r.watched, watched{name, s.text})
		_, _, err := r.read(r.env.DB, s.text)
		return nil, err
	case "query", "exec":
		args, err := s.values(1)
		if err != nil {
			return nil, err
		}
		if s.verb == "exec" {
			return r.effect(func() error { return r.exec(name, s.text, args) })
		}
		return r.query(name, s.text, args)
	}
	return nil, mistakef("there is no step %s", s.verb)
}

func (r *runner) open(name string) error {
	c, err := r.env.DB.Conn(r.ctx)
	if err != nil {
		return err
	}
	r.conns[name], r.targets[name] = c, c
	return nil
}

func (r *runner) close(name string) error {
	switch {
	case r.conns[name] != nil:
		defer delete(r.conns, name)
		return r.conns[name].Close()
	case r.stmts[name] != nil:
		defer delete(r.stmts, name)
		return r.stmts[name].Close()
	}
	return mistakef("%s is not open", name)
}

func (r *runner) begin(name string, s *step) error {
	begin := r.env.DB.BeginTx
	if len(s.args) > 1 {
		c := r.conns[s.args[1]]
		if c == nil {
			return mistakef("no connection %s is open", s.args[1])
		}
		begin = c.BeginTx
	}
	tx, err := begin(r.ctx, nil)
	if err != nil {
		return err
	}
	r.txs[name], r.targets[name] = tx, tx
	return nil
}

func (r *runner) finish(name, verb string) error {
	tx := r.txs[name]
	if tx == nil {
		return mistakef("no transaction %s is open", name)
	}
	delete(r.txs, name)
	delete(r.targets, name)
	if verb == "commit" {
		return tx.Commit()
	}
	return tx.Rollback()
}

func (r *runner) prepare(name string, s *step) error {
	on := "db"
	if len(s.args) > 1 {
		on = s.args[1]
	}
	t, err := r.target(on)
	if err != nil {
		return err
	}
	st, err := t.PrepareContext(r.ctx, s.text) //nolint:sqlclosecheck // Closed by the script, or at its end.
	if err != nil {
		return err
	}
	r.stmts[name] = st
	return nil
}

func (r *runner) target(name string) (target, error) {
	if t := r.targets[name]; t != nil {
		return t, nil
	}
	return nil, mistakef("there is no %s", name)
}

func (r *runner) exec(name, text string, args []any) error {
	if st := r.stmts[name]; st != nil {
		_, err := st.ExecContext(r.ctx, args...)
		return err
	}
	t, err := r.target(name)
	if err != nil {
		return err
	}
	_, err = t.ExecContext(r.ctx, text, args...)
	return err
}

// query runs a query and says where its rows came from. One that invalidates
// is a write.
func (r *runner) query(name, text string, args []any) ([]string, error) {
	before := r.env.Counts()
	var rows []string
	var err error
	if st := r.stmts[name]; st != nil {
		rows, err = render(st.QueryContext(r.ctx, args...))
	} else {
		var t target
		if t, err = r.target(name); err != nil {
			return nil, err
		}
		rows, err = render(t.QueryContext(r.ctx, text, args...))
	}
	if isMistake(err) {
		return nil, err
	}
	after := r.env.Counts()
	if name == "outside" {
		return rows, err
	}
	told := Outcome(before, after)
	if after.Invalidations > before.Invalidations {
		told = "write" + r.told(before)
	}
	return append([]string{told}, rows...), err
}

// read runs a watched read.
func (r *runner) read(t target, text string) (rows []string, told string, err error) {
	before := r.env.Counts()
	rows, err = render(t.QueryContext(r.ctx, text))
	return rows, Outcome(before, r.env.Counts()), err
}

// effect runs a step that may write and says what it invalidated.
func (r *runner) effect(do func() error) ([]string, error) {
	before := r.env.Counts()
	err := do()
	if isMistake(err) {
		return nil, err
	}
	told := "ok"
	if err != nil {
		told = "failed"
	}
	return []string{told + r.told(before)}, err
}

// told says whether something was invalidated since before, and which of the
// watched reads it was.
func (r *runner) told(before Counts) string {
	invalidates := r.env.Counts().Invalidations > before.Invalidations
	var gone, stale []string
	for _, w := range r.watched {
		rows, told, err := r.read(r.env.DB, w.text)
		if told != "hit" {
			gone = append(gone, w.name)
		}
		truth, _, outsideErr := r.read(r.env.Outside, w.text)
		if (err == nil) != (outsideErr == nil) || !slices.Equal(rows, truth) {
			stale = append(stale, w.name)
		}
	}
	text := ""
	switch {
	case len(gone) > 0:
		text = ", invalidates " + strings.Join(gone, " ")
	case len(r.watched) > 0:
		text = ", keeps all"
	case invalidates:
		text = ", invalidates"
	}
	if len(stale) > 0 {
		text += ", STALE " + strings.Join(stale, " ")
	}
	return text
}

// Outcome tells what became of a read from the counts before and after it.
func Outcome(before, after Counts) string {
	switch {
	case after.Hits > before.Hits:
		return "hit"
	case after.Coalesced > before.Coalesced:
		return "coalesced"
	case after.Misses > before.Misses && after.Fills > before.Fills:
		return "miss"
	case after.Misses > before.Misses:
		return "miss, not stored"
	}
	for reason, n := range after.Bypasses {
		if n > before.Bypasses[reason] {
			return "bypass: " + reason
		}
	}
	return "passed"
}

// render reads all rows and closes them.
func render(rows *sql.Rows, err error) (lines []string, _ error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		values := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return lines, err
		}
		cells := make([]string, len(values))
		for i, v := range values {
			cells[i] = cell(v)
		}
		lines = append(lines, strings.Join(cells, " | "))
	}
	if err := rows.Err(); err != nil {
		return lines, err
	}
	if len(lines) == 0 {
		lines = []string{"(no rows)"}
	}
	return lines, rows.Close()
}

func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case []byte:
		return fmt.Sprintf("x'%x'", v)
	case string:
		if v == "" {
			return "''"
		}
		return strings.ReplaceAll(v, "\n", `\n`)
	default:
		return fmt.Sprint(v)
	}
}

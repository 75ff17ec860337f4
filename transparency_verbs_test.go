package querycache_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/querycache/querycache/internal/fakedb"
)

// verbs are the steps of a script; each returns what the client saw. They are
// filled in by init because "go" runs any of them.
var verbs map[string]func(*world, *step) string

func init() {
	verbs = map[string]func(*world, *step) string{
		"exec": (*world).exec, "query": (*world).query, "row": (*world).row, "rows": (*world).rows,
		"next": (*world).next, "nextset": (*world).nextSet, "types": (*world).types,
		"prepare": (*world).prepare, "txstmt": (*world).txStmt,
		"begin": (*world).begin, "commit": (*world).commit, "rollback": (*world).rollback,
		"conn": (*world).conn, "ping": (*world).ping, "close": (*world).close, "raw": (*world).raw,
		"pool": (*world).pool, "stats": (*world).stats, "open": (*world).open, "settle": (*world).settle,
		"context": (*world).newContext, "cancel": (*world).cancel,
		"fault": (*world).fault, "unfault": (*world).unfault,
		"gate": (*world).gate, "reached": (*world).reached, "release": (*world).release,
		"go": (*world).background, "wait": (*world).wait,
	}
}

// The doors of database/sql that a statement can go through.
type (
	direct interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
		PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	}
	beginner interface {
		BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
	}
	pinger interface {
		PingContext(ctx context.Context) error
	}
)

// exec: exec [ctx=] (STMT | TARGET "sql") args...
func (w *world) exec(s *step) string {
	ctx, name := w.ctx(s), s.word()
	var res sql.Result
	var err error
	if stmt, ok := w.get(name).(*sql.Stmt); ok {
		res, err = stmt.ExecContext(ctx, s.args()...)
	} else {
		query := s.text()
		res, err = thing[direct](w, s, name).ExecContext(ctx, query, s.args()...)
	}
	if err != nil {
		return failed(err)
	}
	id, idErr := res.LastInsertId()
	n, nErr := res.RowsAffected()
	return fmt.Sprintf("id %d %s, affected %d %s", id, status(idErr), n, status(nErr))
}

func (w *world) start(s *step) (*sql.Rows, error) {
	ctx, name := w.ctx(s), s.word()
	if stmt, ok := w.get(name).(*sql.Stmt); ok {
		return stmt.QueryContext(ctx, s.args()...)
	}
	query := s.text()
	return thing[direct](w, s, name).QueryContext(ctx, query, s.args()...)
}

// query reads all rows of all result sets.
func (w *world) query(s *step) string {
	rows, err := w.start(s)
	if err != nil {
		return failed(err)
	}
	defer func() { _ = rows.Close() }()
	var b strings.Builder
	for {
		columns, err := rows.Columns()
		fmt.Fprintf(&b, "columns %q %s\n", columns, status(err))
		for rows.Next() {
			b.WriteString(scan(rows, len(columns), true) + "\n")
		}
		if !rows.NextResultSet() {
			break
		}
	}
	fmt.Fprintf(&b, "end %s, close %s", status(rows.Err()), status(rows.Close()))
	return b.String()
}

// scan reads the row into values, which database/sql copies, and where asked
// into RawBytes, which it does not copy. RawBytes keep database/sql from closing
// the rows until the next call on them, so a script that does anything else
// meanwhile must not ask.
func scan(rows *sql.Rows, n int, withRaw bool) string {
	values, into := make([]any, n), make([]any, n)
	for i := range values {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		return failed(err)
	}
	raws, intoRaw := make([]sql.RawBytes, n), make([]any, n)
	for i := range raws {
		intoRaw[i] = &raws[i]
	}
	var err error
	if withRaw {
		err = rows.Scan(intoRaw...)
	}
	cells := make([]string, n)
	for i, v := range values {
		cells[i] = fakedb.FormatValue(v)
		if raws[i] != nil {
			cells[i] += " raw " + strconv.Quote(string(raws[i]))
		}
	}
	line := "row " + strings.Join(cells, ", ")
	if err != nil {
		line += " raw " + failed(err)
	}
	return line
}

// row is QueryRow and Scan.
func (w *world) row(s *step) string {
	ctx, name := w.ctx(s), s.word()
	var row *sql.Row
	if stmt, ok := w.get(name).(*sql.Stmt); ok {
		row = stmt.QueryRowContext(ctx, s.args()...)
	} else {
		query := s.text()
		row = thing[direct](w, s, name).QueryRowContext(ctx, query, s.args()...)
	}
	var v any
	if err := row.Scan(&v); err != nil {
		return failed(err)
	}
	return fakedb.FormatValue(v)
}

// rows: rows NAME ... opens rows and keeps them.
func (w *world) rows(s *step) string {
	name := s.word()
	rows, err := w.start(s) //nolint:rowserrcheck // Later steps read them.
	if err != nil {
		return failed(err)
	}
	w.put(name, rows)
	return "ok"
}

func (w *world) next(s *step) string {
	rows := thing[*sql.Rows](w, s, s.word()) //nolint:sqlclosecheck // A later step closes them.
	columns, err := rows.Columns()
	if !rows.Next() {
		return "end " + status(rows.Err())
	}
	if err != nil {
		return failed(err)
	}
	return scan(rows, len(columns), false)
}

func (w *world) nextSet(s *step) string {
	rows := thing[*sql.Rows](w, s, s.word()) //nolint:sqlclosecheck // A later step closes them.
	more := rows.NextResultSet()
	columns, err := rows.Columns()
	return fmt.Sprintf("%v %s, columns %q %s", more, status(rows.Err()), columns, status(err))
}

func (w *world) types(s *step) string {
	rows := thing[*sql.Rows](w, s, s.word()) //nolint:rowserrcheck,sqlclosecheck // Later steps do.
	types, err := rows.ColumnTypes()
	if err != nil {
		return failed(err)
	}
	var b strings.Builder
	for _, t := range types {
		length, lok := t.Length()
		nullable, nok := t.Nullable()
		precision, scale, dok := t.DecimalSize()
		fmt.Fprintf(&b, "%q %v %q length %d %v nullable %v %v decimal %d %d %v\n", t.Name(), t.ScanType(),
			t.DatabaseTypeName(), length, lok, nullable, nok, precision, scale, dok)
	}
	return b.String()
}

// prepare: prepare [ctx=] NAME TARGET "sql".
func (w *world) prepare(s *step) string {
	ctx, name, on := w.ctx(s), s.word(), s.word()
	stmt, err := thing[direct](w, s, on).PrepareContext(ctx, s.text())
	if err != nil {
		return failed(err)
	}
	w.put(name, stmt)
	return "ok"
}

// txStmt: txstmt NAME TX STMT.
func (w *world) txStmt(s *step) string {
	name, tx := s.word(), thing[*sql.Tx](w, s, s.word())
	w.put(name, tx.StmtContext(w.ctx(s), thing[*sql.Stmt](w, s, s.word())))
	return "ok"
}

var levels = map[string]sql.IsolationLevel{
	"": sql.LevelDefault, "readuncommitted": sql.LevelReadUncommitted, "readcommitted": sql.LevelReadCommitted,
	"snapshot": sql.LevelSnapshot, "serializable": sql.LevelSerializable, "linearizable": sql.LevelLinearizable,
}

// begin: begin [ctx=] [level=] [readonly=1] NAME TARGET.
func (w *world) begin(s *step) string {
	ctx, name := w.ctx(s), s.word()
	opts := &sql.TxOptions{Isolation: levels[s.options["level"]], ReadOnly: s.options["readonly"] != ""}
	tx, err := thing[beginner](w, s, s.word()).BeginTx(ctx, opts)
	if err != nil {
		return failed(err)
	}
	w.put(name, tx)
	return "ok"
}

func (w *world) commit(s *step) string { return status(thing[*sql.Tx](w, s, s.word()).Commit()) }

func (w *world) rollback(s *step) string { return status(thing[*sql.Tx](w, s, s.word()).Rollback()) }

// conn: conn [ctx=] NAME.
func (w *world) conn(s *step) string {
	ctx := w.ctx(s)
	c, err := thing[*sql.DB](w, s, "db").Conn(ctx)
	if err != nil {
		return failed(err)
	}
	w.put(s.word(), c)
	return "ok"
}

func (w *world) ping(s *step) string {
	ctx := w.ctx(s)
	return status(thing[pinger](w, s, s.word()).PingContext(ctx))
}

func (w *world) close(s *step) string { return status(thing[io.Closer](w, s, s.word()).Close()) }

// raw tells whether the driver's own connection is inside, and what a callback's
// error or panic becomes.
func (w *world) raw(s *step) string {
	found := "not reached"
	err := thing[*sql.Conn](w, s, s.word()).Raw(func(dc any) error {
		found = fmt.Sprintf("driver's own connection %v", fakedb.ConnID(w.unwrap(dc)) != 0)
		switch s.options["with"] {
		case "error":
			return errBroken
		case "badconn":
			return driver.ErrBadConn
		case "panic":
			panic("in raw")
		}
		return nil
	})
	return found + ", " + status(err)
}

// pool: pool [open=] [idle=] sets limits.
func (w *world) pool(s *step) string {
	db := thing[*sql.DB](w, s, "db")
	if _, ok := s.options["open"]; ok {
		db.SetMaxOpenConns(s.number("open"))
	}
	if _, ok := s.options["idle"]; ok {
		db.SetMaxIdleConns(s.number("idle"))
	}
	return "ok"
}

func (w *world) stats(s *step) string {
	st := thing[*sql.DB](w, s, "db").Stats()
	return fmt.Sprintf("open %d, in use %d, idle %d", st.OpenConnections, st.InUse, st.Idle)
}

// open tells what the driver handed out and did not get back, connections apart:
// how many of those there are is for the pool to say.
func (w *world) open(*step) string {
	c := w.fake.OpenCounts()
	return fmt.Sprintf("statements %d, rows %d, transactions %d", c.Stmts, c.Rows, c.Txs)
}

// settle waits until database/sql has done what it does in the background.
func (w *world) settle(s *step) string {
	db := thing[*sql.DB](w, s, "db")
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if db.Stats().InUse == s.number("use") {
			return "ok"
		}
	}
	return fmt.Sprintf("still in use: %d", db.Stats().InUse)
}

// newContext: context NAME (cancel | expired).
func (w *world) newContext(s *step) string {
	name := s.word()
	c := scriptContext{}
	if s.options["expired"] != "" {
		c.Context, c.cancel = context.WithDeadline(context.Background(), time.Unix(1, 0))
	} else {
		c.Context, c.cancel = context.WithCancel(context.Background())
	}
	w.put(name, c)
	return "ok"
}

func (w *world) cancel(s *step) string {
	thing[scriptContext](w, s, s.word()).cancel()
	return "ok"
}

var faultErrors = map[string]error{
	"broken": errBroken, "badconn": driver.ErrBadConn, "eof": io.EOF, "wrapped": fmt.Errorf("lost: %w", driver.ErrBadConn),
}

// fault: fault method= [text=] [skip=] [times=] [err=] [panic=] [gate=] [delay=] [after=1] [lose=1] [invalid=1] NAME.
func (w *world) fault(s *step) string {
	f := fakedb.Fault{
		Method: s.options["method"], Text: s.options["text"], Skip: s.number("skip"), Times: s.number("times"),
		Err: faultErrors[s.options["err"]], After: s.options["after"] != "", Lose: s.options["lose"] != "",
		Invalid: s.options["invalid"] != "", Delay: time.Duration(s.number("delay")) * time.Millisecond,
	}
	if p, ok := s.options["panic"]; ok {
		f.Panic = p
	}
	if g, ok := s.options["gate"]; ok {
		f.Gate = thing[*fakedb.Gate](w, s, g)
	}
	w.put(s.word(), w.fake.Inject(f))
	return ""
}

// unfault ends a fault and tells how often it struck, or with quiet=1 does not:
// how often rows are asked for the next one is not for a client to see.
func (w *world) unfault(s *step) string {
	struck := thing[func() int](w, s, s.word())()
	if s.options["quiet"] != "" {
		return ""
	}
	return fmt.Sprintf("struck %d", struck)
}

func (w *world) gate(s *step) string {
	w.put(s.word(), fakedb.NewGate())
	return ""
}

func (w *world) reached(s *step) string {
	select {
	case <-thing[*fakedb.Gate](w, s, s.word()).Reached():
		return "ok"
	case <-time.After(time.Minute):
		return "nothing reached the gate"
	}
}

func (w *world) release(s *step) string {
	thing[*fakedb.Gate](w, s, s.word()).Release()
	return ""
}

// background: go NAME verb ... runs a step; wait NAME tells what it saw.
func (w *world) background(s *step) string {
	result := make(chan string, 1)
	w.put(s.word(), result)
	line := strings.Join(s.words, " ")
	go func() { result <- w.step(line) }()
	return ""
}

func (w *world) wait(s *step) string {
	select {
	case out := <-thing[chan string](w, s, s.word()):
		return out
	case <-time.After(time.Minute):
		return "never returned"
	}
}

package querycache

import (
	"context"
	"database/sql/driver"
	"io"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/querycache/querycache/internal/analysis"
	"github.com/querycache/querycache/internal/rowset"
)

var (
	_ driver.Rows                           = (*stream)(nil)
	_ driver.RowsNextResultSet              = (*stream)(nil)
	_ driver.RowsColumnTypeScanType         = (*stream)(nil)
	_ driver.RowsColumnTypeDatabaseTypeName = (*stream)(nil)
	_ driver.RowsColumnTypeLength           = (*stream)(nil)
	_ driver.RowsColumnTypeNullable         = (*stream)(nil)
	_ driver.RowsColumnTypePrecisionScale   = (*stream)(nil)
)

// aside reads the parent's rows ahead in a goroutine of its own, for a
// statement that may keep its caller waiting: the caller then goes on with what
// has come. Until it is done nobody else may use the parent.
type aside struct {
	mu   sync.Mutex // guards rec until done is closed
	rec  *rowset.Recorder
	stop atomic.Bool // after the row that is on its way
	done chan struct{}

	end error // what ended the rows, set before done is closed; nil: there may be more
}

// readAside starts reading ahead.
func (c *conn) readAside(rec *rowset.Recorder, width int, parent driver.Rows) *aside {
	a := &aside{rec: rec, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		defer keepPanic(&a.end)
		a.end = errAbandoned // Should the parent end the goroutine.
		a.end = a.run(c, make([]driver.Value, width), parent)
	}()
	return a
}

func (a *aside) run(c *conn, row []driver.Value, parent driver.Rows) error {
	started := c.cache.now()
	for last := started; !a.stop.Load(); {
		if err := parent.Next(row); err != nil {
			return err
		}
		a.mu.Lock()
		more := a.rec.Append(row)
		a.mu.Unlock()
		now := c.cache.now()
		if !more || now-last > int64(slowRow) || now-started > int64(slowRows) {
			return nil
		}
		last = now
	}
	return nil
}

// parentPanic is a panic of the parent while its rows were read ahead. It goes on
// where it would have occurred without that: when the caller asks for the row.
type parentPanic struct{ value any }

func (*parentPanic) Error() string { return "querycache: the parent panicked" }

// keepPanic is deferred to turn a panic of the parent into an end of its rows.
func keepPanic(end *error) {
	if p := recover(); p != nil {
		*end = &parentPanic{p}
	}
}

// rethrow lets a kept panic go on, and returns any other error.
func rethrow(end error) error {
	if p, ok := end.(*parentPanic); ok { //nolint:errorlint // It is never wrapped.
		panic(p.value)
	}
	return end
}

// wait waits until the reading is done or no row has come for slowRow. It
// reports whether it is done.
func (a *aside) wait() bool {
	timer := time.NewTimer(slowRow)
	defer timer.Stop()
	for rows := 0; ; {
		select {
		case <-a.done:
			return true
		case <-timer.C:
		}
		a.mu.Lock()
		came := a.rec.Rows() - rows
		a.mu.Unlock()
		if came == 0 {
			a.stop.Store(true)
			return false
		}
		rows += came
		timer.Reset(slowRow)
	}
}

// row copies row i of what was read.
func (a *aside) row(i int, dest []driver.Value) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rec.Row(i, dest)
}

// join waits until nothing reads on the connection but its user.
func (c *conn) join() {
	if c.reading != nil {
		<-c.reading.done
		c.reading = nil
	}
}

// stream hands out what was read ahead and then the rest as it comes, and
// records it as long as the result can still be stored.
type stream struct {
	rows    rows
	columns *rowset.Columns
	ahead   *aside           // still reading; nil: not, or not any more
	rec     *rowset.Recorder // what was read ahead
	next    int              // how many rows of it were handed out
	end     error            // what comes after it; nil: the parent's next rows

	recording bool // rec goes on
	begun     int  // transactions begun on the connection before it
	filling   filling
	took      int64           // how long the database was waited for
	trace     *tracing        // to be told when the rows are closed; nil: nobody asks
	ctx       context.Context //nolint:containedctx // For a probe after the call.
	cancel    context.CancelFunc
}

// Columns returns the column names.
func (r *stream) Columns() []string { return r.columns.Names() }

// Next hands out the next row.
func (r *stream) Next(dest []driver.Value) error {
	if r.ahead != nil {
		if r.ahead.row(r.next, dest) {
			r.next++
			return nil
		}
		r.joined()
	}
	if r.rec != nil && r.rec.Row(r.next, dest) {
		r.next++
		return nil
	}
	if !r.recording {
		r.rec = nil
	}
	if r.end != nil {
		return rethrow(r.noted(r.end))
	}
	err := r.noted(r.waited(dest))
	switch {
	case !r.recording:
	case err == nil:
		r.next++
		if !r.rec.Append(dest) {
			r.drop(ReasonTooLarge)
		}
	case ended(r.rows.parent, err):
		r.end = io.EOF
	default:
		r.drop(ReasonCutShort)
	}
	return err
}

// waited asks the parent for a row, and adds to how long it was waited for where
// somebody will know.
func (r *stream) waited(dest []driver.Value) error {
	if !r.recording && r.trace == nil {
		return r.rows.Next(dest)
	}
	now := r.rows.conn.cache.now
	began := now()
	err := r.rows.Next(dest)
	r.took += now() - began
	return err
}

// noted notes for whoever traces what ended the rows.
func (r *stream) noted(err error) error {
	if r.trace != nil && err != nil && err != io.EOF { //nolint:errorlint // By identity, as database/sql does.
		r.trace.failed = err
	}
	return err
}

// joined waits for the reading ahead and takes over from it.
func (r *stream) joined() {
	a := r.ahead
	if a == nil {
		return
	}
	now := r.rows.conn.cache.now
	waiting := now()
	<-a.done
	r.took += now() - waiting
	r.ahead, r.rows.conn.reading = nil, nil
	r.end = a.end
	switch {
	case r.rec.Over():
		r.drop(ReasonTooLarge)
	case r.end != nil && !ended(r.rows.parent, r.end):
		r.drop(ReasonCutShort)
	}
}

// ended reports whether err is the end of the parent's only result set.
func ended(parent driver.Rows, err error) bool {
	return err == io.EOF && !more(parent) //nolint:errorlint // By identity, as database/sql does.
}

// drop gives the recording up.
func (r *stream) drop(why Reason) {
	c := r.rows.conn
	if why == ReasonTooLarge {
		c.cache.forget(r.filling.hash, r.filling.born) // What is stored is older, and would not be replaced.
	}
	r.recording, r.filling = false, filling{}
	c.counters.rejected.Add(1)
	c.counters.spent(r.took)
	if r.trace != nil {
		r.trace.out.Refused = why
	}
}

// Close closes the parent's rows. A recording that has reached the end is
// stored; for one that has not, the end is looked for once.
func (r *stream) Close() error {
	if r.rows.parent == nil {
		return nil
	}
	r.leave()
	if r.recording && r.end == nil {
		r.probe()
	}
	err := r.rows.Close()
	if r.cancel != nil {
		r.cancel()
	}
	if r.recording {
		r.store(err)
	}
	if r.trace != nil {
		r.trace.tell(time.Duration(r.took), err)
		r.trace = nil
	}
	return err
}

// store stores the recording, if it is whole.
func (r *stream) store(err error) {
	c := r.rows.conn
	if err != nil || r.end == nil {
		r.drop(ReasonCutShort)
		return
	}
	if c.tx != txNone || c.begun != r.begun {
		r.drop(ReasonTransaction) // Its connection may have shown it what was not committed.
		return
	}
	it := &item{}
	it.Value.result, it.Value.took = r.rec.Result(), r.took
	refused := c.fill(&r.filling, it)
	if r.trace != nil {
		r.trace.stored(it, refused)
	}
}

// leave ends the reading ahead, soon: a row that does not come is given up.
func (r *stream) leave() {
	if r.ahead == nil {
		return
	}
	timer := time.NewTimer(probeTime)
	defer timer.Stop()
	select {
	case <-r.ahead.done:
	case <-r.ctx.Done():
	case <-timer.C:
		r.filling.plan.endless.Store(true)
		r.cancel()
	}
	r.joined()
}

// probe looks once whether the rows that were not asked for exist: whoever
// takes one row and closes, as QueryRow does, leaves a whole result if there
// was one row.
func (r *stream) probe() {
	c := r.rows.conn
	if r.cancel == nil || r.ctx.Err() != nil || r.filling.plan.endless.Load() || c.open > 1 || c.tx != txNone {
		return // A parent that is interrupted may end the connection's other statements, too.
	}
	timer := time.AfterFunc(probeTime, r.cancel)
	err := r.rows.Next(r.rec.Dest())
	timer.Stop()
	if ended(r.rows.parent, err) {
		r.end = io.EOF
		return
	}
	r.filling.plan.endless.Store(true)
}

// HasNextResultSet reports whether another result set follows.
func (r *stream) HasNextResultSet() bool {
	r.joined()
	return more(r.rows.parent)
}

// NextResultSet goes on to the next result set. Several are not stored.
func (r *stream) NextResultSet() error {
	r.joined()
	if r.recording {
		r.drop(reasonStatement + Reason(analysis.SeveralStatements))
	}
	r.rec, r.end = nil, nil
	err := r.rows.NextResultSet()
	if err == nil {
		r.columns = rowset.Describe(r.rows.parent)
	}
	return err
}

// ColumnTypeScanType is what the parent said of column i.
func (r *stream) ColumnTypeScanType(i int) reflect.Type { return r.columns.Type(i).ScanType }

// ColumnTypeDatabaseTypeName is what the parent said of column i.
func (r *stream) ColumnTypeDatabaseTypeName(i int) string { return r.columns.Type(i).DatabaseType }

// ColumnTypeLength is what the parent said of column i.
func (r *stream) ColumnTypeLength(i int) (length int64, ok bool) {
	t := r.columns.Type(i)
	return t.Length, t.HasLength
}

// ColumnTypeNullable is what the parent said of column i.
func (r *stream) ColumnTypeNullable(i int) (nullable, ok bool) {
	t := r.columns.Type(i)
	return t.Nullable, t.HasNullable
}

// ColumnTypePrecisionScale is what the parent said of column i.
func (r *stream) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	t := r.columns.Type(i)
	return t.Precision, t.Scale, t.HasPrecisionScale
}

package querycache

import (
	"context"
	"database/sql/driver"
	"io"
	"slices"
	"time"

	"github.com/querycache/querycache/internal/rowset"
)

const (
	// slowRow ends the reading ahead: whoever waits for rows that come slowly
	// gets each when the database has it.
	slowRow = 5 * time.Millisecond
	// slowRows bounds the reading ahead in all, from the first row on.
	slowRows = 25 * time.Millisecond
	// probeTime bounds the look for the end of rows that are closed early.
	probeTime = 50 * time.Millisecond
)

// read reads the parent's rows before it hands them out, while they come at
// once: so that a caller who takes one row and closes leaves a whole result.
func (q *call) read(parent driver.Rows, cancel context.CancelFunc) (driver.Rows, error) {
	c, p := q.conn, q.plan
	columns := p.columns.Load()
	if columns == nil || !columns.Named(parent.Columns()) {
		columns = rowset.Describe(parent)
		p.columns.Store(columns)
	}
	rec := &c.recorder
	rec.Open(columns, q.set.maxBytes)
	end := c.recordFirst(rec, parent)
	var reading *aside
	switch {
	case end != nil || rec.Over():
	case p.Recursive:
		// It may have no end. While a row is looked for that does not exist,
		// nobody else could use the connection.
	case cancel == nil:
		end = c.recordAhead(rec, parent)
	default:
		rec = rec.Move()
		a := c.readAside(rec, columns.Len(), parent)
		if a.wait() {
			end = a.end
		} else {
			reading = a
		}
	}
	if q.spare() && rec.Rows() == 0 && end != nil && end != io.EOF { //nolint:errorlint // By identity, as database/sql does.
		if rows := q.instead(end); rows != nil {
			_ = parent.Close()
			if cancel != nil {
				cancel()
			}
			return rows, nil
		}
	}
	c.counters.misses.Add(1)
	slow := end == nil || rec.Over()
	if p.slow.Load() != slow {
		p.slow.Store(slow)
	}
	if slow || !ended(parent, end) {
		if rec == &c.recorder {
			rec = rec.Move()
		}
		// Made here: a result that is whole needs none.
		r := &stream{rows: rows{conn: c, parent: parent}, columns: columns, cancel: cancel, end: end, ahead: reading}
		c.reading = reading
		return q.stream(r, rec), nil
	}
	return q.whole(parent, rec, cancel), nil
}

// whole closes the parent, stores the result and hands it out.
func (q *call) whole(parent driver.Rows, rec *rowset.Recorder, cancel context.CancelFunc) driver.Rows {
	c := q.conn
	err := parent.Close()
	if cancel != nil {
		cancel()
	}
	it := &item{}
	it.Value.result = rec.Result()
	result := &it.Value.result
	if err != nil {
		c.counters.rejected.Add(1)
		c.counters.spent(c.cache.now() - q.born)
		if c.trace != nil {
			c.trace.out.Refused, c.trace.failed = ReasonCutShort, err
		}
		failed := &closing{err: err}
		failed.Open(result)
		return failed
	}
	at(q.ctx, stepFill)
	filling := q.filling()
	it.Value.took = c.cache.now() - q.born
	refused := c.fill(&filling, it)
	at(q.ctx, stepFilled)
	q.result = result
	if c.trace != nil {
		c.trace.stored(it, refused)
	}
	return c.replayed(result)
}

// recordFirst records the first row, which the caller waits for in any case.
func (c *conn) recordFirst(rec *rowset.Recorder, parent driver.Rows) (end error) {
	defer keepPanic(&end)
	if err := parent.Next(rec.Dest()); err != nil {
		return err
	}
	rec.Keep()
	return nil
}

// recordAhead records rows while they come at once. It returns what ended
// them, or nil where there may be more.
func (c *conn) recordAhead(rec *rowset.Recorder, parent driver.Rows) (end error) {
	defer keepPanic(&end)
	started := int64(0)
	for last := int64(0); ; {
		if err := parent.Next(rec.Dest()); err != nil {
			return err
		}
		if !rec.Keep() {
			return nil
		}
		now := c.cache.now()
		if started == 0 {
			started, last = now, now // Most results end before the clock is needed.
		}
		if now-last > int64(slowRow) || now-started > int64(slowRows) {
			return nil
		}
		last = now
	}
}

// filling is what the entry of this call will be made of. It shares the call's
// memory: what outlives the call needs its own.
func (q *call) filling() filling {
	return filling{
		key:  q.key(),
		plan: q.plan, words: q.words, query: q.query, stamps: q.stamps,
		born: q.born, ttl: q.set.ttl, window: q.set.window(), hash: q.hash,
	}
}

// key is the key of the call. It shares the call's memory.
func (q *call) key() key {
	return key{scope: q.conn.scope, text: q.plan.Text, args: q.args, extra: q.extra()}
}

func (c *conn) fill(f *filling, it *item) (refused Reason) {
	c.counters.spent(it.Value.took)
	if refused = c.cache.fill(f, it); refused == ReasonNone {
		c.counters.fills.Add(1)
	} else {
		c.counters.rejected.Add(1)
	}
	return refused
}

// stream hands out what was read ahead, and then the rest as it comes,
// recording on as long as the result can still be stored.
func (q *call) stream(r *stream, rec *rowset.Recorder) driver.Rows {
	c := q.conn
	if (q.set.refresh || q.expired) && !q.hints.background {
		c.cache.forget(q.hash, q.born) // It is not known yet if there will be a new one.
	}
	c.open++
	r.rec, r.ctx = rec, q.ctx
	r.filling = q.filling()
	r.filling.key = r.filling.key.own(nil)
	r.filling.stamps = slices.Clone(q.stamps)
	r.recording, r.begun = true, c.begun
	r.took = c.cache.now() - q.born
	r.trace = c.trace
	switch {
	case r.ahead != nil:
	case rec.Over():
		r.drop(ReasonTooLarge)
	case r.end != nil:
		r.drop(ReasonCutShort)
	}
	return r
}

//go:build querycache_controls

package querycache

import (
	"context"
	"time"
)

const (
	readA    = "SELECT v FROM a WHERE id = 1"
	readB    = "SELECT v FROM b WHERE id = 1"
	readJoin = "SELECT a.v * 10 + b.v FROM a JOIN b ON b.id = a.id WHERE a.id = 1"
	writeA   = "UPDATE a SET v = 1 WHERE id = 1"
	writeB   = "UPDATE b SET v = 1 WHERE id = 1"
)

// writeSchedules are about when a write begins and ends.
func writeSchedules() []schedule {
	return []schedule{
		{
			controlBumpAfterOnly, "1, 6", "fill; W takes effect; X sees new; read; W returns", walFile,
			func(x *exam) { seenBeforeReturn(x, stepSent) },
		},
		{
			controlReleaseThenBump, "2", "fill; W takes effect, is half ended; X sees new; read", walFile,
			func(x *exam) { seenBeforeReturn(x, stepReleased) },
		},
		{
			controlUnchanged, "13", "fill; W returns; X sees new; read", walFile,
			func(x *exam) { seenBeforeReturn(x, stepEnded) },
		},
		{
			controlBumpBeforeOnly, "1, 2", "W begins; fill; W takes effect and returns; read", walFile,
			filledBeforeEffect,
		},
		{
			controlEndEarly, "2", "W begins; fill; W takes effect and returns; read", walFile,
			filledBeforeEffect,
		},
		{
			controlBeginLate, "1", "fill B; COMMIT of A, B takes effect; X sees new A, B; read B", walFile,
			seenByJoin,
		},
		{
			controlBeginOne, "1", "fill B; COMMIT of A, B takes effect; X sees new A, B; read B", walFile,
			seenByJoin,
		},
		{
			controlDisabledSkips, "9", "fill; disable; W takes effect; enable; X sees new; read; W returns", walFile,
			writtenWhileDisabled,
		},
		{
			controlWriterSkips, "8", "W writes a table that nobody has read; fill; W writes again; read", walFile,
			writtenBeforeRead,
		},
		{
			controlEra, "1", "W begins; CREATE TRIGGER on A, writing B, returns; fill B; W takes effect and returns; read B", walFile,
			triggerInBetween,
		},
	}
}

// seenBeforeReturn holds a write up at a step after its effect. Whoever has
// seen the new row must not see the old one from then on.
func seenBeforeReturn(x *exam, s step) {
	r, w := x.client(), x.client()
	r.reads(readA, 0)
	write := w.writing(writeA)
	if s == stepSent {
		write.reach(s)
	} else {
		write.to(s) // With the protection there may be no such moment.
	}
	x.client().asks(readA, 1)
	r.decides(readA, 1)
	write.finish()
}

// filledBeforeEffect reads between a write's begin and its effect.
func filledBeforeEffect(x *exam) {
	r, w := x.client(), x.client()
	write := w.writing(writeA)
	write.reach(stepBegun)
	r.reads(readA, 0)
	write.finish()
	r.decides(readA, 1)
}

// seenByJoin writes two tables. Whoever has seen both of them new must not see
// the second one old.
func seenByJoin(x *exam) {
	r, w := x.client(), x.client()
	r.reads(readB, 0)
	w.execs("BEGIN")
	w.execs(writeA)
	w.execs(writeB)
	commit := w.writing("COMMIT")
	commit.reach(stepSent)
	x.client().asks(readJoin, 11)
	r.decides(readB, 1)
	commit.finish()
}

func writtenWhileDisabled(x *exam) {
	r, w := x.client(), x.client()
	r.reads(readA, 0)
	x.cache.SetEnabled(false)
	write := w.writing(writeA)
	write.reach(stepSent)
	x.cache.SetEnabled(true)
	x.client().asks(readA, 1)
	r.decides(readA, 1)
	write.finish()
}

// writtenBeforeRead writes a table before anybody has read it, and again by the
// same plan.
func writtenBeforeRead(x *exam) {
	r, w := x.client(), x.client()
	const write = "UPDATE a SET v = ? WHERE id = 1"
	w.execs(write, 0)
	r.reads(readA, 0)
	w.execs(write, 1)
	r.decides(readA, 1)
}

// triggerInBetween creates a trigger between the plan of a write and its effect.
func triggerInBetween(x *exam) {
	r, w := x.client(), x.client()
	r.reads(readA, 0)
	write := w.writing(writeA)
	write.reach(stepBegun)
	x.client().execs("CREATE TRIGGER follow AFTER UPDATE ON a BEGIN UPDATE b SET v = new.v WHERE id = new.id; END")
	if broken(controlEra) {
		x.reaped() // Everything is dead, and freed in the background: what is filled now is not to be freed with it.
	}
	r.reads(readB, 0)
	write.finish()
	x.client().asks(readB, 1)
	r.decides(readB, 1)
}

// reaped waits until the store has begun to be emptied. A fill waits for the end
// of that by itself.
func (x *exam) reaped() {
	x.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if x.cache.Stats().Entries == 0 {
			return
		}
	}
	x.t.Fatal("the dead entries were not freed")
}

// connectionSchedules are about what else is open on a connection.
func connectionSchedules() []schedule {
	return []schedule{
		{
			controlReturningEarly, "14", "W … RETURNING, rows open; fill; its rows are closed; read", walFile,
			filledBeforeClose,
		},
		{
			controlReturningEarly, "14", "W … RETURNING prepared, by Exec; fill; it is closed; read", walFile,
			filledBeforeStmtClose,
		},
		{
			controlStacked, "14", "W A … RETURNING, rows open; W B on it returns; fill B; rows closed; X sees new; read B", walFile,
			stackedWrite,
		},
		{
			controlOpenStatement, "14", "S's rows are open; W returns; S reads, fills; R reads", walFile,
			filledUnderOpenRows,
		},
		{
			controlOldSnapshot, "17", "T takes its snapshot; W returns; T reads, fills; R reads", walFile,
			filledInTransaction,
		},
		{
			controlReadUncommitted, "17", "T writes; R reads uncommitted, fills; T rolls back; R reads", sharedCache,
			filledUncommitted,
		},
	}
}

// opens runs a query and leaves its rows open until the function returned is
// called, or the test ends.
func (c *client) opens(ctx context.Context, query string) (closes func()) {
	c.x.t.Helper()
	rows, err := c.conn.QueryContext(ctx, query)
	if err != nil {
		c.x.t.Fatal(err)
	}
	c.x.t.Cleanup(func() { _ = rows.Close() })
	if !rows.Next() {
		c.x.t.Fatal("no row was returned: ", rows.Err())
	}
	return func() {
		c.x.t.Helper()
		if err := rows.Close(); err != nil {
			c.x.t.Fatal(err)
		}
		if err := rows.Err(); err != nil {
			c.x.t.Fatal(err)
		}
	}
}

// filledBeforeClose reads while a RETURNING is open: SQLite commits it when it
// is closed.
func filledBeforeClose(x *exam) {
	r, w := x.client(), x.client()
	closes := w.opens(x.t.Context(), writeA+" RETURNING v")
	r.reads(readA, 0)
	closes()
	w.decides(readA, 1)
}

// filledBeforeStmtClose reads after an Exec that has made but one step of a
// RETURNING: SQLite commits it when the statement is closed.
func filledBeforeStmtClose(x *exam) {
	r, w := x.client(), x.client()
	stmt, err := w.conn.PrepareContext(x.t.Context(), writeA+" RETURNING v")
	if err != nil {
		x.t.Fatal(err)
	}
	defer stmt.Close()
	if _, err := stmt.ExecContext(x.t.Context()); err != nil {
		x.t.Fatal(err)
	}
	r.reads(readA, 0)
	if err := stmt.Close(); err != nil {
		x.t.Fatal(err)
	}
	x.client().asks(readA, 1)
	r.decides(readA, 1)
}

// stackedWrite writes on a connection whose RETURNING is open: it takes effect
// only when that is closed.
func stackedWrite(x *exam) {
	r, w := x.client(), x.client()
	closes := w.opens(x.t.Context(), writeA+" RETURNING v")
	w.execs(writeB)
	r.reads(readB, 0)
	closes()
	x.client().asks(readB, 1)
	r.decides(readB, 1)
}

// filledUnderOpenRows reads on a connection whose open rows pin its snapshot.
func filledUnderOpenRows(x *exam) {
	r, s, w := x.client(), x.client(), x.client()
	closes := s.opens(Bypass(x.t.Context()), "SELECT id FROM b")
	w.execs(writeA)
	s.reads(readA, 0)
	closes()
	r.decides(readA, 1)
}

func filledInTransaction(x *exam) {
	r, tx, w := x.client(), x.client(), x.client()
	tx.execs("BEGIN")
	tx.reads(readB, 0)
	w.execs(writeA)
	tx.reads(readA, 0)
	r.decides(readA, 1)
	tx.execs("COMMIT")
}

// filledUncommitted needs SQLite's shared cache: only there can a connection
// read what another has not committed.
func filledUncommitted(x *exam) {
	r, tx := x.client(), x.client()
	r.execs("PRAGMA read_uncommitted = 1")
	tx.execs("BEGIN")
	tx.execs("UPDATE a SET v = 7 WHERE id = 1")
	r.reads(readA, 7)
	tx.execs("ROLLBACK")
	r.decides(readA, 0)
}

//go:build querycache_controls

package querycache

import (
	"context"
	"errors"

	"github.com/querycache/querycache/internal/fakedb"
)

// readSchedules are about which words an entry carries.
func readSchedules() []schedule {
	return []schedule{
		{
			controlWordsAfterQuery, "4", "R's query is sent; W returns; R fills; read", walFile,
			func(x *exam) { filledAfterWrite(x) },
		},
		{
			controlRefreshLate, "10", "R's Refresh is sent; W returns; R fills; read", walFile,
			func(x *exam) { filledAfterWrite(x, Refresh) },
		},
		{
			controlServeDirty, "6", "W begins; R's query is sent; W takes effect; R fills; X sees new; read; W returns", walFile,
			filledInFlight,
		},
		{
			controlJoinOneWord, "6", "fill A JOIN B; W B returns; read A JOIN B", walFile,
			writtenSecondTable,
		},
		{
			controlPurgeDeletes, "11", "R's query is sent; a write is not seen; Purge; R fills; read", walFile,
			func(x *exam) { filledAfterInvalidation(x, x.cache.Purge) },
		},
		{
			controlPurgeDeletes, "11", "R's query is sent; a write is not seen; InvalidateQuery; R fills; read", walFile,
			func(x *exam) { filledAfterInvalidation(x, func() { x.cache.InvalidateQuery(readA) }) },
		},
		{
			controlInDoubtReleased, "15", "W is sent and times out; R's query is sent; W takes effect; R fills; X sees new; read", onFake,
			lateEffect,
		},
	}
}

// filledAfterWrite fills what was read before a write when that has returned.
func filledAfterWrite(x *exam, hints ...func(context.Context) context.Context) {
	r, w := x.client(), x.client()
	read := r.reading(readA, hints...)
	read.reach(stepQueried)
	w.execs(writeA)
	read.finish()
	r.decides(readA, 1)
}

// filledInFlight reads after a write's begin and fills after its effect, before
// its end.
func filledInFlight(x *exam) {
	r, w := x.client(), x.client()
	write := w.writing(writeA)
	write.reach(stepBegun)
	read := r.reading(readA)
	read.to(stepFill)
	write.reach(stepSent)
	read.finish()
	x.client().asks(readA, 1)
	r.decides(readA, 1)
	write.finish()
}

func writtenSecondTable(x *exam) {
	r, w := x.client(), x.client()
	r.reads(readJoin, 0)
	w.execs(writeB)
	r.decides(readJoin, 1)
}

// filledAfterInvalidation fills what was read before a write that the cache did
// not see when the cache has been told of it.
func filledAfterInvalidation(x *exam, invalidate func()) {
	r := x.client()
	read := r.reading(readA)
	read.reach(stepQueried)
	x.untracked(writeA)
	invalidate()
	read.finish()
	x.client().decides(readA, 1)
}

// lateEffect has a server carry a write out after its caller has given up. With
// SQLite there is no such thing: a call that returned has taken effect or never
// will. The fake driver's write waits until its context ends; the test then
// makes it take effect in the server's stead.
func lateEffect(x *exam) {
	r, w := x.client(), x.client()
	gate := fakedb.NewGate()
	x.fake.Inject(fakedb.Fault{Method: "Exec", Gate: gate})
	write := w.start(func(ctx context.Context, _ *act) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			<-gate.Reached()
			cancel()
		}()
		_, err := w.conn.ExecContext(ctx, writeA)
		if !errors.Is(err, context.Canceled) {
			return errors.New("the write was not cancelled")
		}
		return nil
	})
	write.finish()
	read := r.reading(readA)
	read.to(stepQueried)
	x.untracked(writeA)
	read.finish()
	x.client().asks(readA, 1)
	r.decides(readA, 1)
}

// flightSchedules are about who may share whose query.
func flightSchedules() []schedule {
	return []schedule{
		{
			controlJoinAny, "5", "L's query is sent; W returns; W reads; L's query returns", walFile,
			func(x *exam) { followed(x, readA, writeA, 1) },
		},
		{
			controlWordsBeforeCall, "4", "L's query is sent; W returns; W reads by earlier words; L's query returns", walFile,
			func(x *exam) { followed(x, readA, writeA, 1) },
		},
		{
			controlJoinOneWord, "5", "L's query of A JOIN B is sent; W B returns; W reads; L's query returns", walFile,
			func(x *exam) { followed(x, readJoin, writeB, 1) },
		},
		{
			controlJoinInFlight, "5", "W begins; L's query is sent; W takes effect; X sees new, reads; L's query returns", walFile,
			followedInFlight,
		},
	}
}

// followed reads what a flight is bringing that left before a write.
func followed(x *exam, query, statement string, want int64) {
	l, w := x.client(), x.client()
	lead := l.reading(query)
	lead.reach(stepQueried)
	w.execs(statement)
	x.mark()
	follow := w.reading(query)
	follow.to(stepJoined)
	lead.finish()
	x.judge(follow.finish(), want)
}

// followedInFlight reads what a flight is bringing that left before a write's
// effect: the words are the same, and that write is still in flight.
func followedInFlight(x *exam) {
	l, w, reader := x.client(), x.client(), x.client()
	write := w.writing(writeA)
	write.reach(stepBegun)
	lead := l.reading(readA)
	lead.to(stepQueried)
	write.reach(stepSent)
	reader.asks(readA, 1)
	x.mark()
	follow := reader.reading(readA)
	follow.to(stepJoined)
	lead.finish()
	x.judge(follow.finish(), 1)
	write.finish()
}

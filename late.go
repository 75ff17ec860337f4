package querycache

import (
	"context"
	"database/sql/driver"
	"errors"
	"math"
	"reflect"
	"time"

	"github.com/querycache/querycache/internal/rowset"
)

// ends is when an entry expires for a call: by its own TTL, or by the one that
// the call was given, which bounds how old a result it takes.
func (q *call) ends(it *item) int64 {
	end := it.Value.expires
	if end == 0 {
		end = math.MaxInt64
	}
	if d := q.set.maxAge; d > 0 {
		end = min(end, later(it.Born, d))
	}
	return end
}

// within reports whether a call may have an entry that has expired, for window
// longer.
func (q *call) within(it *item, now int64, window time.Duration) bool {
	return now < later(q.ends(it), window) && (it.Expires == 0 || now < it.Expires)
}

// lookLate looks what can be done with an entry that is valid and has expired: it is
// served while somebody refreshes it.
func (c *Cache) lookLate(q *call, it *item, now int64) *rowset.Result {
	q.expired = true
	if q.set.swr == 0 || !q.within(it, now, q.set.swr) || !c.refreshes.ask(q, it) {
		return nil
	}
	q.late = true
	return &it.Value.result
}

// spare reports whether the call has an expired entry to fall back on.
func (q *call) spare() bool { return q.expired && q.set.staleIfError > 0 }

// failed ends a miss that the parent answered with an error.
func (q *call) failed(err error) (driver.Rows, error) {
	if q.spare() {
		if rows := q.instead(err); rows != nil {
			return rows, nil
		}
	}
	if !isSkip(err) {
		q.conn.counters.misses.Add(1)
	}
	return nil, err
}

// instead hands out the expired entry where err says that the database cannot be
// reached and nothing that the entry depends on was written. It returns nil otherwise.
func (q *call) instead(err error) driver.Rows {
	it, c := q.found, q.conn
	if !q.unreachable(err) || !c.cache.enabled.Load() {
		return nil
	}
	if !it.Value.valid() || !q.within(it, c.cache.now(), q.set.staleIfError) {
		return nil
	}
	q.late = true
	return q.hit(&it.Value.result)
}

// unreachable reports whether an error says that the database cannot be reached. What
// the caller's own context ended does not, nor does a bad connection that has served
// before: database/sql then tries others.
func (q *call) unreachable(err error) bool {
	switch c := q.conn; {
	case q.ctx.Err() != nil, errors.Is(err, context.Canceled):
		return false
	case c.parent == nil:
		return true // There was no connecting.
	case errors.Is(err, driver.ErrBadConn):
		return !q.parent
	default:
		return brokenNet(err) || closedFile(err)
	}
}

// closedFile reports whether SQLite could not open, read or lock the file.
func closedFile(err error) bool {
	const busy, locked, ioErr, cantOpen = 5, 6, 10, 14
	for ; err != nil; err = errors.Unwrap(err) {
		code, ok := errorCode(err)
		if !ok {
			continue
		}
		switch code & 0xff {
		case busy, locked, ioErr, cantOpen:
			return true
		}
	}
	return false
}

// errorCode is the code of a SQLite driver's error: a field with go-sqlite3, a
// method with others.
func errorCode(failure error) (int, bool) {
	if coded, ok := failure.(interface{ Code() int }); ok {
		return coded.Code(), true
	}
	v := reflect.Indirect(reflect.ValueOf(failure))
	if v.Kind() != reflect.Struct {
		return 0, false
	}
	field, ok := v.Type().FieldByName("Code")
	if !ok {
		return 0, false
	}
	code, err := v.FieldByIndexErr(field.Index) // It may be behind a nil pointer.
	if err != nil || !code.CanInt() {
		return 0, false
	}
	return int(code.Int()), true
}

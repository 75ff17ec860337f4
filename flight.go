package querycache

import (
	"database/sql/driver"
	"slices"
	"sync"

	"github.com/querycache/querycache/internal/rowset"
)

// flights are the misses under way, so that many callers that miss together
// ask the database once.
type flights struct {
	shards [64]struct {
		mu sync.Mutex // guards m and the flights in it
		m  map[uint64]*flight
		_  [40]byte
	}
}

// flight is one query on its way. It lives inside the leader's call.
type flight struct {
	hash   uint64
	key    key
	words  []*word
	query  *word
	born   int64
	stamps []uint64
	done   chan struct{} // made by the first follower
	result *rowset.Result
}

// spareFlights are flights that landed without followers: nobody else knew them.
var spareFlights = sync.Pool{New: func() any { return new(flight) }}

// matches reports whether a caller with this key that captured these stamps
// may use what the flight brings: its own query, sent now, could not have seen
// less.
func (f *flight) matches(q *call) bool {
	if !f.key.of(q) || f.query != q.query {
		return false
	}
	if broken(controlJoinAny) {
		return true
	}
	if d := q.set.maxAge; d > 0 && later(f.born, d) <= q.born {
		return false
	}
	return slices.Equal(f.words, q.words) && slices.Equal(f.stamps, q.stamps)
}

// join registers q as the leader of a new flight and returns it, or returns
// the flight to follow. It returns nil, false where another flight of the same
// hash is under way that q may not follow. The caller has captured clean words.
func (fs *flights) join(q *call) (f *flight, leads bool) {
	s := &fs.shards[q.hash%uint64(len(fs.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if f = s.m[q.hash]; f != nil {
		if !f.matches(q) {
			return nil, false
		}
		if f.done == nil {
			f.done = make(chan struct{})
		}
		return f, false
	}
	f = spareFlights.Get().(*flight) //nolint:forcetypeassert // Only flights are put there.
	*f = flight{
		hash:   q.hash,
		key:    q.key(),
		words:  q.words,
		query:  q.query,
		born:   q.born,
		stamps: append(f.stamps[:0], q.stamps...),
	}
	if s.m == nil {
		s.m = make(map[uint64]*flight)
	}
	s.m[q.hash] = f
	return f, true
}

// land publishes the result, nil where there is none to share, and removes the
// flight, in one step. The leader does it once, whatever happens.
func (fs *flights) land(f *flight, result *rowset.Result) {
	s := &fs.shards[f.hash%uint64(len(fs.shards))]
	s.mu.Lock()
	delete(s.m, f.hash)
	f.result = result
	followed := f.done != nil
	if followed {
		close(f.done)
	}
	s.mu.Unlock()
	if !followed {
		*f = flight{stamps: f.stamps}
		spareFlights.Put(f)
	}
}

// follow waits for the flight. It returns nil rows and no error where the
// flight brought nothing to share: the caller starts anew.
func (q *call) follow(f *flight) (driver.Rows, error) {
	at(q.ctx, stepJoined)
	select {
	case <-f.done:
	case <-q.ctx.Done():
		return nil, q.ctx.Err()
	}
	if f.result == nil {
		return nil, nil
	}
	q.conn.counters.coalesced.Add(1)
	q.answered(Coalesced, f.result)
	return q.conn.replayed(f.result), nil
}

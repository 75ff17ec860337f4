package store

import (
	"math"

	"github.com/dgraph-io/ristretto/v2"
)

// ticket is what Ristretto holds in the place of an item. It has no pointer, so
// whatever Ristretto keeps queued or forgets to report pins no result.
type ticket struct {
	hash   uint64
	serial uint32
}

const (
	// bytesPerCounter sizes the frequency counters: ten for each item of 2.5 KB, as
	// Ristretto advises, at about 4 bytes a counter.
	bytesPerCounter = 256
	minCounters     = 1 << 12
	maxCounters     = 1 << 22

	// unaffordable is a cost above every bound: Ristretto refuses it at once, before
	// it looks for victims.
	unaffordable = math.MaxInt64
)

// open starts Ristretto.
//
// Each item is one Set at most, and each removal of an item whose Set was processed
// is one Del, in the order of the index. So a Set is always of a key that Ristretto does
// not have when it gets to it, and what it holds never exceeds MaxCost: only a new
// key makes it evict, an update would let the cost of a key grow freely.
func (s *Store[V]) open() (err error) {
	s.keeper, err = ristretto.NewCache(&ristretto.Config[uint64, ticket]{
		NumCounters: min(max(s.maxBytes/bytesPerCounter, minCounters), maxCounters),
		MaxCost:     max(1, s.maxBytes-s.largest),
		BufferItems: 64,
		Cost:        s.processed,
		OnReject:    s.rejected,
		OnEvict:     s.evicted,
		// The Set that follows a Del may find the old ticket still there, when the Set
		// of that one was being processed meanwhile. As an update it would be lost with
		// the Del, which comes first in the queue: it must stay a new key.
		ShouldUpdate:           func(_, _ ticket) bool { return false },
		IgnoreInternalCost:     true,
		TtlTickerDurationInSec: 1,
	})
	return err
}

// processed is called when Ristretto takes a Set off its queue, to learn the cost.
func (s *Store[V]) processed(t ticket) int64 {
	h := s.shard(t.hash)
	h.mu.Lock()
	defer h.mu.Unlock()
	rec, ok := h.match(t)
	if !ok {
		// Deleted or replaced while it waited. To accept it would be to evict others for
		// nothing.
		s.bytes.Add(-overhead)
		return unaffordable
	}
	rec.place = resident
	h.records[t.hash] = rec
	return rec.it.Cost + overhead
}

// rejected is called when Ristretto does not admit what it took off its queue.
func (s *Store[V]) rejected(item *ristretto.Item[ticket]) {
	if s.lose(item.Value) {
		s.evictions.Add(1)
	}
}

// evicted is called when Ristretto gives up a ticket for room or because it has
// expired, and for each of them while it is being cleared.
func (s *Store[V]) evicted(item *ristretto.Item[ticket]) {
	if s.lose(item.Value) && item.Expiration.IsZero() {
		s.evictions.Add(1)
	}
}

// lose removes the item of a ticket that Ristretto no longer holds, and reports
// whether it was still stored.
func (s *Store[V]) lose(t ticket) bool {
	// While Ristretto is cleared it calls with its own locks held, which a Find may
	// be waiting for with h.mu in its hands.
	if s.clearing.Load() {
		return false
	}
	h := s.shard(t.hash)
	h.mu.Lock()
	defer h.mu.Unlock()
	rec, ok := h.match(t)
	if ok {
		s.drop(h, t.hash, rec, rec.it.Cost)
	}
	return ok
}

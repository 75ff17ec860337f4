package store

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"
)

// A new item is on probation: Ristretto is told of it when it has been asked for
// since. A Set wakes Ristretto's goroutine and may make it look for victims, which
// costs more than all the rest of a Put, and most results are never asked for twice:
// those make room for each other, oldest first, and leave what Ristretto holds alone.

const (
	// tellEvery is how often Ristretto is told of the items that were asked for.
	tellEvery = time.Second

	// maxAsked is how many hashes a shard notes between two such moments. Where there
	// are more, it looks through all of its items on probation instead.
	maxAsked = 1024

	// slack is how many announcements of a shard may be of no use, besides as many as
	// are of use, before they are taken out.
	slack = 64

	never = math.MaxInt64
)

// announcement is a ticket on probation. It counts while the index says so of its
// item.
type announcement struct {
	hash    uint64
	serial  uint32
	cost    uint32 // the item's, or costly
	expires int64
}

// costly stands for every cost that is no less: the item is asked for it.
const costly = math.MaxUint32

func (a announcement) ticket() ticket { return ticket{a.hash, a.serial} }

func (it *Item[V]) wasAsked() bool { return atomic.LoadUint32(&it.asked) != 0 }

// ask notes that it was asked for, the first time. From then on nobody writes to it,
// so that processors that read the same item share it.
func (s *Store[V]) ask(it *Item[V]) {
	if atomic.CompareAndSwapUint32(&it.asked, 0, 1) {
		s.shard(it.Hash).note(it.Hash)
	}
}

// note has the teller look at the item of a hash, soon.
func (h *shard[V]) note(hash uint64) {
	h.asks.Lock()
	defer h.asks.Unlock()
	if len(h.asked) < maxAsked {
		h.asked = append(h.asked, hash)
	}
}

// announce puts an item that was published on probation. The caller holds h.order.
func (s *Store[V]) announce(h *shard[V], t ticket, it *Item[V]) {
	h.push(announcement{t.hash, t.serial, uint32(min(it.Cost, costly)), it.Expires})
	if it.Expires != 0 {
		h.soonest = min(h.soonest, it.Expires)
	}
	if it.wasAsked() { // In an earlier life, or before h.waiting had it.
		h.note(it.Hash)
	}
	if len(h.waiting) > 2*h.live+slack {
		s.sift(h, func(*Item[V]) bool { return false })
	}
	select {
	case s.wake <- struct{}{}:
	default: // The teller has yet to take one, and comes to h after that.
	}
}

// push adds the newest. It moves what waits to the front, where room is left by what
// has gone, rather than let append copy it into new memory again and again. The caller
// holds h.order.
func (h *shard[V]) push(a announcement) {
	n := len(h.waiting)
	full := n == cap(h.waiting)
	if full && cap(h.room) > n+n/8 {
		h.waiting = h.room[:copy(h.room[:n], h.waiting)]
		full = false
	}
	h.waiting = append(h.waiting, a)
	if full {
		h.room = h.waiting[:0]
	}
}

// makeRoom lets items on probation go until need bytes fit, and reports whether they
// do. Other shards are passed over where a Put, a Delete or the teller is at work.
// The caller holds h.order.
func (s *Store[V]) makeRoom(h *shard[V], need int64) bool {
	for s.bytes.Load() > s.maxBytes-need {
		if !s.letGo(h) && !s.letGoElsewhere(h) {
			return false
		}
	}
	return true
}

// letGoElsewhere is letGo for another shard than h, whose order the caller holds. It
// never waits for one, since whoever holds that may be on the way to h.
func (s *Store[V]) letGoElsewhere(h *shard[V]) bool {
	start := rand.IntN(shardCount)
	for i := range s.shards {
		o := &s.shards[(start+i)%shardCount]
		if o == h || !o.order.TryLock() {
			continue
		}
		gone := s.letGo(o)
		o.order.Unlock()
		if gone {
			return true
		}
	}
	return false
}

// letGo ends the probation of the oldest items of a shard until one has gone: what
// was asked for goes on to Ristretto, if it can be told, and the rest goes. It
// reports false where nothing is left. The caller holds h.order.
func (s *Store[V]) letGo(h *shard[V]) bool {
	for now := s.now(); ; {
		h.mu.Lock()
		gone := s.release(h, now)
		h.mu.Unlock()
		switch {
		case gone:
			return true
		case h.live == 0:
			h.waiting, h.room, h.soonest = nil, nil, never
			return false
		}
		a := h.waiting[0]
		h.waiting = h.waiting[1:]
		rec, ok := h.onProbation(a.ticket())
		if !ok || s.tell(h, rec) {
			continue
		}
		s.withdraw(h, a.ticket())
		s.countLost(a, now)
		return true
	}
}

// displace is charge for where there is no room: it lets go of the oldest of the
// shard as long as nobody asked for them. The caller holds h.order, and h.mu for writing.
func (s *Store[V]) displace(h *shard[V], n, now int64) bool {
	for s.bytes.Load() > s.maxBytes-n {
		if !s.release(h, now) {
			return false
		}
	}
	return s.charge(n)
}

// release lets the oldest item on probation of a shard go, without a look into its
// memory. It reports false where none is left or somebody asked for it: then it is
// the first of h.waiting. The caller holds h.order, and h.mu for writing.
func (s *Store[V]) release(h *shard[V], now int64) bool {
	whole := h.mark()
	for h.live > 0 {
		a := h.waiting[0]
		rec, ok := h.match(a.ticket())
		if !ok || rec.place != waiting {
			h.waiting = h.waiting[1:]
			continue
		}
		if rec.asked || !whole && rec.it.wasAsked() {
			return false
		}
		h.waiting = h.waiting[1:]
		cost := int64(a.cost)
		if cost == costly {
			cost = rec.it.Cost
		}
		s.drop(h, a.hash, rec, cost)
		s.countLost(a, now)
		return true
	}
	return false
}

// countLost counts an item that had to go, unless it has expired.
func (s *Store[V]) countLost(a announcement, now int64) {
	if a.expires == 0 || a.expires > now {
		s.evictions.Add(1)
	}
}

// mark has the records tell of what was asked for, and reports whether that is all.
// The caller holds h.order, and h.mu for writing.
func (h *shard[V]) mark() bool {
	h.asks.Lock()
	defer h.asks.Unlock()
	for ; h.marked < len(h.asked); h.marked++ {
		hash := h.asked[h.marked]
		if rec, ok := h.records[hash]; ok && !rec.asked {
			rec.asked = true
			h.records[hash] = rec
		}
	}
	return len(h.asked) < maxAsked
}

// tell tells Ristretto of an item on probation. It reports false, and leaves it
// there, where Ristretto's queue is full or the item has expired. The caller holds
// h.order.
func (s *Store[V]) tell(h *shard[V], rec record[V]) bool {
	ttl, alive := s.ttl(rec.it.Expires)
	if !alive {
		return false
	}
	h.move(rec, queued, -1) // Before Ristretto may say that it is resident.
	t := ticket{rec.it.Hash, rec.serial}
	if s.keeper.SetWithTTL(t.hash, t, 0, ttl) {
		return true
	}
	h.move(rec, waiting, +1)
	return false
}

// sift goes through what is on probation in a shard: what counts no more is taken
// out, items that have expired go, and Ristretto is told of those that pick chooses,
// as far as its queue has room; the rest of them is noted. The caller holds h.order.
func (s *Store[V]) sift(h *shard[V], pick func(*Item[V]) bool) {
	s.retain(h, func(a announcement) bool {
		rec, ok := h.onProbation(a.ticket())
		if ok && pick(rec.it) {
			if s.tell(h, rec) {
				return false
			}
			h.note(a.hash)
		}
		return ok
	})
}

// expire removes the items on probation that have expired. The caller holds h.order.
func (s *Store[V]) expire(h *shard[V]) {
	if s.now() >= h.soonest {
		s.retain(h, func(announcement) bool { return true })
	}
}

// retain takes out of what is on probation in a shard what has expired and what keep
// does not want. The caller holds h.order.
func (s *Store[V]) retain(h *shard[V], keep func(announcement) bool) {
	now := s.now()
	kept := h.waiting[:0]
	h.soonest = never
	for _, a := range h.waiting {
		switch {
		case a.expires != 0 && a.expires <= now:
			s.withdraw(h, a.ticket())
		case keep(a):
			kept = append(kept, a)
			if a.expires != 0 {
				h.soonest = min(h.soonest, a.expires)
			}
		}
	}
	if cap(kept) > 4*(len(kept)+slack) {
		kept = slices.Clone(kept) // Into less memory.
		h.room = kept[:0]
	}
	h.waiting = kept
}

// tellAsked tells Ristretto of the items of a shard that were asked for, as far as
// its queue has room; the rest is noted again. The caller holds h.order.
func (s *Store[V]) tellAsked(h *shard[V]) {
	h.asks.Lock()
	asked := h.asked
	h.asked, h.marked = nil, 0
	h.asks.Unlock()
	if len(asked) >= maxAsked {
		s.sift(h, (*Item[V]).wasAsked)
		return
	}
	for _, hash := range asked {
		h.mu.RLock()
		rec, ok := h.records[hash]
		h.mu.RUnlock()
		if ok && rec.place == waiting && !s.tell(h, rec) {
			h.note(hash)
		}
	}
	if len(h.waiting) > 2*h.live+slack {
		s.sift(h, func(*Item[V]) bool { return false })
	}
}

// tend tells Ristretto of what was asked for and frees what has expired, in all
// shards, and reports whether anything is left on probation.
func (s *Store[V]) tend() (left bool) {
	for i := range s.shards {
		h := &s.shards[i]
		h.order.Lock()
		s.expire(h)
		s.tellAsked(h)
		left = left || h.live > 0
		h.order.Unlock()
	}
	return left
}

// runTeller tends the shards, until Close, while anything is on probation. It is a
// goroutine and no timer, which would belong to the synctest bubble of whoever
// happens to Put.
func (s *Store[V]) runTeller() {
	defer close(s.ended)
	for left := false; ; {
		if !left {
			select {
			case <-s.wake:
			case <-s.quit:
				return
			}
		}
		select {
		case <-time.After(tellEvery):
		case <-s.quit:
			return
		}
		left = s.tend()
	}
}

package store

import (
	"sync"
	"sync/atomic"
	"time"
)

// set is one set of the first level: the newest of the items that map to it and
// one other.
type set[V any] [2]way[V]

// way is a place for an item, with its hash: to see that the item is another one
// takes no look into its memory, which is cold where that is so.
type way[V any] struct {
	hash atomic.Uint64
	it   atomic.Pointer[Item[V]]
}

// find returns the item of hash if the way holds it. Promotions at the same time
// may have left the hash of another item, which the second level then answers for.
func (w *way[V]) find(hash uint64) *Item[V] {
	if w.hash.Load() != hash {
		return nil
	}
	if it := w.it.Load(); it != nil && it.Hash == hash {
		return it
	}
	return nil
}

func (w *way[V]) hold(hash uint64, it *Item[V]) {
	w.hash.Store(hash)
	w.it.Store(it)
}

// promote puts it in front. The caller holds the lock of the shard, if only for
// reading. Two callers at once may leave an item out or in both ways, which is
// harmless: all that they move is stored.
func (w *set[V]) promote(hash uint64, it *Item[V]) {
	front, other := w[0].it.Load(), w[0].hash.Load()
	if front == it && other == hash {
		return
	}
	if front != nil && other != hash {
		w[1].hold(other, front)
	}
	w[0].hold(hash, it)
}

// forget takes it out. The caller holds the lock of the shard for writing.
func (w *set[V]) forget(it *Item[V]) {
	for i := range w {
		if w[i].it.Load() == it { // Reading is cheaper than a swap that fails.
			w[i].it.Store(nil)
		}
	}
}

// shard is a part of the index.
//
// The first level is covered by mu too: whatever a set holds is named by the
// records of its shard. It is changed only with mu held, for reading to promote
// and for writing to take out.
type shard[V any] struct {
	// order is held through the whole of a Put or Delete, and by Clear and Close for
	// all shards: Ristretto is told of the changes of a hash in the order in which
	// they were made. It comes before mu. Callbacks of Ristretto never take it, so
	// that holding it while Ristretto's queue is full is safe.
	order   sync.Mutex
	waiting []announcement // oldest first, with some that count no more; guarded by order
	room    []announcement // the array under waiting, from its start; guarded by order
	live    int            // how many of them still count; changed with mu held as well
	soonest int64          // no Expires of them is earlier; guarded by order

	asks   sync.Mutex // guards what follows up to mu; comes after mu
	asked  []uint64   // hashes that were asked for, of items that may be on probation
	marked int        // how many of them their records tell

	mu      sync.RWMutex // guards what follows; never held where Ristretto may wait
	records map[uint64]record[V]
	serial  uint32
	closed  bool

	_ [64]byte // keeps the locks of neighbours apart
}

// record is what the index says of one hash.
type record[V any] struct {
	it *Item[V]
	// serial tells this record from earlier ones of the same hash. It may wrap: there
	// are never as many tickets of one shard under way as there are serials.
	serial uint32
	place  place
	asked  bool // as far as mark has come
}

// place says how far an item has come. What is charged for it besides its own is
// given back when it is removed, but for one in the queue: then when Ristretto gets
// to it.
type place uint8

const (
	waiting  place = iota // on probation: Ristretto has not been told
	queued                // its Set is in Ristretto's queue
	resident              // Ristretto has taken the Set off its queue
)

// outcome is what came of an attempt to publish an item.
type outcome int

const (
	refused outcome = iota
	present
	crowded // refused for want of room
	published
)

// shard returns the part of the index that holds hash.
func (s *Store[V]) shard(hash uint64) *shard[V] {
	return &s.shards[hash*spread>>(64-shardBits)]
}

// ways returns the set of the first level that hash maps to.
func (s *Store[V]) ways(hash uint64) *set[V] {
	return &s.first[hash*spread>>(64-firstBits)]
}

// ttl returns for how long Ristretto is to keep what expires then, 0 for ever, and
// whether to keep it at all.
func (s *Store[V]) ttl(expires int64) (time.Duration, bool) {
	if expires == 0 {
		return 0, true
	}
	left := expires - s.now()
	return time.Duration(left), left > 0
}

// publish makes it the item of its hash, visible to Find, and charges it, if it is
// storable and there is room, or items of its shard that nobody asked for make some.
// It says whether Ristretto holds a ticket of the item that was removed for it. An item
// that it publishes is to be announced. The caller holds h.order.
func (s *Store[V]) publish(h *shard[V], it *Item[V], now int64, storable bool) (t ticket, replaced bool, o outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return t, false, refused
	}
	old, found := h.records[it.Hash]
	switch {
	case found && old.it == it:
		return t, false, present
	case found && it.Born < old.it.Born && !breaksOrder():
		return t, false, refused
	case found && leavesCopy():
		s.ways(it.Hash).promote(it.Hash, it)
		return t, false, present
	case found:
		s.drop(h, it.Hash, old, old.it.Cost)
	}
	replaced = old.place == resident
	switch {
	case !storable:
		return t, replaced, refused
	case !s.charge(it.Cost+overhead) && !s.displace(h, it.Cost+overhead, now):
		return t, replaced, crowded
	}
	// No ticket carries 0, so that the zero ticket is nobody's.
	if h.serial++; h.serial == 0 {
		h.serial = 1
	}
	h.records[it.Hash] = record[V]{it: it, serial: h.serial}
	h.live++
	s.ways(it.Hash).promote(it.Hash, it)
	return ticket{it.Hash, h.serial}, replaced, published
}

// unpublish removes it if it is the item of its hash, and says whether Ristretto
// holds its ticket. The caller holds h.order.
func (s *Store[V]) unpublish(h *shard[V], it *Item[V]) (held bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	rec, found := h.records[it.Hash]
	if !found || rec.it != it {
		return false
	}
	s.drop(h, it.Hash, rec, it.Cost)
	return rec.place == resident
}

// withdraw removes the item of a ticket that is on probation. The caller holds
// h.order.
func (s *Store[V]) withdraw(h *shard[V], t ticket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if rec, ok := h.match(t); ok && rec.place == waiting {
		s.drop(h, t.hash, rec, rec.it.Cost)
	}
}

// onProbation returns the record that t stands for, if it is on probation. The
// caller holds h.order.
func (h *shard[V]) onProbation(t ticket) (record[V], bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	rec, ok := h.match(t)
	return rec, ok && rec.place == waiting
}

// move notes that an item leaves or resumes its probation. The caller holds h.order
// and knows that the item is stored.
func (h *shard[V]) move(rec record[V], to place, live int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	rec.place = to
	h.records[rec.it.Hash] = rec
	h.live += live
}

// match returns the record that t stands for, if it is still there. The caller
// holds h.mu.
func (h *shard[V]) match(t ticket) (record[V], bool) {
	rec, ok := h.records[t.hash]
	return rec, ok && rec.serial == t.serial
}

// drop removes a record from both levels and gives back its charge, cost and
// overhead. The overhead of one whose ticket is in Ristretto's queue stays charged until
// the ticket is gone. It does not look into the item, whose memory may be cold. The
// caller holds h.mu for writing, and h.order for one on probation.
func (s *Store[V]) drop(h *shard[V], hash uint64, rec record[V], cost int64) {
	delete(h.records, hash)
	s.ways(hash).forget(rec.it)
	freed := cost
	if rec.place != queued {
		freed += overhead
	}
	if rec.place == waiting {
		h.live--
	}
	s.bytes.Add(-freed)
}

// charge adds n bytes unless that would exceed the bound.
func (s *Store[V]) charge(n int64) bool {
	for {
		used := s.bytes.Load()
		if used > s.maxBytes-n {
			return false
		}
		if s.bytes.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// reset forgets all items. The caller holds the locks of the shard or is its only
// user.
func (h *shard[V]) reset() {
	h.records = make(map[uint64]record[V])
	h.waiting, h.room, h.live, h.soonest = nil, nil, 0, never
	h.asks.Lock()
	defer h.asks.Unlock()
	h.asked, h.marked = nil, 0
}

// stop waits for every Put and Delete under way and holds off new ones, and makes
// the callbacks of Ristretto silent.
func (s *Store[V]) stop() {
	for i := range s.shards {
		s.shards[i].order.Lock()
	}
	s.clearing.Store(true)
}

// resume is the end of stop.
func (s *Store[V]) resume() {
	s.clearing.Store(false)
	for i := range s.shards {
		s.shards[i].order.Unlock()
	}
}

// empty removes all records from both levels and, if asked to, closes the shards.
// It reports whether they were open. The caller has called stop; charges are left
// to it.
func (s *Store[V]) empty(shut bool) (open bool) {
	for i := range s.shards {
		h := &s.shards[i]
		h.mu.Lock()
		open = !h.closed
		h.closed = h.closed || shut
		h.reset()
		for j := range shardSets {
			for k := range s.first[i*shardSets+j] {
				s.first[i*shardSets+j][k].it.Store(nil)
			}
		}
		h.mu.Unlock()
	}
	return open
}

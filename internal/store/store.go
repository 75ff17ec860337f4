// Package store keeps immutable items within a bound in bytes.
//
// # Levels
//
// An index of all items, sharded by hash, says what is stored: an item can be
// found exactly while the index names it. In front of the index lies a first
// level of atomic pointers that answers most calls of [Store.Find] without a
// lock. Behind it Ristretto keeps the items that were asked for since they were Put:
// it chooses which are admitted, which are evicted for room, and when the memory of
// expired ones comes back. It holds tickets, not items, and its choices reach the
// index through callbacks, so an operation that it delays, drops or reorders can lose
// an item but never show one that was replaced, nor hold memory that is not counted.
//
// # Probation
//
// Until it is asked for, Ristretto is not told of an item. It is found and charged
// like all others, but when room is needed such items are the first to go, the oldest
// before the others of their shard. So items that are asked for once survive however
// many that never are.
//
// # Order
//
// Between being stored and being removed, an item is replaced only by one with an
// equal or a later Born. After an item was replaced, deleted, cleared, evicted or
// reclaimed, no Find that begins later returns it, unless it is Put again. The
// store does not remember removed items: a Put of an older item is accepted
// where the newer one is no longer stored. Whether such an item may be served is
// for the caller to decide at each hit, as for every other item.
//
// # Bound
//
// The charges of all items that can be found, and of those that Ristretto has not
// looked at yet, never exceed [Config].MaxBytes in sum. Outside it are the
// frequency counters and the queue of Ristretto and the first level: about 2 % of
// MaxBytes and half a MiB, or 3 MiB while the queue is full of deletions.
package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"
)

const (
	// overhead is charged for each item on top of its Cost: the index, Ristretto's
	// maps and its policy. Measured: 180 to 310 bytes, as full as the maps happen to
	// be (TestOverheadIsCharged).
	overhead = 320

	// A hit of the first level is reported to Ristretto once in 2^sampleBits times:
	// enough for its admission to learn, too seldom to be felt.
	sampleBits = 6

	firstBits  = 12
	shardBits  = 6
	shardCount = 1 << shardBits
	// shardSets is how many sets of the first level belong to one shard. All hashes
	// of a set share a shard, so that its lock covers whatever the set may hold.
	shardSets = 1 << (firstBits - shardBits)

	// spread is 2^64 divided by the golden ratio: the high bits of a product with
	// it are even although the hashes may not be.
	spread = 0x9E3779B97F4A7C15
)

// Item is one entry. It must not be changed after it was Put.
type Item[V any] struct {
	// Hash is the key, all its bits well spread. The store knows no other: items of
	// different keys with an equal hash replace each other, and the caller compares the
	// full key on a hit.
	Hash uint64

	// Born orders the items of a hash; an item is never replaced by one that was
	// born earlier.
	Born int64

	// Expires is the moment on the clock of [Config].Now from which on the memory
	// may be reclaimed, which then happens within some seconds; 0: never. Find does
	// not look at it.
	Expires int64

	// Cost is the size in bytes of the item and of all that only it refers to. The
	// store adds its own overhead.
	Cost int64

	asked uint32 // not 0 once it was asked for; atomic; near Hash, which each Find reads

	// Value is what is stored.
	Value V
}

// Config holds the settings of a [Store].
type Config struct {
	// MaxBytes is the bound on the charges of all items, in bytes. Required.
	MaxBytes int64

	// MaxItem is the largest Cost for which room is made even in a full store, in
	// bytes; default: a quarter of MaxBytes. An eighth of MaxBytes, or MaxItem if
	// that is more, but at most half, is kept for items that were not asked for again
	// or that Ristretto has not looked at yet. An item larger than this part is
	// refused.
	MaxItem int64

	// Now is the clock that Item.Expires is measured on, in nanoseconds. Required.
	Now func() int64
}

// Store is a bounded set of items, at most one for each hash. It is safe for
// concurrent use. Use [New] to make one.
type Store[V any] struct {
	first  [1 << firstBits]set[V]
	shards [shardCount]shard[V]

	keeper   *ristretto.Cache[uint64, ticket]
	clearing atomic.Bool // set while Ristretto is emptied: what it reports then is known already
	now      func() int64
	maxBytes int64
	largest  int64 // refuse above this charge

	wake  chan struct{} // holds an element: there is an item on probation
	quit  chan struct{} // closed by Close, to end the teller
	ended chan struct{} // closed by the teller

	_         [64]byte // the counters change with each Put, what is above with none
	bytes     atomic.Int64
	evictions atomic.Uint64
}

// New makes an empty store. Close ends its goroutines.
func New[V any](cfg Config) (*Store[V], error) {
	switch {
	case cfg.MaxBytes <= 0:
		return nil, fmt.Errorf("querycache: store: MaxBytes must be positive, not %d", cfg.MaxBytes)
	case cfg.MaxItem < 0:
		return nil, fmt.Errorf("querycache: store: MaxItem must not be negative, but is %d", cfg.MaxItem)
	case cfg.Now == nil:
		return nil, errors.New("querycache: store: Now is required")
	}
	s := &Store[V]{now: cfg.Now, maxBytes: cfg.MaxBytes, largest: reserve(cfg)}
	s.wake, s.quit, s.ended = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	for i := range s.shards {
		s.shards[i].reset()
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("querycache: store: %w", err)
	}
	go s.runTeller()
	return s, nil
}

// reserve is the part of MaxBytes that Ristretto may not fill.
func reserve(cfg Config) int64 {
	need := cfg.MaxBytes / 4
	if cfg.MaxItem > 0 {
		need = max(cfg.MaxItem, cfg.MaxItem+overhead) // the sum may overflow
	}
	return max(1, min(max(need, cfg.MaxBytes/8), cfg.MaxBytes/2))
}

// Largest is the largest Cost for which the store makes room.
func (s *Store[V]) Largest() int64 { return max(0, s.largest-overhead) }

// Find returns the item stored for hash, or nil. The item may have expired and
// its key may be another one with the same hash: the caller checks both.
func (s *Store[V]) Find(hash uint64) *Item[V] {
	// Random rather than counted: a counter here would be one cache line that all
	// cores write at each hit.
	return s.FindNth(hash, uint64(rand.Uint32()))
}

// FindNth is [Store.Find] for a caller that counts its calls for itself and so
// saves the random number, most of what Find costs. What n starts at is of no
// matter, nor is it that several callers use the same numbers.
func (s *Store[V]) FindNth(hash, n uint64) *Item[V] {
	ways := &s.first[hash*spread>>(64-firstBits)]
	it := ways[0].find(hash)
	if it == nil {
		if it = ways[1].find(hash); it == nil {
			return s.findSecond(hash)
		}
	}
	if !it.wasAsked() {
		s.ask(it)
		s.touch(hash) // Soon enough to count at its admission.
		return it
	}
	// Multiplied, lest a caller that repeats the same queries in the same order
	// report the same one each time.
	if n*spread>>(64-sampleBits) == 0 {
		s.touch(hash)
	}
	return it
}

// Peek is [Store.Find] for bookkeeping: it tells nobody that the item was asked
// for.
func (s *Store[V]) Peek(hash uint64) *Item[V] {
	h := s.shard(hash)
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.records[hash].it
}

// findSecond looks into the index and promotes what it finds.
func (s *Store[V]) findSecond(hash uint64) *Item[V] {
	h := s.shard(hash)
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.closed {
		return nil
	}
	it := h.records[hash].it
	if it != nil {
		s.ask(it)
		s.keeper.Get(hash)
		// With the lock still held: once the item is removed, nobody can bring it back.
		s.ways(hash).promote(hash, promoted(it))
	}
	return it
}

// touch tells Ristretto of a hit that it did not see.
func (s *Store[V]) touch(hash uint64) {
	h := s.shard(hash)
	h.mu.RLock()
	defer h.mu.RUnlock()
	if !h.closed {
		s.keeper.Get(hash)
	}
}

// Put stores it. When Put returns true, the next Find of its hash, in whatever
// goroutine, returns it, unless it has since been replaced, removed, or dropped in
// favour of newer items or of those that are asked for more often.
//
// Put returns false when an item that was born later is stored, when it is too
// large or has expired, when there is no room because Ristretto lags behind or what
// could go is being worked on, and after [Store.Close]. Whatever it returns, no item of the hash that was born
// earlier is left: better none than one that is known to be out of date.
func (s *Store[V]) Put(it *Item[V]) bool {
	now := s.now()
	alive := it.Expires == 0 || it.Expires > now
	fits := it.Cost >= 0 && it.Cost <= s.largest-overhead
	h := s.shard(it.Hash)
	h.order.Lock()
	defer h.order.Unlock()

	t, replaced, outcome := s.publish(h, it, now, alive && fits)
	for outcome == crowded && s.makeRoom(h, it.Cost+overhead) {
		t, _, outcome = s.publish(h, it, now, true) // Others may have taken the room.
	}
	if replaced {
		s.keeper.Del(it.Hash)
	}
	if outcome != published {
		return outcome == present
	}
	s.announce(h, t, it)
	return true
}

// Delete removes it if it is still the item stored for its hash. It may wait while
// Ristretto's queue is full.
func (s *Store[V]) Delete(it *Item[V]) {
	h := s.shard(it.Hash)
	h.order.Lock()
	defer h.order.Unlock()
	if s.unpublish(h, it) {
		s.keeper.Del(it.Hash)
	}
}

// Clear removes all items.
func (s *Store[V]) Clear() {
	s.stop()
	defer s.resume()
	if s.empty(false) {
		s.keeper.Clear()
		s.bytes.Store(0)
	}
}

// Close removes all items and ends the goroutines of the store. Afterwards Find
// finds nothing, Put refuses, and the other methods do nothing.
func (s *Store[V]) Close() {
	defer func() { <-s.ended }() // last, since the teller may be waiting for the locks
	s.stop()
	defer s.resume()
	if s.empty(true) {
		close(s.quit)
		s.keeper.Close()
		s.bytes.Store(0)
	}
}

// Stats returns how many items are stored, the sum of their charges in bytes, and
// how many items were evicted or not admitted for want of room since New.
// Expired items do not count as evicted.
func (s *Store[V]) Stats() (entries, costBytes int64, evictions uint64) {
	for i := range s.shards {
		h := &s.shards[i]
		h.mu.RLock()
		entries += int64(len(h.records))
		h.mu.RUnlock()
	}
	return entries, s.bytes.Load(), s.evictions.Load()
}

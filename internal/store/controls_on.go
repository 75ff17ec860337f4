//go:build querycache_controls

package store

import "sync/atomic"

// Broken says which protections are off, in every store. It exists in a build
// with the tag querycache_controls alone.
type Broken struct {
	// OlderFill lets an item replace one that was born later.
	OlderFill bool
	// OlderCopy lets an item that replaces another do so in the first level only.
	OlderCopy bool
	// Promote, if set, changes the value of an item on its way to the first level.
	Promote func(value any) any
}

var broken atomic.Pointer[Broken]

// Break switches off what b names, and everything else on again.
func Break(b Broken) { broken.Store(&b) }

func breaksOrder() bool {
	b := broken.Load()
	return b != nil && b.OlderFill
}

func leavesCopy() bool {
	b := broken.Load()
	return b != nil && b.OlderCopy
}

func promoted[V any](it *Item[V]) *Item[V] {
	b := broken.Load()
	if b == nil || b.Promote == nil {
		return it
	}
	changed := *it
	if v, ok := b.Promote(it.Value).(V); ok {
		changed.Value = v
	}
	return &changed
}

// Demote takes the item of hash out of the first level, as promotions of others
// that share its place there do.
func (s *Store[V]) Demote(hash uint64) {
	h := s.shard(hash)
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range s.ways(hash) {
		s.ways(hash)[i].it.Store(nil)
	}
}

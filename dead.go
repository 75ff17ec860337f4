package querycache

import (
	"sync"
	"sync/atomic"

	"github.com/querycache/querycache/internal/store"
)

// tagged is the track of the entries that carry a table's word, so that memory
// does not fill with results that nobody can be served. It holds no entry and
// carries no correctness.
type tagged struct {
	mu      sync.Mutex
	entries []tag
	compact int         // the length at which the list is next rid of what is gone
	some    atomic.Bool // entries may not be empty
	queued  atomic.Bool
}

// tag names one entry: what the store finds by hash may be a later one.
type tag struct {
	hash uint64
	born int64
}

func (t *tagged) add(s *store.Store[entry], it *item) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.entries) >= max(t.compact, 256) {
		kept := t.entries[:0]
		for _, e := range t.entries {
			if e.find(s) != nil {
				kept = append(kept, e)
			}
		}
		t.entries = kept
		t.compact = 4 * len(kept)
	}
	t.entries = append(t.entries, tag{it.Hash, it.Born})
	if !t.some.Load() {
		t.some.Store(true)
	}
}

// find returns the entry, or nil if it is gone.
func (e tag) find(s *store.Store[entry]) *item {
	if it := s.Peek(e.hash); it != nil && it.Born == e.born {
		return it
	}
	return nil
}

// take empties the list.
func (t *tagged) take() []tag {
	t.mu.Lock()
	defer t.mu.Unlock()
	entries := t.entries
	t.entries, t.compact = nil, 0
	t.some.Store(false)
	return entries
}

// reaper frees dead entries in the background, so that a write costs the same
// whatever depends on its tables.
type reaper struct {
	cache *Cache
	queue chan *tagged
	all   atomic.Bool
	wake  chan struct{}
	stop  chan struct{}
	done  chan struct{}
}

func (r *reaper) start(c *Cache) {
	r.cache = c
	r.queue = make(chan *tagged, 1<<10)
	r.wake = make(chan struct{}, 1)
	r.stop, r.done = make(chan struct{}), make(chan struct{})
	go r.run()
}

func (r *reaper) run() {
	defer close(r.done)
	for {
		select {
		case <-r.stop:
			return
		case <-r.wake:
			if r.all.Swap(false) {
				r.cache.store.Prune(r.ended)
			}
		case t := <-r.queue:
			t.queued.Store(false)
			r.reap(t)
		}
	}
}

// reap frees the entries of t that are dead, and keeps track of the others.
func (r *reaper) reap(t *tagged) {
	s := r.cache.store
	for _, e := range t.take() {
		switch it := e.find(s); {
		case it == nil:
		case r.ended(it):
			s.Delete(it)
		default:
			t.add(s, it)
		}
	}
}

// ended reports whether an entry can never be served again, and notes why for
// whoever traces.
func (r *reaper) ended(it *item) bool {
	if !it.Value.dead() {
		return false
	}
	if r.cache.watched.Load() {
		r.cache.graves.bury(it)
	}
	return true
}

// dead says that entries of t have died. It never blocks: what finds the queue
// full is freed after the next write, or evicted.
func (r *reaper) dead(t *tagged) {
	if !t.some.Load() || !t.queued.CompareAndSwap(false, true) {
		return
	}
	select {
	case r.queue <- t:
	default:
		t.queued.Store(false)
	}
}

// allDead says that entries of all tables have died.
func (r *reaper) allDead() {
	r.all.Store(true)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *reaper) close() {
	close(r.stop)
	<-r.done
}

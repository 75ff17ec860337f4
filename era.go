package querycache

import (
	"sync"
	"sync/atomic"
)

// eras sorts writes by the schema that they were planned on.
type eras struct {
	current atomic.Pointer[era]
	mu      sync.Mutex // held by schema changes while they turn the era
}

// era is a set of writes in flight. It drains once it is no longer the current
// one, its predecessor has drained and its last write has ended.
type era struct {
	holds   atomic.Int64
	drained atomic.Bool
	then    func()
	next    *era
}

func (e *eras) init() {
	first := &era{}
	first.holds.Store(1) // being the current one
	e.current.Store(first)
}

func (e *eras) enter() *era {
	for {
		now := e.current.Load()
		now.holds.Add(1)
		if e.current.Load() == now {
			return now
		}
		now.leave()
	}
}

// leave ends a hold on the era.
func (e *era) leave() {
	for e != nil && e.holds.Add(-1) == 0 && e.drained.CompareAndSwap(false, true) {
		e.then()
		e = e.next // It loses the hold of its predecessor; many may have waited for this one.
	}
}

// turn starts a new era and calls then once all writes of the eras before it
// have ended.
func (e *eras) turn(then func()) {
	next := &era{}
	next.holds.Store(2) // being the current one, and its predecessor
	e.mu.Lock()
	old := e.current.Load()
	old.then, old.next = then, next
	e.current.Store(next)
	e.mu.Unlock()
	old.leave()
}

package store

import (
	"runtime"
	"sync"
	"testing"
)

// checkSettled verifies, after Ristretto has worked off its queue, that index,
// first level, Ristretto and the counters tell the same: nothing is held by one
// and forgotten by another.
func checkSettled(tb testing.TB, s *Store[value]) {
	tb.Helper()
	settle(s)
	checkFirstLevel(tb, s)
	var want, entries int64
	for i := range s.shards {
		h := &s.shards[i]
		h.mu.RLock()
		for hash, rec := range h.records {
			entries++
			want += rec.it.Cost + overhead
			if rec.place != resident {
				tb.Errorf("%d is indexed, but Ristretto never processed it", hash)
			}
			if rec.it.Hash != hash {
				tb.Errorf("%d is indexed as %d", rec.it.Hash, hash)
			}
			if got, ok := s.keeper.Get(hash); (!ok || got != ticket{hash, rec.serial}) && rec.it.Expires == 0 {
				tb.Errorf("%d: Ristretto holds %v, %v, the index %d", hash, got, ok, rec.serial)
			}
		}
		if h.live != 0 {
			tb.Errorf("%d of shard %d are said to be on probation", h.live, i)
		}
		h.mu.RUnlock()
	}
	n, cost, _ := s.Stats()
	if n != entries || cost != want {
		tb.Errorf("Stats: %d entries, %d bytes; the index has %d, %d", n, cost, entries, want)
	}
	if used := s.keeper.MaxCost() - s.keeper.RemainingCost(); used != want {
		tb.Errorf("Ristretto is charged %d bytes, the index %d", used, want)
	}
	var tickets int64
	s.keeper.IterValues(func(ticket) bool { tickets++; return false })
	if tickets > entries {
		tb.Errorf("Ristretto holds %d tickets for %d entries", tickets, entries)
	}
}

// checkFirstLevel verifies that the first level holds stored items only. It may
// run while others use the store.
func checkFirstLevel(tb testing.TB, s *Store[value]) {
	tb.Helper()
	for i := range s.shards {
		h := &s.shards[i]
		h.mu.Lock()
		for j := range shardSets {
			for k := range s.first[i*shardSets+j] {
				if it := s.first[i*shardSets+j][k].it.Load(); it != nil && h.records[it.Hash].it != it {
					tb.Errorf("the first level holds %d, which is not stored", it.Hash)
				}
			}
		}
		h.mu.Unlock()
	}
}

// stallShard is the shard that a stall uses. Tests that stall keep out of it.
const stallShard = shardCount - 1

// hashIn returns the n-th hash that belongs to shard i.
func hashIn(i, n int) uint64 {
	const inverse = 0xF1DE83E19937733D // of spread, modulo 2^64
	return (uint64(i)<<(64-shardBits) + uint64(n)<<20) * inverse
}

// stall keeps Ristretto from processing its queue until the returned function is
// called: what has to happen while a Set is pending then happens then for certain.
func stall(tb testing.TB, s *Store[value]) (resume func()) {
	tb.Helper()
	plug := item(hashIn(stallShard, 1<<20), 1, 0)
	h := s.shard(plug.Hash)
	h.order.Lock()
	t, _, o := s.publish(h, plug, now(), true)
	h.move(h.records[plug.Hash], queued, -1)
	h.mu.RLock()
	resume = sync.OnceFunc(func() {
		h.mu.RUnlock()
		h.order.Unlock()
		s.keeper.Wait()
		s.Delete(plug)
		s.keeper.Wait()
	})
	tb.Cleanup(resume)
	if o != published || !s.keeper.Set(plug.Hash, t, 0) {
		tb.Fatal("cannot stall")
	}
	// processed needs h.mu, and once it waits for it no reader gets in: the plug has
	// left the queue, and all that follows is queued behind. Time may stand still here,
	// in a bubble.
	for h.mu.TryRLock() {
		h.mu.RUnlock()
		runtime.Gosched()
	}
	return resume
}

// enqueue has Ristretto told of all items. Unlike tellAll it may be called during a
// stall.
func enqueue(s *Store[value]) {
	for i := range stallShard {
		tellShard(s, &s.shards[i])
	}
}

// fillQueue fills Ristretto's queue with what it will refuse.
func fillQueue(s *Store[value]) {
	for i := uint64(0); s.keeper.Set(1<<40+i, ticket{}, unaffordable); i++ {
	}
}

func TestHashIn(t *testing.T) {
	s := newStore(t, 1<<20)
	for i := range shardCount {
		for n := range 1000 {
			if s.shard(hashIn(i, n)) != &s.shards[i] {
				t.Fatalf("hashIn(%d, %d) is in another shard", i, n)
			}
		}
	}
}

// Seen to fail with processed accepting whatever ticket it gets: Ristretto then
// holds, and evicts others for, items that are gone.
func TestDeleteWhilePending(t *testing.T) {
	s := newStore(t, 1<<20)
	resume := stall(t, s)
	items := make([]*Item[value], 50)
	for i := range items {
		items[i] = item(hashIn(0, i), 1, 1000)
		if !s.Put(items[i]) {
			t.Fatalf("Put(%d) refused", i)
		}
	}
	enqueue(s)
	for i, it := range items {
		s.Delete(it)
		if i%2 == 0 {
			items[i] = item(it.Hash, 1, 2000)
			if !s.Put(items[i]) {
				t.Fatalf("second Put(%d) refused", i)
			}
		}
	}
	enqueue(s)
	resume()
	for i, it := range items {
		if got := s.Find(it.Hash); i%2 == 0 && got != it || i%2 != 0 && got != nil {
			t.Errorf("%d: Find = %v", i, got)
		}
	}
	checkSettled(t, s)
}

// Seen to fail without the Del for a replaced resident item: its ticket stays, and
// the newer one is rejected as an update and lost.
func TestReplace(t *testing.T) {
	s := newStore(t, 1<<20)
	for born := int64(1); born <= 20; born++ {
		for i := range 20 {
			it := item(hashIn(i, 0), born, 1000+born)
			if !s.Put(it) {
				t.Fatalf("Put(%d, %d) refused", i, born)
			}
			if s.Put(item(it.Hash, born-1, 1)) {
				t.Fatalf("an older item replaced %d, %d", i, born)
			}
			if s.Find(it.Hash) != it {
				t.Fatalf("Find(%d) is not the newest, %d", i, born)
			}
		}
		if born%3 == 0 {
			settle(s)
		}
	}
	settle(s)
	if n, _, _ := s.Stats(); n != 20 {
		t.Errorf("%d entries of 20 are left", n)
	}
	checkSettled(t, s)
}

// A newer item that cannot be stored takes the older one with it: to go on serving
// that would be to go back. Seen to fail with Put returning before publish when the
// item does not fit.
func TestRefusedLeavesNoOlder(t *testing.T) {
	s := newStore(t, 1<<20)
	for name, refused := range map[string]*Item[value]{
		"too large": item(1, 2, 1<<20),
		"expired":   {Hash: 1, Born: 2, Expires: now()},
	} {
		old := item(1, 1, 100)
		if !s.Put(old) || s.Find(1) != old {
			t.Fatalf("%s: Put refused", name)
		}
		settle(s)
		if refused.Born--; !s.Put(old) {
			t.Fatalf("%s: an item that is stored was refused", name)
		}
		if refused.Born--; s.Put(refused) || s.Find(1) != old {
			t.Errorf("%s: the past removed the present", name)
		}
		if refused.Born += 2; s.Put(refused) || s.Find(1) != nil {
			t.Errorf("%s: the older item is left", name)
		}
		checkSettled(t, s)
	}

	// No room, with Ristretto standing still.
	old := item(hashIn(0, 0), 1, 100)
	s.Put(old)
	resume := stall(t, s)
	enqueue(s)
	for i := 0; s.Put(item(hashIn(1, i), 1, 10_000)); i++ {
		enqueue(s)
	}
	for i := 0; s.Put(item(hashIn(2, i), 1, 0)); i++ {
		enqueue(s)
	}
	if s.Put(item(old.Hash, 2, 1000)) || s.Find(old.Hash) != nil {
		t.Error("no room: the older item is left")
	}
	resume()
	checkSettled(t, s)
}

// A hash that two keys share names the one put last.
func TestCollision(t *testing.T) {
	s := newStore(t, 1<<20)
	a := &Item[value]{Hash: 7, Born: 1, Cost: 10, Value: value{n: 1}}
	b := &Item[value]{Hash: 7, Born: 1, Cost: 10, Value: value{n: 2}}
	s.Put(a)
	if !s.Put(b) || s.Find(7) != b {
		t.Fatal("the second key of an equal hash is not found")
	}
	s.Delete(a)
	if s.Find(7) != b {
		t.Fatal("deleting the first key removed the second")
	}
	if !s.Put(a) || s.Find(7) != a {
		t.Fatal("the first key cannot come back")
	}
	checkSettled(t, s)
}

// A Delete that waits for Ristretto's full queue has removed its item before. Seen to
// fail with the Del called before unpublish.
func TestFullQueue(t *testing.T) {
	s := newStore(t, 1<<30)
	settled := item(hashIn(1, 0), 1, 100)
	s.Put(settled)
	settle(s)
	resume := stall(t, s)
	fillQueue(s)
	deleted := make(chan struct{})
	go func() {
		defer close(deleted)
		s.Delete(settled)
	}()
	waitFor(t, "the item that is being deleted is gone", func() bool { return s.Find(settled.Hash) == nil })
	select {
	case <-deleted:
		t.Error("the queue was not full")
	default:
	}
	resume()
	<-deleted
	checkSettled(t, s)
}

func TestClear(t *testing.T) {
	s := newStore(t, 1<<20)
	for round := range 3 {
		if round == 1 {
			s.Put(item(1<<40, 1, 1))
			settle(s)
		}
		for i := range 100 {
			s.Put(item(uint64(i), 1, 100))
		}
		s.Clear()
		for i := range 100 {
			if got := s.Find(uint64(i)); got != nil {
				t.Fatalf("Find(%d) = %v after Clear", i, got)
			}
		}
		if n, cost, _ := s.Stats(); n != 0 || cost != 0 {
			t.Fatalf("%d entries, %d bytes after Clear", n, cost)
		}
		checkSettled(t, s)
	}
	it := item(1, 1, 100)
	if !s.Put(it) || s.Find(1) != it {
		t.Error("a cleared store does not take items")
	}
	checkSettled(t, s)
}

func TestClosed(t *testing.T) {
	s := newStore(t, 1<<20)
	it := item(1, 1, 100)
	s.Put(it)
	s.Close()
	s.Close()
	if s.Find(1) != nil || s.Put(it) || s.Find(1) != nil {
		t.Error("a closed store holds items")
	}
	s.Delete(it)
	s.Clear()
	if n, cost, _ := s.Stats(); n != 0 || cost != 0 {
		t.Errorf("%d entries, %d bytes after Close", n, cost)
	}
}

func TestFindDoesNotAllocate(t *testing.T) {
	s := newStore(t, 1<<20)
	s.Put(item(1, 1, 100))
	var n uint64
	if got := testing.AllocsPerRun(10_000, func() {
		n++
		s.Find(1)
		s.FindNth(1, n)
	}); got != 0 {
		t.Errorf("%v allocations a hit", got)
	}
}

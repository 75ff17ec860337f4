package store

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// Close must end the goroutines: without its call of keeper.Close two for each store
	// of every test are reported here.
	goleak.VerifyTestMain(m)
}

// value is what the tests store; tests that need bytes attach them.
type value struct {
	n    int
	data []byte
}

// start is the base of the test clock, which runs as time does.
var start = time.Now()

func now() int64 { return int64(time.Since(start)) + 1 }

func newStore(tb testing.TB, maxBytes int64) *Store[value] {
	tb.Helper()
	s, err := New[value](Config{MaxBytes: maxBytes, Now: now})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

func item(hash uint64, born, cost int64) *Item[value] {
	return &Item[value]{Hash: hash, Born: born, Cost: cost}
}

// tellAll ends all probation, as far as Ristretto's queue has room, whether items
// were asked for or not. It reports whether any is left.
func tellAll(s *Store[value]) (left bool) {
	for i := range s.shards {
		left = tellShard(s, &s.shards[i]) || left
	}
	return left
}

func tellShard(s *Store[value], h *shard[value]) (left bool) {
	h.order.Lock()
	defer h.order.Unlock()
	s.sift(h, func(*Item[value]) bool { return true })
	return h.live > 0
}

// tellOf ends the probation of one item. It reports false where Ristretto's queue is
// full.
func tellOf(s *Store[value], it *Item[value]) bool {
	h := s.shard(it.Hash)
	h.order.Lock()
	defer h.order.Unlock()
	h.mu.RLock()
	rec, ok := h.records[it.Hash]
	h.mu.RUnlock()
	return !ok || rec.it != it || rec.place != waiting || s.tell(h, rec)
}

// settle has Ristretto told of all items and waits until it has worked it off.
func settle(s *Store[value]) {
	for left := true; left; {
		left = tellAll(s)
		s.keeper.Wait()
	}
}

// waitFor polls until ok holds.
func waitFor(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	const limit = time.Minute
	for end := time.Now().Add(limit); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("not within %v: %s", limit, what)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no bytes":       {Now: now},
		"negative bytes": {MaxBytes: -1, Now: now},
		"negative item":  {MaxBytes: 1 << 20, MaxItem: -1, Now: now},
		"no clock":       {MaxBytes: 1 << 20},
	} {
		if s, err := New[value](cfg); err == nil {
			s.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPutFindDelete(t *testing.T) {
	s := newStore(t, 1<<20)
	a, b := item(1, 10, 100), item(2, 10, 100)
	if got := s.Find(1); got != nil {
		t.Fatalf("Find in an empty store: %v", got)
	}
	for _, it := range []*Item[value]{a, b, a} {
		if !s.Put(it) {
			t.Fatalf("Put(%d) refused", it.Hash)
		}
	}
	if s.Find(1) != a || s.Find(2) != b {
		t.Fatal("what was put is not found")
	}
	if n, cost, _ := s.Stats(); n != 2 || cost != 2*(100+overhead) {
		t.Fatalf("Stats: %d entries, %d bytes", n, cost)
	}
	s.Delete(item(1, 10, 100))
	if s.Find(1) != a {
		t.Fatal("Delete of another item of the hash removed the stored one")
	}
	s.Delete(a)
	s.Delete(a)
	if s.Find(1) != nil || s.Find(2) != b {
		t.Fatal("Delete removed the wrong item, or none")
	}
}

func TestPutRefuses(t *testing.T) {
	s := newStore(t, 1<<20)
	for name, it := range map[string]*Item[value]{
		"larger than the store": item(1, 1, 1<<20+1),
		"larger than an int":    item(1, 1, math.MaxInt64),
		"larger than the part":  item(1, 1, 1<<18),
		"negative cost":         item(1, 1, -1),
		"expired":               {Hash: 1, Born: 1, Cost: 1, Expires: now() - 1},
	} {
		if s.Put(it) || s.Find(1) != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if n, cost, _ := s.Stats(); n != 0 || cost != 0 {
		t.Errorf("refused items left %d entries, %d bytes", n, cost)
	}
}

// The two halves of visibility: at once in the goroutine that put and in another
// one, from an empty store up to one whose Ristretto queue is long. With the first
// level and the index filled by Ristretto's callback instead of by Put nearly all
// were missed; with the first level alone filled by Put, those that a neighbour in
// their set displaced.
func TestVisibleAtOnce(t *testing.T) {
	s := newStore(t, 1<<30)
	const workers, each = 4, 25_000
	var accepted atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		asked, answered := make(chan *Item[value]), make(chan *Item[value])
		wg.Go(func() {
			defer close(asked)
			for i := range each {
				it := item(uint64(w*each+i), 1, 1)
				if !s.Put(it) {
					continue
				}
				accepted.Add(1)
				if i%16 == 0 {
					asked <- it
					if got := <-answered; got != it {
						t.Errorf("another goroutine finds %v for %d", got, it.Hash)
						return
					}
				}
				if got := s.Find(it.Hash); got != it {
					t.Errorf("Find(%d) = %v after Put", it.Hash, got)
					return
				}
				if i%64 == 0 {
					runtime.Gosched()
				}
			}
		})
		wg.Go(func() {
			for it := range asked {
				answered <- s.Find(it.Hash)
			}
		})
	}
	wg.Wait()
	if n := accepted.Load(); n < workers*each/2 {
		t.Errorf("only %d of %d accepted", n, workers*each)
	}
}

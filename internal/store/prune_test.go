package store

import "testing"

// Seen to fail with Clear in the place of Prune.
func TestPrune(t *testing.T) {
	s := newStore(t, 1<<24)
	for i := range 1000 {
		s.Put(item(hashIn(i%shardCount, i), int64(i), 100))
	}
	s.Prune(func(it *Item[value]) bool { return it.Born%2 == 0 })
	for i := range 1000 {
		if found := s.Find(hashIn(i%shardCount, i)) != nil; found != (i%2 == 1) {
			t.Fatalf("%d: found %v", i, found)
		}
	}
	if n, _, _ := s.Stats(); n != 500 {
		t.Errorf("%d entries", n)
	}
}

package store

import (
	"fmt"
	"sync/atomic"
	"testing"
)

func benchStore(b *testing.B, entries int) *Store[value] {
	b.Helper()
	s := newStore(b, 1<<30)
	for i := range entries {
		if !s.Put(item(uint64(i), 1, 1000)) {
			settle(s)
		}
	}
	settle(s)
	b.ReportAllocs()
	b.ResetTimer()
	return s
}

func BenchmarkFind(b *testing.B) {
	for _, c := range []struct {
		name    string
		entries int
		from    uint64
	}{
		{"first/1", 1, 0},
		{"first/1024", 1024, 0},
		{"second/100000", 100_000, 0},
		{"miss", 1000, 1 << 40},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := benchStore(b, c.entries)
			var next uint64
			for b.Loop() {
				if next++; next >= uint64(c.entries) {
					next = 0
				}
				s.Find(c.from + next)
			}
		})
		b.Run(fmt.Sprintf("%s/parallel", c.name), func(b *testing.B) {
			s := benchStore(b, c.entries)
			var seed atomic.Uint64
			b.RunParallel(func(pb *testing.PB) {
				next := seed.Add(7919)
				for pb.Next() {
					next++
					s.Find(c.from + next%uint64(c.entries))
				}
			})
		})
	}
}

func BenchmarkFindNth(b *testing.B) {
	s := benchStore(b, 1024)
	var n uint64
	for b.Loop() {
		n++
		s.FindNth(n%1024, n)
	}
}

func BenchmarkPut(b *testing.B) {
	b.Run("new", func(b *testing.B) {
		s := benchStore(b, 0)
		var n uint64
		for b.Loop() {
			n++
			s.Put(item(n, 1, 1000))
		}
	})
	b.Run("replace", func(b *testing.B) {
		s := benchStore(b, 0)
		var n int64
		for b.Loop() {
			n++
			s.Put(item(uint64(n)%1024, n, 1000))
		}
	})
	b.Run("delete", func(b *testing.B) {
		s := benchStore(b, 0)
		var n int64
		for b.Loop() {
			n++
			it := item(uint64(n)%1024, n, 1000)
			s.Put(it)
			s.Delete(it)
		}
	})
}

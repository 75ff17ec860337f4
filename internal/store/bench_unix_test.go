//go:build unix

package store

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// processTime is the CPU time that the process has used, in nanoseconds.
func processTime(tb testing.TB) int64 {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// What a Put costs in a full store, where each evicts, in all goroutines together:
// cpu-ns/op.
func BenchmarkPutFull(b *testing.B) {
	for _, c := range []struct {
		name    string
		find    bool
		expires time.Duration
	}{{"put", false, 0}, {"find+put", true, 0}, {"find+put/expires", true, time.Minute}} {
		b.Run(c.name, func(b *testing.B) {
			s, err := New[value](Config{MaxBytes: 64 << 20, MaxItem: 1 << 20, Now: now})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			random := rand.New(rand.NewPCG(1, 2))
			put := func() {
				it := item(random.Uint64(), 1, 1000)
				if c.expires != 0 {
					it.Expires = now() + int64(c.expires)
				}
				if c.find {
					s.Find(it.Hash)
				}
				s.Put(it)
			}
			for i := range 100_000 {
				if put(); i%1000 == 0 {
					settle(s)
				}
			}
			settle(s)
			b.ResetTimer()
			begun := processTime(b)
			for i := range b.N {
				if put(); i%1000 == 0 {
					s.keeper.Wait()
				}
			}
			settle(s)
			b.ReportMetric(float64(processTime(b)-begun)/float64(b.N), "cpu-ns/op")
		})
	}
}

package benchmarks_test

import (
	"runtime"
	"testing"

	"github.com/querycache/querycache/internal/benchmarks"
)

func BenchmarkHit(b *testing.B)    { benchmark(b, benchmarks.Hit) }
func BenchmarkMiss(b *testing.B)   { benchmark(b, benchmarks.Miss) }
func BenchmarkBypass(b *testing.B) { benchmark(b, benchmarks.Bypass) }
func BenchmarkWrite(b *testing.B)  { benchmark(b, benchmarks.Write) }

// benchmark names the alternative last and as a key, so that
// `benchstat -col /by` puts the alternatives side by side.
func benchmark(b *testing.B, kind benchmarks.Kind) {
	b.Helper()
	f := fixture(b)
	for _, c := range benchmarks.Cases() {
		if c.Kind != kind {
			continue
		}
		b.Run(c.Name, func(b *testing.B) {
			ready := open(b, c, f)
			for _, a := range ready.Alternatives {
				b.Run("by="+a.Name, func(b *testing.B) {
					b.ReportAllocs()
					b.ResetTimer()
					if err := a.Run(b.N); err != nil {
						b.Fatal(err)
					}
				})
			}
		})
	}
}

// BenchmarkCollection times a collection of garbage with a million rows held.
func BenchmarkCollection(b *testing.B) {
	f := fixture(b)
	for _, by := range []string{benchmarks.Noop, benchmarks.Direct, benchmarks.Querycache} {
		b.Run("by="+by, func(b *testing.B) {
			h, err := benchmarks.Hold(f, by, 1_000_000)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { closed(b, h) })
			b.ResetTimer()
			for range b.N {
				runtime.GC()
			}
			b.ReportMetric(float64(h.HeapBytes)/(1<<20), "held-MB")
			b.ReportMetric(float64(h.Rows), "rows")
		})
	}
}

func fixture(tb testing.TB) *benchmarks.Fixture {
	tb.Helper()
	f, err := benchmarks.NewFixture(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func open(tb testing.TB, c benchmarks.Case, f *benchmarks.Fixture) *benchmarks.Bench {
	tb.Helper()
	b, err := c.Open(f)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closed(tb, b) })
	return b
}

func closed(tb testing.TB, c interface{ Close() error }) {
	tb.Helper()
	if err := c.Close(); err != nil {
		tb.Error(err)
	}
}

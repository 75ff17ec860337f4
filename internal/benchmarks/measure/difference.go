//go:build unix

package measure

import (
	"math"
	"slices"
)

// Differences returns what a cost more than b, in nanoseconds for one run, for
// each round.
func Differences(a, b Series) []float64 {
	more := make([]float64, min(len(a.PerRun), len(b.PerRun)))
	for i := range more {
		more[i] = a.PerRun[i] - b.PerRun[i]
	}
	return more
}

// Interval returns the bounds between which the median of what the figures are a
// sample of lies, with a probability of 95 %, whatever its distribution. Of no
// figures it returns zeros, of few the least and the greatest.
func Interval(figures []float64) (low, high float64) {
	n := len(figures)
	if n == 0 {
		return 0, 0
	}
	sorted := slices.Sorted(slices.Values(figures))
	// How many figures lie below the median is binomial, with deviation √n/2.
	k := max(int(float64(n)/2-0.98*math.Sqrt(float64(n))), 1)
	return sorted[k-1], sorted[n-k]
}

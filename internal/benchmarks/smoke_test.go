package benchmarks

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCases runs every case and checks its rows against what the table is known
// to hold, and the cache's count against the case's kind. It was seen to fail,
// on every case, with a driver in the cache's place that only passes on.
func TestCases(t *testing.T) {
	f, err := NewFixture(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			procs := runtime.GOMAXPROCS(0)
			b, err := c.Open(f)
			if err != nil {
				t.Fatal(err)
			}
			runs := max(5, c.entries)
			for _, a := range b.Alternatives {
				before := b.Count()
				if err := a.Run(runs); err != nil {
					t.Fatalf("%s: %v", a.Name, err)
				}
				// The others must not be seen by the cache at all.
				if a.Name == Querycache {
					if err := b.Check(before, runs); err != nil {
						t.Error(err)
					}
				} else if diff := cmp.Diff(before, b.Count()); diff != "" {
					t.Errorf("running %s changed the cache's count (-before +after):\n%s", a.Name, diff)
				}
				for _, s := range a.sessions {
					checkRows(t, c, a.Name, s)
				}
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if now := runtime.GOMAXPROCS(0); now != procs {
				t.Errorf("GOMAXPROCS is %d after Close, was %d before Open", now, procs)
			}
		})
	}
}

func checkRows(t *testing.T, c Case, name string, s *session) {
	t.Helper()
	if c.Kind == Write {
		if slices.Contains(c.parents, Direct) {
			checkWritten(t, name, s)
		}
		return
	}
	first := int64(1)
	switch {
	case c.entries > 1:
		first = s.seq%hot*1_103%hot + 1
	case c.Kind == Miss && c.rows == 1:
		first = s.seq%people + 1
	case c.Kind == Miss:
		first = s.seq%9_900 + 1
	}
	var want []Person
	for id := first; id < first+int64(c.rows); id++ {
		want = append(want, person(id))
	}
	if diff := cmp.Diff(want, s.out[:s.read]); diff != "" {
		t.Errorf("%s: rows (-want +got):\n%s", name, diff)
	}
}

func checkWritten(t *testing.T, name string, s *session) {
	t.Helper()
	want, id := written(s.seq)
	var got int64
	if err := s.db.GetContext(context.Background(), &got, ageOf, id); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("%s: the age of row %d is %d after the write, want %d", name, id, got, want)
	}
}

// person says in Go what the schema's INSERT says in SQL.
func person(id int64) Person {
	return Person{
		ID:     id,
		Name:   fmt.Sprintf("Person %05d", id),
		Email:  fmt.Sprintf("person%05d@example.com", id),
		Age:    18 + id%60,
		Score:  float64(id*37%1000) / 10,
		Active: id%2 == 1,
	}
}

// TestCheck shows that Check refuses what it should: runs of a hit that are
// counted for another number of runs, and any kind but the case's own.
func TestCheck(t *testing.T) {
	f, err := NewFixture(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			b, err := c.Open(f)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			}()
			before := b.Count()
			if err := b.Alternatives[len(b.Alternatives)-1].Run(4); err != nil {
				t.Fatal(err)
			}
			if err := b.Check(before, 1_000); err == nil {
				t.Error("4 runs pass for 1000")
			}
			for _, kind := range []Kind{Hit, Miss, Bypass, Write} {
				b.kind = kind
				if err := b.Check(before, 4); (err == nil) != (kind == c.Kind) {
					t.Errorf("4 runs of a %s, checked as a %s: %v", c.Kind, kind, err)
				}
			}
		})
	}
}

// TestHold holds few rows in each way and looks at their number and size.
func TestHold(t *testing.T) {
	f, err := NewFixture(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const rows = 20_000
	for name, want := range map[string]int{Noop: 0, Direct: rows, Querycache: rows} {
		t.Run(name, func(t *testing.T) {
			h, err := Hold(f, name, rows)
			if err != nil {
				t.Fatal(err)
			}
			if h.Rows != want {
				t.Errorf("%d rows are held, want %d", h.Rows, want)
			}
			// A row has two strings of together 35 bytes, so less than that cannot hold it.
			if low := int64(want) * 35; h.HeapBytes < low && want > 0 {
				t.Errorf("%d rows take %d bytes, want at least %d", want, h.HeapBytes, low)
			}
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if h, err := Hold(f, "elsewhere", rows); err == nil {
		t.Errorf("an unknown way to hold rows gave %v", h)
	}
}

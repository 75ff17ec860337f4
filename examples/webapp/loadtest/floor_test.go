package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestWatcher: seen to fail with nothing remembered of what was seen.
func TestWatcher(t *testing.T) {
	f := newFloors(10, map[int64]int64{1: 4, 2: 6})
	w := newWatcher(f)
	show := func(total int64, books map[int64]int64) versions { return versions{total, books} }
	check := func(page versions, want string) {
		t.Helper()
		if got := w.check(page, f.now()); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", page, got, want)
		}
	}
	check(show(10, map[int64]int64{1: 4}), "")
	check(show(-1, map[int64]int64{2: 6, 3: 1}), "")
	f.raise(1)
	check(show(-1, map[int64]int64{1: 4}), "stale: book 1 in version 4 instead of 5")
	check(show(10, nil), "stale: all books together in version 10 instead of 11")
	check(show(11, map[int64]int64{1: 5}), "")
	check(show(12, map[int64]int64{1: 6}), "") // A write that has not returned yet.
	check(show(11, nil), "new, then old: all books together in version 11 instead of 12")
	check(show(-1, map[int64]int64{1: 5}), "new, then old: book 1 in version 5 instead of 6")
	check(show(-1, map[int64]int64{2: 5}), "stale: book 2 in version 5 instead of 6")
	f.raise(3) // A new book has no floor of its own.
	check(show(12, map[int64]int64{3: 1}), "")

	other := newWatcher(f)
	if fault := other.check(show(-1, map[int64]int64{1: 5}), f.now()); fault != "" {
		t.Errorf("what one client has seen binds another: %s", fault)
	}
}

// TestOutdatedFormIsStale: nobody else writes a client's books. Seen to fail with a
// conflict taken for a write.
func TestOutdatedFormIsStale(t *testing.T) {
	refuse := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
	}))
	defer refuse.Close()
	b := newBrowser(refuse.URL, 1)
	defer b.close()
	c := newClient(mix{}, b, &library{floors: newFloors(1, nil)}, 0)
	if err := c.post(t.Context(), 1, "/books/1", nil); err != nil {
		t.Fatal(err)
	}
	if len(c.tally.stale) != 1 || c.tally.posts != 0 || c.library.floors.now().total != 1 {
		t.Errorf("a refused form: %d stale, %d written", len(c.tally.stale), c.tally.posts)
	}
}

func TestFastEnough(t *testing.T) {
	for _, tt := range []struct {
		plain, cached float64
		ok            bool
	}{{10, 30, true}, {10, 29, false}, {0, 30, false}, {0, 0, false}, {10, 0, false}} {
		if err := fastEnough(tt.plain, tt.cached); (err == nil) != tt.ok {
			t.Errorf("%v and %v reports a second: %v", tt.plain, tt.cached, err)
		}
	}
}

// TestWritesAreTheirShare: seen to fail with a coin thrown for each request.
func TestWritesAreTheirShare(t *testing.T) {
	for share, want := range map[float64]int{0: 0, 0.05: 5, 0.1: 10, 0.5: 50, 1: 100} {
		var lib library
		var writes int
		for range 100 {
			if lib.writeIsDue(share) {
				writes++
			}
		}
		if writes != want {
			t.Errorf("with a share of %v: %d of 100 requests write", share, writes)
		}
	}
}

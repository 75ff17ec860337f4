package querycache

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestDeadEntriesAreFreed writes to a table that many entries depend on: their
// memory comes back without a read or an eviction. With reaper.dead doing
// nothing they stay.
func TestDeadEntriesAreFreed(t *testing.T) {
	h := newHarness(t, Config{TTL: -1})
	defer h.close()
	const entries = 500
	for i := range entries {
		h.read(t.Context(), "SELECT a FROM t WHERE a > ?", -i)
		h.read(t.Context(), "SELECT a FROM u WHERE a > ?", -i)
	}
	wantSame(t, "entries", 2*entries, h.cache.Stats().Entries)
	full := h.cache.Stats().CostBytes
	h.exec(harnessWrite, 2)
	// A small charge stays for each until the store's queue has passed it.
	eventually(t, "the entries of one table are freed", func() bool {
		s := h.cache.Stats()
		return s.Entries == entries && s.CostBytes <= full/2
	})
	wantSame(t, "evictions", 0, h.cache.Stats().Evictions)
	if _, hit := h.read(t.Context(), "SELECT a FROM u WHERE a > ?", -7); !hit {
		t.Error("an entry of the other table was freed")
	}
	h.cache.InvalidateTables("u")
	eventually(t, "all entries are freed", func() bool { return h.cache.Stats().Entries == 0 })
}

// TestDeadMemoryComesBack measures the heap: it must not hold results that
// nobody can be served.
func TestDeadMemoryComesBack(t *testing.T) {
	h := newHarness(t, Config{TTL: -1})
	defer h.close()
	const entries, size = 200, 100 << 10
	h.seed(fmt.Sprintf("CREATE TABLE big (x); INSERT INTO big VALUES ('%s')", strings.Repeat("x", size)))
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for i := range entries {
		var s []byte // A copy for each result.
		if err := h.QueryRowContext(t.Context(), "SELECT x || ? FROM big", i).Scan(&s); err != nil {
			t.Fatal(err)
		}
	}
	h.fake.ResetLog()
	if held := heap() - before; held < entries*size*8/10 {
		t.Fatalf("%d bytes are held, want about %d", held, entries*size)
	}
	h.cache.InvalidateTables("big")
	eventually(t, "the memory is back", func() bool { return heap()-before < entries*size/10 })
}

// TestTagsAreBounded evicts many more entries than stay. Without the
// compaction in tagged.add the list grows with every fill.
func TestTagsAreBounded(t *testing.T) {
	h := newHarness(t, Config{MaxBytes: 64 << 10, TTL: -1})
	defer h.close()
	const fills = 6000
	for i := range fills {
		h.read(t.Context(), "SELECT a FROM t WHERE a > ?", -i)
		if i%1000 == 0 {
			h.fake.ResetLog()
		}
	}
	tags := h.cache.words.table("t").tagged
	tags.mu.Lock()
	n := len(tags.entries)
	tags.mu.Unlock()
	if most := 2*int(h.cache.Stats().Entries) + 1024; n > most {
		t.Errorf("%d tags for %d entries", n, h.cache.Stats().Entries)
	}
}

// TestReaperNeverBlocks writes while the reaper is busy and its queue full.
func TestReaperNeverBlocks(t *testing.T) {
	c := newCache(t)
	tables := make([]tagged, 3*cap(c.reaper.queue))
	for i := range tables {
		tables[i].some.Store(true)
		c.reaper.dead(&tables[i])
		c.reaper.dead(&tables[i])
		c.reaper.allDead()
	}
	// What found the queue full can be queued again.
	eventually(t, "no list counts as queued", func() bool {
		for i := range tables {
			if tables[i].queued.Load() {
				return false
			}
		}
		return true
	})
}

// eventually waits for what happens in the background.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

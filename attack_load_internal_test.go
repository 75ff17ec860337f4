package querycache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Whoever declares a dependency sees what was acknowledged as written to it.
func TestDeclarationsUnderLoad(t *testing.T) {
	cfg := Config{Rules: []Rule{
		{Match: func(q string) bool { return len(q)%2 == 0 && len(q) > 30 }, Tags: []string{"x"}, DependsOn: []string{"ext"}, TTL: time.Hour},
		{Fingerprint: "select a from t where ? = ?", Tags: []string{"x"}, DependsOn: []string{"ext"}, SWR: time.Second},
	}}
	h := newHarness(t, cfg)
	defer h.close()
	var acked atomic.Int64
	acked.Store(1)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	ways := []func(n int64){
		func(n int64) { h.seed(fmt.Sprint("UPDATE t SET a = ", n)); h.cache.InvalidateTags("x") },
		func(n int64) { h.seed(fmt.Sprint("UPDATE t SET a = ", n)); h.cache.InvalidateTables("main.Ext") },
		func(n int64) {
			h.seed(fmt.Sprint("UPDATE t SET a = ", n))
			h.exec("/* querycache: tables=ext */ UPDATE u SET a = 1")
		},
		func(n int64) {
			h.seed(fmt.Sprint("UPDATE t SET a = ", n))
			h.exec("UPDATE u SET a = 1 -- querycache: tags=y,x")
		},
		func(n int64) {
			tx, err := h.BeginTx(t.Context(), nil)
			if err != nil {
				t.Error(err)
				return
			}
			_, err = tx.Exec("/* querycache: tags=x */ UPDATE u SET a = 1")
			if err != nil {
				t.Error(err)
			}
			h.seed(fmt.Sprint("UPDATE t SET a = ", n))
			if err := tx.Commit(); err != nil {
				t.Error(err)
			}
		},
		func(n int64) {
			st, err := h.PrepareContext(t.Context(), "/* querycache: tables=ext */ UPDATE u SET a = ?")
			if err != nil {
				t.Error(err)
				return
			}
			h.seed(fmt.Sprint("UPDATE t SET a = ", n))
			_, _ = st.Exec(2)
			_ = st.Close()
		},
	}
	wg.Go(func() {
		for n := int64(2); ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			ways[rand.IntN(len(ways))](n)
			acked.Store(n)
		}
	})
	texts := []func(i int) string{
		func(int) string { return "/* querycache: tags=x */ SELECT a FROM t" },
		func(int) string { return "/* querycache: tables=ext tags=x */ SELECT a FROM t" },
		func(i int) string { return fmt.Sprintf("/* querycache: tables=ext tags=x,r%d */ SELECT a FROM t", i%7) },
		func(i int) string {
			return fmt.Sprintf("/* querycache: ttl=%ds tags=x tables=EXT */ SELECT a FROM t", 1+i%7)
		},
		func(i int) string {
			return fmt.Sprintf("SELECT a FROM t /*id=%d*/ -- querycache: tags=x tables=main.ext", i)
		},
		func(int) string { return "SELECT a FROM t WHERE 1 = 1" },
		func(int) string { return "SELECT a FROM t WHERE     2 = 2" },
	}
	var bad atomic.Int64
	for range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				k := rand.IntN(len(texts) + 1)
				ctx, text := context.Context(t.Context()), "SELECT a FROM t"
				if k < len(texts) {
					text = texts[k](i)
				} else {
					ctx = WithTags(WithTables(ctx, "ext"), "x")
				}
				if k == 0 {
					ctx = WithTables(ctx, "ext")
				}
				if rand.IntN(10) == 0 {
					ctx = WithTTL(ctx, time.Duration(rand.IntN(1000)+1)*time.Millisecond)
				}
				low := acked.Load()
				v, err := h.query(ctx, text)
				if err != nil {
					t.Error(err)
					return
				}
				if v < low {
					bad.Add(1)
					t.Errorf("%s: read %d after %d was acknowledged", text, v, low)
					return
				}
			}
		})
	}
	time.Sleep(time.Second)
	close(stop)
	wg.Wait()
	s := h.cache.Stats()
	t.Logf("acked %d, hits %d, misses %d, coalesced %d, fills %d", acked.Load(), s.Hits, s.Misses, s.Coalesced, s.Fills)
}

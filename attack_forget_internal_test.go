package querycache

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/querycache/querycache/internal/fakedb"
)

// A reader of what has expired is slow, and meanwhile somebody stores what is newer: it
// stays. Seen to fail with forget not looking at born.
func TestLateNeverForgetsTheNewer(t *testing.T) {
	const text = "/* querycache: ttl=60s */ SELECT a FROM t ORDER BY a"
	_ = text
	inBubble(t, Config{}, func(h *harness) {
		h.read(h.t.Context(), sieRead)
		expire()
		h.seed("UPDATE t SET a = 2; INSERT INTO t VALUES (7); INSERT INTO t VALUES (8); INSERT INTO t VALUES (9)")
		// The slow reader: its query has run (a = 2), its rows come late.
		gate := fakedb.NewGate()
		h.fake.Inject(fakedb.Fault{Method: "Next", Skip: 2, Gate: gate})
		done := make(chan struct{})
		go func() {
			defer close(done)
			rows, err := h.QueryContext(h.t.Context(), sieRead) //nolint:rowserrcheck // What others read is looked at.
			if err != nil {
				h.t.Error(err)
				return
			}
			for rows.Next() {
			}
			_ = rows.Close()
		}()
		<-gate.Reached()
		time.Sleep(time.Millisecond)
		h.seed("UPDATE t SET a = 3 WHERE a = 2")
		v, _ := h.read(Refresh(context.Background()), sieRead)
		w, hit := h.read(h.t.Context(), sieRead)
		t.Log("newer", v, w, hit)
		time.Sleep(50 * time.Millisecond)
		gate.Release()
		<-done
		synctest.Wait()
		x, hit := h.read(h.t.Context(), sieRead)
		if x < w {
			h.t.Errorf("read %d after %d (hit %v)", x, w, hit)
		}
		t.Log(x, hit)
	})
}

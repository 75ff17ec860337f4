package querycache

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/querycache/querycache/internal/fakedb"
	"github.com/querycache/querycache/internal/hint"
	"github.com/querycache/querycache/internal/sqltok"
)

// A text that is too long to be remembered is not remembered for its hint.
func TestHintedPlansAreBounded(t *testing.T) {
	h := newHarness(t, Config{})
	defer h.close()
	for i := range 8 {
		h.read(t.Context(), fmt.Sprintf("/* querycache: tags=t%d */ SELECT a FROM t WHERE a <> '%s'", i, strings.Repeat("x", maxPlanBytes)))
	}
	n, bytes := h.cache.plans.held()
	if bytes > maxPlanBytes {
		t.Errorf("%d plans, %d bytes of texts", n, bytes)
	}
}

// WithTTL: served nothing older than that, also by a flight.
func TestFlightOlderThanTTL(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		t := h.t
		gate := fakedb.NewGate()
		h.fake.Inject(fakedb.Fault{Method: "Rows.Next", Gate: gate})
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = h.query(t.Context(), harnessRead) })
		synctest.Wait()
		time.Sleep(30 * time.Second)
		h.seed("UPDATE t SET a = 2")
		var got int64
		wg.Go(func() { got, _ = h.query(WithTTL(t.Context(), time.Second), harnessRead) })
		synctest.Wait()
		gate.Release()
		wg.Wait()
		t.Logf("got %d, coalesced %d", got, h.cache.Stats().Coalesced)
		if h.cache.Stats().Coalesced != 0 {
			t.Errorf("a reader with a TTL of a second was given what was asked for 30 s before it")
		}
	})
}

// Work is linear in the text.
func TestHintsAreLinear(t *testing.T) {
	took := func(n int) time.Duration {
		var b strings.Builder
		b.WriteString("/* querycache: tags=")
		for i := range n {
			fmt.Fprintf(&b, "t%d,", i)
		}
		b.WriteString("z */ SELECT a FROM t")
		began := time.Now()
		if _, err := hint.Of(sqltok.SQLite, b.String()); err != nil {
			t.Fatal(err)
		}
		return time.Since(began)
	}
	a, b := took(2_000), took(16_000)
	t.Logf("2,000 names %v, 16,000 names %v", a, b)
	if b > 24*a {
		t.Errorf("8 times the names took %d times as long", b/a)
	}
}

// A predicate that panics is complained of so many times and no more.
func TestRulePanicsAreBounded(t *testing.T) {
	var log bytes.Buffer
	h := newHarness(t, Config{
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Rules:  []Rule{{Match: func(string) bool { panic("no") }, Deny: true}},
	})
	defer h.close()
	for i := range 3000 {
		h.read(t.Context(), fmt.Sprintf("SELECT %d FROM t", i))
	}
	if n := strings.Count(log.String(), "\n"); n > maxComplaints {
		t.Errorf("%d lines", n)
	}
}

// Comments that differ each time do not fill the maps.
func TestHintsVaryingComments(t *testing.T) {
	h := newHarness(t, Config{})
	defer h.close()
	for i := range 1000 {
		h.read(t.Context(), fmt.Sprintf("/* querycache: ttl=1m */ SELECT a FROM t /*id=%d*/", i))
	}
	if n, _ := h.cache.plans.held(); n > 10 {
		t.Errorf("%d plans", n)
	}
}

package querycache

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/querycache/querycache/internal/fakedb"
)

// trace runs do and returns what it was told. It must be told once.
func trace(t testing.TB, ctx context.Context, do func(ctx context.Context)) Outcome { //nolint:revive // As thelper wants it.
	t.Helper()
	var told []Outcome
	do(WithTrace(ctx, func(o Outcome) { told = append(told, o) }))
	if len(told) != 1 {
		t.Fatalf("told %d times: %+v", len(told), told)
	}
	return told[0]
}

// trace traces one query of the harness.
func (h *harness) trace(ctx context.Context, text string) Outcome {
	h.t.Helper()
	return trace(h.t, ctx, func(ctx context.Context) { _, _ = h.query(ctx, text) })
}

func (h *harness) wantOutcome(what string, want, got Outcome) {
	h.t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateErrors()); diff != "" {
		h.t.Errorf("%s: (-want +got)\n%s", what, diff)
	}
}

// What is told of each kind of outcome, in a time of its own, so that ages and times
// are exact. TTL is without jitter where it does not divide by ten.
func TestTraceOutcomes(t *testing.T) {
	inBubble(t, Config{TTL: 9, Rules: []Rule{{Tables: []string{"u"}, TTL: time.Hour}, {Match: func(q string) bool { return strings.Contains(q, "denied") }, Deny: true}}}, func(h *harness) {
		t := h.t
		const shape = "select a from t"
		base := Outcome{Fingerprint: shape, Tables: []string{"t"}, Rule: -1}
		with := func(change func(o *Outcome)) Outcome {
			o := base
			change(&o)
			return o
		}
		var size int64
		h.fake.Inject(fakedb.Fault{Method: "Query", Delay: 2 * time.Second})
		const text = "SELECT a FROM t /* querycache: ttl=none tags=x */"
		ctx := WithTables(t.Context(), "U")
		hinted := func(o *Outcome) {
			o.Hint, o.Context, o.Tables, o.Tags = "ttl=none tags=x", "tables=u", []string{"t", "u"}, []string{"x"}
		}
		got := h.trace(ctx, text)
		size = got.Size
		h.wantOutcome("a miss", with(func(o *Outcome) {
			hinted(o)
			o.Kind, o.Reason, o.Filled, o.Database, o.TTL, o.Size = Miss, ReasonCold, true, 2*time.Second, -1, size
		}), got)
		time.Sleep(time.Minute)
		h.wantOutcome("a hit", with(func(o *Outcome) {
			hinted(o)
			o.Kind, o.Age, o.TTL, o.Size, o.Saved = Hit, 62*time.Second, -1, size, 2*time.Second
		}), h.trace(ctx, text))
		h.exec("UPDATE u SET a = 1 WHERE a = 1")
		h.wantOutcome("invalidated", with(func(o *Outcome) {
			hinted(o)
			o.Kind, o.Reason, o.Filled, o.TTL, o.Size = Miss, ReasonInvalidated, true, -1, size
			o.InvalidatedBy = "update u set a = ? where a = ?"
		}), h.trace(ctx, text))

		h.wantOutcome("a miss that expires at once", with(func(o *Outcome) {
			o.Kind, o.Reason, o.Filled, o.TTL, o.Size = Miss, ReasonCold, true, 9, size
		}), h.trace(t.Context(), harnessRead))
		time.Sleep(20 * time.Nanosecond)
		h.wantOutcome("expired", with(func(o *Outcome) {
			o.Kind, o.Reason, o.Filled, o.TTL, o.Size = Miss, ReasonExpired, true, 9, size
		}), h.trace(t.Context(), harnessRead))
		h.wantOutcome("a refresh", with(func(o *Outcome) {
			o.Kind, o.Reason, o.Filled, o.TTL, o.Size, o.Context = Miss, ReasonRefresh, true, 9, size, "refresh"
		}), h.trace(Refresh(t.Context()), harnessRead))
		h.wantOutcome("a bypass", with(func(o *Outcome) {
			o.Kind, o.Reason, o.Context = Bypassed, ReasonHint, "ttl=1s bypass"
		}), h.trace(Bypass(WithTTL(t.Context(), time.Second)), harnessRead))
		bad := h.trace(t.Context(), "/* querycache: tll=1s */ "+harnessRead)
		if bad.HintErr == nil || !strings.Contains(bad.HintErr.Error(), "tll=1s") {
			t.Errorf("hint: %v", bad.HintErr)
		}
		bad.HintErr = nil
		h.wantOutcome("a malformed hint", with(func(o *Outcome) { o.Kind, o.Reason = Bypassed, ReasonBadHint }), bad)
		h.wantOutcome("denied", with(func(o *Outcome) {
			o.Kind, o.Reason, o.Rule, o.Fingerprint = Bypassed, ReasonRule, 1, "select a as denied from t"
		}), h.trace(t.Context(), "SELECT a AS denied FROM t"))
		got = h.trace(t.Context(), "SELECT a FROM u")
		if got.TTL < 54*time.Minute || got.TTL > time.Hour {
			t.Errorf("TTL by rule: %v", got.TTL)
		}
		got.TTL = 0
		h.wantOutcome("by rule", with(func(o *Outcome) {
			o.Kind, o.Reason, o.Filled, o.Rule, o.Size = Miss, ReasonCold, true, 0, size
			o.Tables, o.Fingerprint = []string{"u"}, "select a from u"
		}), got)
		failure := errors.New("no")
		h.cache.Purge()
		h.fake.Inject(fakedb.Fault{Method: "Query", Err: failure, Delay: time.Second})
		h.wantOutcome("an error", with(func(o *Outcome) {
			o.Kind, o.Reason, o.Err, o.Database = Miss, ReasonCold, failure, time.Second
		}), h.trace(t.Context(), harnessRead))

		// A write that is in flight.
		tx, err := h.Begin()
		if err != nil {
			t.Fatal(err)
		}
		o := trace(t, t.Context(), func(ctx context.Context) { _ = tx.QueryRowContext(ctx, harnessRead).Scan(new(int)) })
		h.wantOutcome("in a transaction", with(func(o *Outcome) { o.Kind, o.Reason = Bypassed, ReasonTransaction }), o)
		_ = tx.Rollback()
	})
}

// Which statement it was, also where the entry is freed already, where a transaction
// wrote several tables, and where no statement did it. Seen to fail without bury,
// with cause stored by begin, and with add keeping one cause for all tables.
func TestTraceNamesTheWriter(t *testing.T) {
	h := newHarness(t, Config{TTL: -1})
	defer h.close()
	both := "SELECT t.a FROM t, u"
	inTx := func(statements ...string) func() {
		return func() {
			tx, err := h.Begin()
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range statements {
				if _, err := tx.Exec(s); err != nil {
					t.Fatal(err)
				}
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		text string
		do   func()
		want string
	}{
		{harnessRead, func() { h.exec("UPDATE t SET a = 5") }, "update t set a = ?"},
		{harnessRead, inTx("UPDATE u SET a = 5", "DELETE FROM t WHERE a = 77", "UPDATE u SET a = 6"), "delete from t where a = ?"},
		{"SELECT a FROM u", inTx("UPDATE u SET a = 5", "DELETE FROM t WHERE a = 77"), "update u set a = ?"},
		{both, func() { h.exec("CREATE TABLE IF NOT EXISTS z (a)") }, "create table if not exists z ( a )"},
		{both, func() { h.cache.InvalidateTables("u") }, "InvalidateTables"},
		{both, func() { h.cache.InvalidateQuery(both) }, "InvalidateQuery"},
		{both, func() { h.cache.InvalidateTags("x") }, "InvalidateTags"},
	} {
		for _, freed := range []bool{false, true} {
			ctx := WithTags(t.Context(), "x")
			h.trace(ctx, tt.text) // From the first trace on graves are filled.
			tt.do()
			if freed {
				h.cache.reaper.allDead()
				h.cache.Wait()
			}
			o := h.trace(ctx, tt.text)
			if o.Kind != Miss || o.Reason != ReasonInvalidated || strings.ReplaceAll(o.InvalidatedBy, " ", "") != strings.ReplaceAll(tt.want, " ", "") {
				t.Errorf("%s (freed %v): %v, %v by %q, want by %q", tt.text, freed, o.Kind, o.Reason, o.InvalidatedBy, tt.want)
			}
		}
	}
}

// Why a result was not stored, and rows that are handed out as they come: told when
// they are closed. Seen to fail with traced not leaving it to the stream.
func TestTraceOfStreams(t *testing.T) {
	inBubble(t, Config{MaxEntryBytes: 4096}, func(h *harness) {
		t := h.t
		rows := func(text string, take int, do func()) func(ctx context.Context) {
			return func(ctx context.Context) {
				r, err := h.QueryContext(ctx, text) //nolint:rowserrcheck // Its outcome is what is looked at.
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = r.Close() }()
				for range take {
					r.Next()
				}
				if do != nil {
					do()
				}
			}
		}
		for i := range 200 {
			h.exec("INSERT INTO u VALUES (?)", i)
		}
		for _, tt := range []struct {
			what    string
			o       Outcome
			filled  bool
			refused Reason
		}{
			{"whole", trace(t, t.Context(), rows(harnessRead, 2, nil)), true, ReasonNone},
			{"too large", trace(t, t.Context(), rows("SELECT a FROM u", 300, nil)), false, ReasonTooLarge},
		} {
			if tt.o.Kind != Miss || tt.o.Filled != tt.filled || tt.o.Refused != tt.refused {
				t.Errorf("%s: %+v", tt.what, tt.o)
			}
		}
		h.cache.Purge()
		h.fake.Inject(fakedb.Fault{Method: "Next", Skip: 1, Delay: 100 * time.Millisecond})
		slow := trace(t, t.Context(), rows(harnessRead, 2, func() { time.Sleep(time.Hour) }))
		if !slow.Filled || slow.Database != 100*time.Millisecond {
			t.Errorf("slow: %+v", slow)
		}
		h.cache.Purge()
		h.fake.Inject(fakedb.Fault{Method: "Next", Skip: 1, Delay: 30 * time.Millisecond})
		written := trace(t, t.Context(), rows(harnessRead, 1, func() { h.exec(harnessWrite, 3) }))
		if written.Filled || written.Refused != ReasonWritten {
			t.Errorf("written: %+v", written)
		}
		h.cache.Purge()
		h.fake.Inject(fakedb.Fault{Method: "Next", Skip: 1, Delay: 100 * time.Millisecond, Err: sql.ErrTxDone})
		cut := trace(t, t.Context(), rows(harnessRead, 2, nil))
		if cut.Filled || cut.Refused != ReasonCutShort {
			t.Errorf("cut short: %+v", cut)
		}
	})
}

// A hit that is served late, and one that another's miss brings.
func TestTraceOfSharedResults(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		t := h.t
		h.want("cold", swrRead, 1, false, false)
		time.Sleep(70 * time.Second)
		if o := h.trace(t.Context(), swrRead); o.Kind != Hit || !o.Stale || o.Age != 70*time.Second || o.TTL != 0 {
			t.Errorf("late: %+v", o)
		}
		synctest.Wait()
		h.cache.Purge()
		h.fake.Inject(fakedb.Fault{Method: "Query", Delay: time.Second})
		go func() { _, _ = h.query(t.Context(), harnessRead) }()
		time.Sleep(time.Millisecond)
		if o := h.trace(t.Context(), harnessRead); o.Kind != Coalesced || o.Size == 0 || o.Database != 0 {
			t.Errorf("coalesced: %+v", o)
		}
	})
}

// A panic of the parent leaves no trace behind on the connection, and nil takes a
// trace back. Seen to fail without the deferred reset in traced: the second query
// tells the first one's function.
func TestTraceEnds(t *testing.T) {
	h := newHarness(t, Config{})
	defer h.close()
	told := 0
	ctx := WithTrace(t.Context(), func(Outcome) { told++ })
	h.fake.Inject(fakedb.Fault{Method: "Query", Panic: "no"})
	dc, err := h.cache.WrapConnector(h.fake.Connector("x")).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dc.Close() }()
	query := func(ctx context.Context) {
		rows, err := dc.(driver.QueryerContext).QueryContext(ctx, harnessRead, nil) //nolint:forcetypeassert // The fake has it.
		if err != nil {
			t.Fatal(err)
		}
		_ = rows.Close()
	}
	func() {
		defer func() { _ = recover() }()
		query(ctx)
	}()
	query(WithTrace(ctx, nil))
	wantSame(t, "told", 0, told)
	query(ctx)
	wantSame(t, "told", 1, told)
}

// Time saved and spent add up. Seen to fail with hit not adding.
func TestStatsOfTime(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		h.fake.Inject(fakedb.Fault{Method: "Query", Delay: 3 * time.Second})
		for range 5 {
			h.read(h.t.Context(), harnessRead)
		}
		st := h.cache.Stats()
		wantSame(h.t, "spent", 3*time.Second, st.DatabaseTime)
		wantSame(h.t, "saved", 12*time.Second, st.TimeSaved)
	})
}

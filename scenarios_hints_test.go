package querycache_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/querycache/querycache"
)

func scenario20(t *testing.T) {
	var log bytes.Buffer
	s := newStageWith(t, family, querycache.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, &tap{})
	for _, none := range []string{
		"SELECT '/* querycache: bypass */', v FROM a",
		"SELECT v AS \"-- querycache: bypass\" FROM a",
		"SELECT v FROM a WHERE 'querycache: bypass' <> '' AND v <> '-- querycache: bypass'",
		"SELECT v /* querycache: bypass */ FROM a",
		"SELECT v -- querycache: bypass\n FROM a",
		"/* see querycache: bypass */ SELECT v + 1 FROM a",
		"SELECT v + 2 FROM a /*note='querycache%3A%20bypass'*/",
	} {
		s.entry(none)
	}
	for _, hint := range []string{"ttl=fast", "bypas", "ttl", "ttl=-1s", "ttl=1", "ttl=1s ttl=2s", "tables=", "max-bytes=-1", "ttl = 1s"} {
		for _, query := range []string{"/* querycache: " + hint + " */ SELECT v + 3 FROM a", "SELECT v + 3 FROM a -- querycache: " + hint} {
			s.bypass("malformed hint", query)
			var told querycache.Outcome
			traced := s.with(querycache.WithTrace(t.Context(), func(o querycache.Outcome) { told = o }))
			traced.reads("bypass: malformed hint", query)
			if told.Reason != querycache.ReasonBadHint || told.HintErr == nil {
				t.Errorf("%s: told %+v", query, told)
			}
			if fault := strings.Split(told.HintErr.Error(), `"`)[1]; fault == "" || !strings.Contains(hint, fault) {
				t.Errorf("%s: the text at fault is not in %v", query, told.HintErr)
			}
		}
	}
	s.entry("SELECT v + 3 FROM a")
	if n := strings.Count(log.String(), "ttl=fast"); n != 1 {
		t.Errorf("ttl=fast is logged %d times", n)
	}
	// A write with a malformed hint is a write.
	s.exec("/* querycache: tables */ UPDATE a SET v = v + 1")
	s.fresh("SELECT v + 3 FROM a")
	// What a write declares, it writes too.
	s.entry(sumB)
	s.with(querycache.WithTags(t.Context(), "x")).entry("SELECT max(v) FROM b")
	s.exec("/* querycache: tables=b */ UPDATE a SET v = v + 1")
	s.fresh(sumB)
	s.exec("UPDATE a SET v = v + 1 -- querycache: tags=x")
	s.with(querycache.WithTags(t.Context(), "x")).fresh("SELECT max(v) FROM b")
	s.hit(sumB)
}

func scenario69(t *testing.T) {
	const ttl = 50 * time.Millisecond
	expired := func() { time.Sleep(ttl + 10*time.Millisecond) }
	stale := func(s *stage) uint64 { return s.cache.Stats().Stale }
	const swr, sie = "/* querycache: swr=1h */ " + sumA, "/* querycache: stale-if-error=1h */ " + sumB

	// Expired, and nothing was written through the cache: the old answer once, then
	// what somebody else has written.
	s := newStageWith(t, family, querycache.Config{TTL: ttl}, &tap{})
	s.miss(swr)
	expired()
	s.must(s.raw.ExecContext(t.Context(), "UPDATE a SET v = 10"))
	s.value(answerOf(t.Context(), s.db, swr), 4, swr)
	if n := stale(s); n != 1 {
		t.Errorf("%d stale", n)
	}
	for end := time.Now().Add(10 * time.Second); s.cache.Stats().Refreshes == 0 || s.cache.Stats().Fills < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no refresh")
		}
	}
	s.value(answerOf(t.Context(), s.db, swr), 30, swr)

	// Expired, and written since: never.
	expired()
	before := stale(s)
	s.exec("UPDATE a SET v = 11")
	s.fresh(swr)
	if stale(s) != before {
		t.Error("served although its table was written")
	}

	// The database cannot be reached.
	down := errors.New("unreachable")
	s = newStageWith(t, family, querycache.Config{TTL: ttl}, &tap{})
	s.miss(sie)
	s.miss("/* querycache: stale-if-error=1h */ " + sumA)
	s.exec("UPDATE a SET v = v + 1")
	expired()
	s.tap.set(func(_ context.Context, method, _ string) error {
		if method == "query" {
			return sqliteError{down, 14}
		}
		return nil
	}, nil)
	s.value(answerOf(t.Context(), s.db, sie), 6, sie)
	if n := stale(s); n != 1 {
		t.Errorf("%d stale", n)
	}
	for _, query := range []string{sumB, "/* querycache: stale-if-error=1h */ " + sumA} {
		var n int
		if err := s.db.QueryRowContext(t.Context(), query).Scan(&n); !errors.Is(err, down) {
			t.Errorf("%s: %v, %d", query, err, n)
		}
	}
}

// sqliteError is an error as go-sqlite3 has them.
type sqliteError struct {
	error
	Code int
}

func (e sqliteError) Unwrap() error { return e.error }

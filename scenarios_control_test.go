package querycache_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/querycache/querycache"
)

func scenario62(t *testing.T) {
	const ttl = 150 * time.Millisecond
	expired := func() { time.Sleep(ttl + 20*time.Millisecond) }
	s := newStageWith(t, family, querycache.Config{TTL: ttl}, &tap{})
	// A writer that the cache does not see.
	behind := func() { s.must(s.raw.ExecContext(t.Context(), "UPDATE a SET v = v + 1; UPDATE b SET v = v + 1")) }
	s.entry(sumA)
	behind()
	a, told := s.read(sumA)
	s.value(a, 4, sumA)
	if told != "hit" {
		s.Errorf("%s before its TTL", told)
	}
	expired()
	s.fresh(sumA)

	// Per query: longer, none, shorter.
	long := s.with(querycache.WithTTL(t.Context(), time.Hour))
	never := s.with(querycache.WithTTL(t.Context(), -1))
	short := s.with(querycache.WithTTL(t.Context(), time.Millisecond))
	zero := s.with(querycache.WithTTL(querycache.WithTTL(t.Context(), time.Hour), 0))
	long.miss(sumA + " WHERE 1")
	never.miss(sumA + " WHERE 2")
	zero.miss(sumA + " WHERE 3")
	short.miss(sumB)
	time.Sleep(5 * time.Millisecond)
	short.miss(sumB)
	time.Sleep(5 * time.Millisecond)
	s.miss(sumB)
	expired()
	long.hit(sumA + " WHERE 1")
	never.hit(sumA + " WHERE 2")
	s.miss(sumA + " WHERE 2") // Who does not ask for more gets nothing that is older than Config.TTL.
	s.miss(sumA + " WHERE 3") // Zero takes the hint back.
	s.exec("UPDATE a SET v = v + 1")
	s.fresh(sumA + " WHERE 1")
	s.fresh(sumA + " WHERE 2")

	// By comment, and per table.
	const hour, none = "/* querycache: ttl=1h */ " + sumA + " WHERE 4", sumA + " WHERE 5 -- querycache: ttl=none"
	s.miss(hour)
	s.miss(none)
	s.bypass("hint", "/* querycache: ttl=0 */ "+sumA+" WHERE 6")
	perTable := newStageWith(t, family, querycache.Config{TTL: ttl, Rules: []querycache.Rule{{Tables: []string{"b"}, TTL: time.Hour}}}, &tap{})
	perTable.miss(sumA)
	perTable.miss(sumB)
	expired()
	s.hit(hour)
	s.hit(none)
	perTable.miss(sumA)
	perTable.hit(sumB)
	// A changed TTL: what is older than what is asked for now is not served.
	s.miss("/* querycache: ttl=1ms */ " + sumA + " WHERE 4")
	s.with(querycache.WithTTL(t.Context(), time.Millisecond)).miss(sumA + " WHERE 5")

	// Config.TTL: zero is a minute, negative is for ever.
	for _, cfg := range []querycache.Config{{}, {TTL: -1}} {
		s := newStageWith(t, family, cfg, &tap{})
		s.entry(sumA)
		expired()
		s.hit(sumA)
	}
}

func scenario63(t *testing.T) {
	s := newStage(t, family)
	bypass, refresh := s.with(querycache.Bypass(t.Context())), s.with(querycache.Refresh(t.Context()))
	bypass.bypass("hint", sumA)
	s.miss(sumA)
	s.must(s.raw.ExecContext(t.Context(), "UPDATE a SET v = 10")) // Not seen by the cache.
	a, _ := s.read(sumA)
	s.value(a, 4, sumA)
	bypass.reads("bypass: hint", sumA)
	a, told := s.read(sumA)
	if s.value(a, 4, sumA); told != "hit" {
		t.Errorf("%s: a bypass changes the cache", told)
	}
	refresh.miss(sumA)
	s.value(s.hit(sumA), 30, sumA)
	s.with(querycache.Refresh(querycache.Bypass(t.Context()))).bypass("hint", sumA)

	// By comment.
	const byComment = "/* querycache: refresh */ " + sumA
	s.bypass("hint", sumA+" -- querycache: bypass")
	s.bypass("hint", byComment+" /* querycache: bypass */")
	s.must(s.raw.ExecContext(t.Context(), "UPDATE a SET v = 20"))
	s.miss(byComment)
	s.miss(byComment)
	s.value(s.hit(sumA), 60, sumA)

	// Tables that are denied, and nothing but those that are allowed.
	denied := newStageWith(t, family, querycache.Config{Rules: []querycache.Rule{{Tables: []string{"a"}, Deny: true}}}, &tap{})
	allowed := newStageWith(t, family, querycache.Config{Rules: []querycache.Rule{{Tables: []string{"b"}, Allow: true}, {Deny: true}}}, &tap{})
	for _, s := range []*stage{denied, allowed} {
		s.bypass("denied by rule", sumA)
		s.bypass("denied by rule", "SELECT count(*) FROM a, b")
		s.entry(sumB)
		s.exec("UPDATE b SET v = v + 1")
		s.fresh(sumB)
	}

	// Writes count all the same.
	bypass.exec("UPDATE a SET v = 11")
	s.fresh(sumA)
}

func scenario64(t *testing.T) {
	s := newStage(t, family)
	s.entry(sumA)
	s.entry(sumB)
	s.cache.SetEnabled(false)
	s.bypass("disabled", sumA)
	s.exec("UPDATE a SET v = 10")
	s.reads("bypass: disabled", sumA)
	s.reads("bypass: disabled", "SELECT sum(v) FROM c")
	tx := s.begin()
	s.execOn(tx, "INSERT INTO a (v) VALUES (5)")
	s.cache.SetEnabled(true)
	s.fresh(sumA)
	s.hit(sumB)
	s.cache.SetEnabled(false)
	s.must(nil, tx.Commit())
	s.cache.SetEnabled(true)
	s.fresh(sumA)
	s.hit(sumB)
	s.miss("SELECT sum(v) FROM c")
}

func scenario65(t *testing.T) {
	s := newStage(t, family)
	const byID = "SELECT v FROM a WHERE id = ?"
	fill := func() {
		for _, q := range []string{sumA, sumB} {
			s.read(q)
			s.hit(q)
		}
		for id := range 3 {
			s.read(byID, id)
			s.hit(byID, id)
		}
	}
	fill()
	s.must(s.raw.ExecContext(t.Context(), "UPDATE a SET v = v + 1; UPDATE b SET v = v + 1"))
	s.cache.InvalidateTables("A")
	s.fresh(sumA)
	s.fresh(byID, 1)
	a, told := s.read(sumB) // Nobody has told of b.
	if s.value(a, 6, sumB); told != "hit" {
		t.Errorf("%s: %s", sumB, told)
	}
	s.cache.InvalidateTables("main.b", `"no such table"`)
	s.fresh(sumB)

	fill()
	s.cache.InvalidateQuery("/* by */ "+byID, 1)
	s.fresh(byID, 1)
	s.hit(byID, 0)
	s.hit(byID, 2)
	s.hit(sumA)

	fill()
	s.cache.Purge()
	if n := s.cache.Stats().Entries; n != 0 {
		t.Errorf("%d entries after Purge", n)
	}
	for _, q := range []string{sumA, sumB} {
		s.fresh(q)
	}

	// By tag: many an entry, any of them.
	tagged := s.with(querycache.WithTags(t.Context(), "one", "two"))
	const byComment = sumB + " /* querycache: tags=two,three */"
	for tag, want := range map[string][2]string{"one": {"miss", "hit"}, "two": {"miss", "miss"}, "three": {"hit", "miss"}, "four": {"hit", "hit"}} {
		tagged.read(sumA)
		s.read(byComment)
		s.cache.InvalidateTags("none", tag)
		tagged.reads(want[0], sumA)
		s.reads(want[1], byComment)
	}

	// Inside a transaction, at once, and again at COMMIT.
	for _, invalidate := range []func(){
		func() { s.cache.InvalidateTables("a") }, func() { s.cache.InvalidateQuery(sumA) }, s.cache.Purge,
	} {
		fill()
		tx := s.begin()
		s.execOn(tx, "UPDATE a SET v = v + 1")
		invalidate()
		s.value(s.miss(sumA), int(s.value64(sumA)), sumA)
		s.must(nil, tx.Commit())
		s.fresh(sumA)
	}
}

// value64 is the integer that the driver alone answers.
func (s *stage) value64(query string) (n int64) {
	s.Helper()
	s.must(nil, s.raw.QueryRowContext(s.ctx, query).Scan(&n))
	return n
}

func scenario66(t *testing.T) {
	s := newStage(t, family)
	path, _, _ := strings.Cut(strings.TrimPrefix(s.dsn, "file:"), "?")
	link := filepath.Join(t.TempDir(), "link.db")
	s.must(nil, os.Symlink(path, link))
	var handles []*stage
	for _, dsn := range []string{
		s.dsn, "file:" + path + "?mode=ro&_busy_timeout=5000", path, "file:" + filepath.Dir(path) + "/./" + filepath.Base(path) + "?_query_only=1",
		"file:" + link + "?mode=ro",
	} {
		handles = append(handles, s.on(s.open(dsn)))
	}
	for range 2 {
		for _, h := range handles {
			h.read(sumA)
			h.hit(sumA)
			h.read(sumB)
		}
		s.exec("UPDATE a SET v = v + 1")
		for _, h := range handles {
			h.fresh(sumA)
			h.hit(sumB)
		}
	}
	// Another write handle, too.
	second := s.open(path)
	s.execOn(second, "UPDATE a SET v = 100")
	for _, h := range handles {
		h.fresh(sumA)
	}
}

func scenario67(t *testing.T) {
	s := newStage(t, family+"CREATE INDEX av ON a(v);")
	for _, q := range []string{sumA, sumB, "SELECT * FROM a ORDER BY id"} {
		s.entry(q)
	}
	for _, pass := range []string{
		"VACUUM", "ANALYZE", "ANALYZE a", "REINDEX", "PRAGMA optimize", "PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA integrity_check",
		"VACUUM INTO '" + filepath.Join(t.TempDir(), "copy.db") + "'", "PRAGMA table_info(a)",
	} {
		s.exec(pass)
		for _, q := range []string{sumA, sumB, "SELECT * FROM a ORDER BY id"} {
			s.hit(q)
		}
	}
}

func scenario70(t *testing.T) {
	// Nothing can be stored, or the cache is closed: queries run.
	small := newStageWith(t, family, querycache.Config{MaxBytes: 1}, &tap{})
	for range 2 {
		small.reads("miss, not stored", sumA)
	}
	closed := newStage(t, family)
	closed.entry(sumA)
	closed.must(nil, closed.cache.Close())
	for i := range 2 {
		closed.exec("UPDATE a SET v = ?", i)
		closed.reads("bypass: disabled", sumA)
	}

	// The database is down: what is cached is served, a miss gets its error.
	const ttl = 300 * time.Millisecond
	down := errors.New("the database is down")
	s := newStageWith(t, family, querycache.Config{TTL: ttl}, &tap{})
	s.entry(sumB)
	s.entry(sumA)
	s.tap.set(func(context.Context, string, string) error { return down }, nil)
	for _, q := range []querier{s.db, s.conn(), s.conn()} {
		a, told := s.on(q).read(sumA)
		s.value(a, 4, sumA)
		if told != "hit" {
			t.Errorf("%s while the database is down", told)
		}
	}
	var n int
	err := s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM c").Scan(&n)
	if err != down { //nolint:errorlint // The database's own error, untouched.
		t.Errorf("a miss: %v, want %v", err, down)
	}
	time.Sleep(ttl)
	if a, _ := s.read(sumA); a.Error != down.Error() {
		t.Errorf("after its TTL: %v", a)
	}
	s.tap.set(nil, nil)
	s.fresh(sumA)
}

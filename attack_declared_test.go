package querycache_test

import (
	"testing"

	"github.com/querycache/querycache"
)

func TestHintsDeclaredWrites(t *testing.T) {
	const upd = "/* querycache: tags=x tables=c */ UPDATE a SET v = v + 1"
	for name, f := range map[string]func(s *stage) bool{ // reports whether it must invalidate
		"exec": func(s *stage) bool { s.exec(upd); return true },
		"returning": func(s *stage) bool {
			r, err := s.db.QueryContext(t.Context(), upd+" RETURNING v") //nolint:rowserrcheck // What it does to others is looked at.
			s.must(r, err)
			for r.Next() {
			}
			s.must(nil, r.Close())
			return true
		},
		"returning closed early": func(s *stage) bool {
			r, err := s.db.QueryContext(t.Context(), upd+" RETURNING v") //nolint:rowserrcheck // What it does to others is looked at.
			s.must(r, err)
			s.must(nil, r.Close())
			return true
		},
		"trailing semicolon": func(s *stage) bool { s.exec("UPDATE a SET v = v + 1; -- querycache: tags=x tables=c"); return true },
		"several": func(s *stage) bool {
			s.exec("/* querycache: tags=x tables=c */ UPDATE a SET v = 1; UPDATE a SET v = 2")
			return true
		},
		"several, last": func(s *stage) bool {
			s.exec("UPDATE a SET v = 1; UPDATE a SET v = 2 -- querycache: tags=x tables=c")
			return true
		},
		"prepared": func(s *stage) bool {
			st, err := s.db.Prepare(upd)
			s.must(st, err)
			s.must(st.Exec())
			s.must(nil, st.Close())
			return true
		},
		"commit": func(s *stage) bool { tx := s.begin(); s.must(tx.Exec(upd)); s.must(nil, tx.Commit()); return true },
		"commit, second": func(s *stage) bool {
			tx := s.begin()
			s.must(tx.Exec("UPDATE a SET v = v + 1"))
			s.must(tx.Exec(upd))
			s.must(nil, tx.Commit())
			return true
		},
		"commit, prepared": func(s *stage) bool {
			st, err := s.db.Prepare(upd)
			s.must(st, err)
			tx := s.begin()
			s.must(tx.Stmt(st).Exec()) //nolint:sqlclosecheck // With its transaction.
			s.must(nil, tx.Commit())
			return true
		},
		"commit, savepoint": func(s *stage) bool {
			tx := s.begin()
			s.must(tx.Exec("SAVEPOINT p"))
			s.must(tx.Exec(upd))
			s.must(tx.Exec("RELEASE p"))
			s.must(nil, tx.Commit())
			return true
		},
		"in one text": func(s *stage) bool {
			s.exec("/* querycache: tags=x tables=c */ BEGIN; UPDATE a SET v = 3; COMMIT")
			return true
		},
		"rollback": func(s *stage) bool { tx := s.begin(); s.must(tx.Exec(upd)); s.must(nil, tx.Rollback()); return false },
		"begin by text": func(s *stage) bool {
			c := s.conn()
			s.execOn(c, "BEGIN")
			s.execOn(c, upd)
			s.execOn(c, "COMMIT")
			return true
		},
	} {
		s := newStage(t, family)
		tagged := s.with(querycache.WithTags(t.Context(), "x"))
		tagged.entry(sumB)
		s.entry("SELECT sum(v) FROM c")
		must := f(s)
		_, told := tagged.read(sumB)
		if (told != "hit") != must {
			t.Errorf("%s: tag: %s", name, told)
		}
		_, told = s.read("SELECT sum(v) FROM c")
		if (told != "hit") != must {
			t.Errorf("%s: table: %s", name, told)
		}
	}
}

// Rows of a declared write that are still open: in flight.
func TestHintsDeclaredInFlight(t *testing.T) {
	s := newStage(t, family)
	tagged := s.with(querycache.WithTags(t.Context(), "x"))
	tagged.entry(sumB)
	r, err := s.db.QueryContext(t.Context(), "/* querycache: tags=x */ UPDATE a SET v = v + 1 RETURNING v") //nolint:rowserrcheck // What it does to others is looked at.
	s.must(r, err)
	_, told := tagged.read(sumB)
	if told != "bypass: write in flight" {
		t.Error(told)
	}
	s.must(nil, r.Close())
	_, told = tagged.read(sumB)
	if told != "miss" {
		t.Error(told)
	}
}

// A statement that writes through a trigger that keeps nothing has its declaration, too.
func TestHintsDeclaredByTriggerOnly(t *testing.T) {
	s := newStage(t, family+`; CREATE VIEW va AS SELECT v FROM a; CREATE TRIGGER tva INSTEAD OF INSERT ON va BEGIN SELECT new.v; END`)
	tagged := s.with(querycache.WithTags(t.Context(), "x"))
	tagged.entry(sumB)
	s.exec("/* querycache: tags=x */ INSERT INTO va VALUES (1)")
	if _, told := tagged.read(sumB); told == "hit" {
		t.Error("served")
	}
}

// That no row was changed says nothing of what a write declares. Seen to fail with
// tune leaving NoRowsUndone as it is.
func TestHintsDeclaredWithoutRows(t *testing.T) {
	s := newStage(t, family)
	tagged := s.with(querycache.WithTags(t.Context(), "x"))
	tagged.entry(sumB)
	s.exec("/* querycache: tags=x */ UPDATE a SET v = 1 WHERE 0")
	tagged.fresh(sumB)
	s.exec("UPDATE a SET v = 1 WHERE 0 -- querycache: ttl=1s")
	tagged.hit(sumB)
}

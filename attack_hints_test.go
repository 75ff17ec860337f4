package querycache_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/querycache/querycache"
)

const denied = "bypass: denied by rule"

// A write whose hint is not understood: what it declares is unknown, and must
// not be taken for nothing. Seen to fail with target not looking at hintErr.
func TestHintsMalformedHintOnWrite(t *testing.T) {
	for _, hint := range []string{"tags=x, y", "tags=x tag=y", "tables=b; tags=x", "Tags=x tll=5s"} {
		s := newStage(t, family)
		tagged := s.with(querycache.WithTags(t.Context(), "x"))
		tagged.entry(sumB)
		s.exec("/* querycache: " + hint + " */ UPDATE a SET v = v + 1")
		if _, told := tagged.read(sumB); told == "hit" {
			t.Errorf("%s: what the write declared is still served", hint)
		}
	}
}

// A leading semicolon gets by no rule. Seen to fail with Shape keeping it.
func TestHintsFingerprintLeadingSemicolon(t *testing.T) {
	s := newStageWith(t, family, querycache.Config{Rules: []querycache.Rule{
		{Fingerprint: "SELECT v FROM a WHERE v = ?", Deny: true},
	}}, &tap{})
	s.reads(denied, "; SELECT v FROM a WHERE v = 7")
	s.reads(denied, "SELECT v FROM a WHERE v = 7")
	s.reads(denied, "SELECT v FROM a WHERE v = 8")
}

// Match gets the text without trailing comments, also where they name a column.
func TestHintsMatchTrailing(t *testing.T) {
	const bare = "SELECT EXISTS (SELECT 1 FROM a WHERE v = 1)"
	for _, q := range []string{bare, "/* x */ " + bare, bare + " -- x", bare + " /* querycache: ttl=1h */"} {
		s := newStageWith(t, family, querycache.Config{Rules: []querycache.Rule{
			{Match: func(q string) bool { return q == bare }, Deny: true},
		}}, &tap{})
		s.reads(denied, q)
	}
}

// A table whose name is no bare word is known with its schema, too. Seen to fail with
// bareNames cutting at no dots.
func TestHintsSchemaAndOddNames(t *testing.T) {
	schema := family + `; CREATE TABLE "order-items" (v); CREATE TABLE "2024_orders" (v); CREATE TABLE "my table" (v)`
	for _, table := range []string{"order-items", "2024_orders", "my table"} {
		t.Run(table, func(t *testing.T) {
			s := newStage(t, schema)
			hinted := `SELECT max(v) FROM b /* querycache: tables="main.` + table + `" */`
			if table != "my table" {
				hinted = `SELECT max(v) FROM b /* querycache: tables=main.` + table + ` */`
			}
			s.entry(hinted)
			s.exec(`INSERT INTO "` + table + `" VALUES (1)`)
			if _, told := s.read(hinted); told == "hit" {
				t.Error("comment: served although its declared table was written")
			}
			ctx := s.with(querycache.WithTables(t.Context(), "main."+table))
			ctx.entry(sumB)
			s.exec(`INSERT INTO "` + table + `" VALUES (1)`)
			if _, told := ctx.read(sumB); told == "hit" {
				t.Error("context: served although its declared table was written")
			}
			read := `SELECT count(*) FROM "` + table + `"`
			s.entry(read)
			s.cache.InvalidateTables("main." + table)
			if _, told := s.read(read); told == "hit" {
				t.Error("InvalidateTables: served")
			}
			s = newStageWith(t, schema, querycache.Config{Rules: []querycache.Rule{
				{Tables: []string{"main." + table}, Deny: true},
			}}, &tap{})
			s.reads(denied, read)
		})
	}
}

// An allow-list lets nothing through that it does not name. Seen to fail without dotted.
func TestHintsAllowSuffix(t *testing.T) {
	for _, table := range []string{"public-a", "not a"} {
		s := newStageWith(t, family+`; CREATE TABLE "`+table+`" (v)`, querycache.Config{Rules: []querycache.Rule{
			{Tables: []string{table}, Allow: true}, {Deny: true},
		}}, &tap{})
		s.reads("miss", `SELECT count(*) FROM "`+table+`"`)
		s.reads(denied, sumA)
	}
}

// A hint that was taken back is none. Seen to fail with every derived context hinted.
func TestHintsHintedOnlyTakenBack(t *testing.T) {
	s := newStageWith(t, family, querycache.Config{Mode: querycache.HintedOnly}, &tap{})
	s.with(querycache.WithTTL(t.Context(), 0)).bypass("not hinted", sumA)
	s.with(querycache.WithTables(t.Context())).bypass("not hinted", sumA)
	s.with(querycache.WithTTL(querycache.WithTTL(t.Context(), time.Hour), 0)).bypass("not hinted", sumA)
}

// InvalidateQuery compares without trailing comments, also where they name a column.
func TestHintsInvalidateQueryTrailing(t *testing.T) {
	const bare = "SELECT EXISTS (SELECT 1 FROM a WHERE v = 1)"
	for _, q := range []string{"/* querycache: ttl=1h */ " + bare, bare + " -- querycache: ttl=1h", bare + " /* x */"} {
		s := newStage(t, family)
		s.entry(q)
		s.must(s.raw.ExecContext(t.Context(), "UPDATE a SET v = v + 100"))
		s.cache.InvalidateQuery(bare)
		if _, told := s.read(q); told == "hit" {
			t.Errorf("%s: served after InvalidateQuery(%q)", q, bare)
		}
	}
}

// A reader that asks for nothing is promised Config.TTL. Seen to fail without maxAge in
// the defaults.
func TestHintsUnhintedReaderOlderThanConfigTTL(t *testing.T) {
	for _, hint := range []string{"ttl=none", "ttl=1h"} {
		s := newStageWith(t, family, querycache.Config{TTL: 20 * time.Millisecond}, &tap{})
		s.miss("/* querycache: " + hint + " */ " + sumA)
		s.must(s.raw.ExecContext(t.Context(), "UPDATE a SET v = v + 100"))
		time.Sleep(200 * time.Millisecond)
		a, told := s.read(sumA)
		t.Logf("%s: %s", hint, told)
		s.isTrue(a, sumA)
	}
}

// A declared view: a write to what it shows, and one to the view itself. Seen to fail
// with behind returning the names alone.
func TestHintsTablesOfView(t *testing.T) {
	for _, write := range []string{"UPDATE a SET v = v + 1", "INSERT INTO va VALUES (7)", "/* querycache: tables=va */ UPDATE c SET v = 1"} {
		s := newStageWith(t, family+`; CREATE VIEW va AS SELECT v FROM a;
			CREATE TRIGGER tva INSTEAD OF INSERT ON va BEGIN INSERT INTO a (v) VALUES (new.v); END`, querycache.Config{}, &tap{})
		ctx := s.with(querycache.WithTables(t.Context(), "va"))
		ctx.entry(sumB)
		s.exec(write)
		if _, told := ctx.read(sumB); told == "hit" {
			t.Errorf("%s: served", write)
		}
	}
}

// Match is called once for each text.
func TestHintsMatchCalls(t *testing.T) {
	for name, text := range map[string]func(i int) string{
		"hints that differ": func(i int) string { return fmt.Sprintf("/* querycache: ttl=%ds */ %s", i+1, sumA) },
		"one long text": func(int) string {
			return "/* querycache: ttl=1m */ " + sumA + " WHERE v <> '" + strings.Repeat("x", 5000) + "' /*app='shop',route='/orders/list'*/"
		},
	} {
		calls := map[string]int{}
		s := newStageWith(t, family, querycache.Config{Rules: []querycache.Rule{
			{Match: func(q string) bool { calls[q]++; return false }, Deny: true},
		}}, &tap{})
		for i := range 20 {
			s.read(text(i))
		}
		for _, n := range calls {
			if n != 1 {
				t.Errorf("%s: %d calls for 20 reads", name, n)
			}
		}
	}
}

// A fingerprint that can match nothing would deny nothing: it is refused.
func TestHintsUnlexableFingerprint(t *testing.T) {
	for _, f := range []string{"SELECT 'x FROM a", "SELECT v FROM a WHERE v = 1x"} {
		c, err := querycache.New(querycache.Config{Rules: []querycache.Rule{{Fingerprint: f, Deny: true}}})
		if err == nil {
			_ = c.Close()
			t.Errorf("%q is accepted", f)
		}
	}
}

// A sign belongs to its literal. Seen to fail with Shape keeping it.
func TestHintsFingerprintLiterals(t *testing.T) {
	s := newStageWith(t, family, querycache.Config{Rules: []querycache.Rule{
		{Fingerprint: "SELECT v FROM a WHERE v = 7", Deny: true},
	}}, &tap{})
	s.reads(denied, "SELECT v FROM a WHERE v = -7")
	s.reads(denied, "SELECT v FROM a WHERE v = +7.5")
	s.reads("miss", "SELECT v FROM a WHERE v - 7")
}

// Shapes of comments through the whole driver.
func TestHintsShapes(t *testing.T) {
	s := newStage(t, family)
	long := func(n int) string { return sumA + " WHERE v <> '" + strings.Repeat("y", n) + "'" }
	for _, q := range []string{
		"/* querycache: bypass */; " + sumA, "; /* querycache: bypass */ " + sumA, "\ufeff/* querycache: bypass */" + sumA,
		"-- x\n-- QueryCache: bypass\r\n" + sumA, "/*querycache:bypass*/" + sumA, sumA + "--querycache:bypass", sumA + " /* querycache: bypass",
		"/* a *//* querycache: bypass */-- b\n" + sumA, sumA + "/* x */ /* querycache:\n bypass\n*/ -- y",
		"/* querycache: bypass */ " + long(5000), long(5000) + " -- querycache: bypass", "/* querycache: bypass */ " + long(300000), long(300000) + " -- querycache: bypass",
		long(5000) + " /* " + strings.Repeat("z", 5000) + " */ -- querycache: bypass",
	} {
		for range 3 {
			if _, told := s.read(q); told != "bypass: hint" {
				t.Errorf("%.80q: %s", q, told)
			}
		}
	}
	for _, q := range []string{
		"/*+ querycache: bypass */ " + sumA, "/*! querycache: bypass */ " + sumA, "/** querycache: bypass */ " + sumA,
		sumA + " /*/ querycache: bypass */", "/* /* querycache: bypass */ " + sumA, sumA + " WHERE '-- querycache: bypass' <> ''",
	} {
		if _, told := s.read(q); told == "bypass: hint" {
			t.Errorf("%.80q: %s", q, told)
		}
	}
}

// Denied by view, all spellings.
func TestHintsDenyView(t *testing.T) {
	for _, pad := range []string{"", strings.Repeat(" ", 9000)} {
		s := newStageWith(t, family+"; CREATE VIEW va AS SELECT v FROM a; CREATE VIEW vva AS SELECT v FROM va", querycache.Config{Rules: []querycache.Rule{
			{Tables: []string{"va"}, Deny: true},
		}}, &tap{})
		for _, q := range []string{
			"SELECT v FROM va", "SELECT v FROM 'va'", "SELECT v FROM [va]", "SELECT v FROM `Va`", `SELECT v FROM main."VA"`,
			"SELECT v FROM b WHERE v IN va", "SELECT v FROM b WHERE v IN 'va'", "SELECT v FROM b WHERE v IN main.va", "SELECT v FROM b WHERE v NOT IN main.'va'",
			"WITH va AS (SELECT * FROM main.va) SELECT v FROM va", "WITH x AS (SELECT * FROM va) SELECT v FROM x",
			"SELECT v FROM b NATURAL JOIN va", "SELECT b.v FROM b, va", "SELECT v FROM vva", "SELECT (SELECT max(v) FROM va)",
			"SELECT v FROM b WHERE EXISTS (SELECT 1 FROM va)", "SELECT v FROM (b JOIN va USING (v))", "SELECT x.v FROM va AS x", "SELECT x.v FROM va x",
			"SELECT va.v FROM va", "WITH x(v) AS (SELECT 1), y AS (SELECT * FROM va) SELECT x.v FROM x",
		} {
			_, told := s.read(strings.Replace(q, " ", " "+pad, 1))
			if told != denied {
				t.Errorf("%d %s: %s", len(pad), q, told)
			}
		}
	}
}

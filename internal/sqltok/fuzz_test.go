package sqltok

import (
	"strings"
	"testing"
)

var seeds = []string{
	"SELECT id, name FROM users WHERE id = ?",
	"SELECT '/* no */', \"a\"\"b\", `c`, [d], x'00', 0x1F, 1e5, .5, :a, $a::b(c) FROM t -- end",
	"/* a */ ; ; INSERT INTO t(a) VALUES (1), (2) ON CONFLICT DO NOTHING; /* open",
	"CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; END",
	"SELECT a->>'$.b' || c <> d << 2 >= ~e != f",
	"\ufeffSELECT \v1", "1__0", "'", "\x00", "a\xffb", "?1?", "@", "/*/", "/*",
}

// FuzzScan holds that tokens are in order, do not overlap and cover everything
// but white space and comments, and that they read the same when they stand
// apart. The text between tokens must be no token by itself.
func FuzzScan(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		toks, err := Scan(SQLite, text)
		if err != nil {
			if Canonical(SQLite, text) != text || Fingerprint(SQLite, text) != text {
				t.Fatal("unreadable text is not returned whole")
			}
			return
		}
		var apart strings.Builder
		last := 0
		for _, tok := range append(toks, Token{Start: int32(len(text)), End: int32(len(text))}) {
			if int(tok.Start) < last || tok.End < tok.Start {
				t.Fatalf("token %+v after %d", tok, last)
			}
			gap := text[last:tok.Start]
			if inner, err := Scan(SQLite, gap); gap != "" && gap[0] != '\v' && (err != nil || len(inner) > 0) {
				t.Fatalf("%q between tokens holds %v, %v", gap, inner, err)
			}
			apart.WriteString(tok.Text(text))
			apart.WriteByte(' ')
			last = int(tok.End)
		}
		again, err := Scan(SQLite, apart.String())
		if err != nil || kinds(again) != kinds(toks) {
			t.Fatalf("%q reads %s, apart %s: %v", text, kinds(toks), kinds(again), err)
		}
		canonical := Canonical(SQLite, text)
		if !strings.Contains(text, canonical) || Canonical(SQLite, canonical) != canonical {
			t.Fatalf("canonical %q of %q", canonical, text)
		}
		Fingerprint(SQLite, text)
	})
}

func BenchmarkScan(b *testing.B) {
	text := "SELECT u.id, u.name, o.total FROM users u JOIN orders o ON o.user_id = u.id WHERE u.id = ? LIMIT 10"
	buf := make([]Token, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		if toks, err := Append(buf, SQLite, text); err != nil || len(toks) == 0 {
			b.Fatal(err)
		}
	}
}

func BenchmarkFingerprint(b *testing.B) {
	text := "SELECT u.id, u.name, o.total FROM users u JOIN orders o ON o.user_id = u.id WHERE u.id IN (1, 2, 3)"
	b.ReportAllocs()
	for b.Loop() {
		if Fingerprint(SQLite, text) == "" {
			b.Fatal("empty")
		}
	}
}

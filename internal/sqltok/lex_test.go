package sqltok

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// kinds renders tokens as letters, one for each kind.
func kinds(toks []Token) string {
	out := make([]byte, len(toks))
	for i, t := range toks {
		out[i] = " wqsbnpo;(),."[t.Kind]
	}
	return string(out)
}

func TestScanKinds(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", ""},
		{"SELECT a FROM t", "wwww"},
		{"FROM/**/t", "ww"},
		{"a--b\nc", "ww"},
		{"a --", "w"},
		{"a /* open", "w"},
		{"/*", "oo"},
		{"/*/ a */ b", "w"},
		{"'it''s' \"a\"\"b\" `c``d` [e]]", ""},
		{"'it''s' \"a\"\"b\" `c``d` [e[]", "sqqq"},
		{"x'00fF' X'' xyz", "bbw"},
		{"1 1.5 .5 1. 1e5 1.e-5 0x1F 1_000", "nnnnnnnn"},
		{"1+e", "now"},
		{"? ?12 :a @a #a $a::b(c) :a(b) $::x", "pppppppp"},
		{"a->b ->> c - 1 || | <> != == <= << >= >> < > ~ & % *", "wowowonooooooooooooooo"},
		{"main.t(a,b);", "w.w(w,w);"},
		{"\ufeffSELECT 1", "wn"},
		{"é日本 a$b _x", "www"},
		{" \v a", "w"},
	}
	for _, tt := range tests {
		toks, err := Scan(SQLite, tt.text)
		if tt.want == "" && tt.text != "" {
			if err == nil {
				t.Errorf("%q: no error, but %s", tt.text, kinds(toks))
			}
			continue
		}
		if err != nil || kinds(toks) != tt.want {
			t.Errorf("%q: %s, %v; want %s", tt.text, kinds(toks), err, tt.want)
		}
	}
}

func TestScanErrors(t *testing.T) {
	tests := []struct {
		text string
		want error
	}{
		{"'a", ErrUnterminated},
		{`"a`, ErrUnterminated},
		{"`a", ErrUnterminated},
		{"[a", ErrUnterminated},
		{"'a''", ErrUnterminated},
		{"x'0", ErrUnterminated},
		{":a(b", ErrUnterminated},
		{"x'0'", ErrIllegal},
		{"x'0g'", ErrIllegal},
		{"1a", ErrIllegal},
		{"0x1G", ErrIllegal},
		{"1__0", ErrIllegal},
		{"!a", ErrIllegal},
		{"$ a", ErrIllegal},
		{":", ErrIllegal},
		{":a(b c)", ErrIllegal},
		{"a{b", ErrIllegal},
		{"a \\ b", ErrIllegal},
		{"\vSELECT", ErrIllegal},
		{"a\x00b", ErrEncoding},
		{"'\xff'", ErrEncoding},
	}
	for _, tt := range tests {
		if _, err := Scan(SQLite, tt.text); !errors.Is(err, tt.want) {
			t.Errorf("%q: %v, want %v", tt.text, err, tt.want)
		}
	}
	if _, err := Scan(0, "SELECT 1"); !errors.Is(err, ErrDialect) {
		t.Errorf("no dialect: %v", err)
	}
}

func TestNames(t *testing.T) {
	tests := []struct{ text, name, unquoted string }{
		{"Users", "users", "Users"},
		{`"Order ""X"""`, `order "x"`, `Order "X"`},
		{"`A``B`", "a`b", "A`B"},
		{"[A[B]", "a[b", "A[B"},
		{"'It''s'", "it's", "It's"},
		{"ÄB", "Äb", "ÄB"},
	}
	for _, tt := range tests {
		toks, err := Scan(SQLite, tt.text)
		if err != nil || len(toks) != 1 {
			t.Fatalf("%q: %v, %v", tt.text, toks, err)
		}
		if got := toks[0].Name(tt.text); got != tt.name {
			t.Errorf("%q: name %q, want %q", tt.text, got, tt.name)
		}
		if got := toks[0].Unquote(tt.text); got != tt.unquoted {
			t.Errorf("%q: unquoted %q, want %q", tt.text, got, tt.unquoted)
		}
	}
}

func TestCanonical(t *testing.T) {
	tests := []struct{ text, want string }{
		{"  \n\t/* hi */ ; ; SELECT  id /*x*/ FROM users ; ", "SELECT  id /*x*/ FROM users"},
		// go-sqlite3 runs what follows the semicolon, and answers with its rows.
		{"/* hi */ SELECT id FROM users ; -- end", "SELECT id FROM users ; -- end"},
		{"SELECT id FROM users;;", "SELECT id FROM users;;"},
		// A trailing comment is part of the name of the last column.
		{"/* hi */ SELECT 1 /* x */ ;", "SELECT 1 /* x */"},
		{"SELECT (SELECT 1 FROM t) -- x\n", "SELECT (SELECT 1 FROM t) -- x"},
		{"SELECT 1 AS one /* x */", "SELECT 1 AS one"},
		{"WITH x AS (SELECT 1) SELECT 2 /* x */", "WITH x AS (SELECT 1) SELECT 2 /* x */"},
		{"SELECT 1", "SELECT 1"},
		{"SELECT 1; SELECT 2;", "SELECT 1; SELECT 2"},
		{"SELECT 'a", "SELECT 'a"},
		{" -- nothing", ""},
		{";;", ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got := Canonical(SQLite, tt.text); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestFingerprint(t *testing.T) {
	groups := []struct {
		want  string
		texts []string
	}{
		{"select a, b from t where x = ? and y in (?)", []string{
			"SELECT a,b FROM t WHERE x=1 AND y IN (1,2,3)",
			"select  a , b from t where x = 'z' and y in (?, -5)  -- c",
			"SELECT a, b FROM t WHERE x = :x AND y IN (NULL);",
		}},
		{"insert into t(a, b) values (?)", []string{
			"INSERT INTO t(a, b) VALUES (1, 2)",
			"INSERT INTO t(a,b) VALUES(?,?),(?,?)",
		}},
		{`select "A", count(*) from main.t`, []string{`SELECT "A",COUNT(*) FROM main.t`}},
	}
	for _, g := range groups {
		for _, text := range g.texts {
			if diff := cmp.Diff(g.want, Fingerprint(SQLite, text)); diff != "" {
				t.Errorf("%q (-want +got):\n%s", text, diff)
			}
		}
	}
	if got := Fingerprint(SQLite, "SELECT 'a"); got != "SELECT 'a" {
		t.Errorf("unreadable text: %q", got)
	}
}

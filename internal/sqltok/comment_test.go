package sqltok

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOuter was seen to fail with semicolons not skipped on either side, with
// every comment of the text returned, with those behind the statement left out,
// and with the mark at either end of a comment kept.
func TestOuter(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"", nil},
		{"SELECT 1", nil},
		{"/*a*/SELECT 1", []string{"a"}},
		{"SELECT 1/*a*/", []string{"a"}},
		{"--a\n--b\r\nSELECT 1 --c", []string{"a", "b\r", "c"}},
		{"/*a*/;--b\n;/*c*/SELECT /*no*/ 1/*d*/;/*e*/;--f", []string{"a", "b", "c", "d", "e", "f"}},
		{"SELECT 1; /*no*/ SELECT 2", nil},
		{"SELECT '/*no*/', \"--no\", [/*no*/] - 1 / 2", nil},
		{"SELECT a FROM t /*open", []string{"open"}},
		{"SELECT 1 /*/", []string{"/"}},
		{"SELECT 1 /*/*a*/", []string{"/*a"}},
		{"/**/SELECT 1/***/", []string{"", "*"}},
		{"/*a /* b*/SELECT 1", []string{"a /* b"}},
		{"/*a*/;", []string{"a"}},
		{"/*a*/ --b", []string{"a", "b"}},
		{"\ufeff/*a*/ \vSELECT 1 \v/*b*/", []string{"a", "b"}},
		{"SELECT 1 /*", nil},
	}
	for _, tt := range tests {
		toks, _ := Scan(SQLite, tt.text)
		var got []string
		for _, c := range Outer(nil, SQLite, toks, tt.text) {
			got = append(got, c.Body(tt.text))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.text, diff)
		}
	}
	if got := Outer(nil, 0, nil, "/*a*/"); got != nil {
		t.Errorf("unknown dialect: %v", got)
	}
}

package hint

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/querycache/querycache/internal/sqltok"
)

var seeds = []string{
	"ttl=30s swr=10s stale-if-error=5m tables=a,b tags=x max-bytes=64KiB bypass refresh",
	"TTL=none tags=\"a b\",\"c\"\"d\",é:/.-_", "ttl=5", "tags=\"open", "ttl=0 swr=0", "max-bytes=9GiB\x00", "tags=\xff",
	"/* querycache: bypass */ SELECT 1", ";-- QueryCache:refresh\n; SELECT 1 -- querycache: ttl=1s",
	"SELECT 1 /*route='querycache'*/", "SELECT 'querycache: bypass' /* open querycache: ", "SELECT 1 /*", "querycache",
	"/* querycache: tags=\"\n--\" */ SELECT 1 -- querycache: tables=\"*/\"", "\v\ufeff", "",
	strings.Repeat("日", 40), "tables=a,\"b\",\"c\"\"d e\" bypass",
}

// FuzzOf takes its input for a statement, for the body of a hint and for what a
// literal holds. It was seen to fail with trailing comments left out, with a
// comment inside of the statement taken for a hint, with the quotes of names
// left doubled, with an error cut inside of a character, and with a byte that
// no text may hold left in an error.
func FuzzOf(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := Of(sqltok.SQLite, s)
		check(t, s, h, err)
		if h != nil {
			reprints(t, h)
		}
		if _, serr := sqltok.Scan(sqltok.SQLite, s); serr == nil {
			prepends(t, s, h, err)
			appends(t, s, h, err)
		}
		literal := "SELECT '" + strings.ReplaceAll("/* querycache: "+s+" */", "'", "''") + "'"
		if h, err := Of(sqltok.SQLite, literal); h != nil || err != nil {
			t.Fatalf("%q has the hint %+v, %v", literal, h, err)
		}
		anywhere(t, s)
	})
}

// check holds what is true of any answer.
func check(t *testing.T, s string, h *Hint, err error) {
	t.Helper()
	if err == nil {
		if h != nil && (h.TTL != 0 && !h.HasTTL || h.SWR < 0 || h.StaleIfError < 0 || h.MaxBytes < 0) {
			t.Fatalf("%q: %+v", s, h)
		}
		return
	}
	var e *Error
	if !errors.As(err, &e) || h != nil {
		t.Fatalf("%q: %+v with %v", s, h, err)
	}
	if len(e.Text) > 100 || !utf8.ValidString(e.Text) || e.Text == "" || e.Reason == "" {
		t.Fatalf("%q: %+v", s, e)
	}
	if !strings.Contains(strings.ToValidUTF8(s, "\ufffd"), e.Text) {
		t.Fatalf("%q does not hold %q", s, e.Text)
	}
}

// reprints holds that a hint in canonical form reads as the same hint.
func reprints(t *testing.T, h *Hint) {
	t.Helper()
	text := canonical(h)
	again, err := Of(sqltok.SQLite, text)
	if err != nil {
		t.Fatalf("%+v prints %q: %v", h, text, err)
	}
	if diff := cmp.Diff(h, again, cmpopts.IgnoreFields(Hint{}, "Text", "Alone")); diff != "" {
		t.Fatalf("%q (-hint +again):\n%s", text, diff)
	}
}

// canonical prints h. A name with a newline fits no line, one with the end of a
// comment fits nothing else, and both are never in one item.
func canonical(h *Hint) string {
	var b strings.Builder
	put := func(format string, a ...any) {
		s := fmt.Sprintf(format, a...)
		if strings.Contains(s, "*/") {
			fmt.Fprintf(&b, "--querycache:%s\n", s)
			return
		}
		fmt.Fprintf(&b, "/*querycache:%s*/", s)
	}
	switch {
	case h.HasTTL && h.TTL < 0:
		put("ttl=none")
	case h.HasTTL:
		put("ttl=%v", h.TTL)
	}
	if h.SWR != 0 {
		put("swr=%v", h.SWR)
	}
	if h.StaleIfError != 0 {
		put("stale-if-error=%v", h.StaleIfError)
	}
	if h.MaxBytes != 0 {
		put("max-bytes=%d", h.MaxBytes)
	}
	if h.Tables != nil {
		put("tables=%s", quoteAll(h.Tables))
	}
	if h.Tags != nil {
		put("tags=%s", quoteAll(h.Tags))
	}
	if h.Bypass {
		put("bypass")
	}
	if h.Refresh {
		put("refresh")
	}
	put("")
	return b.String()
}

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, s := range names {
		quoted[i] = `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return strings.Join(quoted, ",")
}

// prepends holds that a comment before a text that has tokens adds to what the
// text says.
func prepends(t *testing.T, s string, h *Hint, err error) {
	t.Helper()
	for _, comment := range []string{"/* QueryCache: refresh */", "-- querycache:refresh\n", ";/*querycache:\nrefresh*/;"} {
		got, gotErr := Of(sqltok.SQLite, comment+s)
		switch {
		case err != nil || h != nil && h.Refresh:
			if gotErr == nil {
				t.Fatalf("%q: %+v, no error", comment+s, got)
			}
		default:
			want := Hint{Text: "refresh", Refresh: true}
			if h != nil {
				want = *h
				want.Refresh, want.Text = true, strings.TrimSpace("refresh "+h.Text)
			}
			if diff := cmp.Diff(&want, got, notAlone); gotErr != nil || diff != "" {
				t.Fatalf("%q: %v (-want +got):\n%s", comment+s, gotErr, diff)
			}
		}
	}
}

// appends holds that the comment of another tool behind a text changes nothing.
// A text with an open comment takes it in.
func appends(t *testing.T, s string, h *Hint, err error) {
	t.Helper()
	before, _ := sqltok.Scan(sqltok.SQLite, s)
	if after, serr := sqltok.Scan(sqltok.SQLite, s+"\n;"); serr != nil || len(after) != len(before)+1 {
		return
	}
	for _, comment := range []string{"/*route='querycache: bypass'*/", "-- a querycache: bypass", ";/*+ querycache: bypass */", ";"} {
		got, gotErr := Of(sqltok.SQLite, s+"\n"+comment)
		if diff := cmp.Diff(h, got, notAlone); diff != "" || fmt.Sprint(gotErr) != fmt.Sprint(err) {
			t.Fatalf("%q: %v, before %v (-before +after):\n%s", s+comment, gotErr, err, diff)
		}
	}
}

// anywhere holds that a hint reads the same before and behind a statement, in
// a comment of either kind, and that it is none inside.
func anywhere(t *testing.T, body string) {
	t.Helper()
	if strings.Contains(body, "*/") {
		return
	}
	block := "/* querycache: " + body + " */"
	line := "-- querycache: " + body
	first, firstErr := Of(sqltok.SQLite, block+" SELECT 1")
	check(t, block, first, firstErr)
	if first == nil && firstErr == nil {
		t.Fatalf("%q is no hint", block)
	}
	if first != nil {
		reprints(t, first)
	}
	others := []string{"SELECT 1" + block, block, ";" + block + ";SELECT 1", "SELECT 1;" + block + "/* querycache: */;"}
	if !strings.Contains(body, "\n") {
		others = append(others, line+"\nSELECT 1", "SELECT 1"+line, line)
	}
	for _, text := range others {
		h, err := Of(sqltok.SQLite, text)
		if diff := cmp.Diff(first, h, notAlone); diff != "" || fmt.Sprint(firstErr) != fmt.Sprint(err) {
			t.Fatalf("%q: %v, else %v (-else +here):\n%s", text, err, firstErr, diff)
		}
	}
	if h, err := Of(sqltok.SQLite, "SELECT "+block+" 1"); h != nil || err != nil {
		t.Fatalf("%q inside: %+v, %v", block, h, err)
	}
}

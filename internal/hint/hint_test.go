package hint

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/querycache/querycache/internal/sqltok"
)

// TestWhere tells where a hint stands and which comments are none. It was seen
// to fail with every comment of the text looked at, with a word taken for the
// hint word that only begins like it, with the colon optional, with the case of
// the word kept, and with white space before the word not skipped.
func TestWhere(t *testing.T) {
	const fails = "fails"
	tests := []struct {
		text string
		want string // The text of the hint, "-" for none.
	}{
		{"SELECT 1", "-"},
		{"SELECT querycache FROM t", "-"},
		{"/* querycache: bypass */ SELECT 1", "bypass"},
		{"/*querycache:bypass*/SELECT 1", "bypass"},
		{"SELECT 1 /* querycache: bypass */", "bypass"},
		{"SELECT 1 /* querycache: bypass", "bypass"},
		{"-- querycache: bypass\nSELECT 1", "bypass"},
		{"--querycache:bypass\r\nSELECT 1", "bypass"},
		{"SELECT 1 -- querycache: bypass", "bypass"},
		{"-- querycache: bypass SELECT 1", fails}, // All of it is a comment.
		{"/* \t\r\n\v\f QueryCache: Bypass\n\trefresh */ SELECT 1", "Bypass\n\trefresh"},
		{";; /* querycache: bypass */ ; SELECT 1", "bypass"},
		{"SELECT 1 ; /* querycache: bypass */ ;", "bypass"},
		{"/* querycache: bypass */", "bypass"},
		{"/* a */ /* querycache: bypass */ -- b\nSELECT 1", "bypass"},
		{"/* querycache: bypass */ SELECT 1 -- querycache: refresh", "bypass refresh"},
		{"/* querycache: */ SELECT 1", ""},
		{"/* querycache: */ SELECT 1 /* querycache: bypass */ -- querycache:", "bypass"},
		// Inside of the statements.
		{"SELECT /* querycache: bypass */ 1", "-"},
		{"SELECT 1; /* querycache: bypass */ SELECT 2", "-"},
		{"SELECT 1 -- querycache: bypass\n+ 2", "-"},
		{"SELECT '/* querycache: bypass */'", "-"},
		{"SELECT 1 AS \"/* querycache: bypass */\"", "-"},
		{"SELECT `-- querycache: bypass`", "-"},
		{"SELECT '-- it''s\n-- querycache: bypass'", "-"},
		// Other comments.
		{"/* a querycache: bypass */ SELECT 1", "-"},
		{"/* -- querycache: bypass */ SELECT 1", "-"},
		{"-- /* querycache: bypass */\nSELECT 1", "-"},
		{"/* /* querycache: bypass */ SELECT 1", "-"},
		{"/*+ querycache: bypass */ SELECT 1", "-"},
		{"/*! querycache: bypass */ SELECT 1", "-"},
		{"/** querycache: bypass */ SELECT 1", "-"},
		{"--- querycache: bypass\nSELECT 1", "-"},
		{"SELECT 1 /*traceparent='00-5bd66ef5-00f067aa-01',route='querycache:%20bypass'*/", "-"},
		{"SELECT 1 /*application='querycache',route='%2Fquerycache%3A+ttl'*/", "-"},
		{"SELECT 1 /*action='a', querycache: bypass */", "-"},
		// Other words.
		{"/* querycaches: bypass */ SELECT 1", "-"},
		{"/* querycache2: bypass */ SELECT 1", "-"},
		{"/* querycache_x: bypass */ SELECT 1", "-"},
		{"/* querycache-x: bypass */ SELECT 1", "-"},
		{"/* querycacheé: bypass */ SELECT 1", "-"},
		{"/* querycach: bypass */ SELECT 1", "-"},
		{"/* query cache: bypass */ SELECT 1", "-"},
		// Nearly.
		{"/* querycache */ SELECT 1", fails},
		{"/* querycache bypass */ SELECT 1", fails},
		{"/* querycache : bypass */ SELECT 1", fails},
		{"/* querycache=bypass */ SELECT 1", fails},
		{"/* querycache.bypass */ SELECT 1", fails},
		{"SELECT 1 -- querycache", fails},
		{"/* querycache: bypass */ SELECT 1 /* querycache refresh */", fails},
		// Text that is no SQL has no hint, however wrong.
		{"/* querycache: bypass */ SELECT '", "-"},
		{"/* querycache: what */ SELECT \x01", "-"},
		{"/* querycache: bypass */ SELECT '\x00'", "-"},
		{"/* querycache: bypass */ SELECT '\xff'", "-"},
		{"/* querycache: bypass */ SELECT 1 -- \xff", "-"},
		{"SELECT 1 /*", "-"},
	}
	for _, tt := range tests {
		got := "-"
		switch h, err := Of(sqltok.SQLite, tt.text); {
		case err != nil:
			got = fails
		case h != nil:
			got = h.Text
		}
		if got != tt.want {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
	}
	if h, err := Of(0, "/* querycache: what */ SELECT 1"); h != nil || err != nil {
		t.Errorf("unknown dialect: %v, %v", h, err)
	}
}

// TestItems was seen to fail with each item of it misread in turn: a flag or a
// duration given to its neighbour, a factor of a unit changed, "none" read in
// lower case only, quotes kept, doubled quotes kept, and duplicates kept.
func TestItems(t *testing.T) {
	tests := []struct {
		body string
		want Hint
	}{
		{"", Hint{}},
		{"bypass", Hint{Bypass: true}},
		{"refresh", Hint{Refresh: true}},
		{"BYPASS Refresh", Hint{Bypass: true, Refresh: true}},
		{"refresh bypass", Hint{Bypass: true, Refresh: true}},
		{"ttl=30s", Hint{TTL: 30 * time.Second, HasTTL: true}},
		{"TTL=1h2m3.5s", Hint{TTL: time.Hour + 2*time.Minute + 3500*time.Millisecond, HasTTL: true}},
		{"ttl=0", Hint{HasTTL: true}},
		{"ttl=0s", Hint{HasTTL: true}},
		{"ttl=7µs", Hint{TTL: 7 * time.Microsecond, HasTTL: true}},
		{"ttl=none", Hint{TTL: -1, HasTTL: true}},
		{"ttl=None", Hint{TTL: -1, HasTTL: true}},
		{"swr=10s", Hint{SWR: 10 * time.Second}},
		{"stale-if-error=5m", Hint{StaleIfError: 5 * time.Minute}},
		{"Stale-If-Error=5m", Hint{StaleIfError: 5 * time.Minute}},
		{"tables=a", Hint{Tables: []string{"a"}}},
		{"tables=main.Users,b_2,b-3,/x:y", Hint{Tables: []string{"main.Users", "b_2", "b-3", "/x:y"}}},
		{"tables=日本,é", Hint{Tables: []string{"日本", "é"}}},
		{"tags=b,a,b,\"a\",A", Hint{Tags: []string{"b", "a", "A"}}},
		{`tags="a b","c,d","e""f","""",g`, Hint{Tags: []string{"a b", "c,d", `e"f`, `"`, "g"}}},
		{"tags=\"a\nb\ttags=c\"", Hint{Tags: []string{"a\nb\ttags=c"}}},
		{`tags="a=b",c tables="d"`, Hint{Tags: []string{"a=b", "c"}, Tables: []string{"d"}}},
		{"tables=bypass", Hint{Tables: []string{"bypass"}}},
		{"max-bytes=1", Hint{MaxBytes: 1}},
		{"max-bytes=007B", Hint{MaxBytes: 7}},
		{"max-bytes=2KB", Hint{MaxBytes: 2000}},
		{"max-bytes=2mb", Hint{MaxBytes: 2e6}},
		{"max-bytes=2Gb", Hint{MaxBytes: 2e9}},
		{"max-bytes=64KiB", Hint{MaxBytes: 64 << 10}},
		{"max-bytes=3MIB", Hint{MaxBytes: 3 << 20}},
		{"max-bytes=5gib", Hint{MaxBytes: 5 << 30}},
		{"max-bytes=9223372036854775807", Hint{MaxBytes: 1<<63 - 1}},
		{
			"ttl=30s\n swr=10s\tstale-if-error=5m\r\ntables=a,b\vtags=x\fmax-bytes=64KiB bypass refresh",
			Hint{
				TTL: 30 * time.Second, HasTTL: true, SWR: 10 * time.Second, StaleIfError: 5 * time.Minute,
				MaxBytes: 64 << 10, Tables: []string{"a", "b"}, Tags: []string{"x"}, Bypass: true, Refresh: true,
			},
		},
	}
	for _, tt := range tests {
		tt.want.Text = tt.body
		got, err := Of(sqltok.SQLite, "/* querycache: "+tt.body+" */ SELECT 1")
		if err != nil {
			t.Errorf("%q: %v", tt.body, err)
			continue
		}
		if diff := cmp.Diff(&tt.want, got, notAlone); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.body, diff)
		}
	}
}

// TestTogether has the items of several comments in one hint. It was seen to
// fail with the hint of the last comment returned alone.
func TestTogether(t *testing.T) {
	got, err := Of(sqltok.SQLite, "-- querycache: ttl=none\n/* querycache:  tags=a */ SELECT 1; -- querycache: bypass")
	want := &Hint{Text: "ttl=none tags=a bypass", TTL: -1, HasTTL: true, Tags: []string{"a"}, Bypass: true}
	if diff := cmp.Diff(want, got, notAlone); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestErrors was seen to fail with each of the checks behind it off in turn.
func TestErrors(t *testing.T) {
	const names = "a name with other characters than letters, digits and _.-:/ needs quotes"
	long := strings.Repeat("é", 60)
	tests := []struct{ body, text, reason string }{
		{"what", "what", "unknown key"},
		{"ttl=1s what=1 bypass", "what=1", "unknown key"},
		{"=1s", "=1s", "unknown key"},
		{"\"ttl\"=1s", "\"ttl\"=1s", "unknown key"},
		{"ttl=1s, bypass", "ttl=1s,", "not a duration"},
		{"bypass;refresh", "bypass;refresh", "unknown key"},
		{"bypass,refresh", "bypass,refresh", "unknown key"},
		{"bypass=1", "bypass=1", "bypass takes no value"},
		{"refresh=", "refresh=", "refresh takes no value"},
		{"ttl", "ttl", "ttl needs a value"},
		{"ttl = 1s", "ttl", "ttl needs a value"},
		{"SWR= 1s", "SWR=", "swr needs a value"},
		{"stale-if-error=", "stale-if-error=", "stale-if-error needs a value"},
		{"tables", "tables", "tables needs a value"},
		{"tags=", "tags=", "tags needs a value"},
		{"max-bytes=", "max-bytes=", "max-bytes needs a value"},
		{"bypass bypass", "bypass", "bypass is given twice"},
		{"ttl=1s TTL=1s", "TTL=1s", "ttl is given twice"},
		{"tables=a tables=b", "tables=b", "tables is given twice"},
		{"ttl=1s */ SELECT 1 -- querycache: ttl=1s", "ttl=1s", "ttl is given twice"},
		{"ttl=fast", "ttl=fast", "not a duration"},
		{"ttl=5", "ttl=5", "the unit is missing, as in 30s"},
		{"ttl=-.5", "ttl=-.5", "the unit is missing, as in 30s"},
		{"ttl=99999999999999999999", "ttl=99999999999999999999", "the unit is missing, as in 30s"},
		{"ttl=1.2.3", "ttl=1.2.3", "not a duration"},
		{"ttl=.", "ttl=.", "not a duration"},
		{"ttl=5e3", "ttl=5e3", "not a duration"},
		{"ttl=9999999h", "ttl=9999999h", "not a duration"},
		{"ttl=-1s", "ttl=-1s", "negative"},
		{"ttl=\"1s\"", "ttl=\"1s\"", "not a duration"},
		{"swr=none", "swr=none", "not a duration"},
		{"swr=0", "swr=0", "not more than zero"},
		{"swr=-1s", "swr=-1s", "negative"},
		{"swr=3", "swr=3", "the unit is missing, as in 30s"},
		{"stale-if-error=0s", "stale-if-error=0s", "not more than zero"},
		{"tables=,a", "tables=,a", "an empty name"},
		{"tables=a, b", "tables=a,", "an empty name"},
		{"tables=a,,b", "tables=a,,b", "an empty name"},
		{"tags=\"\"", "tags=\"\"", "an empty name"},
		{"tables='a'", "tables='a'", names},
		{"tables=a(b)", "tables=a(b)", names},
		{"tables=a=b", "tables=a=b", names},
		{"tables=main.\"a\"", "tables=main.\"a\"", names},
		{"tables=\"a\"b", "tables=\"a\"b", names},
		{"tables=\"a\"\"b", "tables=\"a\"\"b", "a quote is not closed"},
		{"bypass tags=\"a b", "tags=\"a b", "a quote is not closed"},
		{"max-bytes=KiB", "max-bytes=KiB", "not a size, as in 64KiB"},
		{"max-bytes=64K", "max-bytes=64K", "not a size, as in 64KiB"},
		{"max-bytes=64\u212aiB", "max-bytes=64\u212aiB", "not a size, as in 64KiB"},
		{"max-bytes=1.5MB", "max-bytes=1.5MB", "not a size, as in 64KiB"},
		{"max-bytes=-1", "max-bytes=-1", "not a size, as in 64KiB"},
		{"max-bytes=+1", "max-bytes=+1", "not a size, as in 64KiB"},
		{"max-bytes=0KB", "max-bytes=0KB", "not more than zero"},
		{"max-bytes=9223372036854775808", "max-bytes=9223372036854775808", "too large"},
		{"max-bytes=18446744073709551617", "max-bytes=18446744073709551617", "too large"},
		{"max-bytes=8589934592GiB", "max-bytes=8589934592GiB", "too large"},
		{"ttl=1s\x00 bypass", "ttl=1s\x00", "NUL or invalid UTF-8"},
		{"bypass tags=\"\xff\xfe\"", "tags=\"\ufffd\"", "NUL or invalid UTF-8"},
		{"bypass */ SELECT 1 -- querycache: a\xe9", "a\ufffd", "NUL or invalid UTF-8"},
		{long, strings.Repeat("é", 50), "unknown key"},
		{"x" + long, "x" + strings.Repeat("é", 49), "unknown key"},
	}
	for _, tt := range tests {
		h, err := Of(sqltok.SQLite, "/* querycache: "+tt.body+" */")
		var got *Error
		if !errors.As(err, &got) {
			t.Errorf("%q: %+v, %v", tt.body, h, err)
			continue
		}
		if diff := cmp.Diff(&Error{Text: tt.text, Reason: tt.reason}, got); h != nil || diff != "" {
			t.Errorf("%q: %+v (-want +got):\n%s", tt.body, h, diff)
		}
	}
}

// TestErrorText was seen to fail with the piece at fault not quoted.
func TestErrorText(t *testing.T) {
	_, err := Of(sqltok.SQLite, "SELECT 1 -- querycache: ttl=fast")
	if want := `hint "ttl=fast": not a duration`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	_, err = Of(sqltok.SQLite, "SELECT 1 -- QueryCache bypass ")
	if want := `hint "QueryCache bypass": no colon behind "querycache"`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

const (
	plain  = "SELECT u.id, u.name, o.total FROM users u JOIN orders o ON o.user_id = u.id WHERE u.id = ? LIMIT 10"
	traced = plain + " /*route='%2Fusers',traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01'*/"
	hinted = "/* querycache: ttl=30s tables=users,orders max-bytes=64KiB */ " + plain
)

// TestAbsent holds that a text without the word costs no allocation. It was
// seen to fail with the look for the word taken out.
func TestAbsent(t *testing.T) {
	for _, text := range []string{"", plain, traced} {
		if n := testing.AllocsPerRun(100, func() { _, _ = Of(sqltok.SQLite, text) }); n != 0 {
			t.Errorf("%q: %v allocations", text, n)
		}
	}
}

func BenchmarkOf(b *testing.B) {
	for _, bb := range []struct {
		name, text string
		hint       bool
	}{
		{"absent", plain, false},
		{"traced", traced, false},
		{"long", strings.Repeat(plain+"\n", 100), false},
		{"literal", plain + " -- the querycache", false},
		{"hint", hinted, true},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bb.text)))
			for b.Loop() {
				if h, err := Of(sqltok.SQLite, bb.text); (h != nil) != bb.hint || err != nil {
					b.Fatal(h, err)
				}
			}
		})
	}
}

// notAlone leaves Alone to TestAlone.
var notAlone = cmpopts.IgnoreFields(Hint{}, "Alone")

// Seen to fail with Alone always true, and always false.
func TestAlone(t *testing.T) {
	for text, want := range map[string]bool{
		"/* querycache: bypass */ SELECT 1":                        true,
		"/* querycache: bypass */ SELECT /* x */ 1 -- querycache:": true,
		"/* querycache: bypass */ SELECT 1 -- x":                   false,
		"-- x\nSELECT 1 /* querycache: bypass */;":                 false,
	} {
		h, err := Of(sqltok.SQLite, text)
		if err != nil || h == nil || h.Alone != want {
			t.Errorf("%q: %+v, %v", text, h, err)
		}
	}
}

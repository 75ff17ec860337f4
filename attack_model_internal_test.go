package querycache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// Random declarations by comment, context and rule, random writes of what is
// declared: an answer is never older than the last write of any of its dependencies.
func TestDeclarationsModel(t *testing.T) {
	deps := []string{"e0", "e1", "E2", "main.e3"}
	tags := []string{"a", "b", "c d", "t"}
	rule := []Rule{
		{Match: func(q string) bool { return strings.Contains(q, "1 = 1") }, DependsOn: []string{"E0"}, Tags: []string{"b"}},
		{Fingerprint: "SELECT a FROM t WHERE 5 <> 6", DependsOn: []string{"e1"}},
	}
	key := func(d string) string { return strings.ToLower(strings.TrimPrefix(d, "main.")) }
	h := newHarness(t, Config{Rules: rule})
	defer h.close()
	last := map[string]int64{}
	n, hits := int64(1), 0
	for step := range 6000 {
		if rand.IntN(12) == 0 {
			n++
			h.seed(fmt.Sprint("UPDATE t SET a = ", n))
			i := rand.IntN(4)
			switch rand.IntN(4) {
			case 0:
				h.cache.InvalidateTags(tags[i])
				last["#"+tags[i]] = n
			case 1:
				h.cache.InvalidateTables(deps[i])
				last[key(deps[i])] = n
			case 2:
				h.exec(fmt.Sprintf("/* querycache: tables=%s tags=%q */ UPDATE u SET a = 1", deps[i], tags[i]))
				last[key(deps[i])], last["#"+tags[i]] = n, n
			case 3:
				h.exec(fmt.Sprintf("UPDATE u SET a = 1 -- querycache: tags=%q", tags[i]))
				last["#"+tags[i]] = n
			}
			continue
		}
		ctx, want := context.Context(t.Context()), []string{}
		text := "SELECT a FROM t"
		switch rand.IntN(4) {
		case 0:
			text += " WHERE 1 = 1"
			want = append(want, "e0", "#b")
		case 1:
			text += " WHERE 5 <> 6"
			want = append(want, "e1")
		}
		var items []string
		for i := range 4 {
			if rand.IntN(5) == 0 {
				ctx = WithTables(ctx, deps[i])
				want = append(want, key(deps[i]))
			}
			if rand.IntN(5) == 0 {
				ctx = WithTags(ctx, tags[i])
				want = append(want, "#"+tags[i])
			}
		}
		if i := rand.IntN(6); i < 4 {
			items = append(items, "tables="+deps[i])
			want = append(want, key(deps[i]))
		}
		if i := rand.IntN(6); i < 4 {
			items = append(items, fmt.Sprintf("tags=%q", tags[i]))
			want = append(want, "#"+tags[i])
		}
		switch hint := "querycache: " + strings.Join(items, " "); rand.IntN(3) {
		case 0:
			text = "/* " + hint + " */" + text
		case 1:
			text += "/*" + hint + "*/"
		case 2:
			text = "/* x */ " + text + fmt.Sprintf(" /* %d */ -- %s", rand.IntN(3), hint)
		}
		low := int64(0)
		for _, w := range want {
			low = max(low, last[w])
		}
		v, hit := h.read(ctx, text)
		if hit {
			hits++
		}
		if v < low {
			t.Fatalf("step %d: %s: %d, want %d at least (%v)", step, text, v, low, want)
		}
	}
	t.Logf("%d hits", hits)
}

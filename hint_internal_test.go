package querycache

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A layer is one place that a setting can come from, nearest first.
type layer int

const (
	byContext layer = iota
	byComment
	byRule
	byConfig
	layers
)

func (l layer) String() string { return [...]string{"context", "comment", "rule", "config"}[l] }

// inForce is what is in force for harnessRead when the layers set what set says.
func inForce(t *testing.T, set map[layer]string) (settings, Reason) {
	t.Helper()
	var cfg Config
	ctx, text := t.Context(), harnessRead
	for l, what := range set {
		if what == "" {
			continue
		}
		name, value, _ := strings.Cut(what, "=")
		d, _ := time.ParseDuration(value)
		switch l {
		case byContext:
			ctx = map[string]func() context.Context{
				"ttl":     func() context.Context { return WithTTL(ctx, d) },
				"bypass":  func() context.Context { return Bypass(ctx) },
				"refresh": func() context.Context { return Refresh(ctx) },
			}[name]()
		case byComment:
			text = "/* querycache: " + what + " */ " + harnessRead
		case byRule:
			r := map[string]Rule{
				"ttl": {TTL: d}, "swr": {SWR: d}, "stale-if-error": {StaleIfError: d},
				"bypass": {Deny: true}, "refresh": {Refresh: true}, "max-bytes": {MaxBytes: int64(len(value))},
			}[name]
			cfg.Rules = []Rule{r}
		case byConfig:
			if name == "ttl" {
				cfg.TTL = d
			} else {
				cfg.MaxEntryBytes = int64(len(value))
			}
		case layers:
		}
	}
	h := newHarness(t, cfg)
	defer h.close()
	c := newConn(&connector{source: h.source()})
	p := c.plan(t.Context(), text)
	hs := hintsOf(ctx)
	if hs == nil {
		hs = &noHints
	}
	s := p.settings
	s.hintedBy(hs)
	return s, c.unfit(p, hs)
}

// The table of the package documentation, pair by pair: for each setting and each two
// layers that can set it, the nearer one is in force; and where only the farther one
// sets it, that. Seen to fail with ruledBy after commentedBy, and with hintedBy
// before both.
func TestPrecedence(t *testing.T) {
	settingsOf := map[string]struct {
		from, to layer
		value    func(l layer) string // as it is written
		get      func(s settings) any
		want     func(l layer) any
	}{
		"ttl": {
			byContext, byConfig,
			func(l layer) string { return fmt.Sprintf("%ds", l+1) },
			func(s settings) any { return s.ttl },
			func(l layer) any { return time.Duration(l+1) * time.Second },
		},
		"swr": {
			byComment, byRule,
			func(l layer) string { return fmt.Sprintf("%ds", l+1) },
			func(s settings) any { return s.swr },
			func(l layer) any { return time.Duration(l+1) * time.Second },
		},
		"stale-if-error": {
			byComment, byRule,
			func(l layer) string { return fmt.Sprintf("%ds", l+1) },
			func(s settings) any { return s.staleIfError },
			func(l layer) any { return time.Duration(l+1) * time.Second },
		},
		"max-bytes": {
			byComment, byConfig,
			func(l layer) string { return map[layer]string{byComment: "2", byRule: "xxx", byConfig: "xxxx"}[l] },
			func(s settings) any { return s.maxBytes },
			func(l layer) any { return int64(l + 1) },
		},
	}
	for name, s := range settingsOf {
		for near := s.from; near <= s.to; near++ {
			for far := near; far <= s.to; far++ {
				got, _ := inForce(t, map[layer]string{near: name + "=" + s.value(near), far: name + "=" + s.value(far)})
				if s.get(got) != s.want(near) {
					t.Errorf("%s by %v and by %v: %v, want %v", name, near, far, s.get(got), s.want(near))
				}
			}
		}
	}
	// Bypass and refresh hold wherever they are said, and bypass beats all.
	for flag := byContext; flag <= byRule; flag++ {
		for other := byContext; other <= byRule; other++ {
			for _, with := range []string{"ttl=1s", "refresh"} {
				want := map[layer]Reason{byContext: ReasonHint, byComment: ReasonHint, byRule: ReasonRule}[flag]
				set := map[layer]string{flag: "bypass", other: with}
				if other == flag {
					delete(set, other)
					set[flag] = "bypass"
				}
				if _, reason := inForce(t, set); reason != want {
					t.Errorf("bypass by %v and %s by %v: %v, want %v", flag, with, other, reason, want)
				}
			}
			set := map[layer]string{other: "ttl=1s", flag: "refresh"}
			if got, reason := inForce(t, set); !got.refresh || reason != ReasonNone {
				t.Errorf("refresh by %v and ttl by %v: %+v, %v", flag, other, got, reason)
			}
		}
	}
	// A TTL of zero is a bypass that a nearer TTL lifts, and that lifts a farther one.
	for set, want := range map[[3]string]Reason{
		{"", "ttl=0", ""}:             ReasonHint,
		{"ttl=1s", "ttl=0", ""}:       ReasonNone,
		{"", "ttl=0", "ttl=1s"}:       ReasonHint,
		{"refresh", "ttl=0", ""}:      ReasonHint,
		{"ttl=1s", "ttl=0", "bypass"}: ReasonRule,
	} {
		if _, reason := inForce(t, map[layer]string{byContext: set[0], byComment: set[1], byRule: set[2]}); reason != want {
			t.Errorf("%q: %v, want %v", set, reason, want)
		}
	}
}

// Tables and tags of all layers hold together: whichever is written, the result is
// invalid. Seen to fail with each of ruledBy, tune and withTables taking the place of
// the others' instead of adding.
func TestDependenciesAddUp(t *testing.T) {
	h := newHarness(t, Config{Rules: []Rule{{Tables: []string{"t"}, DependsOn: []string{"by_rule"}, Tags: []string{"rule"}}}})
	defer h.close()
	ctx := WithTags(WithTables(WithTags(WithTables(t.Context(), "main.By_Context"), "context"), "second"), "two")
	const text = `/* querycache: tables="by comment",T tags=comment,"with space" */ ` + harnessRead
	tables, tags := h.cache.InvalidateTables, h.cache.InvalidateTags
	for name, invalidate := range map[string]func(){
		"none":            func() { tables("other"); tags("other", "", "t", "by_rule") },
		"its own table":   func() { tables("t") },
		"table, rule":     func() { tables("by_rule") },
		"table, comment":  func() { tables("by comment") },
		"table, context":  func() { tables("by_context") },
		"second, context": func() { tables("Second") },
		"tag, rule":       func() { tags("rule") },
		"tag, comment":    func() { tags("comment") },
		"second, comment": func() { tags("with space") },
		"tag, context":    func() { tags("x", "context") },
		"tag, second":     func() { tags("two") },
	} {
		h.read(ctx, text)
		if _, hit := h.read(ctx, text); !hit {
			t.Fatal("no hit")
		}
		invalidate()
		if _, hit := h.read(ctx, text); hit != (name == "none") {
			t.Errorf("%s: hit %v", name, hit)
		}
	}
	if _, hit := h.read(t.Context(), text); hit {
		t.Error("what was stored with the context's tables serves who does not declare them")
	}
	if _, hit := h.read(ctx, harnessRead); hit {
		t.Error("what was stored with the comment's tables serves who does not declare them")
	}
}

// One word for each tag would be a leak; and a tag that shares a word invalidates too
// much, never too little. Seen to fail with tag returning a new word each time.
func TestTagWordsAreBounded(t *testing.T) {
	h := newHarness(t, Config{})
	defer h.close()
	ws := h.source().words
	seen := map[*word]bool{}
	for i := range 3 * tagWords {
		w := ws.tag(fmt.Sprint("user:", i))
		if w != ws.tag(fmt.Sprint("user:", i)) {
			t.Fatal("a tag has two words")
		}
		seen[w] = true
	}
	if n := len(seen); n > tagWords || n < tagWords/2 {
		t.Errorf("%d words", n)
	}
	for i := range 100 {
		h.read(WithTags(t.Context(), fmt.Sprint("user:", i)), harnessRead)
	}
	before := h.cache.Stats().Entries
	h.cache.InvalidateTags("user:7")
	if _, hit := h.read(WithTags(t.Context(), "user:7"), harnessRead); hit {
		t.Error("a hit after InvalidateTags")
	}
	if before < 100 {
		t.Errorf("%d entries", before)
	}
}

// source is the one database of the harness.
func (h *harness) source() (s *source) {
	h.cache.eachScope(func(shared *scope) { s = shared.source })
	return s
}

// forget makes the cache plan every text anew.
func (ps *plans) forget() {
	for i := range ps.recent {
		ps.recent[i].Store(nil)
	}
	ps.mu.Lock()
	ps.young, ps.old, ps.bytes = nil, nil, 0
	ps.mu.Unlock()
}

// A hint that is not understood is logged once, with the text at fault and nothing
// else of the statement; so many different ones, and no more.
func TestComplaints(t *testing.T) {
	var log bytes.Buffer
	h := newHarness(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	defer h.close()
	for range 3 {
		h.cache.plans.forget()
		for i := range 3 {
			h.read(t.Context(), fmt.Sprintf("/* querycache: ttl=fast */ SELECT %d FROM t WHERE a <> 'secret'", i))
		}
	}
	if text := log.String(); strings.Count(text, "ttl=fast") != 1 || strings.Contains(text, "secret") {
		t.Errorf("logged: %s", text)
	}
	wantSame(t, "bypasses", 9, h.cache.Stats().BypassReasons[ReasonBadHint])
	for i := range 3 * maxComplaints {
		h.read(t.Context(), fmt.Sprintf("/* querycache: ttl=%dx */ SELECT 1 FROM t", i))
	}
	if n := strings.Count(log.String(), "\n"); n != maxComplaints {
		t.Errorf("%d lines", n)
	}
}

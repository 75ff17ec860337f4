package querycache

import (
	"slices"
	"strconv"
	"time"

	"github.com/querycache/querycache/internal/analysis"
	"github.com/querycache/querycache/internal/hint"
)

// settings are what is in force for a read: of each the nearest that was set, in
// its context, a comment, the rule or the configuration.
type settings struct {
	ttl          time.Duration // of what is stored; negative: no expiry
	maxAge       time.Duration // of what is served; 0: whatever its own TTL lets it become
	swr          time.Duration
	staleIfError time.Duration
	maxBytes     int64
	refresh      bool
}

// window is for how long an entry may be served after it has expired.
func (s *settings) window() time.Duration { return max(s.swr, s.staleIfError) }

// setTTL notes a TTL that was asked for.
func (s *settings) setTTL(ttl time.Duration) {
	s.ttl, s.maxAge = ttl, max(ttl, 0)
}

// tuning is what comment and rule make of a plan.
type tuning struct {
	settings
	refused Reason // why no read of it is served from the cache; ReasonNone: none
	unkept  bool   // a TTL of zero, which is why
	hint    *hint.Hint
	hintErr error
	rule    int    // the index of the one in force; -1: none
	unruled bool   // its predicate panicked: nobody knows which is
	extra   string // names what it depends on by hint and rule; part of the key

	keyed     *extra // the same as a key has it; nil: nothing
	extraHash uint64
	tables    []string // those
	tags      []string
}

// tune works out what hint and rules make of a plan.
func (c *Cache) tune(p *plan) {
	p.tuning = tuning{settings: c.defaults, rule: p.rule, unruled: p.unruled, hint: p.hint, hintErr: p.hintErr}
	if err := p.hintErr; err != nil {
		c.complainOnce(err.Error(), "querycache: a hint is not understood; a read is not cached for it, and a write invalidates everything", "error", err)
	}
	if p.hint != nil {
		p.tables, p.tags = fold(p.hint.Tables), p.hint.Tags
	}
	if p.Kind != analysis.Read {
		return
	}
	if p.rule >= 0 {
		p.ruledBy(&c.rules[p.rule])
	}
	if p.hint != nil {
		p.commentedBy(p.hint)
	}
	p.maxBytes = min(p.maxBytes, c.largest)
	p.tables, p.tags = sorted(p.tables), sorted(p.tags)
	if p.extra = dependencies(p.tables, p.tags); p.extra != "" {
		p.keyed, p.extraHash = &extra{plan: p.extra}, hashString(1, p.extra)
	}
	if p.bare != p.Text {
		p.extraHash ^= hashString(2, p.Text) // Other columns.
	}
	switch {
	case !p.Cacheable:
		p.refused = reasonStatement + Reason(p.Reason)
	case c.config.Mode == Off:
		p.refused = ReasonMode
	case p.hintErr != nil:
		p.refused = ReasonBadHint
	case p.hint != nil && p.hint.Bypass:
		p.refused = ReasonHint
	case p.rule >= 0 && c.rules[p.rule].Deny, p.unruled:
		p.refused = ReasonRule
	case c.config.Mode == HintedOnly && p.hint == nil && p.rule < 0:
		p.refused = ReasonUnhinted
	case p.ttl == 0:
		p.refused, p.unkept = ReasonHint, true
	}
}

// overruled reports whether a context lifts what keeps a plan's reads out of the
// cache.
func (p *plan) overruled(h *hints) bool {
	return p.refused == ReasonUnhinted && h.hinted || p.unkept && h.ttl != 0
}

// ruledBy applies a rule.
func (p *plan) ruledBy(r *rule) {
	if r.TTL != 0 {
		p.setTTL(r.TTL)
	}
	if r.MaxBytes != 0 {
		p.maxBytes = r.MaxBytes
	}
	p.swr, p.staleIfError, p.refresh = r.SWR, r.StaleIfError, r.Refresh
	p.tables, p.tags = append(p.tables, r.dependsOn...), slices.Concat(p.tags, r.Tags)
}

// commentedBy applies a comment's hint.
func (p *plan) commentedBy(h *hint.Hint) {
	if h.HasTTL {
		p.setTTL(h.TTL)
	}
	if h.SWR != 0 {
		p.swr = h.SWR
	}
	if h.StaleIfError != 0 {
		p.staleIfError = h.StaleIfError
	}
	if h.MaxBytes != 0 {
		p.maxBytes = h.MaxBytes
	}
	p.refresh = p.refresh || h.Refresh
}

// hintedBy applies the hints of a context.
func (s *settings) hintedBy(h *hints) {
	if h.ttl != 0 {
		s.setTTL(h.ttl)
	}
	s.refresh = s.refresh || h.refresh
}

// sorted sorts names in place, each once.
func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// dependencies is a string that names tables and tags, different for each set.
func dependencies(tables, tags []string) string {
	var b []byte
	for kind, names := range [...][]string{tables, tags} {
		for _, name := range names {
			b = strconv.AppendInt(append(b, "tg"[kind]), int64(len(name)), 10)
			b = append(append(b, ':'), name...)
		}
	}
	return string(b)
}

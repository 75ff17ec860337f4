package querycache

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/querycache/querycache/internal/analysis"
	"github.com/querycache/querycache/internal/sqltok"
)

// Rule tunes the statements that it matches, as a hint would, without touching
// them. All of Tables, Fingerprint and Match that are set must hold; a rule
// that sets none of them matches every read. Of [Config.Rules] the first that
// matches a statement is in force. Rules are about reads: what a statement
// writes always invalidates. A rule has to set something beside what it matches,
// Deny stands alone, and SWR and StaleIfError need an expiry: [New] and [Register]
// answer a *[ConfigError] otherwise.
type Rule struct {
	// Tables matches statements that read one of these tables or views. With
	// Allow: statements that read nothing but these tables, or views over them.
	// Names are compared without a schema and whatever their case.
	Tables []string

	// Fingerprint matches statements that differ from this one in literals,
	// parameters, comments and white space alone; NULL is no literal. It may be any
	// of them, or what [Outcome] shows.
	Fingerprint string

	// Match matches statements by their text, which it gets without leading and
	// trailing comments. It is called once for each text and must answer the same
	// whenever it is; it may be called at the same time by several goroutines.
	// Should it panic, the statement is not cached.
	Match func(query string) bool

	// Deny keeps what is matched out of the cache, whatever hints say.
	Deny bool

	// Allow lets what is matched be cached, with other settings or without: before
	// a rule that denies the rest, or with [HintedOnly].
	Allow bool

	// Refresh sends what is matched to the database each time, and stores it.
	Refresh bool

	// TTL is how long results are cached, and how old a result may be that is
	// served. Default: [Config.TTL]. Negative: no expiry.
	TTL time.Duration

	// SWR (stale while revalidate) is for how long after it has expired a result
	// is still served while it is refreshed in the background, on a connection
	// beside those of the application. It is not served once a table that it depends
	// on was written. With SQLite: only in WAL mode without a shared cache, where
	// readers lock no writer out. Default: not at all.
	SWR time.Duration

	// StaleIfError is for how long after it has expired a result is still served
	// when the database cannot be reached. It is not served once a table that it
	// depends on was written, nor where database/sql gets no connection to begin
	// with: a driver with a ConnectHook, or one without a name, connects at once.
	// Default: not at all.
	StaleIfError time.Duration

	// MaxBytes bounds a result that is cached, in bytes, up to half of
	// [Config.MaxBytes]. Default: [Config.MaxEntryBytes].
	MaxBytes int64

	// DependsOn are tables that results depend on beside those that they are
	// known to read.
	DependsOn []string

	// Tags are what [Cache.InvalidateTags] finds results by.
	Tags []string
}

// rule is a Rule as it is matched.
type rule struct {
	Rule
	dependsOn []string
}

// matchers reports whether the rule is about some statements only.
func (r *Rule) matchers() bool { return len(r.Tables) > 0 || r.Fingerprint != "" || r.Match != nil }

// tunes reports whether the rule sets anything.
func (r *Rule) tunes() bool {
	return r.Refresh || r.TTL != 0 || r.SWR != 0 || r.StaleIfError != 0 || r.MaxBytes != 0 ||
		len(r.DependsOn) > 0 || len(r.Tags) > 0
}

// compile validates the rules of a configuration and copies them.
func (cfg *Config) compile() ([]rule, error) {
	rules := make([]rule, len(cfg.Rules))
	last := -1 // the rule that matches everything
	for i, r := range cfg.Rules {
		field := func(name string) string { return fmt.Sprintf("Rules[%d].%s", i, name) }
		if last >= 0 {
			return nil, &ConfigError{fmt.Sprintf("Rules[%d]", i), fmt.Sprintf("is never reached: Rules[%d] matches everything", last)}
		}
		if name, reason := r.fault(cfg); reason != "" {
			return nil, &ConfigError{strings.TrimSuffix(field(name), "."), reason}
		}
		if r.Fingerprint != "" {
			r.Fingerprint = sqltok.Fingerprint(sqltok.SQLite, r.Fingerprint)
		}
		r.Tables, r.Tags = fold(r.Tables), slices.Clone(r.Tags)
		rules[i] = rule{r, fold(r.DependsOn)}
		if !r.matchers() {
			last = i
		}
	}
	return rules, nil
}

// fault names the field of a rule that cannot be used, and says why.
func (r *Rule) fault(cfg *Config) (field, reason string) {
	for _, list := range []struct {
		name  string
		names []string
	}{{"Tables", r.Tables}, {"DependsOn", r.DependsOn}, {"Tags", r.Tags}} {
		for i, name := range list.names {
			if strings.TrimSpace(name) == "" {
				return fmt.Sprintf("%s[%d]", list.name, i), "is empty"
			}
		}
	}
	switch {
	case r.Fingerprint != "" && sqltok.Canonical(sqltok.SQLite, r.Fingerprint) == "":
		return "Fingerprint", fmt.Sprintf("%q holds no statement", r.Fingerprint)
	case r.Fingerprint != "" && !lexes(r.Fingerprint):
		return "Fingerprint", fmt.Sprintf("%q cannot be read", r.Fingerprint)
	case r.Deny && r.Allow:
		return "Deny", "contradicts Allow"
	case r.Deny && r.tunes():
		return "Deny", "leaves nothing to set"
	case !r.Deny && !r.Allow && !r.tunes():
		return "", "sets nothing"
	case r.SWR < 0:
		return "SWR", fmt.Sprintf("%v is negative", r.SWR)
	case r.StaleIfError < 0:
		return "StaleIfError", fmt.Sprintf("%v is negative", r.StaleIfError)
	case r.SWR > 0 && r.TTL < 0:
		return "SWR", "is of no use without expiry"
	case r.StaleIfError > 0 && r.TTL < 0:
		return "StaleIfError", "is of no use without expiry"
	case r.MaxBytes < 0:
		return "MaxBytes", fmt.Sprintf("%d is negative", r.MaxBytes)
	case r.MaxBytes > cfg.MaxBytes/2:
		return "MaxBytes", fmt.Sprintf("%d is more than half of Config.MaxBytes (%d)", r.MaxBytes, cfg.MaxBytes)
	}
	return "", ""
}

func lexes(text string) bool {
	_, err := sqltok.Scan(sqltok.SQLite, text)
	return err == nil
}

// fold is what words know tables as, sorted.
func fold(tables []string) []string {
	var names []string
	for _, t := range tables {
		names = append(names, bareNames(t)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// rule returns the index of the rule in force for a statement, or -1. Of one
// whose predicate panics nobody knows if it would have been denied.
func (c *Cache) rule(p *plan) (index int, failed bool) {
	for i := range c.rules {
		matched, failed := c.rules[i].matches(p)
		if failed {
			c.complainOnce(fmt.Sprint("rule ", i), "querycache: the predicate of a rule panicked; the statement is not cached", "rule", i)
			return i, true
		}
		if matched {
			return i, false
		}
	}
	return -1, false
}

func (r *rule) matches(p *plan) (matched, failed bool) {
	defer func() {
		if recover() != nil {
			failed = true
		}
	}()
	if r.Fingerprint != "" && r.Fingerprint != p.Fingerprint || len(r.Tables) > 0 && !r.covers(p) {
		return false, false
	}
	return r.Match == nil || r.Match(p.bare), false
}

// covers matches the tables that a statement reads.
func (r *rule) covers(p *plan) bool {
	listed := func(name string) bool {
		_, found := slices.BinarySearch(r.Tables, name)
		return found
	}
	if r.Allow {
		return len(p.Reads) > 0 && !slices.ContainsFunc(p.Reads, func(name string) bool { return !listed(name) && name != analysis.Rowid })
	}
	return slices.ContainsFunc(p.Reads, listed) || slices.ContainsFunc(p.Views, listed)
}

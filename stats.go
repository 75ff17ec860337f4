package querycache

import (
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/querycache/querycache/internal/analysis"
)

// Reason is why a read was not served from the cache, or its result not stored.
type Reason int

// The reasons. Those beyond them tell what about a statement cannot be cached:
// String names them.
const (
	ReasonNone          Reason = iota
	ReasonDisabled             // SetEnabled(false), or after Close
	ReasonTransaction          // inside a transaction
	ReasonSession              // the state of the connection cannot be told, or it reads what is not committed
	ReasonHint                 // Bypass, or a comment with bypass or ttl=0
	ReasonArguments            // an argument cannot be compared
	ReasonInFlight             // one of its tables is being written
	ReasonOpenStatement        // another statement of the connection is open and may pin an older snapshot
	ReasonBadHint              // its comment's hint is malformed or unknown
	ReasonRule                 // a rule denies it
	ReasonMode                 // Config.Mode is Off
	ReasonUnhinted             // Config.Mode is HintedOnly, and nothing hints

	// Why a read that could be served was not: see Outcome.
	ReasonCold        // nothing was stored, or it was purged or evicted
	ReasonExpired     // what was stored has expired
	ReasonInvalidated // what was stored is not valid any more
	ReasonRefresh     // the database was to be asked

	// Why a result was not stored: see Outcome.
	ReasonWritten  // something it depends on was written meanwhile
	ReasonTooLarge // it is larger than MaxEntryBytes, or than a hint or a rule allows
	ReasonCutShort // its rows were not read to the end, or ended with an error
	ReasonNoRoom   // there is no memory for it, or the cache is closed

	reasonStatement // from here on: analysis.Reason
)

var reasonNames = [...]string{
	"none", "disabled", "transaction", "session", "hint", "arguments",
	"write in flight", "open statement", "malformed hint", "denied by rule", "mode off", "not hinted",
	"cold", "expired", "invalidated", "refresh",
	"written meanwhile", "too large", "cut short", "no room",
}

// String names the reason.
func (r Reason) String() string {
	switch {
	case r < 0:
		return "Reason(" + strconv.Itoa(int(r)) + ")"
	case r < reasonStatement:
		return reasonNames[r]
	default:
		return analysis.Reason(r - reasonStatement).String()
	}
}

const numReasons = int(reasonStatement) + int(analysis.UnknownRelation) + 1

// Stats are the counts of a [Cache] since it was made.
type Stats struct {
	Hits          uint64 // reads served from the cache
	Stale         uint64 // those of them served after they had expired
	Misses        uint64 // reads that asked the database and could be stored
	Bypasses      uint64 // reads passed to the database untouched
	Coalesced     uint64 // reads served by another caller's query that was under way
	Refreshes     uint64 // results asked for in the background, to replace those that had expired
	Fills         uint64 // results stored
	RejectedFills uint64 // results not stored: a table was written meanwhile, too large, cut short
	Invalidations uint64 // writes and calls that made entries invalid
	Evictions     uint64 // entries given up for want of memory
	Entries       uint64 // entries held now
	CostBytes     int64  // memory of the entries held now

	DatabaseTime time.Duration // what misses waited for the database
	TimeSaved    time.Duration // what hits would have waited, going by the miss that stored their result

	// BypassReasons counts Bypasses by reason; reasons that did not occur are
	// absent.
	BypassReasons map[Reason]uint64
}

// counters are kept in stripes, so that connections on several processors do
// not write to one cache line.
type counters struct {
	hits, saved, misses, asked, coalesced, fills, rejected, invalidations, stale atomic.Uint64

	bypasses [numReasons]atomic.Uint64
	_        [64]byte
}

// spent notes what a miss waited for the database.
func (n *counters) spent(d int64) { n.asked.Add(uint64(max(d, 0))) }

const stripes = 8

// Stats returns the counts so far.
func (c *Cache) Stats() Stats {
	s := Stats{BypassReasons: make(map[Reason]uint64)}
	var asked, saved uint64
	for i := range c.stripes {
		n := &c.stripes[i]
		s.Hits += n.hits.Load()
		s.Stale += n.stale.Load()
		asked += n.asked.Load()
		saved += n.saved.Load()
		s.Misses += n.misses.Load()
		s.Coalesced += n.coalesced.Load()
		s.Fills += n.fills.Load()
		s.RejectedFills += n.rejected.Load()
		s.Invalidations += n.invalidations.Load()
		for r := range n.bypasses {
			if b := n.bypasses[r].Load(); b > 0 {
				s.Bypasses += b
				s.BypassReasons[Reason(r)] += b
			}
		}
	}
	s.DatabaseTime = time.Duration(min(asked, math.MaxInt64))
	s.TimeSaved = time.Duration(min(saved, math.MaxInt64))
	background := &c.refreshes.counters
	s.Refreshes = background.misses.Load()
	s.Fills += background.fills.Load()
	s.RejectedFills += background.rejected.Load()
	s.Invalidations += background.invalidations.Load()
	entries, cost, evictions := c.store.Stats()
	s.Entries, s.CostBytes, s.Evictions = uint64(entries), cost, evictions
	return s
}

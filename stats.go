package querycache

import (
	"strconv"
	"sync/atomic"

	"github.com/querycache/querycache/internal/analysis"
)

// Reason is why a read was not served from the cache although it could have
// been asked.
type Reason int

// The reasons. Those up to ReasonOpenStatement depend on the moment, the
// others on the statement.
const (
	ReasonNone          Reason = iota
	ReasonDisabled             // SetEnabled(false), or after Close
	ReasonTransaction          // inside a transaction
	ReasonSession              // the state of the connection cannot be told, or it reads what is not committed
	ReasonHint                 // Bypass
	ReasonArguments            // an argument cannot be compared
	ReasonInFlight             // one of its tables is being written
	ReasonOpenStatement        // another statement of the connection is open and may pin an older snapshot
	reasonStatement            // from here on: analysis.Reason
)

var reasonNames = [...]string{
	"none", "disabled", "transaction", "session", "hint", "arguments",
	"write in flight", "open statement",
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
	Misses        uint64 // reads that asked the database and could be stored
	Bypasses      uint64 // reads passed to the database untouched
	Coalesced     uint64 // reads served by another caller's query that was under way
	Fills         uint64 // results stored
	RejectedFills uint64 // results not stored: a table was written meanwhile, too large, cut short
	Invalidations uint64 // writes and calls that made entries invalid
	Evictions     uint64 // entries given up for want of memory
	Entries       uint64 // entries held now
	CostBytes     int64  // memory of the entries held now

	// BypassReasons counts Bypasses by reason; reasons that did not occur are
	// absent.
	BypassReasons map[Reason]uint64
}

// counters are kept in stripes, so that connections on several processors do
// not write to one cache line.
type counters struct {
	hits, misses, coalesced, fills, rejected, invalidations atomic.Uint64

	bypasses [numReasons]atomic.Uint64
	_        [64]byte
}

const stripes = 8

// Stats returns the counts so far.
func (c *Cache) Stats() Stats {
	s := Stats{BypassReasons: make(map[Reason]uint64)}
	for i := range c.stripes {
		n := &c.stripes[i]
		s.Hits += n.hits.Load()
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
	entries, cost, evictions := c.store.Stats()
	s.Entries, s.CostBytes, s.Evictions = uint64(entries), cost, evictions
	return s
}

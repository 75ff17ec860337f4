//go:build querycache_controls

package querycache

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/querycache/querycache/internal/store"
)

var (
	brokenControl atomic.Int32
	stepHook      atomic.Pointer[func(context.Context, step)]
)

func broken(c control) bool { return control(brokenControl.Load()) == c }

func at(ctx context.Context, s step) {
	if hook := stepHook.Load(); hook != nil {
		(*hook)(ctx, s)
	}
}

var controlNames = [...]string{
	controlNone:              "none",
	controlBumpAfterOnly:     "bump after only",
	controlBumpBeforeOnly:    "bump before only",
	controlWordsAfterQuery:   "words after the query",
	controlJoinAny:           "follower joins any flight",
	controlJoinInFlight:      "follower joins with a write in flight",
	controlUnchanged:         "unchanged wrongly assumed",
	controlInDoubtReleased:   "in doubt released at once",
	controlOldSnapshot:       "fill from an old transaction's snapshot",
	controlReturningEarly:    "RETURNING ended at Query's return",
	controlJoinOneWord:       "join with one word missing",
	controlReleaseThenBump:   "release, then bump",
	controlBeginLate:         "begin after the effect",
	controlBeginOne:          "begin on one of two tables",
	controlEndEarly:          "end before the effect",
	controlDisabledSkips:     "writes skipped while disabled",
	controlPromotionRestamps: "promotion re-stamps",
	controlPurgeDeletes:      "Purge or InvalidateQuery only deletes",
	controlRefreshLate:       "refresh's words after its query",
	controlWriterSkips:       "writer skips a missing word",
	controlWordsBeforeCall:   "words loaded before the call",
	controlReadUncommitted:   "READ UNCOMMITTED fills",
	controlOverflow:          "count overflow",
	controlDoubleEnd:         "double end",
	controlServeDirty:        "dirty words stored and hit ignores in flight",
	controlOlderFill:         "older fill after a Refresh",
	controlStacked:           "write on an open RETURNING ends at once",
	controlEra:               "schema change does not wait for older writes",
	controlOlderCopy:         "older second-level copy",
	controlOpenStatement:     "fill under an open statement's snapshot",
	controlLateWithoutWords:  "swr without words",
	controlUnkeyedHints:      "hint tables not in the key",
}

// String names the control as the validity protocol does.
func (c control) String() string {
	if int(c) < len(controlNames) {
		return controlNames[c]
	}
	return fmt.Sprintf("control(%d)", int32(c))
}

// breakControl switches one protection off, and all others on.
func breakControl(c control) {
	b := store.Broken{OlderFill: c == controlOlderFill, OlderCopy: c == controlOlderCopy}
	if c == controlPromotionRestamps {
		b.Promote = restamp
	}
	store.Break(b)
	brokenControl.Store(int32(c))
}

// restamp gives an entry the words of now.
func restamp(value any) any {
	e, ok := value.(entry)
	if !ok {
		return value
	}
	e.stamps = make([]uint64, 0, len(e.words)+1)
	for _, w := range e.words {
		e.stamps = append(e.stamps, w.load())
	}
	e.stamps = append(e.stamps, e.query.load())
	return e
}

// Break switches off the protection of that name in all caches, for tests in
// other modules. The function returned switches it on again. Break exists in a
// build with the tag querycache_controls alone.
func Break(name string) (restore func(), err error) {
	c := slices.Index(controlNames[:], name)
	if c < 0 {
		return nil, fmt.Errorf("querycache: no control is called %q", name)
	}
	breakControl(control(c))
	return func() { breakControl(controlNone) }, nil
}

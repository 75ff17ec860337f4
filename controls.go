package querycache

// control names one protection of the validity protocol, to be switched off by
// a test in a build with the tag querycache_controls.
type control int32

const (
	controlNone              control = iota
	controlBumpAfterOnly             // begin does not count the write in flight
	controlBumpBeforeOnly            // begin moves the generation on, end does not
	controlWordsAfterQuery           // an entry carries words read after its query
	controlJoinAny                   // a follower joins whatever its own words are
	controlJoinInFlight              // a follower joins while a write is in flight
	controlUnchanged                 // a write that changed rows ends as unchanged
	controlInDoubtReleased           // a write in doubt ends at once
	controlOldSnapshot               // a read in a transaction fills
	controlReturningEarly            // RETURNING ends when Query returns
	controlJoinOneWord               // a join carries the words of all its tables but the last
	controlReleaseThenBump           // end releases first and bumps in a second step
	controlBeginLate                 // begin after the effect on all tables but the first
	controlBeginOne                  // begin on the first table only
	controlEndEarly                  // end before the effect
	controlDisabledSkips             // writes are not tracked while disabled
	controlPromotionRestamps         // a hit in the second level takes today's words
	controlPurgeDeletes              // Purge and InvalidateQuery only delete
	controlRefreshLate               // a refresh reads its words after its query
	controlWriterSkips               // a writer passes over a table that has no word yet
	controlWordsBeforeCall           // words loaded by an earlier call
	controlReadUncommitted           // a READ UNCOMMITTED connection fills
	controlOverflow                  // the count in flight has one bit
	controlDoubleEnd                 // a write ends twice
	controlServeDirty                // words with a write in flight are stored and served
	controlOlderFill                 // an older fill replaces a newer one
	controlStacked                   // a stacked write ends although a RETURNING is open
	controlEra                       // a schema change does not wait for older writes
	controlOlderCopy                 // a fill leaves an older copy in the second level
	controlOpenStatement             // a read fills while another statement of its connection is open
	controlLateWithoutWords          // what has expired is served late whatever was written since
	controlUnkeyedHints              // declared tables and tags are no part of the key
)

// step names a moment of the protocol that a test can hold up.
type step int

const (
	stepCall         step = iota // a read was called; nothing was loaded yet
	stepWords                    // its words were loaded
	stepJoined                   // it waits for another's flight
	stepQuery                    // its query is about to be sent
	stepQueried                  // its query was sent
	stepFill                     // its result is about to be stored
	stepFilled                   // its result was stored, or refused
	stepBegun                    // a write has begun
	stepBegunOne                 // a write has begun on its first table
	stepSent                     // the parent has returned from a write
	stepEnd                      // a write is about to end
	stepReleased                 // a write was released and not yet bumped (a control)
	stepEnded                    // a write has ended
	stepInvalidating             // Purge, InvalidateTables or InvalidateQuery was called
)

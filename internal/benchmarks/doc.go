// Package benchmarks holds what a hit, a miss, a bypass and a write cost through
// querycache, each beside the same statement through go-sqlite3 alone and
// through a driver that does nothing (package noop, the floor of database/sql).
//
// The cases are a list, [Cases], used three ways: by `go test -bench`, by
// cmd/ratios, which measures the alternatives of a case in turns and prints
// their ratios, and by a test that runs each once and checks that it does what
// its name says: that it gives the right rows, and that what is called a hit is
// one by the cache's own count.
//
// What hints, rules and a trace add to a hit is a matter of nanoseconds, and is
// measured otherwise: [Ways] are compared with a plain hit, each over the no-op
// driver, through database/sql and at the driver's own door.
//
// The module is its own, so that querycache's go.mod names neither sqlx nor a
// database.
package benchmarks

// Package fakedb is a database/sql driver for tests, with a small SQL of its
// own, whose optional driver interfaces can be switched on and off.
//
// # Abilities
//
// A [Profile] says which of the optional interfaces of database/sql/driver the
// driver, its connector, connections, statements and rows have, and how those
// it has behave: whether QueryContext answers [driver.ErrSkip], whether NumInput
// knows, whether rows reuse their buffers. [Profiles] lists every profile that a
// wrapping driver has to be transparent over.
//
// # Data
//
// The data is real. What is written is what is read, a transaction is isolated
// until it commits, and a rollback drops it. [DB.Seed] and [DB.Table] reach the
// data without passing through the driver. The language is described at
// [DB.Seed]. A statement that it cannot express is scripted with [DB.Handle].
//
// # Observation
//
// Each call that reaches the driver is recorded in a log, see [DB.Log], but for
// those that only ask (NumInput, Columns, column types, ColumnConverter). What
// a caller of a driver must never do (use a connection from two goroutines at
// once, or after it was closed) is collected by [DB.Violations].
//
// # Faults
//
// [DB.Inject] makes chosen calls fail, panic, wait, or lose their connection,
// before or after they take effect.
//
// The package starts no goroutine.
package fakedb

// Package enginetest holds what is tested against real engines by many clients
// at once: that all of them together see one database, linearizable, as if
// there were no cache. It is a module of its own, so that the core does not
// depend on what checks it.
package enginetest

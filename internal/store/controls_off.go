//go:build !querycache_controls

package store

// What keeps older items from being seen again can be switched off in a build
// with the tag querycache_controls: tests of the root package show there that
// they notice. In every other build these are constants that the compiler
// removes.

func breaksOrder() bool { return false }

func leavesCopy() bool { return false }

func promoted[V any](it *Item[V]) *Item[V] { return it }

package querycache_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"
)

// stored are all readers of the database, each with its entry.
func (n *sqlxNames) stored() []pair {
	n.Helper()
	all := n.pairs(slices.Concat(readDoors, preparedDoors, dbDoors)...)
	n.cache.Purge()
	for _, p := range all {
		p.fresh()
	}
	return all
}

// wrote expects the note of the second part to be in the database.
func (n *sqlxNames) wrote(want string) {
	n.Helper()
	var note string
	if err := n.plain.Get(&note, "SELECT note FROM parts WHERE id = 2"); err != nil || note != want {
		n.Errorf("the note in the database is %q, %v; want %q", note, err, want)
	}
}

// begin begins a transaction through the cache.
func (n *sqlxNames) begin() *sqlx.Tx {
	n.Helper()
	tx, err := n.cached.Beginx()
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// TestSqlxWrites writes by every door: the next read by every door is fresh. Seen
// to fail with a write that ends as if it had changed nothing.
func TestSqlxWrites(t *testing.T) {
	n := newSqlxNames(t)
	all := n.stored()
	for _, w := range slices.Concat(writeDoors, dbWriteDoors) {
		if err := w.write(seatAt(t, n.cached, n.cached, w.name), w.name); err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
		n.wrote(w.name)
		for _, p := range all {
			p.fresh()
			p.hit()
		}
		if t.Failed() {
			t.Fatal("after a write by", w.name)
		}
	}
}

// TestSqlxCommits writes by every door of a transaction. Before it commits nobody
// else sees that, afterwards everybody does. Seen to fail with a COMMIT that
// invalidates nothing.
func TestSqlxCommits(t *testing.T) {
	n := newSqlxNames(t)
	all := n.stored()
	for _, w := range slices.Concat(writeDoors, txWriteDoors) {
		tx := n.begin()
		if err := w.write(seatAt(t, n.cached, tx, w.name), w.name); err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
		for _, p := range all {
			p.read()
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		n.wrote(w.name)
		for _, p := range all {
			p.fresh()
			p.hit()
		}
		if t.Failed() {
			t.Fatal("after a write by", w.name)
		}
	}
}

// TestSqlxRollbacks takes every write back: all entries stay, and are true. Seen
// to fail with a rollback that counts as a commit.
func TestSqlxRollbacks(t *testing.T) {
	n := newSqlxNames(t)
	all := n.stored()
	for _, w := range slices.Concat(writeDoors, txWriteDoors) {
		tx := n.begin()
		if err := w.write(seatAt(t, n.cached, tx, w.name), w.name); err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
		for _, p := range all {
			p.read()
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		n.wrote("M4")
		for _, p := range all {
			p.hit()
		}
		if t.Failed() {
			t.Fatal("after a write by", w.name)
		}
	}
}

// inside opens every door of a transaction and reads by each.
func (n *sqlxNames) inside(base *sqlx.DB, tx *sqlx.Tx) []any {
	n.Helper()
	var answers []any
	for _, d := range slices.Concat(readDoors, preparedDoors, txDoors) {
		read := d.open(seatAt(n.T, base, tx, d.name))
		calls := n.calls.Load()
		v, err := read()
		if err != nil {
			n.Fatalf("%s: %v", d.name, err)
		}
		if base == n.cached && n.calls.Load() == calls {
			n.Errorf("%s: the database was not asked", d.name)
		}
		answers = append(answers, v)
	}
	return answers
}

// truth is what a transaction of the driver alone reads.
func (n *sqlxNames) truth() []any {
	n.Helper()
	tx := n.plain.MustBegin()
	defer tx.Rollback()
	return n.inside(n.plain, tx)
}

// TestSqlxTransactions reads by every door of a transaction: each read reaches
// the database and sees what the transaction wrote. Seen to fail with reads in a
// transaction served.
func TestSqlxTransactions(t *testing.T) {
	n := newSqlxNames(t)
	for _, end := range []string{"rollback", "commit"} {
		n.stored() // What must not be served.
		tx := n.begin()
		hits := n.cache.Stats().Hits
		before := n.inside(n.cached, tx)
		same(t, "before the write", n.truth(), before)

		tx.MustExec(writeNote, "own", 2)
		after := n.inside(n.cached, tx)
		if cmp.Equal(before, after) {
			t.Error("the transaction does not see its own write")
		}
		same(t, "what others see", before, n.truth())
		same(t, "hits", hits, n.cache.Stats().Hits)

		if end == "rollback" {
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			same(t, "after the rollback", before, n.truth())
			continue
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		same(t, "after the commit", after, n.truth())
	}
}

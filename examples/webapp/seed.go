package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jmoiron/sqlx"
)

const schema = `
CREATE TABLE IF NOT EXISTS authors (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	country TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS books (
	id INTEGER PRIMARY KEY,
	title TEXT NOT NULL,
	author_id INTEGER NOT NULL REFERENCES authors (id),
	year INTEGER NOT NULL,
	cents INTEGER NOT NULL,
	version INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE IF NOT EXISTS loans (
	id INTEGER PRIMARY KEY,
	book_id INTEGER NOT NULL REFERENCES books (id),
	reader TEXT NOT NULL,
	lent_on TEXT NOT NULL,
	returned_on TEXT
);
CREATE INDEX IF NOT EXISTS books_by_author ON books (author_id);
CREATE INDEX IF NOT EXISTS books_by_title ON books (title);
CREATE INDEX IF NOT EXISTS books_by_year ON books (year);
CREATE INDEX IF NOT EXISTS books_by_price ON books (cents);
CREATE INDEX IF NOT EXISTS loans_by_book ON loans (book_id);
CREATE UNIQUE INDEX IF NOT EXISTS lent_once ON loans (book_id) WHERE returned_on IS NULL;
`

// seed makes the tables and fills them with n books, a tenth as many authors and
// five times as many loans: the same ones each time. A file that has books is
// left as it is.
func seed(ctx context.Context, db *sqlx.DB, n int) error {
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return err
	}
	var books int
	if err := db.GetContext(ctx, &books, "SELECT COUNT(*) FROM books"); err != nil || books > 0 {
		return err
	}
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // After a commit it has nothing to do; before one, the first error is what counts.
	if err := fill(ctx, tx, n); err != nil {
		return err
	}
	return tx.Commit()
}

func fill(ctx context.Context, tx *sqlx.Tx, n int) error {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	authors := max(1, n/10)

	err := insert(ctx, tx, "INSERT INTO authors (name, country) VALUES (?, ?)", authors, func(i int) []any {
		return []any{
			fmt.Sprintf("%s %s %s", pick(given...), pick(given...), family[i%len(family)]+suffix(i/len(family))),
			pick("Chile", "Ghana", "Iceland", "Japan", "Kenya", "Norway", "Peru", "Vietnam"),
		}
	})
	if err != nil {
		return err
	}
	err = insert(ctx, tx, "INSERT INTO books (title, author_id, year, cents) VALUES (?, ?, ?, ?)", n, func(int) []any {
		return []any{
			fmt.Sprintf("The %s %s of %s", pick(adjectives...), pick(nouns...), pick(places...)),
			1 + random.IntN(authors), 1900 + random.IntN(126), 500 + 5*random.IntN(900),
		}
	})
	if err != nil {
		return err
	}

	// The newest loans are still running, each of another book.
	first, loans, running := time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC), 5*n, n/10
	const text = "INSERT INTO loans (book_id, reader, lent_on, returned_on) VALUES (?, ?, ?, ?)"
	return insert(ctx, tx, text, loans, func(i int) []any {
		lent := first.AddDate(0, 0, i*4000/loans)
		reader := fmt.Sprintf("%s %s", pick(given...), pick(family...))
		if left := loans - i; left <= running {
			return []any{10 * left, reader, lent.Format(time.DateOnly), nil}
		}
		returned := lent.AddDate(0, 0, 1+random.IntN(40))
		return []any{1 + random.IntN(n), reader, lent.Format(time.DateOnly), returned.Format(time.DateOnly)}
	})
}

// insert runs a statement n times.
func insert(ctx context.Context, tx *sqlx.Tx, text string, n int, row func(i int) []any) error {
	stmt, err := tx.PrepareContext(ctx, text)
	if err != nil {
		return err
	}
	defer stmt.Close() //nolint:errcheck // Exec has said what there is to say.
	for i := range n {
		if _, err := stmt.ExecContext(ctx, row(i)...); err != nil {
			return err
		}
	}
	return nil
}

// suffix tells people of one name apart.
func suffix(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" %d", n+1)
}

var (
	given      = []string{"Ada", "Barbara", "Carol", "Dana", "Evelyn", "Frances", "Grace", "Hedy", "Ida", "Jean"}
	family     = []string{"Alder", "Ash", "Beech", "Birch", "Cedar", "Elm", "Hazel", "Larch", "Oak", "Pine", "Rowan", "Yew"}
	adjectives = []string{"Blue", "Broken", "Distant", "Golden", "Hidden", "Last", "Quiet", "Second", "Silver", "Slow", "Unknown", "Winter"}
	nouns      = []string{"Bridge", "Clock", "Garden", "Harbour", "House", "Island", "Letter", "Map", "Mirror", "Orchard", "River", "Train"}
	places     = []string{"Bergen", "Cusco", "Hanoi", "Kyoto", "Lima", "Mombasa", "Nairobi", "Osaka", "Oslo", "Tamale", "Temuco", "Vik"}
)

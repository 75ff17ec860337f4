package main

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jmoiron/sqlx"
	sqlite3 "github.com/mattn/go-sqlite3"
)

var (
	errNotFound = errors.New("no such book")
	errChanged  = errors.New("the book has been changed by somebody else since this form was opened")
	errLent     = errors.New("the book is lent already")
	errNotLent  = errors.New("the book is not lent")
)

// newBook is a book to be added.
type newBook struct {
	Title    string `db:"title"`
	Author   string `db:"author"`
	Year     int    `db:"year"`
	Cents    int64  `db:"cents"`
	AuthorID int64  `db:"author_id"`
}

// add adds a book, and its author where the library has none of that name.
func (s *store) add(ctx context.Context, b newBook) (id int64, err error) {
	err = s.inTx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.NamedExecContext(ctx, "INSERT INTO authors (name) VALUES (:author) ON CONFLICT DO NOTHING", b)
		if err != nil {
			return err
		}
		err = tx.GetContext(ctx, &b.AuthorID, "SELECT id FROM authors WHERE name = ?", b.Author)
		if err != nil {
			return err
		}
		res, err := tx.NamedExecContext(ctx, `
			INSERT INTO books (title, author_id, year, cents) VALUES (:title, :author_id, :year, :cents)`, b)
		if err != nil {
			return err
		}
		id, err = res.LastInsertId()
		return err
	})
	return id, err
}

// edit changes a book, unless it has been changed since it was in this version.
// The version is compared by the database, so that it does not matter how old
// the page was that showed it.
func (s *store) edit(ctx context.Context, id, version int64, title string, cents int64) error {
	res, err := s.db.ExecContext(ctx,
		"UPDATE books SET title = ?, cents = ?, version = version + 1 WHERE id = ? AND version = ?",
		title, cents, id, version)
	err = one(res, err, errChanged)
	if errors.Is(err, errChanged) {
		if _, none := s.book(ctx, id); none != nil {
			return none
		}
	}
	return err
}

// lend lends a book. That it is lent once at a time is the work of an index.
func (s *store) lend(ctx context.Context, id int64, reader, today string) error {
	return s.inTx(ctx, func(tx *sqlx.Tx) error {
		if err := touch(ctx, tx, id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO loans (book_id, reader, lent_on) VALUES (?, ?, ?)", id, reader, today)
		var refused sqlite3.Error
		if errors.As(err, &refused) && refused.ExtendedCode == sqlite3.ErrConstraintUnique {
			return errLent
		}
		return err
	})
}

// giveBack ends the loan of a book.
func (s *store) giveBack(ctx context.Context, id int64, today string) error {
	return s.inTx(ctx, func(tx *sqlx.Tx) error {
		if err := touch(ctx, tx, id); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx,
			"UPDATE loans SET returned_on = ? WHERE book_id = ? AND returned_on IS NULL", today, id)
		return one(res, err, errNotLent)
	})
}

// touch gives a book the next version.
func touch(ctx context.Context, tx *sqlx.Tx, id int64) error {
	res, err := tx.ExecContext(ctx, "UPDATE books SET version = version + 1 WHERE id = ?", id)
	return one(res, err, errNotFound)
}

// one expects that a statement has changed one row, and returns otherwise if it
// has changed none.
func one(res sql.Result, err, otherwise error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		return otherwise
	}
	return err
}

// inTx commits what f does, unless f fails.
func (s *store) inTx(ctx context.Context, f func(*sqlx.Tx) error) error {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // After a commit it has nothing to do; before one, f's error is what counts.
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

// store is the library as the database has it. None of its queries knows of the
// cache, except for the hint of summary.
type store struct {
	db          *sqlx.DB
	summaryText string
}

func newStore(db *sqlx.DB, dataTTL time.Duration) *store {
	return &store{db: db, summaryText: fmt.Sprintf(summaryText, dataTTL)}
}

// line is a book in a list.
type line struct {
	ID      int64  `db:"id"`
	Title   string `db:"title"`
	Author  string `db:"author"`
	Year    int    `db:"year"`
	Cents   int64  `db:"cents"`
	Version int64  `db:"version"`
	Lent    bool   `db:"lent"`
}

const selectLines = `
	SELECT b.id, b.title, a.name AS author, b.year, b.cents, b.version,
		EXISTS (SELECT 1 FROM loans l WHERE l.book_id = b.id AND l.returned_on IS NULL) AS lent
	FROM books b
	JOIN authors a ON a.id = b.author_id`

// orders are the orders that a list can be in. What a user sends chooses one of
// them and is never a part of the text.
var orders = map[string]string{
	"title":  "b.title, b.id",
	"author": "a.name, b.title, b.id",
	"year":   "b.year DESC, b.id",
	"price":  "b.cents, b.id",
}

// pageSize is how many books a page of the list has.
const pageSize = 25

// page returns a page of the list, counted from 1.
func (s *store) page(ctx context.Context, order string, page int) ([]line, error) {
	var lines []line
	err := s.db.SelectContext(ctx, &lines, selectLines+" ORDER BY "+orders[order]+" LIMIT ? OFFSET ?",
		pageSize, (page-1)*pageSize)
	return lines, err
}

// pages returns how many pages the list has, at least one.
func (s *store) pages(ctx context.Context) (int, error) {
	var n int
	err := s.db.GetContext(ctx, &n, "SELECT COUNT(*) FROM books")
	return max(1, (n+pageSize-1)/pageSize), err
}

// searchLimit is how many books a search finds at most.
const searchLimit = 50

// search finds the books that have the text in their title or their author.
func (s *store) search(ctx context.Context, text string) ([]line, error) {
	escaped := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text)
	var lines []line
	err := s.db.SelectContext(ctx, &lines, selectLines+`
		WHERE b.title LIKE ?1 ESCAPE '\' OR a.name LIKE ?1 ESCAPE '\'
		ORDER BY b.title, b.id LIMIT ?2`, "%"+escaped+"%", searchLimit)
	return lines, err
}

// book is all there is to say of one.
type book struct {
	line
	Country string `db:"country"` // of the author
	Others  int    `db:"others"`  // books of the same author
}

func (s *store) book(ctx context.Context, id int64) (book, error) {
	var b book
	err := s.db.GetContext(ctx, &b, `
		SELECT b.id, b.title, b.year, b.cents, b.version, a.name AS author, a.country,
			EXISTS (SELECT 1 FROM loans l WHERE l.book_id = b.id AND l.returned_on IS NULL) AS lent,
			(SELECT COUNT(*) FROM books o WHERE o.author_id = a.id AND o.id <> b.id) AS others
		FROM books b
		JOIN authors a ON a.id = b.author_id
		WHERE b.id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		err = errNotFound
	}
	return b, err
}

type loan struct {
	Reader     string           `db:"reader"`
	LentOn     string           `db:"lent_on"`
	ReturnedOn sql.Null[string] `db:"returned_on"`
}

// loans returns the last loans of a book, the newest first.
func (s *store) loans(ctx context.Context, book int64) ([]loan, error) {
	var loans []loan
	err := s.db.SelectContext(ctx, &loans, `
		SELECT reader, lent_on, returned_on FROM loans
		WHERE book_id = ? ORDER BY id DESC LIMIT 20`, book)
	return loans, err
}

// report is what it takes a while to find out.
type report struct {
	Books    int64 `db:"books"`
	Versions int64 `db:"versions"` // of all books: each change of a book adds one
	Loans    int64 `db:"loans"`
	Lent     int64 `db:"lent"`
	Authors  []authorLoans
	Years    []yearLoans
}

type authorLoans struct {
	Name    string `db:"name"`
	Country string `db:"country"`
	Loans   int64  `db:"loans"`
	Lent    int64  `db:"lent"`
}

type yearLoans struct {
	Year  string `db:"year"`
	Loans int64  `db:"loans"`
	Lent  int64  `db:"lent"`
}

func (s *store) report(ctx context.Context) (report, error) {
	var r report
	err := s.db.GetContext(ctx, &r, `
		SELECT COUNT(*) AS books, COALESCE(SUM(version), 0) AS versions,
			(SELECT COUNT(*) FROM loans) AS loans,
			(SELECT COUNT(*) FROM loans WHERE returned_on IS NULL) AS lent
		FROM books`)
	if err != nil {
		return r, err
	}
	err = s.db.SelectContext(ctx, &r.Authors, `
		SELECT a.name, a.country, COUNT(*) AS loans, SUM(l.returned_on IS NULL) AS lent
		FROM loans l
		JOIN books b ON b.id = l.book_id
		JOIN authors a ON a.id = b.author_id
		GROUP BY a.id
		ORDER BY loans DESC, a.name
		LIMIT 20`)
	if err != nil {
		return r, err
	}
	err = s.db.SelectContext(ctx, &r.Years, `
		SELECT substr(lent_on, 1, 4) AS year, COUNT(*) AS loans, SUM(returned_on IS NULL) AS lent
		FROM loans
		GROUP BY year
		ORDER BY year DESC`)
	return r, err
}

// summary is what other programs ask for.
type summary struct {
	Books    int64 `db:"books" json:"books"`
	Authors  int64 `db:"authors" json:"authors"`
	Loans    int64 `db:"loans" json:"loans"`
	Lent     int64 `db:"lent" json:"lent"`
	Cents    int64 `db:"cents" json:"cents"`
	Versions int64 `db:"versions" json:"versions"`
}

// summaryTag is the tag in the hint of summaryText.
const summaryTag = "data"

// Forms change the file through the cache, which then needs no hint. This one is
// for whoever writes the file past it: it says how old the answer may then be,
// and its tag lets /refresh take back this query alone.
const summaryText = `/* querycache: ttl=%s tags=` + summaryTag + ` */
	SELECT COUNT(*) AS books, COALESCE(SUM(cents), 0) AS cents, COALESCE(SUM(version), 0) AS versions,
		(SELECT COUNT(*) FROM authors) AS authors,
		(SELECT COUNT(*) FROM loans) AS loans,
		(SELECT COUNT(*) FROM loans WHERE returned_on IS NULL) AS lent
	FROM books`

func (s *store) summary(ctx context.Context) (summary, error) {
	var d summary
	err := s.db.GetContext(ctx, &d, s.summaryText)
	return d, err
}

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

const schema = `
CREATE TABLE users (id INTEGER PRIMARY KEY, login TEXT NOT NULL UNIQUE, name TEXT NOT NULL);
CREATE TABLE projects (id INTEGER PRIMARY KEY, slug TEXT NOT NULL UNIQUE, name TEXT NOT NULL);
CREATE TABLE issues (
	id INTEGER PRIMARY KEY,
	project_id INTEGER NOT NULL REFERENCES projects (id),
	reporter_id INTEGER NOT NULL REFERENCES users (id),
	assignee_id INTEGER REFERENCES users (id),
	title TEXT NOT NULL,
	state TEXT NOT NULL DEFAULT 'open',
	opened_at DATETIME NOT NULL
);
CREATE TABLE comments (
	id INTEGER PRIMARY KEY,
	issue_id INTEGER NOT NULL REFERENCES issues (id),
	author_id INTEGER NOT NULL REFERENCES users (id),
	body TEXT NOT NULL
);
CREATE TABLE labels (issue_id INTEGER NOT NULL REFERENCES issues (id), label TEXT NOT NULL, PRIMARY KEY (issue_id, label));
CREATE VIEW open_issues AS SELECT * FROM issues WHERE state = 'open';`

// User reports, is assigned to and comments on issues.
type User struct {
	ID    int64  `db:"id"`
	Login string `db:"login"`
	Name  string `db:"name"`
}

// Project holds issues.
type Project struct {
	ID   int64  `db:"id"`
	Slug string `db:"slug"`
	Name string `db:"name"`
}

// Issue is a row of issues, and what the pages show beside it.
type Issue struct {
	ID         int64         `db:"id"`
	ProjectID  int64         `db:"project_id"`
	ReporterID int64         `db:"reporter_id"`
	AssigneeID sql.NullInt64 `db:"assignee_id"`
	Title      string        `db:"title"`
	State      string        `db:"state"`
	OpenedAt   time.Time     `db:"opened_at"`

	Reporter *User    `db:"-"`
	Labels   []string `db:"-"`
	Comments int      `db:"-"`
}

// Comment is what somebody said about an issue.
type Comment struct {
	ID       int64  `db:"id"`
	IssueID  int64  `db:"issue_id"`
	AuthorID int64  `db:"author_id"`
	Body     string `db:"body"`
}

// Filter chooses issues. What is empty is not asked for; pages begin at 0.
type Filter struct {
	Project int64  `db:"project"`
	State   string `db:"state"`
	Label   string `db:"label"`
	Limit   int    `db:"limit"`
	Page    int    `db:"page"`
}

// What a store refuses.
var (
	ErrNotFound = errors.New("not found")
	ErrClosed   = errors.New("already closed")
)

// Store keeps issues in a database. Nothing in it knows of a cache.
type Store struct{ db *sqlx.DB }

// Projects are all projects with the number of their open issues.
func (s *Store) Projects(ctx context.Context) ([]Project, map[int64]int, error) {
	var projects []Project
	if err := s.db.SelectContext(ctx, &projects, "SELECT * FROM projects ORDER BY name"); err != nil {
		return nil, nil, err
	}
	open := make(map[int64]int)
	for _, p := range projects {
		var n int
		if err := s.db.GetContext(ctx, &n, "SELECT COUNT(*) FROM open_issues WHERE project_id = ?", p.ID); err != nil {
			return nil, nil, err
		}
		open[p.ID] = n
	}
	return projects, open, nil
}

// User finds a user.
func (s *Store) User(ctx context.Context, id int64) (*User, error) {
	var u User
	return &u, found(s.db.GetContext(ctx, &u, "SELECT * FROM users WHERE id = ?", id))
}

// Users finds several at once, in no order.
func (s *Store) Users(ctx context.Context, ids []int64) (map[int64]User, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	query, args, err := sqlx.In("SELECT * FROM users WHERE id IN (?)", ids)
	if err != nil {
		return nil, err
	}
	var users []User
	if err := s.db.SelectContext(ctx, &users, s.db.Rebind(query), args...); err != nil {
		return nil, err
	}
	byID := make(map[int64]User, len(users))
	for _, u := range users {
		byID[u.ID] = u
	}
	return byID, nil
}

// Issues is one page of a list, newest first.
func (s *Store) Issues(ctx context.Context, f Filter) ([]Issue, error) {
	query := "SELECT * FROM issues WHERE 1 = 1"
	if f.Project != 0 {
		query += " AND project_id = :project"
	}
	if f.State != "" {
		query += " AND state = :state"
	}
	if f.Label != "" {
		query += " AND id IN (SELECT issue_id FROM labels WHERE label = :label)"
	}
	rows, err := s.db.NamedQueryContext(ctx, query+" ORDER BY id DESC LIMIT :limit OFFSET :page * :limit", f)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err has said what there is to say.
	var issues []Issue
	for rows.Next() {
		var i Issue
		if err := rows.StructScan(&i); err != nil {
			return nil, err
		}
		issues = append(issues, i)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for n := range issues {
		if err := s.fill(ctx, &issues[n]); err != nil {
			return nil, err
		}
	}
	return issues, nil
}

// fill looks up what a page shows beside an issue, a query for each.
func (s *Store) fill(ctx context.Context, i *Issue) (err error) {
	if i.Reporter, err = s.User(ctx, i.ReporterID); err != nil {
		return err
	}
	if err := s.db.SelectContext(ctx, &i.Labels, "SELECT label FROM labels WHERE issue_id = ? ORDER BY label", i.ID); err != nil {
		return err
	}
	return s.db.GetContext(ctx, &i.Comments, "SELECT COUNT(*) FROM comments WHERE issue_id = ?", i.ID)
}

// Issue finds an issue with its comments and their authors.
func (s *Store) Issue(ctx context.Context, id int64) (*Issue, []Comment, map[int64]User, error) {
	var i Issue
	if err := found(s.db.GetContext(ctx, &i, "SELECT * FROM issues WHERE id = ?", id)); err != nil {
		return nil, nil, nil, err
	}
	if err := s.fill(ctx, &i); err != nil {
		return nil, nil, nil, err
	}
	var comments []Comment
	if err := s.db.SelectContext(ctx, &comments, "SELECT * FROM comments WHERE issue_id = ? ORDER BY id", id); err != nil {
		return nil, nil, nil, err
	}
	ids := make([]int64, len(comments))
	for n, c := range comments {
		ids[n] = c.AuthorID
	}
	authors, err := s.Users(ctx, ids)
	return &i, comments, authors, err
}

// Open adds an issue with its labels and sets its ID.
func (s *Store) Open(ctx context.Context, i *Issue) error {
	return s.inTx(ctx, func(tx *sqlx.Tx) error {
		res, err := tx.NamedExecContext(ctx, `INSERT INTO issues (project_id, reporter_id, assignee_id, title, opened_at)
			VALUES (:project_id, :reporter_id, :assignee_id, :title, :opened_at)`, i)
		if err != nil {
			return err
		}
		if i.ID, err = res.LastInsertId(); err != nil {
			return err
		}
		for _, label := range i.Labels {
			if _, err := tx.ExecContext(ctx, "INSERT INTO labels (issue_id, label) VALUES (?, ?)", i.ID, label); err != nil {
				return err
			}
		}
		return tx.GetContext(ctx, i, "SELECT * FROM issues WHERE id = ?", i.ID)
	})
}

// Comment adds a comment.
func (s *Store) Comment(ctx context.Context, c Comment) error {
	_, err := s.db.NamedExecContext(ctx, "INSERT INTO comments (issue_id, author_id, body) VALUES (:issue_id, :author_id, :body)", c)
	return err
}

// CloseAll closes all of the issues and says so on each, or does nothing.
func (s *Store) CloseAll(ctx context.Context, by int64, ids ...int64) error {
	return s.inTx(ctx, func(tx *sqlx.Tx) error {
		for _, id := range ids {
			if _, err := tx.ExecContext(ctx, "INSERT INTO comments (issue_id, author_id, body) VALUES (?, ?, 'closed')", id, by); err != nil {
				return err
			}
			res, err := tx.ExecContext(ctx, "UPDATE issues SET state = 'closed' WHERE id = ? AND state = 'open'", id)
			if err != nil {
				return err
			}
			if n, err := res.RowsAffected(); err != nil || n == 0 {
				return errors.Join(err, fmt.Errorf("issue %d: %w", id, ErrClosed))
			}
		}
		return nil
	})
}

// inTx commits what do does, or rolls it back.
func (s *Store) inTx(ctx context.Context, do func(*sqlx.Tx) error) error {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// found turns the lack of a row into ErrNotFound.
func found(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

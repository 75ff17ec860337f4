package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

var monday = time.Date(2025, 3, 3, 9, 0, 0, 0, time.UTC)

// seed makes the tables and what was in them last week.
func seed(ctx context.Context, db *sqlx.DB) error {
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return err
	}
	users := []User{{1, "ada", "Ada"}, {2, "grace", "Grace"}, {3, "jean", "Jean"}, {4, "barbara", "Barbara"}}
	if _, err := db.NamedExecContext(ctx, "INSERT INTO users (id, login, name) VALUES (:id, :login, :name)", users); err != nil {
		return err
	}
	projects := []Project{{1, "web", "Website"}, {2, "app", "Mobile app"}, {3, "ops", "Operations"}}
	if _, err := db.NamedExecContext(ctx, "INSERT INTO projects (id, slug, name) VALUES (:id, :slug, :name)", projects); err != nil {
		return err
	}
	s := &Store{db}
	for n, title := range []string{
		"Login is slow", "Typo on the front page", "Dark mode", "Crash when offline", "Rotate the certificates",
		"Search finds nothing", "Upload of large files", "Icons are blurred", "Backups fill the disk", "Sign up by telephone",
	} {
		i := &Issue{ProjectID: 1 + int64(n%3), ReporterID: 1 + int64(n%4), Title: title, OpenedAt: monday.AddDate(0, 0, n-10)}
		if n%2 == 0 {
			i.AssigneeID = sql.NullInt64{Int64: 1 + int64(n%4), Valid: true}
			i.Labels = []string{"bug", "customer"}[:1+n%4/2]
		}
		if err := s.Open(ctx, i); err != nil {
			return err
		}
		if err := s.Comment(ctx, Comment{IssueID: i.ID, AuthorID: 1 + int64((n+1)%4), Body: "I can see it too."}); err != nil {
			return err
		}
	}
	return nil
}

// work is three days with the tracker: everybody looks at the same pages, and
// once in a while somebody writes.
func work(ctx context.Context, out io.Writer, s *Store) error {
	for day, write := range []func(context.Context, io.Writer, *Store) error{openOne, commentAndClose, closeTwice} {
		for _, part := range []string{"morning", "afternoon"} {
			for user := int64(1); user <= 4; user++ {
				fmt.Fprintf(out, "\n%s %s\n", monday.AddDate(0, 0, day).Weekday(), part)
				if err := visit(ctx, out, s, user); err != nil {
					return err
				}
			}
			if err := write(ctx, out, s); err != nil {
				return err
			}
		}
	}
	return nil
}

func openOne(ctx context.Context, out io.Writer, s *Store) error {
	i := &Issue{ProjectID: 1, ReporterID: 2, Title: "Cookie banner comes back", Labels: []string{"bug"}, OpenedAt: monday}
	err := s.Open(ctx, i)
	fmt.Fprintf(out, "\nopened %d, %s\n", i.ID, i.State)
	return err
}

func commentAndClose(ctx context.Context, out io.Writer, s *Store) error {
	page, err := s.Issues(ctx, Filter{State: "open", Label: "bug", Limit: 1})
	if err != nil || len(page) == 0 {
		return err
	}
	if err := s.Comment(ctx, Comment{IssueID: page[0].ID, AuthorID: 3, Body: "Fixed."}); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nclosing %d\n", page[0].ID)
	return s.CloseAll(ctx, 3, page[0].ID)
}

// closeTwice fails the second time and takes back the first.
func closeTwice(ctx context.Context, out io.Writer, s *Store) error {
	err := s.CloseAll(ctx, 4, 2, 2)
	fmt.Fprintf(out, "\nclosing 2 and 2: %v\n", err)
	if errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}

// visit is one user's look at the tracker: the projects, two pages of the list,
// the bugs, and an issue.
func visit(ctx context.Context, out io.Writer, s *Store, user int64) error {
	me, err := s.User(ctx, user)
	if err != nil {
		return err
	}
	projects, open, err := s.Projects(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Hello %s.", me.Name)
	for _, p := range projects {
		fmt.Fprintf(out, " %s: %d open.", p.Name, open[p.ID])
	}
	fmt.Fprintln(out)
	for _, list := range []struct {
		title string
		Filter
	}{
		{"Newest", Filter{Limit: 4}},
		{"Older", Filter{Limit: 4, Page: 1}},
		{"Bugs of the website", Filter{Project: 1, State: "open", Label: "bug", Limit: 4}},
	} {
		issues, err := s.Issues(ctx, list.Filter)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, list.title)
		for _, i := range issues {
			fmt.Fprintf(out, "  %2d %-6s %-26s by %-8s %s, %d comments [%s]\n",
				i.ID, i.State, i.Title, i.Reporter.Name, i.OpenedAt.Format(time.DateOnly), i.Comments, strings.Join(i.Labels, " "))
		}
	}
	return show(ctx, out, s, 2)
}

func show(ctx context.Context, out io.Writer, s *Store, id int64) error {
	i, comments, authors, err := s.Issue(ctx, id)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Issue %d, %s: %s\n", i.ID, i.State, i.Title)
	for _, c := range comments {
		fmt.Fprintf(out, "  %s: %s\n", authors[c.AuthorID].Name, c.Body)
	}
	return nil
}

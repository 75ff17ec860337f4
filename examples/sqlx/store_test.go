package main

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"
)

// drivers are those that the store is tested with. What a test asks before and
// after a write would be stale if the cache had kept it: seen to fail with writes
// that invalidate nothing.
var drivers = []string{"sqlite3", "sqlite3-cached"}

// newStore makes a tracker in a new file, as the program has it at first.
func newStore(t *testing.T, driver string) *Store {
	t.Helper()
	if err := register(); err != nil {
		t.Fatal(err)
	}
	db := sqlx.MustConnect(driver, "file:"+filepath.Join(t.TempDir(), "issues.db")+"?_journal_mode=WAL&_foreign_keys=on")
	t.Cleanup(func() { _ = db.Close() })
	if err := seed(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return &Store{db}
}

// page is the numbers of the issues on one page of a list.
func page(t *testing.T, s *Store, f Filter) (ids []int64) {
	t.Helper()
	issues, err := s.Issues(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range issues {
		ids = append(ids, i.ID)
	}
	return ids
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", what, diff)
	}
}

func TestPages(t *testing.T) {
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			s := newStore(t, driver)
			for range 2 {
				same(t, "first page", []int64{10, 9, 8, 7}, page(t, s, Filter{Limit: 4}))
				same(t, "last page", []int64{2, 1}, page(t, s, Filter{Limit: 4, Page: 2}))
				same(t, "beyond", []int64(nil), page(t, s, Filter{Limit: 4, Page: 3}))
				same(t, "by project and label", []int64{7, 1}, page(t, s, Filter{Project: 1, Label: "bug", Limit: 4}))
			}
		})
	}
}

func TestOpenAndComment(t *testing.T) {
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			s := newStore(t, driver)
			bugs := Filter{Project: 2, Label: "bug", Limit: 9}
			same(t, "bugs", []int64{5}, page(t, s, bugs))
			_, open, err := s.Projects(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			same(t, "open issues", map[int64]int{1: 4, 2: 3, 3: 3}, open)

			i := &Issue{ProjectID: 2, ReporterID: 4, Title: "No sound", Labels: []string{"bug"}, OpenedAt: monday}
			if err := s.Open(t.Context(), i); err != nil {
				t.Fatal(err)
			}
			same(t, "bugs", []int64{i.ID, 5}, page(t, s, bugs))
			_, open, err = s.Projects(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			same(t, "open issues", map[int64]int{1: 4, 2: 4, 3: 3}, open)

			for n := range 3 {
				got, comments, authors, err := s.Issue(t.Context(), i.ID)
				if err != nil {
					t.Fatal(err)
				}
				same(t, "reporter", &User{4, "barbara", "Barbara"}, got.Reporter)
				same(t, "comments", n, len(comments))
				same(t, "count of comments", n, got.Comments)
				same(t, "authors", min(n, 1), len(authors))
				if err := s.Comment(t.Context(), Comment{IssueID: i.ID, AuthorID: 1, Body: "Works for me."}); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestCloseAll(t *testing.T) {
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			s := newStore(t, driver)
			open := Filter{Project: 1, State: "open", Limit: 9}
			same(t, "open", []int64{10, 7, 4, 1}, page(t, s, open))
			if err := s.CloseAll(t.Context(), 1, 4, 7); err != nil {
				t.Fatal(err)
			}
			same(t, "open", []int64{10, 1}, page(t, s, open))

			err := s.CloseAll(t.Context(), 1, 10, 4)
			if !errors.Is(err, ErrClosed) {
				t.Errorf("closed twice: %v", err)
			}
			same(t, "open after a rollback", []int64{10, 1}, page(t, s, open))
			i, _, _, err := s.Issue(t.Context(), 10)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "comments after a rollback", 1, i.Comments)
		})
	}
}

func TestNotFound(t *testing.T) {
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			s := newStore(t, driver)
			for range 2 {
				if _, err := s.User(t.Context(), 99); !errors.Is(err, ErrNotFound) {
					t.Errorf("user: %v", err)
				}
				if _, _, _, err := s.Issue(t.Context(), 99); !errors.Is(err, ErrNotFound) {
					t.Errorf("issue: %v", err)
				}
			}
			users, err := s.Users(t.Context(), []int64{3, 99})
			if err != nil {
				t.Fatal(err)
			}
			same(t, "users", map[int64]User{3: {3, "jean", "Jean"}}, users)
		})
	}
}

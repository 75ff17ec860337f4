package main

import (
	"bytes"
	"html"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestBadInput posts what cannot be accepted. The answer names the field, has
// everything that was typed, and the file is as it was. Seen to fail with the form
// emptied before it is shown again, and with another status.
func TestBadInput(t *testing.T) {
	file, outside := library(t)
	s := start(t, config{db: file})
	add := fields("title", "A Title", "author", "An Author", "year", "1999", "price", "12.50")
	with := func(form url.Values, field, value string) url.Values {
		changed := url.Values{}
		for name := range form {
			changed.Set(name, form.Get(name))
		}
		changed.Set(field, value)
		return changed
	}
	change := fields("title", "A Title", "price", "12.50", "version", "1")
	tests := []struct {
		path, field string
		form        url.Values
		status      int
	}{
		{"/books", "title", with(add, "title", " "), 422},
		{"/books", "title", with(add, "title", strings.Repeat("ü", 201)), 422},
		{"/books", "title", with(add, "title", "tab\tand\nline"), 422},
		{"/books", "author", with(add, "author", ""), 422},
		{"/books", "year", with(add, "year", "soon"), 422},
		{"/books", "year", with(add, "year", "1066"), 422},
		{"/books", "year", with(add, "year", "99999999999999999999"), 422},
		{"/books", "price", with(add, "price", ""), 422},
		{"/books", "price", with(add, "price", "12.345"), 422},
		{"/books", "price", with(add, "price", "12."), 422},
		{"/books", "price", with(add, "price", "-1"), 422},
		{"/books", "price", with(add, "price", "1e3"), 422},
		{"/books", "price", with(add, "price", "10000.01"), 422},
		{"/books", "price", with(add, "price", `1"><script>`), 422},
		{"/books/1", "title", with(change, "title", ""), 422},
		{"/books/1", "price", with(change, "price", "x"), 422},
		{"/books/1", "version", with(change, "version", "x"), 422},
		{"/books/1/lend", "reader", fields("reader", ""), 422},
		{"/books/1/lend", "reader", fields("reader", strings.Repeat("x", 101)), 422},
	}
	before := contents(t, outside)
	for _, tt := range tests {
		a := s.post(t, tt.path, tt.form)
		if a.StatusCode != tt.status || !strings.Contains(a.body, `<p class="error">`+tt.field+" must ") {
			t.Errorf("POST %s %v: status %d, want %d and a word on %s\n%s", tt.path, tt.form, a.StatusCode, tt.status, tt.field, a.body)
		}
		for name, values := range tt.form {
			if value := values[0]; !strings.Contains(a.body, `value="`+html.EscapeString(value)+`"`) {
				t.Errorf("POST %s %v: what was typed into %s is lost\n%s", tt.path, tt.form, name, a.body)
			}
		}
	}
	if after := contents(t, outside); after != before {
		t.Errorf("the file was %v and is %v", before, after)
	}
	// The same forms with nothing wrong in them.
	s.change(t, "/books", add)
	s.change(t, "/books/1", change)
	if after := contents(t, outside); after == before {
		t.Error("good forms changed nothing: the test shows nothing")
	}
}

// sums tell whether anything in the file has changed.
type sums struct {
	Books    int   `db:"books"`
	Versions int   `db:"versions"`
	Authors  int   `db:"authors"`
	Loans    int   `db:"loans"`
	Cents    int64 `db:"cents"`
}

func contents(t *testing.T, db interface {
	Get(any, string, ...any) error
},
) sums {
	t.Helper()
	var c sums
	err := db.Get(&c, `SELECT COUNT(*) AS books, SUM(version) AS versions, SUM(cents) AS cents,
		(SELECT COUNT(*) FROM authors) AS authors, (SELECT COUNT(*) FROM loans) AS loans FROM books`)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestConflicts: seen to fail without "AND version = ?" in the update, and without
// the index lent_once.
func TestConflicts(t *testing.T) {
	file, outside := library(t)
	s := start(t, config{db: file})

	mine, theirs := edit(t, s, "title", "Mine"), edit(t, s, "title", "Theirs")
	s.change(t, "/books/1", theirs)
	before := contents(t, outside)
	expect := func(path string, form url.Values, status int, word string) {
		t.Helper()
		if a := s.post(t, path, form); a.StatusCode != status || !strings.Contains(a.body, word) {
			t.Errorf("POST %s: status %d, want %d and %q\n%s", path, a.StatusCode, status, word, a.body)
		}
	}
	expect("/books/1", mine, http.StatusConflict, errChanged.Error())
	expect("/books/1", mine, http.StatusConflict, `value="Mine"`)
	expect("/books/1/return", nil, http.StatusConflict, errNotLent.Error())
	expect("/books/10/lend", fields("reader", "Ada"), http.StatusConflict, errLent.Error())
	for _, path := range []string{"/books/999999", "/books/999999/lend", "/books/999999/return", "/books/x/return"} {
		expect(path, fields("title", "T", "price", "1", "version", "1", "reader", "Ada"), http.StatusNotFound, errNotFound.Error())
	}
	if after := contents(t, outside); after != before {
		t.Errorf("refused writes changed the file from %v to %v", before, after)
	}
	if page := s.page(t, "/books/1"); !strings.Contains(page, "Theirs") {
		t.Errorf("the first change is lost:\n%s", page)
	}
}

// TestBadAddresses asks for what there is not.
func TestBadAddresses(t *testing.T) {
	file, _ := library(t)
	s := start(t, config{db: file})
	for path, want := range map[string]struct {
		status int
		word   string
	}{
		"/?page=0":                              {400, "page must"},
		"/?page=x":                              {400, "page must"},
		"/?page=13":                             {400, "between 1 and 12"},
		"/?sort=1%3BDROP":                       {400, "sort must"},
		"/search?q=" + strings.Repeat("x", 201): {400, "q must"},
		"/books/999999":                         {404, errNotFound.Error()},
		"/books/1x":                             {404, errNotFound.Error()},
		"/nothing":                              {404, "not found"},
	} {
		if a := s.get(t, path); a.StatusCode != want.status || !strings.Contains(a.body, want.word) {
			t.Errorf("GET %s: status %d, want %d and %q\n%s", path, a.StatusCode, want.status, want.word, a.body)
		}
	}
}

// TestSearchTakesTextAsText: a percent sign finds percent signs. Seen to fail
// without the escaping.
func TestSearchTakesTextAsText(t *testing.T) {
	file, _ := library(t)
	s := start(t, config{db: file})
	s.change(t, "/books", fields("title", `100% of a_b\c`, "author", "An Author", "year", "1999", "price", "1"))
	for text, want := range map[string]int{"%": 1, "_": 1, `\`: 1, "100% OF": 1, "a%b": 0, "an author": 1} {
		if got := strings.Count(s.page(t, "/search?q="+url.QueryEscape(text)), "data-book="); got != want {
			t.Errorf("searching %q finds %d books, want %d", text, got, want)
		}
	}
}

// TestEscaping: seen to fail with text/template.
func TestEscaping(t *testing.T) {
	file, _ := library(t)
	s := start(t, config{db: file})
	const evil = `AAA <script>alert("x")</script>`
	s.change(t, "/books/1", edit(t, s, "title", evil))
	for _, path := range []string{"/", "/books/1", "/books/1/edit", "/search?q=" + url.QueryEscape("<script>")} {
		for range 2 { // From the database, then from the cache.
			page := s.page(t, path)
			if strings.Contains(page, "<script>") {
				t.Errorf("%s has the title as markup:\n%s", path, page)
			}
			if !strings.Contains(page, "AAA &lt;script&gt;") {
				t.Errorf("%s does not show the title:\n%s", path, page)
			}
		}
	}
}

// TestCrossOrigin posts a form as another site would have a browser do it. Seen to
// fail without CrossOriginProtection.
func TestCrossOrigin(t *testing.T) {
	file, outside := library(t)
	s := start(t, config{db: file})
	form := fields("title", "A Title", "author", "An Author", "year", "1999", "price", "1")
	before := contents(t, outside)
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://other.example"}} {
		if a := s.post(t, "/books", form, header...); a.StatusCode != http.StatusForbidden {
			t.Errorf("with %v: status %d, want 403", header, a.StatusCode)
		}
	}
	if after := contents(t, outside); after != before {
		t.Errorf("the file was %v and is %v", before, after)
	}
	if a := s.post(t, "/books", form, "Sec-Fetch-Site", "same-origin", "Origin", s.url); a.StatusCode != http.StatusSeeOther {
		t.Errorf("from the site itself: status %d", a.StatusCode)
	}
}

// TestLogHasNoArguments makes the database fail. Seen to fail with the URL logged.
func TestLogHasNoArguments(t *testing.T) {
	file, outside := library(t)
	s := start(t, config{db: file})
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	if _, err := outside.Exec("ALTER TABLE books RENAME COLUMN title TO name"); err != nil {
		t.Fatal(err)
	}

	a := s.get(t, "/search?q=secret")
	if a.StatusCode != http.StatusInternalServerError || strings.Contains(a.body, "column") {
		t.Errorf("status %d\n%s", a.StatusCode, a.body)
	}
	if err := s.stop(); err != nil { // The log is complete then.
		t.Error(err)
	}
	if text := log.String(); !strings.Contains(text, `pattern="GET /search"`) || strings.Contains(text, "secret") {
		t.Errorf("the log says %s", text)
	}
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/querycache/querycache"
)

// app is the web application.
type app struct {
	store  *store
	cache  *querycache.Cache // for the numbers in the footer, and for refresh
	pages  pages
	assets assets
}

func newApp(s *store, cache *querycache.Cache) (*app, error) {
	assets, err := loadAssets()
	if err != nil {
		return nil, err
	}
	pages, err := parsePages(assets)
	if err != nil {
		return nil, err
	}
	return &app{store: s, cache: cache, pages: pages, assets: assets}, nil
}

// maxBody bounds what a request may post, in bytes.
const maxBody = 64 << 10

// handler is the whole application.
func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /{$}":                a.list,
		"GET /books/{id}":         a.book,
		"GET /books/new":          a.addForm,
		"POST /books":             a.add,
		"GET /books/{id}/edit":    a.editForm,
		"POST /books/{id}":        a.edit,
		"POST /books/{id}/lend":   a.lend,
		"POST /books/{id}/return": a.giveBack,
		"GET /search":             a.search,
		"GET /report":             a.report,
		"GET /data":               a.data,
		"POST /refresh":           a.refresh,
	} {
		mux.Handle(pattern, a.traced(a.answered(h)))
	}
	mux.Handle("GET /static/{file}", a.assets)
	return http.NewCrossOriginProtection().Handler(http.MaxBytesHandler(mux, maxBody))
}

// listBody is what list.html shows.
type listBody struct {
	Lines       []line
	Page, Pages int
	Sort        string
	Sorts       []string
}

func (a *app) list(w http.ResponseWriter, r *http.Request) error {
	body := listBody{Page: 1, Sort: "title", Sorts: []string{"title", "author", "year", "price"}}
	if sort := r.FormValue("sort"); sort != "" {
		if orders[sort] == "" {
			return &statusError{http.StatusBadRequest, "sort must be one of " + strings.Join(body.Sorts, ", ")}
		}
		body.Sort = sort
	}
	var err error
	if body.Pages, err = a.store.pages(r.Context()); err != nil {
		return err
	}
	if page := r.FormValue("page"); page != "" {
		body.Page, err = strconv.Atoi(page)
		if err != nil || body.Page < 1 || body.Page > body.Pages {
			return &statusError{http.StatusBadRequest, fmt.Sprintf("page must be a number between 1 and %d", body.Pages)}
		}
	}
	if body.Lines, err = a.store.page(r.Context(), body.Sort, body.Page); err != nil {
		return err
	}
	return a.render(w, r, http.StatusOK, "list", "Books", body)
}

// bookBody is what book.html shows. The form is that of a loan.
type bookBody struct {
	Book  book
	Loans []loan
	Form  *form
	Fault string
}

func (a *app) book(w http.ResponseWriter, r *http.Request) error {
	return a.showBook(w, r, http.StatusOK, &form{}, "")
}

func (a *app) showBook(w http.ResponseWriter, r *http.Request, status int, f *form, fault string) error {
	id, err := bookID(r)
	if err != nil {
		return err
	}
	b, err := a.store.book(r.Context(), id)
	if err != nil {
		return err
	}
	loans, err := a.store.loans(r.Context(), id)
	if err != nil {
		return err
	}
	return a.render(w, r, status, "book", b.Title, bookBody{b, loans, f, fault})
}

func (a *app) search(w http.ResponseWriter, r *http.Request) error {
	body := struct {
		Text  string
		Lines []line
		Limit int
	}{Text: strings.TrimSpace(r.FormValue("q")), Limit: searchLimit}
	if len(body.Text) > maxTitle {
		return &statusError{http.StatusBadRequest, fmt.Sprintf("q must have at most %d bytes", maxTitle)}
	}
	if body.Text != "" {
		var err error
		if body.Lines, err = a.store.search(r.Context(), body.Text); err != nil {
			return err
		}
	}
	return a.render(w, r, http.StatusOK, "search", "Search", body)
}

func (a *app) report(w http.ResponseWriter, r *http.Request) error {
	report, err := a.store.report(r.Context())
	if err != nil {
		return err
	}
	return a.render(w, r, http.StatusOK, "report", "Report", report)
}

func (a *app) data(w http.ResponseWriter, r *http.Request) error {
	summary, err := a.store.summary(r.Context())
	if err != nil {
		return err
	}
	body, err := json.Marshal(summary)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(append(body, '\n')) // The client may have gone, which is its right.
	return nil
}

// refresh has the next /data ask the database, for whoever has just written the
// file with another program.
func (a *app) refresh(w http.ResponseWriter, r *http.Request) error {
	a.cache.InvalidateTags(summaryTag)
	http.Redirect(w, r, "/data", http.StatusSeeOther)
	return nil
}

func (a *app) addForm(w http.ResponseWriter, r *http.Request) error {
	return a.render(w, r, http.StatusOK, "add", "Add a book", &form{})
}

func (a *app) add(w http.ResponseWriter, r *http.Request) error {
	f, err := readForm(r)
	if err != nil {
		return err
	}
	b := newBook{
		Title:  f.text("title", maxTitle),
		Author: f.text("author", maxName),
		Year:   f.number("year", 1450, time.Now().Year()+1),
		Cents:  f.cents("price"),
	}
	if !f.ok() {
		return a.render(w, r, http.StatusUnprocessableEntity, "add", "Add a book", f)
	}
	id, err := a.store.add(r.Context(), b)
	if err != nil {
		return err
	}
	seeBook(w, r, id)
	return nil
}

// The longest title and the longest name of a person, in characters.
const (
	maxTitle = 200
	maxName  = 100
)

// editBody is what edit.html shows.
type editBody struct {
	ID    int64
	Form  *form
	Fault string
}

func (a *app) editForm(w http.ResponseWriter, r *http.Request) error {
	id, err := bookID(r)
	if err != nil {
		return err
	}
	b, err := a.store.book(r.Context(), id)
	if err != nil {
		return err
	}
	return a.render(w, r, http.StatusOK, "edit", "Change a book", editBody{id, &form{Values: url.Values{
		"title": {b.Title}, "price": {formatPrice(b.Cents)}, "version": {strconv.FormatInt(b.Version, 10)},
	}}, ""})
}

func (a *app) edit(w http.ResponseWriter, r *http.Request) error {
	id, err := bookID(r)
	if err != nil {
		return err
	}
	f, err := readForm(r)
	if err != nil {
		return err
	}
	title, cents, version := f.text("title", maxTitle), f.cents("price"), f.number("version", 1, math.MaxInt32)
	if !f.ok() {
		return a.render(w, r, http.StatusUnprocessableEntity, "edit", "Change a book", editBody{id, f, ""})
	}
	err = a.store.edit(r.Context(), id, int64(version), title, cents)
	if errors.Is(err, errChanged) {
		return a.render(w, r, http.StatusConflict, "edit", "Change a book", editBody{id, f, err.Error()})
	}
	if err != nil {
		return err
	}
	seeBook(w, r, id)
	return nil
}

func (a *app) lend(w http.ResponseWriter, r *http.Request) error {
	id, err := bookID(r)
	if err != nil {
		return err
	}
	f, err := readForm(r)
	if err != nil {
		return err
	}
	reader := f.text("reader", maxName)
	if !f.ok() {
		return a.showBook(w, r, http.StatusUnprocessableEntity, f, "")
	}
	return a.lentOrReturned(w, r, id, f, a.store.lend(r.Context(), id, reader, today()))
}

func (a *app) giveBack(w http.ResponseWriter, r *http.Request) error {
	id, err := bookID(r)
	if err != nil {
		return err
	}
	return a.lentOrReturned(w, r, id, &form{}, a.store.giveBack(r.Context(), id, today()))
}

func (a *app) lentOrReturned(w http.ResponseWriter, r *http.Request, id int64, f *form, err error) error {
	if errors.Is(err, errLent) || errors.Is(err, errNotLent) {
		return a.showBook(w, r, http.StatusConflict, f, err.Error())
	}
	if err != nil {
		return err
	}
	seeBook(w, r, id)
	return nil
}

// today is a parameter of the statements, so that they say the same each time.
func today() string { return time.Now().Format(time.DateOnly) }

// bookID is the id in the path.
func bookID(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return 0, errNotFound
	}
	return id, nil
}

// seeBook sends the browser on, so that loading the page again posts nothing.
func seeBook(w http.ResponseWriter, r *http.Request, id int64) {
	http.Redirect(w, r, "/books/"+strconv.FormatInt(id, 10), http.StatusSeeOther)
}

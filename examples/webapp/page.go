package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/querycache/querycache"
)

//go:embed templates
var templateFiles embed.FS

// pages are the templates, each with the layout around it.
type pages map[string]*template.Template

func parsePages(assets assets) (pages, error) {
	layout := template.New("layout.html").Funcs(template.FuncMap{
		"add":    func(a, b int) int { return a + b },
		"price":  formatPrice,
		"static": assets.url,
	})
	if _, err := layout.ParseFS(templateFiles, "templates/layout.html"); err != nil {
		return nil, err
	}
	entries, err := templateFiles.ReadDir("templates")
	if err != nil {
		return nil, err
	}
	all := pages{}
	for _, entry := range entries {
		if entry.Name() == layout.Name() {
			continue
		}
		page, err := layout.Clone()
		if err != nil {
			return nil, err
		}
		if _, err := page.ParseFS(templateFiles, path.Join("templates", entry.Name())); err != nil {
			return nil, err
		}
		all[strings.TrimSuffix(entry.Name(), ".html")] = page
	}
	return all, nil
}

// render answers with a page. It is made whole first: what fails half-way must
// not have been sent as a success.
func (a *app) render(w http.ResponseWriter, r *http.Request, status int, name, title string, body any) error {
	page := struct {
		Title  string
		Body   any
		Footer footer
	}{title, body, a.footer(r.Context())}
	var buf bytes.Buffer
	if err := a.pages[name].Execute(&buf, page); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache") // Browsers ask each time: they would not hear of a write.
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes()) // The client may have gone, which is its right.
	return nil
}

// handler answers a request, or returns an error and has answered nothing.
type handler func(http.ResponseWriter, *http.Request) error

// statusError is an error that the user made.
type statusError struct {
	status  int
	message string
}

func (e *statusError) Error() string { return e.message }

// answered answers with the error that a handler returns. What the user did not
// do is logged by the pattern of its path: arguments stay out of the log.
func (a *app) answered(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil || r.Context().Err() != nil {
			return // Answered, or nobody is there to be answered.
		}
		status, message := http.StatusInternalServerError, "Something went wrong here. It has been noted."
		var theirs *statusError
		switch {
		case errors.As(err, &theirs):
			status, message = theirs.status, theirs.message
		case errors.Is(err, errNotFound):
			status, message = http.StatusNotFound, errNotFound.Error()
		default:
			slog.ErrorContext(r.Context(), "request failed", "pattern", r.Pattern, "err", err)
		}
		if err := a.render(w, r, status, "fault", http.StatusText(status), message); err != nil {
			slog.ErrorContext(r.Context(), "error page failed", "pattern", r.Pattern, "err", err)
			http.Error(w, message, status)
		}
	})
}

// trace adds up what the queries of one request cost.
type trace struct {
	mu              sync.Mutex // guards what follows
	queries, hits   int
	database, saved time.Duration
}

func (t *trace) add(o querycache.Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queries++
	if o.Kind == querycache.Hit || o.Kind == querycache.Coalesced {
		t.hits++
	}
	t.database += o.Database
	t.saved += o.Saved
}

type traceKey struct{}

// traced has the cache tell of every query that a request makes.
func (a *app) traced(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := new(trace)
		ctx := querycache.WithTrace(r.Context(), t.add)
		h.ServeHTTP(w, r.WithContext(context.WithValue(ctx, traceKey{}, t)))
	})
}

// footer is what the foot of a page tells of the cache.
type footer struct {
	Off           bool
	Queries, Hits int
	Database      time.Duration
	Saved         time.Duration
	Total         querycache.Stats
}

// footer tells of the queries made so far: a page asks for it last.
func (a *app) footer(ctx context.Context) footer {
	if a.store.db.DriverName() == plainDriver {
		return footer{Off: true}
	}
	f := footer{Total: a.cache.Stats()}
	f.Total.TimeSaved = f.Total.TimeSaved.Round(time.Millisecond)
	if t, ok := ctx.Value(traceKey{}).(*trace); ok {
		t.mu.Lock()
		defer t.mu.Unlock()
		f.Queries, f.Hits = t.queries, t.hits
		f.Database, f.Saved = t.database.Round(time.Microsecond), t.saved.Round(time.Microsecond)
	}
	return f
}

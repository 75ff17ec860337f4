package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	_ "github.com/mattn/go-sqlite3"
)

// program is the web application, built once.
var program = sync.OnceValues(func() (string, error) {
	return build(context.Background(), buildDir)
})

var buildDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "querycache-loadtest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildDir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// startServer starts the web application with a small library until the test has
// ended, and sees that it ends as it should.
func startServer(t *testing.T, flags ...string) *server {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	s, err := start(context.Background(), path, append(flags, "-books=300")...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return s
}

var small = options{mixed: 2 * time.Second, clients: 4, writes: 0.1, books: 300}

// TestFreshness is the load of the program, cut short. Seen to fail with writes in
// the core that leave the generations of their tables as they are.
func TestFreshness(t *testing.T) {
	for _, flags := range [][]string{nil, {"-nocache"}} {
		s := startServer(t, flags...)
		var out bytes.Buffer
		if err := freshness(t.Context(), &out, s, small); err != nil {
			t.Errorf("with %v: %v", flags, err)
		}
		t.Logf("with %v:\n%s", flags, &out)
	}
}

// TestEveryPageIsChecked: a page without versions would never be stale. Seen to
// fail with a load that raises no floor.
func TestEveryPageIsChecked(t *testing.T) {
	s := startServer(t)
	b := newBrowser(s.base, 1)
	defer b.close()
	lib, err := survey(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(mix{pages: everyPage}, b, lib, 0)
	for _, kind := range everyPage {
		before := c.tally.checked[kind]
		if _, err := c.read(t.Context(), kind); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if c.tally.checked[kind] == before {
			t.Errorf("%s shows no version", kind)
		}
	}
	for range 60 {
		if err := c.write(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if c.tally.posts != 60 {
		t.Errorf("%d of 60 forms were accepted", c.tally.posts)
	}
	// Nobody else writes: the pages must be at the floors exactly.
	floors := lib.floors.now()
	for page := range surveyed {
		text, err := b.get(t.Context(), listPath(page))
		if err != nil {
			t.Fatal(err)
		}
		for id, version := range versionsOn(text).books {
			if floors.books[id] != version {
				t.Errorf("book %d is in version %d, its floor is %d", id, version, floors.books[id])
			}
		}
	}
	text, err := b.get(t.Context(), "/report")
	if err != nil {
		t.Fatal(err)
	}
	if total := versionsOn(text).total; total != floors.total {
		t.Errorf("all books together are in version %d, their floor is %d", total, floors.total)
	}
	if queries, hits := costOf(text); queries == 0 || hits != 0 {
		t.Errorf("the first report after a write: %d hits of %d queries", hits, queries)
	}
}

// timed caches pages as a decorator on a view would: whole, by their address, for a
// time, whatever is written.
func timed(h http.Handler, timeout time.Duration) http.Handler {
	type kept struct {
		*httptest.ResponseRecorder
		until time.Time
	}
	var mu sync.Mutex
	pages := map[string]kept{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			h.ServeHTTP(w, r)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		page, ok := pages[r.URL.String()]
		if !ok || time.Now().After(page.until) {
			page = kept{httptest.NewRecorder(), time.Now().Add(timeout)}
			h.ServeHTTP(page, r)
			pages[r.URL.String()] = page
		}
		for name, values := range page.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(page.Code)
		_, _ = w.Write(page.Body.Bytes())
	})
}

// TestTimedCacheIsStale puts a cache of pages in front of the same server: the
// load must find it out. With a timeout of zero it must find nothing.
func TestTimedCacheIsStale(t *testing.T) {
	s := startServer(t)
	target, err := url.Parse(s.base)
	if err != nil {
		t.Fatal(err)
	}
	for _, timeout := range []time.Duration{0, time.Minute} {
		proxy := httputil.NewSingleHostReverseProxy(target)
		proxy.Transport = &http.Transport{}
		stale := httptest.NewServer(timed(proxy, timeout))
		b := newBrowser(stale.URL, small.clients)
		lib, err := survey(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		// It ends as soon as it has found faults enough.
		d := limit
		if timeout == 0 {
			d = time.Second
		}
		tally := mix{small.clients, small.writes, everyPage}.run(t.Context(), b, lib, d)
		if found := len(tally.stale) > 0; found != (timeout > 0) {
			t.Errorf("with a timeout of %v: %d stale pages of %d kinds after %d writes, %v",
				timeout, len(tally.stale), len(tally.pages), tally.posts, tally.err())
		}
		if len(tally.failed) > 0 {
			t.Error(tally.err())
		}
		b.close()
		stale.Close()
		proxy.Transport.(*http.Transport).CloseIdleConnections() //nolint:forcetypeassert // It was made above.
	}
}

// limit is how long a test waits for what must happen.
const limit = 60 * time.Second

// TestWriteOutsideIsStale writes the file past the cache. That is a stale page, and
// the load must say so of every kind of page. Seen to fail with the floors ignored.
func TestWriteOutsideIsStale(t *testing.T) {
	file := filepath.Join(t.TempDir(), "library.db")
	s := startServer(t, "-db", file)
	b := newBrowser(s.base, 1)
	defer b.close()
	lib, err := survey(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{bookPath(lib.books[0]), listPath(0), "/search?q=" + lib.words[0], "/report", "/data"}
	c := newClient(mix{}, b, lib, 0)
	for _, path := range paths {
		if _, err := c.open(t.Context(), "page", path); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.tally.stale) > 0 {
		t.Fatalf("before anything is written: %v", c.tally.stale)
	}

	outside, err := sqlx.Open("sqlite3", "file:"+file+"?_busy_timeout=10000")
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	if _, err := outside.Exec("UPDATE books SET version = version + 1"); err != nil {
		t.Fatal(err)
	}
	for id := range lib.floors.books {
		lib.floors.raise(id)
	}
	for i, path := range paths {
		if _, err := c.open(t.Context(), "page", path); err != nil {
			t.Fatal(err)
		}
		if len(c.tally.stale) != i+1 || !strings.Contains(c.tally.stale[i], path+": stale: ") {
			t.Errorf("%s was not found to be stale: %v", path, c.tally.stale)
		}
	}
}

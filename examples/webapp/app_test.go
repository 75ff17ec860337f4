package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	sqlite3 "github.com/mattn/go-sqlite3"
	"go.uber.org/goleak"

	"github.com/querycache/querycache"
)

// cache is that of every test: a driver is registered once in a process. Nothing
// expires, so that no test passes because it is slow.
var cache *querycache.Cache

// TestMain ends with a look at what still runs. Seen to fail without db.Close.
func TestMain(m *testing.M) {
	var err error
	cache, err = querycache.Register(cachedDriver, &sqlite3.SQLiteDriver{}, querycache.Config{TTL: -1})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = cache.Close()
	browser.CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// browser does not follow redirects.
var browser = &http.Client{
	Transport:     &http.Transport{},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// site is the program, as main runs it.
type site struct {
	url  string
	stop func() error // as a signal would, and waits for it
}

// start runs the program until the test has ended.
func start(t *testing.T, cfg config) *site {
	t.Helper()
	cfg.addr, cfg.books = "127.0.0.1:0", 300
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, in, cache, cfg)
		in.CloseWithError(err)
		done <- err
	}()
	stopped := false
	s := &site{stop: func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		browser.CloseIdleConnections()
		return <-done
	}}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("the program ended with %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	s.url = strings.TrimSpace(line)
	return s
}

// library is a new file, and a handle on it that no cache knows of.
func library(t *testing.T) (file string, outside *sqlx.DB) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "library 1%.db") // A name that a URI has to escape.
	outside, err := sqlx.Open(plainDriver, dsn(file))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = outside.Close() })
	return file, outside
}

// answer is what came back.
type answer struct {
	*http.Response
	body string
}

func do(t *testing.T, req *http.Request) answer {
	t.Helper()
	res, err := browser.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res, string(body)}
}

func (s *site) get(t *testing.T, path string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, req)
}

// page is what a user sees of a page that must be there.
func (s *site) page(t *testing.T, path string) string {
	t.Helper()
	a := s.get(t, path)
	if a.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: status %d\n%s", path, a.StatusCode, a.body)
	}
	return withoutFooter(a.body)
}

func (s *site) post(t *testing.T, path string, form url.Values, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return do(t, req)
}

// change posts a form that must be accepted.
func (s *site) change(t *testing.T, path string, form url.Values) {
	t.Helper()
	if a := s.post(t, path, form); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("POST %s: status %d\n%s", path, a.StatusCode, a.body)
	}
}

// fields makes a form of names and values.
func fields(pairs ...string) url.Values {
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

var footerPattern = regexp.MustCompile(`(?s)<footer>.*</footer>`)

func withoutFooter(page string) string { return footerPattern.ReplaceAllString(page, "") }

// cost is what the footer says of a page.
func cost(t *testing.T, page string) (queries, hits int) {
	t.Helper()
	m := regexp.MustCompile(`id="page" data-queries="(\d+)" data-hits="(\d+)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("the footer does not say what the page took:\n%s", footerPattern.FindString(page))
	}
	queries, _ = strconv.Atoi(m[1])
	hits, _ = strconv.Atoi(m[2])
	return queries, hits
}

// limit is how long a test waits for what must happen.
const limit = 60 * time.Second

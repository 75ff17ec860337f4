package main

import (
	"context"
	"errors"
	"fmt"
	"html"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// mix is what a load is made of.
type mix struct {
	clients int
	writes  float64  // the share of requests that write
	pages   []string // the kinds of pages that are read, each as often as it is named
}

// everyPage is a mix of what there is to read.
var everyPage = []string{"book", "book", "book", "list", "list", "search", "report", "data"}

// maxFaults is how many faults of one client end a load.
const maxFaults = 10

// tally is what has come of a load.
type tally struct {
	elapsed       time.Duration
	pages         map[string]int64 // read, by kind
	checked       map[string]int64 // versions on them, by kind
	posts         int64
	queries, hits int64    // of the pages that tell
	stale         []string // pages that were too old
	failed        []error
}

func newTally() *tally {
	return &tally{pages: map[string]int64{}, checked: map[string]int64{}}
}

// library is what a load knows of the books before it begins.
type library struct {
	floors   *floors
	books    []int64 // that it writes
	words    []string
	requests atomic.Int64 // so far
}

// writeIsDue reports whether the next request is to write, where a share of them
// does. The share is exact: left to chance, the slower of two servers might be
// spared all writes.
func (l *library) writeIsDue(share float64) bool {
	n := float64(l.requests.Add(1))
	return math.Round(n*share) > math.Round((n-1)*share)
}

// survey looks at a server on which nobody writes yet.
func survey(ctx context.Context, b *browser) (*library, error) {
	lib, books := &library{}, map[int64]int64{}
	for page := range surveyed {
		text, err := b.get(ctx, listPath(page))
		if err != nil {
			return nil, err
		}
		maps.Copy(books, versionsOn(text).books)
		for _, m := range titlePattern.FindAllStringSubmatch(text, -1) {
			lib.words = append(lib.words, longestWord(html.UnescapeString(m[1])))
		}
	}
	report, err := b.get(ctx, "/report")
	if err != nil {
		return nil, err
	}
	lib.books = slices.Sorted(maps.Keys(books))
	lib.floors = newFloors(versionsOn(report).total, books)
	if len(lib.books) == 0 || len(lib.words) == 0 || lib.floors.total.Load() <= 0 {
		return nil, errors.New("the pages show no versions")
	}
	return lib, nil
}

// surveyed is how many pages of the list are read and written.
const surveyed = 3

// listPath is a page of the list in an order that no write changes.
func listPath(page int) string { return fmt.Sprintf("/?sort=year&page=%d", page+1) }

func longestWord(title string) string {
	return slices.MaxFunc(strings.Fields(title), func(a, b string) int { return len(a) - len(b) })
}

// run puts the load on a server for a time, or until it has found faults enough.
// Requests that have begun by then are waited for, and count: without the cache on
// a slow machine there may be no others.
func (m mix) run(ctx context.Context, b *browser, lib *library, d time.Duration) *tally {
	during, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	start := time.Now()
	clients := make([]*client, m.clients)
	var wg sync.WaitGroup
	for i := range clients {
		c := newClient(m, b, lib, i)
		clients[i] = c
		wg.Go(func() {
			c.run(ctx, during)
			if c.enough() {
				cancel()
			}
		})
	}
	wg.Wait()

	all := newTally()
	all.elapsed = time.Since(start)
	for _, c := range clients {
		all.add(c.tally)
	}
	return all
}

func (t *tally) add(o *tally) {
	t.elapsed += o.elapsed
	for kind, n := range o.pages {
		t.pages[kind] += n
	}
	for kind, n := range o.checked {
		t.checked[kind] += n
	}
	t.posts += o.posts
	t.queries += o.queries
	t.hits += o.hits
	t.stale = append(t.stale, o.stale...)
	t.failed = append(t.failed, o.failed...)
}

// err is nil where every page was as it had to be.
func (t *tally) err() error {
	errs := t.failed
	for _, s := range t.stale {
		errs = append(errs, errors.New(s))
	}
	return errors.Join(errs...)
}

// client is one user. The books that it writes are written by nobody else, so
// that a form which the server calls outdated was outdated when it was fetched.
type client struct {
	mix
	browser *browser
	library *library
	watcher *watcher
	random  *rand.Rand
	own     []int64
	tally   *tally
}

// newClient makes the i-th client of a mix.
func newClient(m mix, b *browser, lib *library, i int) *client {
	c := &client{
		mix: m, browser: b, library: lib, watcher: newWatcher(lib.floors),
		random: rand.New(rand.NewPCG(uint64(i), 1)),
		tally:  newTally(),
	}
	for j := i; j < len(lib.books); j += max(m.clients, 1) {
		c.own = append(c.own, lib.books[j])
	}
	return c
}

// enough reports whether the client has found faults enough.
func (c *client) enough() bool { return len(c.tally.stale)+len(c.tally.failed) >= maxFaults }

// run makes requests while during lasts, each with ctx.
func (c *client) run(ctx, during context.Context) {
	for during.Err() == nil && !c.enough() {
		var err error
		if c.library.writeIsDue(c.writes) && len(c.own) > 0 {
			err = c.write(ctx)
		} else {
			_, err = c.read(ctx, c.pages[c.random.IntN(len(c.pages))])
		}
		if err != nil {
			c.tally.failed = append(c.tally.failed, err)
		}
	}
}

// read reads a page of some kind.
func (c *client) read(ctx context.Context, kind string) (string, error) {
	lib := c.library
	switch kind {
	case "book":
		return c.open(ctx, kind, bookPath(lib.books[c.random.IntN(len(lib.books))]))
	case "list":
		return c.open(ctx, kind, listPath(c.random.IntN(surveyed)))
	case "search":
		return c.open(ctx, kind, "/search?q="+url.QueryEscape(lib.words[c.random.IntN(len(lib.words))]))
	default:
		return c.open(ctx, kind, "/"+kind)
	}
}

// open reads a page and checks it.
func (c *client) open(ctx context.Context, kind, path string) (string, error) {
	floors := c.library.floors.now()
	text, err := c.browser.get(ctx, path)
	if err != nil {
		return "", err
	}
	shown := versionsOn(text)
	if fault := c.watcher.check(shown, floors); fault != "" {
		c.tally.stale = append(c.tally.stale, path+": "+fault)
	}
	queries, hits := costOf(text)
	c.tally.queries += queries
	c.tally.hits += hits
	c.tally.pages[kind]++
	c.tally.checked[kind] += int64(shown.count())
	return text, nil
}

// write changes one of the client's books, or adds one.
func (c *client) write(ctx context.Context) error {
	id := c.own[c.random.IntN(len(c.own))]
	switch n := c.random.IntN(10); {
	case n < 6:
		return c.edit(ctx, id)
	case n < 9:
		return c.lendOrReturn(ctx, id)
	default:
		return c.post(ctx, 0, "/books", url.Values{
			"title": {"The New Book"}, "author": {"Ada Load"}, "year": {"1950"}, "price": {"9.50"},
		})
	}
}

func (c *client) edit(ctx context.Context, id int64) error {
	text, err := c.open(ctx, "edit", bookPath(id)+"/edit")
	if err != nil {
		return err
	}
	form := inputsOf(text)
	form.Set("price", fmt.Sprintf("%d.%02d", c.random.IntN(100), c.random.IntN(100)))
	return c.post(ctx, id, bookPath(id), form)
}

func (c *client) lendOrReturn(ctx context.Context, id int64) error {
	text, err := c.open(ctx, "book", bookPath(id))
	if err != nil {
		return err
	}
	if strings.Contains(text, bookPath(id)+`/return"`) {
		return c.post(ctx, id, bookPath(id)+"/return", nil)
	}
	return c.post(ctx, id, bookPath(id)+"/lend", url.Values{"reader": {"Ada Load"}})
}

// post posts a form that raises the version of a book, and looks at the page
// that it leads to.
func (c *client) post(ctx context.Context, book int64, path string, form url.Values) error {
	status, location, err := c.browser.post(ctx, path, form)
	if err != nil {
		return err
	}
	if status == http.StatusConflict {
		c.tally.stale = append(c.tally.stale, path+": the form was outdated when it was fetched")
		return nil
	}
	c.library.floors.raise(book)
	c.tally.posts++
	_, err = c.open(ctx, "book", location)
	return err
}

func bookPath(id int64) string { return fmt.Sprintf("/books/%d", id) }

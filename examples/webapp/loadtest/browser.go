package main

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// browser asks one server for pages and posts forms to it.
type browser struct {
	base   string
	client *http.Client
}

func newBrowser(base string, clients int) *browser {
	return &browser{base, &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{MaxIdleConnsPerHost: clients},
		// A redirect is the answer to a form: the write has returned.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (b *browser) close() { b.client.CloseIdleConnections() }

// get returns a page.
func (b *browser) get(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.base+path, http.NoBody)
	if err != nil {
		return "", err
	}
	status, _, body, err := b.do(req)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("GET %s: status %d", path, status)
	}
	return body, err
}

// post posts a form and returns the status and where it sends the browser.
func (b *browser) post(ctx context.Context, path string, form url.Values) (status int, location string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	status, location, _, err = b.do(req)
	if err == nil && status != http.StatusSeeOther && status != http.StatusConflict {
		err = fmt.Errorf("POST %s: status %d", path, status)
	}
	return status, location, err
}

func (b *browser) do(req *http.Request) (status int, location, body string, err error) {
	res, err := b.client.Do(req)
	if err != nil {
		return 0, "", "", err
	}
	defer res.Body.Close() //nolint:errcheck // ReadAll has said what there is to say.
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, res.Header.Get("Location"), string(text), err
}

var (
	bookPattern  = regexp.MustCompile(`data-book="(\d+)" data-version="(\d+)"`)
	totalPattern = regexp.MustCompile(`data-total="(\d+)"|"versions":(\d+)`)
	costPattern  = regexp.MustCompile(`data-queries="(\d+)" data-hits="(\d+)"`)
	inputPattern = regexp.MustCompile(`<input [^>]*name="(\w+)"[^>]* value="([^"]*)"`)
	titlePattern = regexp.MustCompile(`<td><a href="/books/\d+">([^<]*)</a>`)
)

// versionsOn returns the versions that a page shows.
func versionsOn(page string) versions {
	v := versions{total: -1, books: map[int64]int64{}}
	for _, m := range bookPattern.FindAllStringSubmatch(page, -1) {
		v.books[number(m[1])] = number(m[2])
	}
	if m := totalPattern.FindStringSubmatch(page); m != nil {
		v.total = number(m[1] + m[2])
	}
	return v
}

// costOf returns how many queries a page took, and how many of them were hits.
func costOf(page string) (queries, hits int64) {
	if m := costPattern.FindStringSubmatch(page); m != nil {
		return number(m[1]), number(m[2])
	}
	return 0, 0
}

// inputsOf returns what the forms of a page are filled with.
func inputsOf(page string) url.Values {
	form := url.Values{}
	for _, m := range inputPattern.FindAllStringSubmatch(page, -1) {
		form.Set(m[1], html.UnescapeString(m[2]))
	}
	return form
}

// number is for texts that a pattern has found to be one.
func number(digits string) int64 {
	n, _ := strconv.ParseInt(digits, 10, 64)
	return n
}

package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestStaticFiles: seen to fail without the ETag.
func TestStaticFiles(t *testing.T) {
	file, _ := library(t)
	s := start(t, config{db: file})
	m := regexp.MustCompile(`href="(/static/style\.[0-9a-f]{12}\.css)"`).FindStringSubmatch(s.page(t, "/"))
	if m == nil {
		t.Fatal("the page names no style sheet")
	}
	ask := func(method, tag string) answer {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.url+m[1], http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if tag != "" {
			req.Header.Set("If-None-Match", tag)
		}
		return do(t, req)
	}

	first := ask(http.MethodGet, "")
	tag := first.Header.Get("ETag")
	want, err := staticFiles.ReadFile("static/style.css")
	if err != nil {
		t.Fatal(err)
	}
	if first.StatusCode != http.StatusOK || first.body != string(want) || tag == "" {
		t.Errorf("status %d, ETag %q, %d bytes", first.StatusCode, tag, len(first.body))
	}
	for name, want := range map[string]string{
		"Cache-Control": "public, max-age=31536000, immutable",
		"Content-Type":  "text/css; charset=utf-8",
	} {
		if got := first.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if a := ask(http.MethodGet, tag); a.StatusCode != http.StatusNotModified || a.body != "" || a.Header.Get("ETag") != tag {
		t.Errorf("with the ETag: status %d, ETag %q, %d bytes", a.StatusCode, a.Header.Get("ETag"), len(a.body))
	}
	if a := ask(http.MethodGet, `"other"`); a.StatusCode != http.StatusOK || a.body != string(want) {
		t.Errorf("with another ETag: status %d, %d bytes", a.StatusCode, len(a.body))
	}
	if a := ask(http.MethodHead, ""); a.StatusCode != http.StatusOK || a.body != "" {
		t.Errorf("HEAD: status %d, %d bytes", a.StatusCode, len(a.body))
	}
	for _, path := range []string{"/static/style.css", "/static/style.000000000000.css", "/static/", "/static/../main.go"} {
		if a := s.get(t, path); a.StatusCode == http.StatusOK {
			t.Errorf("GET %s: status %d", path, a.StatusCode)
		}
	}
}

// TestShutdown stops the program while a form is half sent. The server says that
// it wants the rest of it, so that it is certainly at work on the request.
//
// Seen to fail with Close in place of Shutdown.
func TestShutdown(t *testing.T) {
	file, outside := library(t)
	s := start(t, config{db: file})
	addr := strings.TrimPrefix(s.url, "http://")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	form := fields("title", "The Last One", "author", "An Author", "year", "1999", "price", "1").Encode()
	fmt.Fprintf(conn, "POST /books HTTP/1.1\r\nHost: %s\r\nExpect: 100-continue\r\n"+
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n", addr, len(form))
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("the server does not want the form: %q, %v", line, err)
	}
	if _, err := answers.ReadString('\n'); err != nil {
		t.Fatal(err)
	}

	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	for deadline := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		late, err := net.Dial("tcp", addr)
		if err != nil {
			break // Nobody new is let in.
		}
		_ = late.Close()
		if time.Now().After(deadline) {
			t.Fatal("the server is still open")
		}
	}

	if _, err := conn.Write([]byte(form)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatalf("the request in flight got no answer: %v", err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		t.Errorf("the request in flight got status %d", res.StatusCode)
	}
	if err := <-stopped; err != nil {
		t.Errorf("the program ended with %v", err)
	}

	var n int
	if err := outside.Get(&n, "SELECT COUNT(*) FROM books WHERE title = 'The Last One'"); err != nil || n != 1 {
		t.Errorf("the file has %d of the book in flight, %v", n, err)
	}
}

// TestTemporaryFile: seen to fail without RemoveAll.
func TestTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	s := start(t, config{})
	s.page(t, "/")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("while it runs: %v, %v", entries, err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("after it has ended: %v, %v", entries, err)
	}
}

// TestFileIsKept: a file that has books is not filled again. Seen to fail with one
// that is.
func TestFileIsKept(t *testing.T) {
	file, outside := library(t)
	s := start(t, config{db: file})
	before := contents(t, outside)
	if before.Books != 300 || before.Authors != 30 || before.Loans != 1500 {
		t.Errorf("the file was filled with %v", before)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	start(t, config{db: file})
	if after := contents(t, outside); after != before {
		t.Errorf("the file was %v and is %v", before, after)
	}
}

func TestAddressTaken(t *testing.T) {
	file, _ := library(t)
	s := start(t, config{db: file})
	cfg := config{db: file, addr: strings.TrimPrefix(s.url, "http://")}
	if err := run(t.Context(), t.Output(), cache, cfg); err == nil {
		t.Error("two programs listen on one address")
	}
}

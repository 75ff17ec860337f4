// Command webapp is a small library of books on the web: lists, a search, a
// report that is expensive to make, and forms that change things.
//
// It is written as one would write it without a cache. That its pages come from
// memory is the doing of two lines in this file: one registers the caching
// driver, the other opens it by name. With -nocache the plain driver is opened
// instead, and nothing else is different.
//
//	go run ./examples/webapp
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"
	sqlite3 "github.com/mattn/go-sqlite3"

	"github.com/querycache/querycache"
)

// The names of the drivers.
const (
	plainDriver  = "sqlite3"
	cachedDriver = "sqlite3-cached"
)

// config is what the flags say.
type config struct {
	addr    string
	db      string
	books   int
	dataTTL time.Duration
	nocache bool
}

func main() {
	var cfg config
	flag.StringVar(&cfg.addr, "addr", "127.0.0.1:8080", "`address` to listen on")
	flag.StringVar(&cfg.db, "db", "", "SQLite `file`; default: a temporary one, removed at exit")
	flag.IntVar(&cfg.books, "books", 20_000, "`number` of books that a new file is filled with")
	flag.DurationVar(&cfg.dataTTL, "data-ttl", time.Minute, "how old /data may be, a `duration`, when another program writes the file")
	flag.BoolVar(&cfg.nocache, "nocache", false, "open the plain driver instead of the caching one")
	flag.Parse()

	cache, err := querycache.Register(cachedDriver, &sqlite3.SQLiteDriver{}, querycache.Config{Logger: slog.Default()})
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = errors.Join(run(ctx, os.Stdout, cache, cfg), cache.Close())
		stop()
	}
	if err != nil {
		slog.Error("webapp", "err", err)
		os.Exit(1)
	}
}

// run serves until the context ends. The cache is the one behind cachedDriver.
func run(ctx context.Context, out io.Writer, cache *querycache.Cache, cfg config) (err error) {
	if cfg.db == "" {
		dir, err := os.MkdirTemp("", "querycache-webapp-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir) //nolint:errcheck // A temporary directory: the system clears what is left.
		cfg.db = filepath.Join(dir, "library.db")
	}

	name := cachedDriver
	if cfg.nocache {
		name = plainDriver
	}
	db, err := sqlx.Open(name, dsn(cfg.db))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(16)
	if err := seed(ctx, db, cfg.books); err != nil {
		return fmt.Errorf("fill %s: %w", cfg.db, err)
	}

	app, err := newApp(newStore(db, cfg.dataTTL), cache)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", cfg.addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "http://%s\n", ln.Addr())
	return serve(ctx, ln, app.handler())
}

// dsn is the data source name of a file. A transaction takes the write lock as
// it begins: one that took it later could fail, since another may have written
// in between.
func dsn(file string) string {
	path := (&url.URL{Path: file}).EscapedPath()
	return "file:" + path + "?_journal_mode=WAL&_synchronous=NORMAL&_busy_timeout=10000&_foreign_keys=on&_txlock=immediate"
}

// graceTime is how long requests in flight may take after the context has ended.
const graceTime = 10 * time.Second

// serve serves until the context ends, then lets the requests in flight finish.
func serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}

	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTime)
	defer cancel()
	err := server.Shutdown(grace)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	if served := <-served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

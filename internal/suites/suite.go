package main

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed overlay
var overlays embed.FS

// suite is a foreign module whose tests run both ways.
type suite struct {
	name      string
	module    string
	tags      string
	sqliteDSN string   // for suites that take one; a relative file is made in the copy
	overlay   string   // folder of files added to the cached copy
	unwrapped []string // tests that assert a concrete connection inside Raw
}

// unwrapped are go-sqlite3's tests that assert *SQLiteConn inside Raw.
var unwrapped = []string{
	"TestBeginTxCancel",
	"TestDatabaseSQLRowsContextCancelAndReuse",
	"TestSerializeDeserialize",
	"TestStmtReadonly",
}

// allOptions is go-sqlite3's own "full" set of build tags, without sqlite_icu,
// which needs a library that is not everywhere.
const allOptions = "sqlite_allow_uri_authority sqlite_app_armor sqlite_column_metadata sqlite_foreign_keys " +
	"sqlite_fts5 sqlite_introspect sqlite_json sqlite_math_functions sqlite_os_trace sqlite_preupdate_hook " +
	"sqlite_secure_delete sqlite_see sqlite_stat4 sqlite_trace sqlite_unlock_notify sqlite_vacuum_incr sqlite_vtable"

var suites = []suite{
	{
		name:      "sqlx, file",
		module:    "github.com/jmoiron/sqlx",
		sqliteDSN: "sqlx.db",
		overlay:   "sqlx",
	},
	{
		name:      "sqlx, WAL file",
		module:    "github.com/jmoiron/sqlx",
		sqliteDSN: "file:sqlx.db?_journal_mode=WAL&_busy_timeout=5000",
		overlay:   "sqlx",
	},
	{
		name:      "go-sqlite3",
		module:    "github.com/mattn/go-sqlite3",
		overlay:   "sqlite3",
		unwrapped: unwrapped,
	},
	{
		name:      "go-sqlite3, all options",
		module:    "github.com/mattn/go-sqlite3",
		tags:      allOptions,
		overlay:   "sqlite3",
		unwrapped: unwrapped,
	},
}

// variant is one copy of a suite's sources.
type variant struct {
	name string
	dir  string
}

// statsFile is what the caches of a part leave.
func (v variant) statsFile(part string) string {
	return filepath.Join(v.dir, "querycache-"+part+".stats.json")
}

// prepare copies the sources and gives both variants the same go.mod, so that
// language version and dependencies are no difference between them.
func (r *runner) prepare(ctx context.Context, s suite, source, name string) (variant, error) {
	v := variant{name: name, dir: filepath.Join(r.work, fileName(s.name), name)}
	if err := os.CopyFS(v.dir, os.DirFS(source)); err != nil {
		return v, err
	}
	// The module cache is read-only, and so would the copy be.
	err := filepath.WalkDir(v.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, 0o755)
		}
		return os.Chmod(path, 0o644)
	})
	if err != nil {
		return v, err
	}
	version, err := goCommand(ctx, r.root, "list", "-m", "-f", "{{.GoVersion}}")
	if err != nil {
		return v, err
	}
	_, err = goCommand(ctx, v.dir, "mod", "edit", "-go="+strings.TrimSpace(string(version)),
		"-require=github.com/querycache/querycache@v0.0.0", "-replace=github.com/querycache/querycache="+r.root)
	if err != nil {
		return v, err
	}
	return v, r.mergeSums(v)
}

// mergeSums puts the root's go.sum behind the suite's own: both are pinned.
func (r *runner) mergeSums(v variant) error {
	own, err := os.ReadFile(filepath.Join(v.dir, "go.sum"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	root, err := os.ReadFile(filepath.Join(r.root, "go.sum"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(v.dir, "go.sum"), slices.Concat(own, root), 0o644)
}

// intercept turns a copy into the cached variant: rewritten calls in its tests,
// and added files that register the cached drivers.
func intercept(s suite, v variant) error {
	tests, err := filepath.Glob(filepath.Join(v.dir, "*_test.go"))
	if err != nil {
		return err
	}
	var rewritten []string
	for _, path := range tests {
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		out, names, err := rewrite(src)
		if err != nil {
			return err
		}
		rewritten = append(rewritten, names...)
		if err := os.WriteFile(path, out, 0o644); err != nil {
			return err
		}
	}
	slices.Sort(rewritten)
	if rewritten = slices.Compact(rewritten); !slices.Equal(rewritten, s.unwrapped) {
		return fmt.Errorf("assertions inside Raw are in %v, listed are %v", rewritten, s.unwrapped)
	}

	folder, err := fs.Sub(overlays, "overlay/"+s.overlay)
	if err != nil {
		return err
	}
	return fs.WalkDir(folder, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		src, err := fs.ReadFile(folder, path)
		if err != nil {
			return err
		}
		// They are embedded under another ending, or they would be built here.
		to := filepath.Join(v.dir, filepath.FromSlash(strings.TrimSuffix(path, ".txt")))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return os.WriteFile(to, src, 0o644)
	})
}

// test runs the tests of one variant. Failing tests are an outcome, not an
// error. The tests that take the connection out by Raw run in a process of their
// own: some never give it back, and while it is out nothing is cached.
func (r *runner) test(ctx context.Context, s suite, v variant) (outcomes, error) {
	fmt.Fprintf(r.out, "%s: %s ...\n", s.name, v.name)
	if len(s.unwrapped) == 0 {
		return r.testPart(ctx, s, v, "all", "-run=.")
	}
	listed := "=^(" + strings.Join(s.unwrapped, "|") + ")$"
	most, err := r.testPart(ctx, s, v, "most", "-skip"+listed)
	if err != nil {
		return nil, err
	}
	rest, err := r.testPart(ctx, s, v, "unwrapped", "-run"+listed)
	if err != nil {
		return nil, err
	}
	most.add(rest)
	return most, nil
}

// testPart runs the tests that the flag selects.
func (r *runner) testPart(ctx context.Context, s suite, v variant, part, selection string) (outcomes, error) {
	// -trimpath lets the build cache know the C library again in the next copy.
	args := []string{"test", "-json", "-count=1", "-trimpath", "-mod=mod", "-timeout=10m", "-tags=" + s.tags, selection}
	if r.race {
		args = append(args, "-race")
	}
	if v.name == "cached" {
		// go-sqlite3 then registers nothing and leaves the name to the cached driver.
		args = append(args, "-ldflags=-X=github.com/mattn/go-sqlite3.driverName=")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, ".")...)
	cmd.Dir = v.dir
	cmd.Env = append(os.Environ(),
		"GOWORK=off",
		"CGO_CFLAGS=-O1 -g0", // as tested, compiled in a third of the time
		"SQLX_SQLITE_DSN="+s.sqliteDSN,
		"SQLX_POSTGRES_DSN=skip",
		"SQLX_MYSQL_DSN=skip",
		"QUERYCACHE_SUITE_STATS="+v.statsFile(part),
	)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	runErr := cmd.Run()
	log := filepath.Join(r.logs, strings.Join([]string{fileName(s.name), v.name, part}, "-")+".json")
	if err := os.WriteFile(log, slices.Concat(stdout.Bytes(), stderr.Bytes()), 0o644); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	got, err := parse(&stdout)
	if err != nil {
		return nil, err
	}
	if len(got) == 0 {
		return nil, fmt.Errorf("nothing ran (%w); see %s\n%s", runErr, log, stderr.Bytes())
	}
	return got, nil
}

// traffic is what the caches of a cached run counted, summed.
type traffic struct {
	Hits, Misses, Bypasses uint64
	Reasons                map[string]uint64 // of bypasses
}

// String names the reasons of bypasses, the most frequent first.
func (t traffic) String() string {
	names := slices.SortedFunc(maps.Keys(t.Reasons), func(a, b string) int {
		return cmp.Or(cmp.Compare(t.Reasons[b], t.Reasons[a]), strings.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, t.Reasons[name])
	}
	return strings.Join(names, ", ")
}

func (t traffic) reads() uint64 { return t.Hits + t.Misses + t.Bypasses }

// readTraffic sums what the parts of a run left. One that died left nothing.
func readTraffic(v variant) (traffic, error) {
	sum := traffic{Reasons: make(map[string]uint64)}
	files, err := filepath.Glob(v.statsFile("*"))
	if err != nil {
		return sum, err
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return sum, err
		}
		var t traffic
		if err := json.Unmarshal(data, &t); err != nil {
			return sum, err
		}
		sum.Hits += t.Hits
		sum.Misses += t.Misses
		sum.Bypasses += t.Bypasses
		for reason, n := range t.Reasons {
			sum.Reasons[reason] += n
		}
	}
	return sum, nil
}

// fileName makes a suite's name fit for a file.
func fileName(name string) string {
	return strings.NewReplacer(" ", "-", ",", "").Replace(name)
}

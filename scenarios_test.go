package querycache_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/querycache/querycache/internal/script"
)

// scenario is one acceptance scenario: its number, what it is about, its test,
// and what of it has no test here, and why.
type scenario struct {
	number  int
	name    string
	test    func(*testing.T)
	without string
}

// Why a scenario, or a part of one, has no test.
const (
	notSQLite = "SQLite has none"
)

// scenarios are the acceptance scenarios by number. Hits are told by Stats, and
// by nothing having reached the driver; fresh is what the driver alone answers
// on the same file.
var scenarios = []scenario{
	{1, "repeated_select", scenario01, ""},
	{2, "empty_results", scenario02, ""},
	{3, "exists_count_limit_aggregates", scenario03, ""},
	{4, "limit_offset_order_distinct_columns", scenario04, ""},
	{5, "arguments_never_collide", scenario05, ""},
	{6, "argument_types", scenario06, "[]string and []int64: PostgreSQL"},
	{7, "unicode", scenario07, ""},
	{8, "order_by_random", scenario08, ""},
	{9, "volatile_functions", scenario09, "nextval, @@var, current_user: PostgreSQL, MySQL"},
	{10, "row_locks", nil, "SQLite has no FOR UPDATE, FOR SHARE, LOCK IN SHARE MODE: PostgreSQL, MySQL"},
	{11, "explain", scenario11, "EXPLAIN ANALYZE: PostgreSQL, MariaDB"},
	{12, "callers_write_into_results", scenario12, ""},
	{13, "reused_row_buffers", scenario13, ""},
	{14, "partial_reads", scenario14, ""},
	{15, "ways_to_read", scenario15, ""},
	{16, "column_types", scenario16, ""},
	{17, "several_result_sets", scenario17, ""},
	{18, "two_databases", scenario18, ""},
	{19, "texts_that_share", scenario19, ""},
	{20, "hints_in_text", scenario20, ""},
	{21, "large_results", scenario21, ""},
	{22, "joins", scenario22, ""},
	{23, "subqueries", scenario23, ""},
	{24, "scalar_subqueries", scenario24, ""},
	{25, "compound_selects", scenario25, ""},
	{26, "ctes_windows_functions", scenario26, "LATERAL: PostgreSQL, MySQL"},
	{27, "spellings_of_names", scenario27, ""},
	{28, "names_that_are_no_tables", scenario28, ""},
	{29, "views", scenario29, ""},
	{30, "triggers", scenario30, ""},
	{31, "cascades", scenario31, ""},
	{32, "partitions_inheritance", nil, "SQLite has no partitions, inheritance or materialized views: PostgreSQL"},
	{33, "not_understood", scenario33, ""},
	{34, "writes", scenario34, "multi-table DELETE, MERGE, TRUNCATE, COPY, LOAD DATA: " + notSQLite},
	{35, "returning", scenario35, "a CTE that writes: PostgreSQL; in SQLite a CTE stands before a write"},
	{36, "several_statements", scenario36, ""},
	{37, "functions_with_effects", scenario37, "CALL, DO: " + notSQLite + "; declared tables add to everything, and never narrow it"},
	{38, "writes_that_change_nothing", scenario38, ""},
	{39, "schema_changes", scenario39, ""},
	{40, "unrelated_writes", scenario40, ""},
	{41, "prepared_writes", scenario41, ""},
	{42, "rows_that_move", scenario42, ""},
	{43, "own_writes", scenario43, ""},
	{44, "rollback", scenario44, ""},
	{45, "commit", scenario45, ""},
	{46, "savepoints", scenario46, ""},
	{47, "old_snapshots", scenario47, "isolation levels: " + notSQLite},
	{48, "transactions_as_text", scenario48, "implicit commits: MySQL"},
	{49, "commit_that_fails", scenario49, ""},
	{50, "connection_lost", scenario50, ""},
	{51, "deferred_constraint", scenario51, ""},
	{52, "select_overtaken_by_commit", scenario52, ""},
	{53, "never_new_then_old", scenario53, ""},
	{54, "coalesced_misses", scenario54, ""},
	{55, "late_followers", scenario55, ""},
	{56, "refresh_overtaken", scenario56, ""},
	{57, "sessions", scenario57, "search_path, role, time zone, DateStyle, sql_mode, charset: PostgreSQL, MySQL"},
	{58, "row_level_security", nil, "SQLite has no roles and no row-level security: PostgreSQL"},
	{59, "temporary_tables", scenario59, ""},
	{60, "session_states", scenario60, ""},
	{61, "secrets", scenario61, ""},
	{62, "ttl", scenario62, ""},
	{63, "bypass_and_refresh", scenario63, ""},
	{64, "disabled", scenario64, ""},
	{65, "invalidation_by_hand", scenario65, ""},
	{66, "several_handles", scenario66, "another user: " + notSQLite},
	{67, "vacuum_analyze", scenario67, "NOTIFY, LISTEN, SHOW: " + notSQLite},
	{68, "slow_rows", scenario68, ""},
	{69, "stale_while_revalidate", scenario69, ""},
	{70, "faults", scenario70, ""},
}

func TestScenario(t *testing.T) {
	for _, sc := range scenarios {
		switch {
		case sc.test == nil:
		case sc.number == slowRows:
			t.Run(sc.title(), sc.test)
		default:
			// In a bubble time passes only while all goroutines wait: however slow the
			// machine is, no row is late and no entry expires early.
			t.Run(sc.title(), func(t *testing.T) { synctest.Test(t, sc.test) })
		}
	}
}

// slowRows is the scenario whose slowness is SQLite's own, of real time.
const slowRows = 68

func (sc scenario) title() string { return fmt.Sprintf("%02d_%s", sc.number, sc.name) }

// TestScenarioList checks that the list is whole: every number once and in
// order, with its own test or a reason, and no test beside the list. With -v it
// prints the list.
func TestScenarioList(t *testing.T) {
	listed := map[string]bool{}
	for i, sc := range scenarios {
		if sc.number != i+1 {
			t.Errorf("%s stands at %d", sc.title(), i+1)
		}
		line := sc.title()
		if sc.test == nil {
			if sc.without == "" {
				t.Errorf("%s has neither a test nor a reason", sc.title())
			}
			t.Logf("%s: none: %s", line, sc.without)
			continue
		}
		f := runtime.FuncForPC(reflect.ValueOf(sc.test).Pointer()).Name()
		f = f[strings.LastIndexByte(f, '.')+1:]
		if want := fmt.Sprintf("scenario%02d", sc.number); f != want {
			t.Errorf("%s is tested by %s", sc.title(), f)
		}
		listed[f] = true
		line = "TestScenario/" + line
		if sc.without != "" {
			line += ", but for " + sc.without
		}
		t.Log(line)
	}
	if len(scenarios) != 70 {
		t.Errorf("%d scenarios, want 70", len(scenarios))
	}
	for _, f := range definedScenarios(t) {
		if !listed[f] {
			t.Errorf("%s is not in the list", f)
		}
	}
}

// definedScenarios are the functions of this package that look like scenarios.
func definedScenarios(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("scenarios_*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	var names []string
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (scenario\d+)\(`).FindAllSubmatch(source, -1) {
			names = append(names, string(m[1]))
		}
	}
	return names
}

// TestScripts runs the scripts of testdata/scripts, which read as the
// documentation of what is a hit and what a write invalidates. With -rewrite
// their output is written anew.
func TestScripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/scripts/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runScript(t, path) })
		})
	}
}

func runScript(t *testing.T, path string) {
	t.Helper()
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := script.Run(t.Context(), string(want), scriptEnv(t))
	if err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-file +got)\n%s", diff)
	}
	if strings.Contains(got, "STALE") {
		t.Error("a stale read")
	}
}

// scriptEnv is an empty database for a script.
func scriptEnv(t *testing.T) script.Env {
	t.Helper()
	s := newStage(t, "")
	control := func(do func([]string)) func([]string) error {
		return func(args []string) error {
			do(args)
			return nil
		}
	}
	return script.Env{
		DB:      s.db,
		Outside: s.raw,
		Counts: func() script.Counts {
			s.cache.Wait() // A schema change frees dead entries, and the living with them, a little later.
			return countsOf(s.cache)
		},
		Controls: map[string]func([]string) error{
			"purge":      control(func([]string) { s.cache.Purge() }),
			"invalidate": control(func(tables []string) { s.cache.InvalidateTables(tables...) }),
			"enable":     control(func([]string) { s.cache.SetEnabled(true) }),
			"disable":    control(func([]string) { s.cache.SetEnabled(false) }),
		},
	}
}

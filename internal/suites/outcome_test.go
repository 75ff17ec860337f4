package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const directRun = `
{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"run","Package":"p","Test":"TestC"}
{"Action":"pass","Package":"p","Test":"TestC"}
{"Action":"run","Package":"p","Test":"TestD"}
{"Action":"fail","Package":"p","Test":"TestD"}
{"Action":"fail","Package":"p"}`

const cachedRun = `
{"ImportPath":"q","Action":"build-output","Output":"warning\n"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"a_test.go:7: broken\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestD"}
{"Action":"fail","Package":"p","Test":"TestD"}
{"Action":"run","Package":"p","Test":"TestE"}
{"Action":"output","Package":"p","Test":"TestE","Output":"panic: dead\n"}
{"Action":"fail","Package":"p"}`

func mustParse(t *testing.T, run string) outcomes {
	t.Helper()
	got, err := parse(strings.NewReader(strings.TrimSpace(run)))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestDiff(t *testing.T) {
	direct, cached := mustParse(t, directRun), mustParse(t, cachedRun)
	want := []difference{
		{"TestA", "pass", "fail", "a_test.go:7: broken\n"},
		{"TestB", "skip", "not run", ""},
		{"TestC", "pass", "not run", ""},
		{"TestE", "not run", "unfinished", "panic: dead\n"},
	}
	if d := cmp.Diff(want, diff(direct, cached), cmp.AllowUnexported(difference{})); d != "" {
		t.Errorf("differences (-want +got):\n%s", d)
	}
	if got, want := direct.String(), "2/1/1"; got != want {
		t.Errorf("direct counts are %s, want %s", got, want)
	}
	if got, want := cached.String(), "0/3/0"; got != want {
		t.Errorf("cached counts are %s, want %s", got, want)
	}
}

func TestParseRejectsOtherOutput(t *testing.T) {
	if _, err := parse(strings.NewReader("FAIL: no JSON here")); err == nil {
		t.Error("output that is not JSON was accepted")
	}
}

func TestPlausible(t *testing.T) {
	passed := outcomes{"TestA": {action: "pass"}}
	for _, tc := range []struct {
		name string
		rep  report
		ok   bool
	}{
		{"as it should be", report{direct: passed, traffic: traffic{Misses: 1}}, true},
		{"no test passed", report{direct: outcomes{"TestA": {action: "fail"}}, traffic: traffic{Misses: 1}}, false},
		{"nothing cached", report{direct: passed}, false},
		{"died, and the difference is shown", report{direct: passed, differences: []difference{{}}}, true},
		{
			"listed test missing",
			report{suite: suite{unwrapped: []string{"TestB"}}, direct: passed, traffic: traffic{Hits: 1}},
			false,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.rep.plausible(); (err == nil) != tc.ok {
				t.Errorf("plausible says %v", err)
			}
		})
	}
}

func TestSummarizeFailsOnDifferences(t *testing.T) {
	r := report{suite: suite{name: "s"}, direct: mustParse(t, directRun), cached: mustParse(t, cachedRun)}
	if err := summarize(new(strings.Builder), []report{r}); err != nil {
		t.Errorf("without differences: %v", err)
	}
	r.differences = diff(r.direct, r.cached)
	var out strings.Builder
	if err := summarize(&out, []report{r}); err == nil {
		t.Error("differences are no error")
	}
	for _, want := range []string{"s: TestA: direct pass, cached fail\na_test.go:7: broken", "TestE"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing from:\n%s", want, out.String())
		}
	}
	if err := summarize(&out, nil); err == nil {
		t.Error("no suite at all is no error")
	}
}

func TestTrafficNamesReasons(t *testing.T) {
	seen := traffic{Reasons: map[string]uint64{"transaction": 2, "explain": 7, "session": 2}}
	if got, want := seen.String(), "explain 7, session 2, transaction 2"; got != want {
		t.Errorf("reasons are %q, want %q", got, want)
	}
}

func TestAddKeepsAFailedPackage(t *testing.T) {
	passed, failed := outcome{action: "pass"}, outcome{action: "fail"}
	for _, tc := range []struct{ first, second, want outcome }{
		{passed, passed, passed},
		{passed, failed, failed},
		{failed, passed, failed},
	} {
		o := outcomes{packageName: tc.first, "TestA": passed}
		o.add(outcomes{packageName: tc.second, "TestB": failed})
		want := outcomes{packageName: tc.want, "TestA": passed, "TestB": failed}
		if d := cmp.Diff(want, o, cmp.AllowUnexported(outcome{})); d != "" {
			t.Errorf("%s, then %s (-want +got):\n%s", tc.first.action, tc.second.action, d)
		}
	}
}

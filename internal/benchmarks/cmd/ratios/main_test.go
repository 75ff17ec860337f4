//go:build unix

package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/querycache/querycache/internal/benchmarks"
	"github.com/querycache/querycache/internal/benchmarks/measure"
)

// TestRun measures everything for as short a time as possible: the figures mean
// nothing, but every case has its line, and none was refused by its own count.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"-rounds=2", "-slice=1us", "-gcrows=1000"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, c := range benchmarks.Cases() {
		if !strings.Contains(out.String(), "\n"+c.Name+" ") {
			t.Errorf("no line for %s", c.Name)
		}
	}
	for _, held := range []string{"nothing", "a map of slices", "querycache"} {
		if !strings.Contains(out.String(), "\n"+held+" ") {
			t.Errorf("no line for the collection with rows held by %s", held)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestRunChoosesCases(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"-rounds=1", "-slice=1us", "-run=^write/noop$"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "\n"); got != 2 {
		t.Errorf("want the heading and one case, got:\n%s", out.String())
	}
}

func TestBadFlags(t *testing.T) {
	for _, arg := range []string{"-rounds=0", "-slice=0s", "-gcrows=-1", "-run=(", "-unknown"} {
		if err := run([]string{arg}, io.Discard, io.Discard); err == nil {
			t.Errorf("%s is accepted", arg)
		}
	}
	if err := run([]string{"-h"}, io.Discard, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v, want %v", err, flag.ErrHelp)
	}
}

func TestJudge(t *testing.T) {
	r := result{series: map[string]measure.Series{
		benchmarks.Noop:       {PerRun: []float64{100, 100, 100}},
		benchmarks.Direct:     {PerRun: []float64{1000, 1000, 1000}},
		benchmarks.Querycache: {PerRun: []float64{150, 149, 151}},
	}}
	for _, test := range []struct {
		floor benchmarks.Floor
		text  string
		kept  bool
	}{
		{benchmarks.Floor{}, "-", true},
		{benchmarks.Floor{Against: benchmarks.Noop, AtMost: 1.5}, "<= 1.50 noop pass", true},
		{benchmarks.Floor{Against: benchmarks.Noop, AtMost: 1.499}, "<= 1.50 noop FAIL", false},
		{benchmarks.Floor{Against: benchmarks.Direct, AtMost: 0.2}, "<= 0.20 direct pass", true},
	} {
		if text, kept := judge(test.floor, r); text != test.text || kept != test.kept {
			t.Errorf("judge(%v) = %q, %v, want %q, %v", test.floor, text, kept, test.text, test.kept)
		}
	}
}

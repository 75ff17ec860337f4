//go:build unix

package main

import (
	"bytes"
	"io"
	"regexp"
	"testing"

	"github.com/querycache/querycache/internal/benchmarks"
)

// TestHints measures for as short a time as possible: each way has its line for
// each door, and hit each time by its own cache's count.
func TestHints(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"-rounds=2", "-slice=1us", "-run=^hints$"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, w := range benchmarks.Ways() {
		for _, d := range []benchmarks.Door{benchmarks.SQLDoor, benchmarks.DriverDoor} {
			line := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(w.Name) + " +" + string(d) + " ")
			if got := len(line.FindAllString(out.String(), -1)); got != 1 {
				t.Errorf("%d lines for %s at %s", got, w.Name, d)
			}
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestHintLine(t *testing.T) {
	c := wayCost{perRun: []float64{110, 210.5, 320}, more: []float64{10, 10.5, 20}, medians: []float64{12, 11, 17}}
	for _, test := range []struct {
		name, text string
	}{
		{benchmarks.Plain, "210.5\t-\t-\t0.0\t-\t"},
		{"hint", "210.5\t+10.5 [+10.2 +15.2]\t+11.0 +17.0\t0.0\t<= 15 unclear\t"},
	} {
		want := test.name + "\tdriver\t" + test.text
		got, kept := hintLine(benchmarks.Way{Name: test.name, AtMost: 15}, benchmarks.DriverDoor, c)
		if got != want || !kept {
			t.Errorf("got %q, %v, want %q", got, kept, want)
		}
	}
}

func TestJudgeHint(t *testing.T) {
	for _, test := range []struct {
		atMost, low, high float64
		text              string
		kept              bool
	}{
		{0, 50, 60, "-", true},
		{10, 8, 10, "<= 10 pass", true},
		{10, 8, 10.1, "<= 10 unclear", true},
		{10, 10, 12, "<= 10 unclear", true},
		{10, 10.1, 12, "<= 10 FAIL", false},
	} {
		if text, kept := judgeHint(test.atMost, test.low, test.high); text != test.text || kept != test.kept {
			t.Errorf("judgeHint(%v, %v, %v) = %q, %v", test.atMost, test.low, test.high, text, kept)
		}
	}
}

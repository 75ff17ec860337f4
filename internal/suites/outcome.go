package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// outcome is how one test ended and the end of what it printed.
type outcome struct {
	action string // pass, fail, skip; "unfinished" when the process died in it
	output []string
}

// outcomes are the outcomes of a run by test name. The whole package is there
// too, under the name packageName.
type outcomes map[string]outcome

// packageName cannot be a test's name.
const packageName = "(package)"

// keptLines is how much of a test's output a difference shows.
const keptLines = 20

// parse reads the output of go test -json.
func parse(r io.Reader) (outcomes, error) {
	got := outcomes{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var event struct{ Action, Package, Test, Output string }
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, fmt.Errorf("go test -json: %w: %.200s", err, lines.Bytes())
		}
		if event.Package == "" {
			continue // what the build printed
		}
		name := cmp.Or(event.Test, packageName)
		o, seen := got[name]
		if !seen {
			o.action = "unfinished"
		}
		switch event.Action {
		case "pass", "fail", "skip":
			o.action = event.Action
		case "output":
			o.output = append(o.output, event.Output)
			if extra := len(o.output) - keptLines; extra > 0 {
				o.output = o.output[extra:]
			}
		}
		got[name] = o
	}
	return got, lines.Err()
}

// add takes over the outcomes of other tests. The package passed if it did both
// times.
func (o outcomes) add(other outcomes) {
	for name, got := range other {
		if name != packageName || o[name].action == "pass" {
			o[name] = got
		}
	}
}

func (o outcomes) count(action string) int {
	n := 0
	for name, got := range o {
		if name != packageName && got.action == action {
			n++
		}
	}
	return n
}

// String gives the number of tests, subtests included, as pass/fail/skip.
func (o outcomes) String() string {
	failed := o.count("fail") + o.count("unfinished")
	return fmt.Sprintf("%d/%d/%d", o.count("pass"), failed, o.count("skip"))
}

// difference is a test that ended differently, or ran only one way.
type difference struct {
	test           string
	direct, cached string
	output         string // of the cached run
}

func diff(direct, cached outcomes) []difference {
	var found []difference
	for name, d := range direct {
		c, ok := cached[name]
		if !ok {
			c.action = "not run"
		}
		if c.action != d.action {
			found = append(found, difference{name, d.action, c.action, strings.Join(c.output, "")})
		}
	}
	for name, c := range cached {
		if _, ok := direct[name]; !ok {
			found = append(found, difference{name, "not run", c.action, strings.Join(c.output, "")})
		}
	}
	slices.SortFunc(found, func(a, b difference) int { return strings.Compare(a.test, b.test) })
	return found
}

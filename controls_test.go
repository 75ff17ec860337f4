//go:build querycache_controls

package querycache

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
	"text/tabwriter"
)

// schedule is an order of steps that ends in a wrong answer if the protection
// that the control names is off.
type schedule struct {
	control control
	rule    string // of the validity protocol
	steps   string
	on      func(*testing.T) *exam
	run     func(*exam)
}

func walFile(t *testing.T) *exam { t.Helper(); return onSQLite(t, "") }

func sharedCache(t *testing.T) *exam { t.Helper(); return onSQLite(t, "&cache=shared") }

// TestControls runs every schedule twice. With the protection on the decisive
// read must be right: never older than the last write that returned, never old
// after somebody has seen new. With it off the same schedule must be seen to go
// wrong; so every one of these tests is known to notice what it is there for.
func TestControls(t *testing.T) {
	h := hold
	stepHook.Store(&h)
	t.Cleanup(func() { stepHook.Store(nil); breakControl(controlNone) })
	var report strings.Builder
	table := tabwriter.NewWriter(&report, 0, 0, 2, ' ', 0)
	row := func(cells ...string) {
		if _, err := table.Write([]byte(strings.Join(cells, "\t") + "\n")); err != nil {
			t.Error(err)
		}
	}
	row("CONTROL", "RULE", "SCHEDULE", "WITH PROTECTION", "WITHOUT")
	for i, s := range schedules() {
		t.Run(fmt.Sprintf("%02d %v", i+1, s.control), func(t *testing.T) {
			with, without := s.examine(t, controlNone), s.examine(t, s.control)
			row(s.control.String(), s.rule, s.steps, with.seen, without.seen)
			if with.violated {
				t.Errorf("wrong although protected: %s (%s)", with.seen, s.steps)
			}
			if !without.violated {
				t.Errorf("right although not protected: %s (%s)", without.seen, s.steps)
			}
		})
	}
	if err := table.Flush(); err != nil {
		t.Error(err)
	}
	t.Log("\n" + report.String())
}

// examine runs the schedule once.
func (s schedule) examine(t *testing.T, off control) *exam {
	t.Helper()
	var x *exam
	name := "protected"
	if off != controlNone {
		name = "unprotected"
	}
	t.Run(name, func(t *testing.T) {
		breakControl(off)
		t.Cleanup(func() { breakControl(controlNone) })
		x = s.on(t)
		s.run(x)
		if !x.judged {
			t.Fatal("the schedule judges nothing")
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return x
}

func schedules() []schedule {
	var all []schedule
	for _, part := range [][]schedule{
		writeSchedules(), connectionSchedules(), readSchedules(), flightSchedules(), storeSchedules(), handSchedules(),
	} {
		all = append(all, part...)
	}
	return all
}

// TestControlsAreComplete holds the list of controls against the names that
// they are called by and against the schedules.
func TestControlsAreComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "controls.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "control") {
			declared = append(declared, v.Names[0].Name)
		}
		return true
	})
	if len(declared) < 2 || declared[0] != "controlNone" {
		t.Fatalf("found no controls in controls.go: %q", declared)
	}
	scheduled := make(map[control]bool)
	for _, s := range schedules() {
		scheduled[s.control] = true
	}
	for i, name := range declared[1:] {
		c := control(i + 1)
		if strings.HasPrefix(c.String(), "control(") || c.String() == "" {
			t.Errorf("%s has no name", name)
		}
		if !scheduled[c] {
			t.Errorf("%s has no schedule", name)
		}
	}
	if got := len(controlNames); got != len(declared) {
		t.Errorf("%d names for %d controls", got, len(declared))
	}
}

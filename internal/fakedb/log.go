package fakedb

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Call is one call that reached the driver.
type Call struct {
	// Seq numbers the calls of a database from 1, in the order in which they began.
	Seq int
	// Conn numbers the connections from 1 in the order in which they were asked
	// for. It is 0 for a call on the driver or the connector before that.
	Conn int
	// Method is the type and the method, such as "Conn.QueryContext".
	Method string
	// Text is the statement, or the DSN.
	Text string
	// Args are the arguments as the driver got them.
	Args []driver.NamedValue
	// Done is false while the call has not returned.
	Done bool
	// Err is what the call returned, Panic what it panicked with.
	Err   error
	Panic any
}

// Kind returns the method without its type, "Context" and "Tx": the Conn.Query,
// Conn.QueryContext, Stmt.Query and Stmt.QueryContext of drivers of unlike age
// are all "Query".
func (c Call) Kind() string { return kindOf(c.Method) }

func kindOf(method string) string {
	_, name, _ := strings.Cut(method, ".")
	return strings.TrimSuffix(strings.TrimSuffix(name, "Context"), "Tx")
}

// String gives the call in one line, without its number.
func (c Call) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "c%d %s", c.Conn, c.Method)
	if c.Text != "" {
		fmt.Fprintf(&b, " %q", c.Text)
	}
	if len(c.Args) > 0 {
		fmt.Fprintf(&b, " [%s]", formatArgs(c.Args))
	}
	switch {
	case !c.Done:
		b.WriteString(" running")
	case c.Panic != nil:
		fmt.Fprintf(&b, " panic: %v", c.Panic)
	case c.Err != nil:
		fmt.Fprintf(&b, " error: %v", c.Err)
	}
	return b.String()
}

func formatArgs(args []driver.NamedValue) string {
	list := make([]string, len(args))
	for i, a := range args {
		list[i] = FormatValue(a.Value)
		if a.Name != "" {
			list[i] = a.Name + "=" + list[i]
		}
	}
	return strings.Join(list, " ")
}

// FormatValue gives a value with its Go type, so that 1, "1", 1.0, true and
// []byte("1") look different.
func FormatValue(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case time.Time:
		return "time(" + v.Format(time.RFC3339Nano) + ")"
	case []byte:
		if v == nil {
			return "[]byte(nil)"
		}
		return fmt.Sprintf("[]byte(%q)", v)
	}
	r := reflect.ValueOf(v)
	switch {
	case r.Kind() == reflect.Pointer && !r.IsNil():
		return fmt.Sprintf("%T(%s)", v, FormatValue(r.Elem().Interface()))
	case r.Kind() == reflect.String:
		return fmt.Sprintf("%T(%q)", v, v)
	}
	return fmt.Sprintf("%T(%v)", v, v)
}

// Log returns the calls so far. With kinds, only those whose [Call.Kind] is one of them.
func (d *DB) Log(kinds ...string) []Call {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []Call
	for _, c := range d.log {
		if len(kinds) == 0 || slices.Contains(kinds, c.Kind()) {
			list = append(list, c)
		}
	}
	return list
}

// ResetLog empties the log. Calls that are running keep their numbers and are dropped.
func (d *DB) ResetLog() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = nil
}

// Executed returns the texts of the statements that ran, in order. A direct
// call that answered ErrSkip did not run its statement.
func (d *DB) Executed() []string {
	var list []string
	for _, c := range d.Log("Query", "Exec") {
		if !errors.Is(c.Err, driver.ErrSkip) {
			list = append(list, c.Text)
		}
	}
	return list
}

// started records a call and returns it with its number.
func (d *DB) started(c Call) Call {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	c.Seq = d.calls
	c.Args = slices.Clone(c.Args) // A caller may use its slice again once the call returned.
	d.log = append(d.log, c)
	return c
}

// ended records how a call returned.
func (d *DB) ended(seq int, err error, panicked any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := len(d.log) - 1; i >= 0; i-- {
		if c := &d.log[i]; c.Seq == seq {
			c.Done, c.Err, c.Panic = true, err, panicked
			return
		}
	}
}

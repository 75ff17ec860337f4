package fakedb

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Fault changes what chosen calls do. Its conditions are met by a call that
// meets all of those that are set.
type Fault struct {
	// Method chooses calls by [Call.Method] or by [Call.Kind]; empty: any.
	Method string
	// Text chooses calls whose statement contains it.
	Text string
	// Conn chooses calls on the connection of that number; 0: any.
	Conn int
	// Skip lets that many chosen calls pass first.
	Skip int
	// Times is how many calls it changes: 0 means one, a negative number all.
	Times int

	// Delay makes the call wait that long, or until its context is done.
	Delay time.Duration
	// Gate makes the call wait until the gate is released, or its context is done.
	Gate *Gate
	// IgnoreContext makes Delay and Gate last whatever the context says.
	IgnoreContext bool
	// After makes Delay, Gate, Err, Panic and Lose happen after the call took effect.
	After bool
	// Err is what the call returns. A Close takes effect all the same, and a
	// Commit or Rollback that fails before its effect drops the transaction.
	Err error
	// Panic is what the call panics with.
	Panic any
	// Lose breaks the connection: an open transaction is dropped, IsValid answers
	// false, and later calls but Close answer ErrBadConn.
	Lose bool
	// Invalid makes IsValid answer false.
	Invalid bool

	seen, fired int
}

// Gate holds a call back until a test lets it go on.
type Gate struct {
	reached  chan struct{}
	released chan struct{}
}

// NewGate returns a closed gate.
func NewGate() *Gate {
	return &Gate{reached: make(chan struct{}, 1), released: make(chan struct{})}
}

// Reached receives when a call arrives at the gate. Arrivals that nobody received
// count as one.
func (g *Gate) Reached() <-chan struct{} { return g.reached }

// Release lets all calls through, from now on. It must be called at most once.
func (g *Gate) Release() { close(g.released) }

func (g *Gate) wait(done <-chan struct{}) {
	select {
	case g.reached <- struct{}{}:
	default:
	}
	select {
	case <-g.released:
	case <-done:
	}
}

// Inject makes f hold from the next call on. If several faults choose one call,
// the earliest is used. The returned function takes the fault away and tells
// how many calls it changed.
func (d *DB) Inject(f Fault) (remove func() int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = append(d.faults, &f)
	return func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.faults = slices.DeleteFunc(d.faults, func(o *Fault) bool { return o == &f })
		return f.fired
	}
}

// fault returns the fault that changes a call, if any.
func (d *DB) fault(c Call) *Fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.faults {
		if !f.chooses(c) {
			continue
		}
		if f.seen++; f.seen <= f.Skip || f.Times >= 0 && f.fired >= max(f.Times, 1) {
			continue
		}
		f.fired++
		return f
	}
	return nil
}

func (f *Fault) chooses(c Call) bool {
	return (f.Method == "" || f.Method == c.Method || f.Method == c.Kind()) &&
		strings.Contains(c.Text, f.Text) && (f.Conn == 0 || f.Conn == c.Conn)
}

// strike does what the fault is for. The call is to return the error, if there is one.
func (f *Fault) strike(ctx context.Context, c *conn) error {
	done := ctx.Done()
	if f.IgnoreContext {
		done = nil
	}
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		select {
		case <-timer.C:
		case <-done:
		}
		timer.Stop()
	}
	if f.Gate != nil {
		f.Gate.wait(done)
	}
	if f.Lose && c != nil {
		c.lose()
	}
	if f.Panic != nil {
		panic(f.Panic)
	}
	if f.Err != nil {
		return f.Err
	}
	if f.Invalid {
		return errInvalid
	}
	if done != nil && ctx.Err() != nil && (f.Delay > 0 || f.Gate != nil) {
		return ctx.Err()
	}
	return nil
}

package enginetest

import (
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"
)

// An object is what the checker takes for one: two tables of two registers
// each. So two queries of which one shows new and then the other old are
// noticed, although each of them alone only goes forward.
const (
	perTable = 2
	width    = 2 * perTable
)

// registers are the values of an object at one moment: those of its first
// table, then those of its second.
type registers [width]int64

// action is what an operation does.
type action int

const (
	readOne action = iota // the register key
	readSum               // the sum of all
	readAll
	write // the registers in mask
)

// input is an operation as its client called it.
type input struct {
	object int
	action action
	key    int
	mask   [width]bool
	values registers
	how    string // the kind of statement
}

// step applies an operation to an object. It reports whether the operation
// could return what it did: one value or a sum is in the first place.
func (in input) step(o, out registers) (bool, registers) {
	switch in.action {
	case readOne:
		return out[0] == o[in.key], o
	case readSum:
		sum := int64(0)
		for _, v := range o {
			sum += v
		}
		return out[0] == sum, o
	case readAll:
		return out == o, o
	default:
		for key, written := range in.mask {
			if written {
				o[key] = in.values[key]
			}
		}
		return true, o
	}
}

func (in input) describe(out registers) string {
	switch in.action {
	case readOne:
		return fmt.Sprintf("%s [%d] -> %d", in.how, in.key, out[0])
	case readSum:
		return fmt.Sprintf("%s -> %d", in.how, out[0])
	case readAll:
		return fmt.Sprintf("%s -> %v", in.how, out)
	default:
		return fmt.Sprintf("%s %v := %v", in.how, in.mask, in.values)
	}
}

// operation is one operation of a history. The times are those of a clock that
// no two events share.
type operation struct {
	client int
	in     input
	out    registers
	call   int64
	end    int64
}

// linearizable reports whether the operations on one object could have been
// made one after the other, each at some moment between its call and its end,
// on a database without a cache that held start before.
func linearizable(start registers, history []operation) porcupine.CheckResult {
	model := porcupine.Model{
		Init: func() any { return start },
		Step: func(state, in, _ any) (bool, any) {
			before, known := state.(registers)
			op, ok := in.(*operation)
			if !known || !ok {
				return false, state
			}
			possible, after := op.in.step(before, op.out)
			return possible, after
		},
	}
	operations := make([]porcupine.Operation, len(history))
	for i := range history {
		op := &history[i]
		operations[i] = porcupine.Operation{ClientId: op.client, Input: op, Call: op.call, Return: op.end}
	}
	return porcupine.CheckOperationsTimeout(model, operations, time.Minute)
}

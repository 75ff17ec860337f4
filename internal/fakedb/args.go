package fakedb

import (
	"database/sql/driver"
	"fmt"
)

// Point is an argument type that only a checker accepts; it is stored as text.
type Point struct{ X, Y int }

// Option is an argument that is meant for the driver: a checker with
// [CheckRemove] takes it out.
type Option struct{ Name string }

// check is what a CheckNamedValue does under this choice.
func (c Check) check(v *driver.NamedValue) error {
	switch c {
	case CheckSkip:
		return driver.ErrSkip
	case CheckAny:
		return nil
	case CheckRemove:
		if _, ok := v.Value.(Option); ok {
			return driver.ErrRemoveArgument
		}
	case CheckDefault:
	}
	if p, ok := v.Value.(Point); ok {
		v.Value = p.text()
		return nil
	}
	var err error
	v.Value, err = driver.DefaultParameterConverter.ConvertValue(v.Value)
	return err
}

func (p Point) text() string { return fmt.Sprintf("(%d,%d)", p.X, p.Y) }

// applies tells whether a direct call with these arguments answers ErrSkip.
func (s Skip) applies(args []driver.NamedValue) bool {
	return s == SkipAlways || s == SkipWithArgs && len(args) > 0
}

// ordinals numbers the arguments of a legacy call.
func ordinals(args []driver.Value) []driver.NamedValue {
	list := make([]driver.NamedValue, len(args))
	for i, v := range args {
		list[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return list
}

// plain turns arguments that a checker accepted as they were into values of the
// language.
func plain(args []driver.NamedValue) []driver.NamedValue {
	list := make([]driver.NamedValue, len(args))
	for i, a := range args {
		if b, ok := a.Value.([]byte); ok {
			// The caller may change its bytes once the call returned.
			a.Value = cloneBytes(b)
		} else if v, err := driver.DefaultParameterConverter.ConvertValue(a.Value); err == nil {
			a.Value = v
		} else if p, ok := a.Value.(Point); ok {
			a.Value = p.text()
		} else {
			a.Value = fmt.Sprint(a.Value)
		}
		list[i] = a
	}
	return list
}

// cloneBytes copies b and keeps nil and empty apart.
func cloneBytes(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}

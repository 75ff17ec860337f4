package fakedb

import (
	"bytes"
	"cmp"
	"database/sql/driver"
	"fmt"
	"time"
)

// compare orders values: by number, by bytes, by time; unlike kinds by their kind.
func compare(a, b driver.Value) int {
	if x, ok := a.(int64); ok {
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y)
		}
	}
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			return cmp.Compare(x, y)
		}
	}
	if x, ok := a.(time.Time); ok {
		if y, ok := b.(time.Time); ok {
			return x.Compare(y)
		}
	}
	if x, ok := a.([]byte); ok {
		if y, ok := b.([]byte); ok {
			return bytes.Compare(x, y)
		}
	}
	if rank(a) != rank(b) {
		return cmp.Compare(rank(a), rank(b))
	}
	return cmp.Compare(asText(a), asText(b))
}

func rank(v driver.Value) int {
	switch v.(type) {
	case nil:
		return 0
	case int64, float64, bool:
		return 1
	case string:
		return 2
	case []byte:
		return 3
	}
	return 4
}

// number gives booleans and numbers as a float64.
func number(v driver.Value) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// asText gives any value as text.
func asText(v driver.Value) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	case time.Time:
		return v.Format(time.RFC3339Nano)
	}
	return fmt.Sprint(v)
}

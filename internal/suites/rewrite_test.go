package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRewrite(t *testing.T) {
	const src = `package sqlite3

import "database/sql"

func TestA(t *testing.T) {
	sql.Register("a", &SQLiteDriver{ConnectHook: func(c *SQLiteConn) error { return nil }})
	conn.Raw(func(driverConn any) error {
		if _, ok := driverConn.(*SQLiteConn); !ok { // asserted
			t.Fatalf("%T", driverConn)
		}
		_ = driverConn.(driver.ConnBeginTx)
		return other.(*SQLiteConn).Close()
	})
}

func TestB(t *testing.T) {
	c := driverConn.(*SQLiteConn)
	other.Register("b", c)
	c.Raw(func(raw any) error { return raw.(*SQLiteConn).Close() })
}

func TestC(t *testing.T) { c.Raw(named); c.Raw(func(raw any) error { return nil }) }
`
	const want = `package sqlite3

import "database/sql"

func TestA(t *testing.T) {
	SuiteRegister("a", &SQLiteDriver{ConnectHook: func(c *SQLiteConn) error { return nil }})
	conn.Raw(func(driverConn any) error {
		if _, ok := SuiteUnwrap(driverConn).(*SQLiteConn); !ok { // asserted
			t.Fatalf("%T", driverConn)
		}
		_ = driverConn.(driver.ConnBeginTx)
		return other.(*SQLiteConn).Close()
	})
}

func TestB(t *testing.T) {
	c := driverConn.(*SQLiteConn)
	other.Register("b", c)
	c.Raw(func(raw any) error { return SuiteUnwrap(raw).(*SQLiteConn).Close() })
}

func TestC(t *testing.T) { c.Raw(named); c.Raw(func(raw any) error { return nil }) }
`
	got, unwrapped, err := rewrite([]byte(src))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("rewritten (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"TestA", "TestB"}, unwrapped); diff != "" {
		t.Errorf("unwrapped in (-want +got):\n%s", diff)
	}
}

package fakedb

import (
	"context"
	"database/sql/driver"
	"io"
	"testing"
)

func has[T any](v any, a Ability) Ability {
	if _, ok := v.(T); ok {
		return a
	}
	return 0
}

// TestShapes proves that every profile's types have the interfaces that the
// profile says, and no other.
func TestShapes(t *testing.T) {
	names := map[string]bool{}
	for _, p := range Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			if names[p.Name] {
				t.Fatal("the name is used twice")
			}
			names[p.Name] = true
			d, err := New(p)
			if err != nil {
				t.Fatal(err)
			}
			c, err := d.Connector("main").Connect(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			s, err := c.Prepare("SELECT 1")
			if err != nil {
				t.Fatal(err)
			}
			r, err := s.Query(nil) //nolint:staticcheck // The one method that every shape has.
			if err != nil {
				t.Fatal(err)
			}
			got := has[driver.DriverContext](d.Driver(), DriverContext) |
				has[io.Closer](d.Connector("main"), ConnectorCloser) |
				has[driver.QueryerContext](c, QueryerContext) | has[legacyQueryer](c, LegacyQueryer) |
				has[driver.ExecerContext](c, ExecerContext) | has[legacyExecer](c, LegacyExecer) |
				has[driver.ConnPrepareContext](c, ConnPrepareContext) | has[driver.ConnBeginTx](c, ConnBeginTx) |
				has[driver.Pinger](c, Pinger) | has[driver.SessionResetter](c, SessionResetter) |
				has[driver.Validator](c, Validator) | has[driver.NamedValueChecker](c, ConnChecker) |
				has[driver.StmtQueryContext](s, StmtQueryContext) | has[driver.StmtExecContext](s, StmtExecContext) |
				has[driver.NamedValueChecker](s, StmtChecker) | has[stmtConverter](s, StmtConverter) |
				has[driver.RowsNextResultSet](r, RowsNextResultSet) |
				has[driver.RowsColumnTypeScanType](r, RowsScanType) |
				has[driver.RowsColumnTypeDatabaseTypeName](r, RowsDatabaseTypeName) |
				has[driver.RowsColumnTypeLength](r, RowsLength) |
				has[driver.RowsColumnTypeNullable](r, RowsNullable) |
				has[driver.RowsColumnTypePrecisionScale](r, RowsPrecisionScale)
			if got != p.Abilities {
				t.Errorf("missing %v, not asked for %v", p.Abilities&^got, got&^p.Abilities)
			}
			if ConnID(c) != 1 {
				t.Errorf("ConnID = %d, want 1", ConnID(c))
			}
		})
	}
}

func TestNewRefusesAnUnknownShape(t *testing.T) {
	for _, a := range []Ability{QueryerContext | Pinger, RowsLength | RowsNullable} {
		if _, err := New(Profile{Name: "odd", Abilities: a}); err == nil {
			t.Errorf("New accepted %v", a)
		}
	}
}

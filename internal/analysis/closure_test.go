package analysis

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSettings holds that a plan made where foreign keys and recursive triggers
// are off, as they are by default, holds where they are on too. Each case is one
// that the comparison on random schemas failed on before the witness's answer
// was closed over the catalog, or closed over it with too little.
func TestSettings(t *testing.T) {
	tests := []struct {
		name, schema, sql string
		want              []string
	}{
		{
			"cascade",
			`CREATE TABLE a(id INTEGER PRIMARY KEY); CREATE TABLE b(a REFERENCES a ON DELETE CASCADE);`,
			"DELETE FROM a",
			[]string{"a", "b"},
		},
		{
			"REPLACE in a trigger's body deletes, and that cascades",
			`CREATE TABLE a(id INTEGER PRIMARY KEY); CREATE TABLE b(a REFERENCES a ON DELETE CASCADE); CREATE TABLE c(x);
			CREATE TRIGGER g AFTER INSERT ON c BEGIN INSERT OR REPLACE INTO a VALUES (1); END;`,
			"INSERT INTO c VALUES (1)",
			[]string{"a", "b", "c"},
		},
		{
			"what fires for a row that a constraint replaces inherits REPLACE",
			`CREATE TABLE a(id UNIQUE ON CONFLICT REPLACE); CREATE TABLE b(id UNIQUE); CREATE TABLE c(b REFERENCES b(id) ON DELETE CASCADE);
			CREATE TRIGGER g AFTER DELETE ON a BEGIN INSERT INTO b VALUES (1); END;`,
			"INSERT INTO a VALUES (1)",
			[]string{"a", "b", "c"},
		},
		{
			"a cascade leads back to the table, by another column",
			`CREATE TABLE a(id INTEGER PRIMARY KEY, x); CREATE TABLE b(a REFERENCES a ON UPDATE CASCADE); CREATE TABLE log(x);
			CREATE TRIGGER g AFTER UPDATE ON b BEGIN UPDATE a SET x = 1; END;
			CREATE TRIGGER h AFTER UPDATE OF x ON a BEGIN INSERT INTO log VALUES (1); END;`,
			"UPDATE a SET id = 2",
			[]string{"a", "b", "log"},
		},
		{
			"a trigger on a column that does not change does not fire",
			`CREATE TABLE a(id INTEGER PRIMARY KEY, x); CREATE TABLE log(x);
			CREATE TRIGGER h AFTER UPDATE OF x ON a BEGIN INSERT INTO log VALUES (1); END;`,
			"UPDATE a SET id = 2",
			[]string{"a"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := openFile(t, ":memory:", tt.schema)
			cat := e.catalog(t)
			p := Analyze(t.Context(), SQLite, tt.sql, cat, e)
			if diff := cmp.Diff(tt.want, p.Writes); diff != "" {
				t.Errorf("witness (-want +got):\n%s", diff)
			}
			if p := Analyze(t.Context(), SQLite, tt.sql, cat, nil); !subset(tt.want, p.Writes) {
				t.Errorf("catalog: %v, want %v", p.Writes, tt.want)
			}
			e.exec(t, "PRAGMA foreign_keys=ON")
			e.exec(t, "PRAGMA recursive_triggers=ON")
			_, writes, err := e.program(t.Context(), tt.sql, e.roots(t))
			if err != nil || !subset(writes, p.Writes) {
				t.Errorf("the program writes %v, %v", writes, err)
			}
		})
	}
}

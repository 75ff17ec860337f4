package analysis

import (
	"context"
	"fmt"
	"strings"
)

// LoadSQLite reads what the schema of a connection hides: its main database,
// the temporary one and every attached one. It is for a connection outside of
// any transaction: inside one it would take the snapshot that the next
// statement should have.
func LoadSQLite(ctx context.Context, eng Engine) (*Catalog, error) {
	dbs, err := databases(ctx, eng)
	if err != nil {
		return nil, err
	}
	// The version comes first: a change in between makes it look old.
	version, err := versions(ctx, eng, dbs)
	if err != nil {
		return nil, err
	}
	c := newCatalog()
	c.version = version
	var views []entry
	for _, db := range dbs {
		entries, err := entries(ctx, eng, db.name)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			c.add(e)
			if e.kind == "view" {
				views = append(views, e)
			}
		}
	}
	for _, name := range []string{"sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema"} {
		r := c.relation(name)
		r.base, r.internal = true, true
	}
	if err := c.loadShadows(ctx, eng); err != nil {
		return nil, err
	}
	if err := c.loadFunctions(ctx, eng); err != nil {
		return nil, err
	}
	c.finish(views)
	return c, nil
}

// SQLiteVersion tells the schema versions of every database of a connection, to
// be compared with [Catalog.Version]. It is as cheap as the engine allows: one
// query and one more for each database.
func SQLiteVersion(ctx context.Context, eng Engine) (string, error) {
	dbs, err := databases(ctx, eng)
	if err != nil {
		return "", err
	}
	return versions(ctx, eng, dbs)
}

// database is one row of PRAGMA database_list.
type database struct{ name, file string }

func databases(ctx context.Context, eng Engine) ([]database, error) {
	rows, err := eng.Query(ctx, "PRAGMA database_list")
	if err != nil {
		return nil, fmt.Errorf("querycache: list databases: %w", err)
	}
	dbs := make([]database, 0, len(rows))
	for _, row := range rows {
		if len(row) < 3 {
			return nil, fmt.Errorf("querycache: list databases: %d columns", len(row))
		}
		dbs = append(dbs, database{name: text(row[1]), file: text(row[2])})
	}
	return dbs, nil
}

func versions(ctx context.Context, eng Engine, dbs []database) (string, error) {
	var b strings.Builder
	for _, db := range dbs {
		rows, err := eng.Query(ctx, "PRAGMA "+quoted(db.name)+".schema_version")
		if err != nil {
			return "", fmt.Errorf("querycache: schema version of %s: %w", db.name, err)
		}
		v := "?"
		if len(rows) == 1 && len(rows[0]) == 1 {
			v = text(rows[0][0])
		}
		fmt.Fprintf(&b, "%s=%s@%s\n", db.name, v, db.file)
	}
	return b.String(), nil
}

func entries(ctx context.Context, eng Engine, db string) ([]entry, error) {
	rows, err := eng.Query(ctx, "SELECT type, name, tbl_name, sql FROM "+quoted(db)+
		".sqlite_master WHERE type IN ('table', 'view', 'trigger')")
	if err != nil {
		return nil, fmt.Errorf("querycache: schema of %s: %w", db, err)
	}
	out := make([]entry, 0, len(rows))
	for _, row := range rows {
		if len(row) != 4 {
			return nil, fmt.Errorf("querycache: schema of %s: %d columns", db, len(row))
		}
		out = append(out, entry{kind: text(row[0]), name: text(row[1]), table: text(row[2]), sql: text(row[3])})
	}
	return out, nil
}

// loadShadows marks the storage of virtual tables as the engine knows it.
// Engines before 3.37 answer with no rows.
func (c *Catalog) loadShadows(ctx context.Context, eng Engine) error {
	rows, err := eng.Query(ctx, "PRAGMA table_list")
	if err != nil {
		return fmt.Errorf("querycache: list tables: %w", err)
	}
	c.shadowsKnown = len(rows) > 0
	for _, row := range rows {
		if len(row) < 3 {
			continue
		}
		r := c.relation(fold(text(row[1])))
		switch text(row[2]) {
		case "shadow":
			r.shadow = true
		case "virtual":
			if r.module == "" {
				r.module = "?"
			}
		case "view":
			r.view = true
		default:
			r.base = true
		}
	}
	return nil
}

// loadFunctions reads PRAGMA function_list. An engine too old to answer leaves
// the functions unknown, so that nothing that calls one is cached.
func (c *Catalog) loadFunctions(ctx context.Context, eng Engine) error {
	rows, err := eng.Query(ctx, "PRAGMA function_list")
	if err != nil {
		return fmt.Errorf("querycache: list functions: %w", err)
	}
	for _, row := range rows {
		if len(row) < 6 {
			return nil
		}
		name := fold(text(row[0]))
		f, listed := c.functions[name]
		deterministic := number(row[5])&flagDeterministic != 0
		if number(row[1]) == 0 {
			f.deterministic = deterministic && (f.deterministic || !f.application)
			f.application = true
		} else if !listed {
			f.deterministic = deterministic
		}
		c.functions[name] = f
	}
	c.functionsKnown = len(rows) > 0
	return nil
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return string(v)
	default:
		return fmt.Sprint(v)
	}
}

func number(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case bool:
		if v {
			return 1
		}
		return 0
	default:
		return 0
	}
}

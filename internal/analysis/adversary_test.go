package analysis

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
)

// TestHostileNames covers names chosen to mislead a reader of text.
func TestHostileNames(t *testing.T) {
	e := open(t, `
CREATE TABLE "begin"(a); CREATE TABLE "end"(a); CREATE TABLE "from"(a); CREATE TABLE "a.b"(a); CREATE TABLE q(b);
CREATE TABLE "it's"(a); CREATE TABLE [say "x"](a); CREATE TABLE window(a); CREATE TABLE filter(a); CREATE TABLE "with"(a);
CREATE TABLE replace(a); CREATE TABLE json_each(a); CREATE TABLE pragma_users(a); CREATE TABLE "Ünï"(a); CREATE TABLE t(a, b);
CREATE TABLE rowid(a); CREATE TABLE cast(a VARCHAR(10) CHECK (CAST(a AS VARCHAR(3)) <> 'x'));
CREATE TABLE "view"(a); CREATE TABLE target(a); CREATE TABLE other(a); CREATE TABLE "-- x"(a); CREATE TABLE "/* x"(a);
CREATE VIEW "as"(x) AS SELECT a FROM "from";
CREATE VIEW "select * from t" AS SELECT a FROM "end";
CREATE TRIGGER begin AFTER INSERT ON "begin" BEGIN INSERT INTO target VALUES (1); END;
CREATE TRIGGER "insert on" AFTER DELETE ON t WHEN old.a IN (1) BEGIN
	INSERT INTO target SELECT CASE WHEN 1 THEN 'BEGIN; END' END; UPDATE "end" SET a = (SELECT 1); REPLACE INTO other VALUES (1); END;
`)
	checkRules(t, e, []rule{
		{`SELECT * FROM "begin", "end", "from"`, `read cacheable r="begin,end,from"`, ""},
		{`SELECT * FROM begin, end`, `read cacheable r="begin,end"`, ""},
		{`SELECT q.b FROM q`, `read cacheable r="q"`, ""},
		{`SELECT * FROM "a.b"`, `read cacheable r="a.b"`, ""},
		{`SELECT * FROM "it's", 'say "x"', "-- x", "/* x"`, `read cacheable r="-- x,/* x,it's,say \"x\""`, ""},
		{`SELECT filter.a FROM filter, window window`, `read cacheable r="filter,window"`, ""},
		{`SELECT * FROM with`, `read cacheable r="with"`, ""},
		{`SELECT 1 FROM with AS with WHERE with.a IN replace`, `read cacheable r="replace,with"`, ""},
		{`SELECT replace(a, 1, 2) FROM replace`, `read cacheable r="replace"`, ""},
		{`SELECT 1 FROM json_each`, `read cacheable r="json_each"`, ""},
		{`SELECT 1 FROM pragma_users`, `read cacheable r="pragma_users"`, ""},
		{`SELECT 1 FROM "ünï"`, `read refused by the engine volatile`, `read unknown relation volatile`},
		{`SELECT 1 FROM Ünï`, `read cacheable r="Ünï"`, ""},
		{`SELECT x FROM [AS]`, `read cacheable r="from"`, ""},
		{`SELECT 1 FROM "Select * From t"`, `read cacheable r="end"`, ""},
		{`SELECT 1 FROM t WHERE a = 'x' || "from"`, `read cacheable r="t"`, `read cacheable r="from,t"`},
		{`INSERT INTO "begin" VALUES (1)`, `write w="begin,target"`, `write w="begin" everything`},
		{`INSERT INTO cast VALUES (1)`, `write w="cast"`, ""},
		{`DELETE FROM t`, `write w="end,other,t,target"`, ""},
		{`UPDATE t SET a = (SELECT a FROM other), b = 2 FROM target, (other JOIN view) WHERE 1`, `write w="t"`, ""},
		{`INSERT INTO replace(a) VALUES (replace('x', 'y', 'z'))`, `write w="replace"`, ""},
		{`REPLACE INTO replace SELECT a FROM with`, `write w="replace"`, ""},
		{`WITH replace(a) AS (SELECT 1), with AS (SELECT 2) REPLACE INTO t SELECT 1, 2 FROM replace, with`, `write w="end,other,t,target"`, ""},
	})
}

// TestUnreadableSchema holds that what the catalog cannot read is not relied on.
// Without the fail-safe answer the unread view would be cached under nothing.
func TestUnreadableSchema(t *testing.T) {
	c := newCatalog()
	c.functionsKnown = true
	for _, e := range []entry{
		{"table", "t", "t", "CREATE TABLE t(a)"},
		{"table", "odd", "odd", "CREATE TABLE odd(a DEFAULT 'x\x00')"},
		{"table", "fired", "fired", "CREATE TABLE fired(a)"},
		{"trigger", "g", "fired", "CREATE TRIGGER g AFTER INSERT ON fired BEGIN DELETE FROM t WHERE a = 'x\x00'; END"},
		{"table", "vague", "vague", "CREATE TABLE vague(a)"},
		{"trigger", "h", "vague", "CREATE TRIGGER h AFTER INSERT ON vague BEGIN MERGE INTO t; END"},
		{"view", "v", "v", "CREATE VIEW v AS SELECT '\x00' FROM t"},
		{"view", "w", "w", "CREATE VIEW w AS DELETE FROM t"},
	} {
		c.add(e)
	}
	c.finish([]entry{{"view", "v", "v", "CREATE VIEW v AS SELECT '\x00' FROM t"}, {"view", "w", "w", "CREATE VIEW w AS DELETE FROM t"}})
	for sql, want := range map[string]string{
		"SELECT * FROM v":             "read unknown relation",
		"SELECT * FROM w":             `read unknown relation r="t"`,
		"SELECT * FROM odd":           `read unknown relation r="odd"`,
		"INSERT INTO fired VALUES(1)": `write w="fired" everything`,
		"INSERT INTO vague VALUES(1)": `write w="vague" everything`,
		"DELETE FROM fired":           `write w="fired" everything`,
		"DELETE FROM vague":           `write w="vague"`,
		"DELETE FROM t":               `write w="t"`,
	} {
		if got := render(Analyze(t.Context(), SQLite, sql, c, nil)); got != want {
			t.Errorf("%s\n  got: %s\n want: %s", sql, got, want)
		}
	}
	if Analyze(t.Context(), SQLite, "DELETE FROM t", c, nil).ErrorUndone {
		t.Error("an error proves something beside a trigger that could not be read")
	}
}

// oldEngine answers as SQLite did before it had the given PRAGMAs.
type oldEngine struct {
	*liveEngine
	lacks []string
}

func (e oldEngine) Query(ctx context.Context, text string) ([][]any, error) {
	for _, name := range e.lacks {
		if strings.Contains(text, name) {
			return nil, nil
		}
	}
	return e.liveEngine.Query(ctx, text)
}

func TestOldEngines(t *testing.T) {
	e := open(t, ruleSchema)
	load := func(lacks ...string) *Catalog {
		c, err := LoadSQLite(t.Context(), oldEngine{e, lacks})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, tt := range []struct {
		cat       *Catalog
		sql, want string
	}{
		{load("table_list"), "SELECT * FROM fts", `read virtual table r="fts"`},
		{load("table_list"), "SELECT * FROM fts_content", `read virtual table r="fts_content"`},
		{load("table_list"), "SELECT id FROM users", `read cacheable r="users"`},
		{load("function_list"), "SELECT id FROM users", `read cacheable r="users"`},
		{load("function_list"), "SELECT lower(name) FROM users", `read unknown function r="users"`},
	} {
		if got := render(Analyze(t.Context(), SQLite, tt.sql, tt.cat, nil)); got != tt.want {
			t.Errorf("%s\n  got: %s\n want: %s", tt.sql, got, tt.want)
		}
	}
}

// TestReopened holds that a connection that did not make the schema knows it as
// well, shadows included.
func TestReopened(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.db")
	openFile(t, file, ruleSchema+"CREATE TABLE fts_fans(id INT);")
	checkRules(t, openFile(t, file, "SELECT 1"), []rule{
		{"SELECT * FROM fts_content", `read virtual table r="fts_content"`, ""},
		{"SELECT id FROM fts_fans", `read cacheable r="fts_fans"`, ""},
		{"INSERT INTO v_edit VALUES ('a', 1)", `write w="stats"`, ""},
		{"DELETE FROM users", `write w="items,orders,users"`, ""},
	})
}

// TestCallerMemory holds that a plan does not change with the memory of a text
// that its caller overwrites.
func TestCallerMemory(t *testing.T) {
	for _, sql := range []string{" SELECT id FROM users ", "SELECT 'x"} {
		memory := []byte(sql)
		p := Analyze(t.Context(), SQLite, unsafeString(memory), nil, nil)
		before := *p
		for i := range memory {
			memory[i] = '#'
		}
		if p.Text != strings.TrimSpace(sql) || p.Fingerprint != before.Fingerprint || strings.Contains(p.Fingerprint, "#") {
			t.Errorf("%q became %+v", sql, p)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	e := open(t, ruleSchema)
	for _, query := range []string{"database_list", "schema_version", "sqlite_master", "table_list", "function_list"} {
		if _, err := LoadSQLite(t.Context(), failingEngine{e, query}); err == nil || !strings.HasPrefix(err.Error(), "querycache: ") {
			t.Errorf("%s failed, but the error is %v", query, err)
		}
	}
	if _, err := SQLiteVersion(t.Context(), failingEngine{e, "schema_version"}); err == nil {
		t.Error("no version, but no error")
	}
}

// failingEngine fails the catalog query that holds a word.
type failingEngine struct {
	*liveEngine
	on string
}

func (e failingEngine) Query(ctx context.Context, text string) ([][]any, error) {
	if strings.Contains(text, e.on) {
		return nil, context.Canceled
	}
	return e.liveEngine.Query(ctx, text)
}

package analysis

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	sqlite3 "github.com/mattn/go-sqlite3"
)

const ruleSchema = `
CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT UNIQUE, email TEXT, created_at TEXT);
CREATE TABLE orders(id INTEGER PRIMARY KEY, user_id INT REFERENCES users(id) ON DELETE CASCADE ON UPDATE CASCADE, total REAL);
CREATE TABLE items(id INTEGER PRIMARY KEY, order_id INT REFERENCES orders(id) ON DELETE SET NULL, sku TEXT);
CREATE TABLE items_old(id INT);
CREATE TABLE "Order Details"(id INT, note TEXT);
CREATE TABLE "select"(id INT);
CREATE TABLE "left"(id INT);
CREATE TABLE stats(k TEXT PRIMARY KEY, n INT) WITHOUT ROWID;
CREATE TABLE log(msg TEXT);
CREATE TABLE loose(id INT, at TEXT);
CREATE TABLE uniq(a INT UNIQUE ON CONFLICT REPLACE, b INT);
CREATE TABLE seq(id INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE TABLE loop(id INTEGER PRIMARY KEY, n INT);
CREATE VIEW v_users AS SELECT id, name FROM users;
CREATE VIEW v_deep AS SELECT v.id FROM v_users v JOIN orders o ON o.user_id = v.id;
CREATE VIEW v_random AS SELECT id, random() AS r FROM users;
CREATE VIEW v_now AS SELECT id, date('now') AS d FROM users;
CREATE VIEW v_clock AS SELECT id, CURRENT_TIMESTAMP AS d FROM users;
CREATE VIEW v_date AS SELECT id, date(created_at) AS d FROM users;
CREATE VIEW v_word AS SELECT 'now' AS w;
CREATE VIEW v_rowid AS SELECT rowid AS r FROM loose;
CREATE VIEW v_cte AS WITH c AS (SELECT 1 FROM log) SELECT 1 AS one FROM c;
CREATE VIEW v_edit AS SELECT k, n FROM stats;
CREATE TRIGGER g_edit INSTEAD OF INSERT ON v_edit BEGIN INSERT INTO stats VALUES(new.k, CASE WHEN new.n THEN 1 END); END;
CREATE TRIGGER g_items AFTER INSERT ON items BEGIN UPDATE stats SET n = n + 1; END;
CREATE TRIGGER g_stats AFTER UPDATE ON stats BEGIN INSERT INTO log VALUES('x'); END;
CREATE TRIGGER g_loop AFTER UPDATE ON loop WHEN new.n < 3 BEGIN UPDATE loop SET n = n + 1 WHERE id = new.id; END;
CREATE VIRTUAL TABLE fts USING fts4(body);
CREATE VIRTUAL TABLE tree USING rtree(id, x0, x1);
`

// render writes the parts of a plan that a rule decides, in one line.
func render(p *Plan) string {
	var b strings.Builder
	b.WriteString(p.Kind.String())
	if p.Kind == Read {
		fmt.Fprintf(&b, " %s", p.Reason)
	}
	if len(p.Reads) > 0 && p.Kind == Read {
		fmt.Fprintf(&b, " r=%q", strings.Join(p.Reads, ","))
	}
	if len(p.Writes) > 0 {
		fmt.Fprintf(&b, " w=%q", strings.Join(p.Writes, ","))
	}
	for _, f := range []struct {
		on   bool
		name string
	}{
		{p.Everything, "everything"},
		{p.Session, "session"},
		{p.Private, "private"},
		{p.DirtyReads, "dirty"},
		{p.NoRollback, "norollback"},
		{p.NowArgs, "nowargs"},
		{p.Volatile, "volatile"},
	} {
		if f.on {
			b.WriteString(" " + f.name)
		}
	}
	for _, c := range p.Control {
		fmt.Fprintf(&b, " [%s %s]", c.Verb, c.Name)
	}
	return b.String()
}

// rule is a statement and what each way says of it; an empty answer is the
// witness's.
type rule struct {
	sql, witness, catalog string
}

func checkRules(t *testing.T, e *liveEngine, rules []rule) {
	t.Helper()
	cat := e.catalog(t)
	for _, r := range rules {
		w := Analyze(t.Context(), SQLite, r.sql, cat, e)
		if got := render(w); got != r.witness {
			t.Errorf("%s\n witness: %s\n    want: %s", r.sql, got, r.witness)
		}
		want := r.catalog
		if want == "" {
			want = r.witness
		}
		c := Analyze(t.Context(), SQLite, r.sql, cat, nil)
		if got := render(c); got != want {
			t.Errorf("%s\n catalog: %s\n    want: %s", r.sql, got, want)
		}
	}
}

func TestReads(t *testing.T) {
	checkRules(t, open(t, ruleSchema), []rule{
		// Joins, in every spelling.
		{"SELECT * FROM users u JOIN orders o ON o.user_id=u.id", `read cacheable r="orders,users"`, ""},
		{"SELECT * FROM users, orders", `read cacheable r="orders,users"`, ""},
		{"SELECT * FROM (users, orders)", `read cacheable r="orders,users"`, ""},
		{"SELECT 1 FROM users, (orders JOIN items USING (id))", `read cacheable r="items,orders,users"`, ""},
		{"SELECT 1 FROM (((users)))", `read cacheable r="users"`, ""},
		{"SELECT * FROM users a LEFT JOIN users b ON a.id=b.id, items", `read cacheable r="items,users"`, `read cacheable r="items,left,users"`},
		{"SELECT 1 FROM log NATURAL FULL OUTER JOIN stats", `read cacheable r="log,stats"`, ""},
		{"SELECT 1 FROM 'users'", `read cacheable r="users"`, ""},
		{"SELECT 1 FROM users ORDER BY (SELECT max(id) FROM items_old), 1", `read cacheable r="items_old,users"`, ""},
		// Subqueries anywhere.
		{"SELECT 1 FROM log WHERE 1 IN items_old", `read cacheable r="items_old,log"`, ""},
		{"SELECT 1 FROM log WHERE 1 IN main.items_old", `read cacheable r="items_old,log"`, ""},
		{"SELECT 1 FROM log WHERE 1 IN 'items_old'", `read cacheable r="items_old,log"`, ""},
		{"SELECT 1 FROM log WHERE 1 NOT IN (SELECT id FROM users WHERE id IN (SELECT user_id FROM orders WHERE id IN (SELECT order_id FROM items)))", `read cacheable r="items,log,orders,users"`, ""},
		{"SELECT CASE WHEN 1 THEN (SELECT name FROM users) ELSE coalesce((SELECT sku FROM items), 1) END", `read cacheable r="items,users"`, ""},
		{"SELECT count(*) FROM users GROUP BY name HAVING count(*) > (SELECT n FROM stats) LIMIT (SELECT count(*) FROM log) OFFSET (SELECT 1 FROM loose)", `read cacheable r="log,loose,stats,users"`, ""},
		{"SELECT 1 FROM users UNION SELECT 1 FROM log EXCEPT SELECT 1 FROM loose INTERSECT SELECT 1 FROM items", `read cacheable r="items,log,loose,users"`, ""},
		{"VALUES ((SELECT count(*) FROM users))", `read cacheable r="users"`, ""},
		{"SELECT sum(total) FILTER (WHERE id > (SELECT 1 FROM log)) OVER w FROM orders WINDOW w AS (PARTITION BY (user_id)), w2 AS (ORDER BY id)", `read cacheable r="log,orders"`, ""},
		{"SELECT * FROM json_each((SELECT k FROM stats))", `read cacheable r="stats"`, ""},
		{"SELECT 1 FROM users, json_tree(users.name) j", `read cacheable r="users"`, ""},
		{"SELECT 1 WHERE (1, 2) = (SELECT id, n FROM loop)", `read cacheable r="loop"`, ""},
		{"SELECT 1 WHERE 1 IS NOT DISTINCT FROM (SELECT id FROM loop)", `read cacheable r="loop"`, ""},
		// Common table expressions.
		{"WITH a AS (SELECT * FROM users), b AS (SELECT id FROM a) SELECT * FROM b", `read cacheable r="users"`, ""},
		{"WITH RECURSIVE c(n) AS (SELECT id FROM log UNION ALL SELECT n+1 FROM c) SELECT n FROM c", `read refused by the engine volatile`, `read cacheable r="log"`},
		{"WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n+1 FROM c, users) SELECT n FROM c", `read cacheable r="users"`, ""},
		{"SELECT * FROM (WITH users AS (SELECT 1) SELECT * FROM users) UNION SELECT id FROM users", `read cacheable r="users"`, ""},
		{"SELECT * FROM (WITH users AS (SELECT 1 FROM log) SELECT * FROM users)", `read cacheable r="log"`, ""},
		{"WITH users AS (SELECT 1 AS id) SELECT * FROM main.users", `read cacheable r="users"`, ""},
		{"WITH x AS NOT MATERIALIZED (SELECT 1 FROM users), y(a) AS MATERIALIZED (SELECT 2 FROM log) SELECT * FROM x, y", `read cacheable r="log,users"`, ""},
		{"WITH zz AS (SELECT 1) SELECT count(*) FROM zz", `read cacheable`, ""},
		{"SELECT with FROM (SELECT 1 AS with)", `read cacheable`, ""},
		{"WITH replace AS (SELECT 1 AS x) SELECT x FROM replace", `read cacheable`, ""},
		// Names.
		{`SELECT id FROM "Order Details"`, `read cacheable r="order details"`, ""},
		{"SELECT id FROM [order details]", `read cacheable r="order details"`, ""},
		{"SELECT id FROM `select`", `read cacheable r="select"`, ""},
		{"SELECT id FROM left", `read cacheable r="left"`, ""},
		{"SELECT/**/id\nFROM/**/MAIN.\"USERS\"", `read cacheable r="users"`, ""},
		{"SELECT created_at, 'items', 1 -- log\n FROM users /* orders */", `read cacheable r="users"`, ""},
		{"SELECT 1 FROM items_old", `read cacheable r="items_old"`, ""},
		{"SELECT orders.id FROM users AS orders", `read cacheable r="users"`, ""},
		// Views.
		{"SELECT 1 FROM v_users", `read cacheable r="users"`, ""},
		{"SELECT * FROM v_deep", `read cacheable r="orders,users"`, ""},
		{"SELECT * FROM v_cte", `read cacheable r="log"`, ""},
		{"SELECT count(*) FROM v_deep", `read cacheable r="orders,users"`, ""},
		// Rowids that VACUUM may change.
		{"SELECT rowid FROM loose", "read cacheable r=\"\\x00rowid,loose\"", ""},
		{"SELECT 1 FROM loose ORDER BY \"_ROWID_\"", "read cacheable r=\"\\x00rowid,loose\"", ""},
		{"SELECT r FROM v_rowid", "read cacheable r=\"\\x00rowid,loose\"", ""},
		{"SELECT rowid FROM users", `read cacheable r="users"`, "read cacheable r=\"\\x00rowid,users\""},
		// What may not be cached.
		{"SELECT * FROM fts", `read virtual table r="fts"`, ""},
		{"SELECT 1 FROM users, tree", `read virtual table r="tree,users"`, ""},
		{"SELECT * FROM fts_content", `read virtual table r="fts_content"`, ""},
		{"SELECT * FROM sqlite_master", `read internal table r="sqlite_master"`, ""},
		{"SELECT 1 FROM sqlite_schema, users", `read internal table r="sqlite_schema,users"`, ""},
		{"SELECT * FROM sqlite_sequence", `read internal table r="sqlite_sequence"`, ""},
		{"SELECT * FROM pragma_table_info('users')", `read internal table`, ""},
		{"SELECT 1 FROM pragma_database_list", `read internal table`, ""},
		{"SELECT * FROM nowhere", `read refused by the engine volatile`, `read unknown relation volatile`},
		{"SELECT (", `read not understood`, ""},
		{"SELECT 1; SELECT 2", `read several statements`, ""},
		{"SELECT * FROM users; SELECT 1 FROM orders;", `read several statements r="orders,users"`, ""},
	})
}

func TestFunctions(t *testing.T) {
	e := open(t, ruleSchema)
	if err := e.conn.RegisterFunc("upper", strings.ToUpper, true); err != nil {
		t.Fatal(err)
	}
	if err := e.conn.RegisterFunc("pureish", strings.ToUpper, true); err != nil {
		t.Fatal(err)
	}
	if err := e.conn.RegisterFunc("wild", strings.ToUpper, false); err != nil {
		t.Fatal(err)
	}
	e.exec(t, "CREATE TABLE checked(a TEXT CHECK (wild(a) <> 'X')); CREATE TABLE made(a TEXT, b AS (pureish(a)))")
	e.exec(t, "CREATE TABLE seen(a TEXT); CREATE TRIGGER g_wild AFTER INSERT ON seen BEGIN SELECT wild('x'); END")
	e.exec(t, "CREATE VIEW v_wild AS SELECT wild(name) AS w FROM users")
	checkRules(t, e, []rule{
		{"SELECT lower(name), count(*), name -> '$.a', iif(1, 2, 3) FROM users", `read cacheable r="users"`, ""},
		{"SELECT name LIKE 'a%', name GLOB 'a*' FROM users", `read cacheable r="users"`, ""},
		{"SELECT replace(name, 'a', 'b') FROM users", `read cacheable r="users"`, ""},
		{"SELECT random()", `read volatile function`, ""},
		{"SELECT id FROM users ORDER BY random()", `read volatile function r="users"`, ""},
		{"SELECT id FROM (SELECT id FROM users ORDER BY \"random\"())", `read volatile function r="users"`, ""},
		{"SELECT * FROM v_random", `read volatile function r="users"`, ""},
		{"SELECT changes(), total_changes(), last_insert_rowid(), sqlite_version()", `read volatile function`, ""},
		{"SELECT CURRENT_TIMESTAMP", `read volatile function`, ""},
		{"SELECT id FROM users WHERE created_at > current_date", `read volatile function r="users"`, ""},
		{"SELECT * FROM v_clock", `read volatile function r="users"`, ""},
		{"SELECT subtype(name) FROM users", `read unknown function r="users"`, ""},
		{"SELECT name MATCH 'x' FROM users", `read unknown function r="users"`, ""},
		{"SELECT upper(name) FROM users", `read unknown function r="users"`, ""},
		{"SELECT pureish(name) FROM users", `read unknown function r="users"`, ""},
		{"SELECT b FROM made", `read unknown function r="made"`, ""},
		{"SELECT wild(name) FROM users", `opaque everything`, ""},
		{"SELECT w FROM v_wild", `opaque everything`, ""},
		{"SELECT load_extension('x')", `opaque everything`, ""},
		{"SELECT fts3_tokenizer('x')", `opaque everything`, ""},
		{"INSERT INTO log VALUES (wild('x'))", `write w="log" everything`, ""},
		{"INSERT INTO log VALUES (random())", `write w="log"`, ""},
		{"INSERT INTO checked VALUES ('x')", `write w="checked" everything`, ""},
		{"INSERT INTO seen VALUES ('x')", `write w="seen" everything`, ""},
		{"SELECT authenticate('a', 'b')", `read unknown function`, ""},
	})
	e.exec(t, "PRAGMA case_sensitive_like=1")
	checkRules(t, e, []rule{{"SELECT name LIKE 'a%' FROM users", `read unknown function r="users"`, ""}})
}

func TestDates(t *testing.T) {
	const no = `read volatile function r="users"`
	checkRules(t, open(t, ruleSchema), []rule{
		{"SELECT datetime(created_at, '+1 day') FROM users", `read cacheable r="users"`, ""},
		{"SELECT strftime('%Y', created_at) FROM users", `read cacheable r="users"`, ""},
		{"SELECT date('2024-01-01', '+' || id || ' days') FROM users", no, ""},
		{`SELECT julianday("no" || "w") FROM users`, no, ""},
		{"SELECT julianday(replace('nXow', 'X', '')) FROM users", no, ""},
		{"SELECT julianday(d) FROM (SELECT 'no' || 'w' AS d FROM users)", no, ""},
		{"SELECT julianday(d) FROM (SELECT char(110, 111, 119) AS d FROM users)", no, ""},
		{"WITH c(d) AS (SELECT printf('%s%s', 'n', 'ow') FROM users) SELECT julianday(d) FROM c", no, ""},
		{"SELECT date(d) FROM (SELECT created_at AS d FROM users)", `read cacheable r="users"`, ""},
		{"SELECT date(substr(json_extract(email, '$.at'), 1, 10)) FROM users", no, ""},
		{"SELECT date(json_extract('{\"a\":\"n\\u006fw\"}', '$.a')) FROM users", no, ""},
		{"SELECT julianday(coalesce(created_at, email)) FROM users", no, ""},
		{"SELECT date(?) FROM users", `read cacheable r="users" nowargs`, ""},
		{"SELECT 1 FROM users WHERE date(created_at) = :day", `read cacheable r="users" nowargs`, ""},
		{"SELECT d FROM v_date", `read cacheable r="users"`, ""},
		{"SELECT d FROM v_date WHERE d = ?", `read cacheable r="users" nowargs`, ""},
		{"SELECT date() FROM users", no, ""},
		{"SELECT strftime('%s') FROM users", no, ""},
		{"SELECT strftime(?) FROM users", no, ""},
		{"SELECT date('now') FROM users", no, ""},
		{"SELECT date('NoW') FROM users", no, ""},
		{`SELECT date("now") FROM users`, no, ""},
		{"SELECT date(`now`) FROM users", `read refused by the engine volatile`, no},
		{"SELECT [date]('now') FROM users", no, ""},
		{"SELECT date(x'6e6f77') FROM users", no, ""},
		{"SELECT date('subsec') FROM users", no, ""},
		{"SELECT date(created_at, 'localtime') FROM users", no, ""},
		{"SELECT date(created_at, 'UTC') FROM users", no, ""},
		{"SELECT date('no' || 'w') FROM users", no, ""},
		{"SELECT date(char(110, 111, 119)) FROM users", no, ""},
		{"SELECT date(substr('xnowx', 2, 3)) FROM users", no, ""},
		{"WITH p(d) AS (SELECT 'now') SELECT date(d) FROM p, users", no, ""},
		{"SELECT date(w) FROM v_word, users", no, ""},
		{"SELECT date(d) FROM (SELECT trim(' now ') AS d), users", no, ""},
		{"SELECT date(created_at) FROM users WHERE name <> 'unknown'", `read cacheable r="users"`, ""},
		{"SELECT d FROM v_now", no, ""},
		{"SELECT unixepoch(), 1 FROM users", no, ""},
		{"SELECT timediff('now', created_at) FROM users", no, ""},
	})
}

func TestIsNow(t *testing.T) {
	for text, want := range map[string]bool{
		"now": true, "NOW": true, "localtime": true, "utc": true, "subsec": true, "subsecond": true,
		"no": true, "xnowx": true, "2024-01-01": false, "": false, "+1 day": false, "start of month": false, "auto": false,
	} {
		if IsNow(text) != want {
			t.Errorf("IsNow(%q) = %v", text, !want)
		}
	}
}

func TestWrites(t *testing.T) {
	checkRules(t, open(t, ruleSchema), []rule{
		{"INSERT INTO log VALUES ('a'), ('b')", `write w="log"`, ""},
		{"INSERT INTO log SELECT name FROM users", `write w="log"`, ""},
		{"INSERT INTO log DEFAULT VALUES", `write w="log"`, ""},
		{"INSERT INTO main.'log' AS l VALUES ('a') RETURNING msg", `write w="log"`, ""},
		{"INSERT INTO items(sku) VALUES ('a')", `write w="items,log,stats"`, ""},
		{"INSERT INTO v_edit VALUES ('a', 1)", `write w="stats"`, ""},
		{"UPDATE stats SET n = 1", `write w="log,stats"`, ""},
		{"UPDATE loop SET n = 0", `write w="loop"`, ""},
		{"UPDATE users SET id = 9 WHERE id = 1", `write w="orders,users"`, ""},
		{"UPDATE OR REPLACE users SET name = 'x'", `write w="items,orders,users"`, ""},
		{"UPDATE loose SET at = o.total FROM orders o WHERE o.id = loose.id", `write w="loose"`, ""},
		{"DELETE FROM users", `write w="items,orders,users"`, ""},
		{"DELETE FROM main.orders AS o WHERE o.id = 1 ORDER BY id LIMIT 1", `write everything volatile`, `write w="items,orders"`},
		{"REPLACE INTO users(id, name) VALUES (1, 'x')", `write w="items,orders,users"`, ""},
		{"INSERT OR REPLACE INTO users(id) VALUES (1)", `write w="items,orders,users"`, ""},
		{"INSERT INTO uniq VALUES (1, 2)", `write w="uniq"`, ""},
		{"INSERT INTO stats VALUES ('a', 1) ON CONFLICT(k) DO UPDATE SET n = 2 WHERE true", `write w="log,stats"`, ""},
		{"INSERT INTO stats VALUES ('a', 1) ON CONFLICT DO NOTHING", `write w="stats"`, ""},
		{"WITH x AS (SELECT id FROM users) DELETE FROM orders WHERE user_id IN (SELECT id FROM x)", `write w="items,orders"`, ""},
		{"WITH users AS (SELECT 1) UPDATE users SET id = 1", `write w="orders,users"`, ""},
		{"WITH a AS (SELECT 1), b AS (SELECT 2) INSERT INTO log SELECT 1 FROM a, b", `write w="log"`, ""},
		{"INSERT INTO log WITH log AS (SELECT 1 AS x) SELECT x FROM log", `write w="log"`, ""},
		{"INSERT INTO fts VALUES ('x')", `write w="fts,fts_content,fts_docsize,fts_segdir,fts_segments,fts_stat"`, ""},
		{"DELETE FROM tree", `write w="tree,tree_node,tree_parent,tree_rowid"`, ""},
		{"DELETE FROM sqlite_sequence", `write w="sqlite_sequence"`, ""},
		{"UPDATE sqlite_master SET sql = sql", `write everything volatile`, `write w="sqlite_master" everything`},
		{"DELETE FROM sqlite_temp_schema", `write everything volatile`, `write w="sqlite_temp_schema" everything`},
		{"INSERT INTO nowhere VALUES (1)", `write everything volatile`, ""},
		{"SELECT 1 FROM users WHERE id = (DELETE FROM users)", `opaque everything`, ""},
		{"SELECT * INTO x FROM users", `opaque everything`, ""},
		{"WITH x AS (SELECT 1) nonsense", `opaque everything`, ""},
		{"SELECT * FROM users; DELETE FROM orders", `write w="items,orders"`, ""},
		{"CREATE TABLE z(a); INSERT INTO z VALUES (1)", `schema everything volatile`, ""},
		{"PRAGMA foreign_keys=ON; DELETE FROM log", `write w="log" everything session`, ""},
	})
}

func TestProofs(t *testing.T) {
	e := open(t, ruleSchema)
	cat := e.catalog(t)
	tests := []struct {
		sql           string
		errors, count bool
	}{
		{"UPDATE users SET name = 'x' WHERE id = 9", true, true},
		{"DELETE FROM users WHERE id = 9", true, true},
		{"INSERT OR IGNORE INTO users(id) VALUES (1)", true, true},
		{"INSERT INTO users(id) VALUES (1) ON CONFLICT DO NOTHING", true, true},
		{"INSERT INTO users(id) VALUES (1) ON CONFLICT DO UPDATE SET name = 'x'", true, false},
		{"INSERT OR REPLACE INTO users(id) VALUES (1)", true, false},
		{"REPLACE INTO users(id) VALUES (1)", true, false},
		{"INSERT OR FAIL INTO users(id) VALUES (1)", false, false},
		{"INSERT OR ROLLBACK INTO users(id) VALUES (1)", false, false},
		{"DELETE FROM users RETURNING id", false, false},
		{"WITH x AS (SELECT 1) DELETE FROM users WHERE id IN x", true, false},
		{"UPDATE stats SET n = 1", true, false},
		{"INSERT INTO uniq VALUES (1, 2)", true, false},
		{"INSERT INTO v_edit VALUES ('a', 1)", false, false},
		{"INSERT INTO fts VALUES ('x')", false, false},
		{"DELETE FROM users; UPDATE users SET id = 1 WHERE 0", false, false},
		{"SELECT 1", false, false},
		{"DROP TABLE users", false, false},
	}
	for _, tt := range tests {
		for way, eng := range map[string]Engine{"witness": e, "catalog": nil} {
			p := Analyze(t.Context(), SQLite, tt.sql, cat, eng)
			if p.ErrorUndone != tt.errors || p.NoRowsUndone != tt.count {
				t.Errorf("%s by %s: error undone %v, no rows undone %v", tt.sql, way, p.ErrorUndone, p.NoRowsUndone)
			}
		}
		if p := Analyze(t.Context(), SQLite, tt.sql, nil, nil); p.ErrorUndone || p.NoRowsUndone {
			t.Errorf("%s: the text alone proves nothing", tt.sql)
		}
	}
	for _, ddl := range []string{
		"CREATE TRIGGER g_fail AFTER INSERT ON log BEGIN SELECT RAISE(FAIL, 'x'); END",
		"CREATE TABLE failing(a INT UNIQUE ON CONFLICT FAIL)",
		"CREATE TABLE undoing(a INT UNIQUE ON CONFLICT ROLLBACK)",
	} {
		e := open(t, ruleSchema)
		e.exec(t, ddl)
		if Analyze(t.Context(), SQLite, "DELETE FROM users", e.catalog(t), e).ErrorUndone {
			t.Errorf("with %s an error proves nothing", ddl)
		}
	}
}

func TestCommands(t *testing.T) {
	checkRules(t, open(t, ruleSchema), []rule{
		{"BEGIN", "control [begin ]", ""},
		{"begin immediate transaction", "control [begin ]", ""},
		{"COMMIT TRANSACTION", "control [commit ]", ""},
		{"END", "control [commit ]", ""},
		{"ROLLBACK", "control [rollback ]", ""},
		{"ROLLBACK TRANSACTION TO SAVEPOINT \"Foo Bar\"", "control [rollback to foo bar]", ""},
		{"SAVEPOINT [A]", "control [savepoint a]", ""},
		{"RELEASE SAVEPOINT 'A'", "control [release a]", ""},
		{"BEGIN; INSERT INTO log VALUES (1); SAVEPOINT s; RELEASE s; COMMIT", `write w="log" [begin ] [savepoint s] [release s] [commit ]`, ""},
		{"EXPLAIN DELETE FROM users", "pass", ""},
		{"EXPLAIN QUERY PLAN SELECT * FROM users", "pass", ""},
		{"EXPLAIN PRAGMA foreign_keys=ON", "session session", ""},
		{"ANALYZE", "pass", ""},
		{"REINDEX users", "pass", ""},
		{"VACUUM", `pass w="` + "\\x00" + `rowid"`, ""},
		{"VACUUM main INTO 'x'", "pass", ""},
		{"CREATE TABLE x(a)", "schema everything", ""},
		{"CREATE TABLE x AS SELECT * FROM users", "schema everything", ""},
		{"CREATE INDEX i ON users(name)", "schema everything", ""},
		{"CREATE UNIQUE INDEX IF NOT EXISTS main.i ON users(name)", "schema everything", ""},
		{"ALTER TABLE users RENAME TO people", "schema everything", ""},
		{"DROP VIEW v_users", "schema everything", ""},
		{"CREATE TEMP TABLE users(a)", "session session private", ""},
		{"CREATE TEMPORARY VIEW IF NOT EXISTS v AS SELECT 1", "session session private", ""},
		{"CREATE TABLE IF NOT EXISTS temp.x(a)", "session session private", ""},
		{"CREATE TABLE \"TEMP\".x AS SELECT lower(name) FROM users", "session session private", ""},
		{"CREATE TEMP TABLE x AS SELECT strange(name) FROM users", "schema everything session private", ""},
		{"CREATE TEMP TRIGGER g AFTER INSERT ON log BEGIN DELETE FROM users; END", "session session private", ""},
		{"CREATE TRIGGER g AFTER INSERT ON log BEGIN SELECT CASE WHEN 1 THEN 2 END; DELETE FROM users; END", "schema everything", ""},
		{"CREATE TRIGGER g AFTER INSERT ON log BEGIN DELETE FROM temp.x; END", "schema everything", ""},
		{"CREATE VIRTUAL TABLE temp.x USING fts4(a)", "schema everything session private", ""},
		{"ATTACH 'x.db' AS y", "session session", ""},
		{"ATTACH DATABASE 'file:x.db' AS y", "session session", ""},
		{"ATTACH ':memory:' AS y", "session session private", ""},
		{"ATTACH '' AS y", "session session private", ""},
		{"ATTACH 'file:x?mode=memory' AS y", "session session private", ""},
		{"ATTACH 'file:/x?vfs=memdb' AS y", "session session private", ""},
		{"ATTACH ? AS y", "session session private", ""},
		{"ATTACH strange() AS y", "session everything session private", ""},
		{"DETACH y", "session session", ""},
		{"PRAGMA table_info(users)", "pass", ""},
		{"PRAGMA main.journal_mode = wal", "pass", ""},
		{"PRAGMA journal_mode = 'OFF'", "pass norollback", ""},
		{"PRAGMA foreign_keys", "pass", ""},
		{"PRAGMA \"Foreign_Keys\"(1)", "session session", ""},
		{"PRAGMA main.recursive_triggers = on", "session session", ""},
		{"PRAGMA read_uncommitted = 1", "session session dirty", ""},
		{"PRAGMA read_uncommitted = off", "session session", ""},
		{"PRAGMA writable_schema = 1", "schema everything session", ""},
		{"PRAGMA schema_version = 7", "schema everything session", ""},
		{"PRAGMA made_up", "opaque everything session private", ""},
		{"PRAGMA", "opaque everything session private", ""},
		{"SELEC 1", "opaque everything", ""},
		{"'SELECT'", "opaque everything", ""},
		{"SELECT 'a", "opaque everything session private [uncertain ]", ""},
		{"BEGIN\x00", "opaque everything session private [uncertain ]", ""},
		{"", "pass", ""},
		{" ; -- nothing", "pass", ""},
	})
}

// Rules name views as well as tables. Seen to fail with enter noting nothing, and
// with bodies not calling it.
func TestViews(t *testing.T) {
	e := open(t, ruleSchema)
	cat := e.catalog(t)
	for text, want := range map[string][]string{
		"SELECT id FROM users":                      nil,
		"SELECT * FROM V_Users":                     {"v_users"},
		"SELECT (SELECT count(*) FROM v_deep) AS n": {"v_deep", "v_users"},
	} {
		for _, eng := range []Engine{e, nil} {
			if got := Analyze(t.Context(), SQLite, text, cat, eng).Views; !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", text, got, want)
			}
		}
	}
}

func TestReturnsRows(t *testing.T) {
	for sql, want := range map[string]bool{
		"SELECT 1": true, "VALUES (1)": true, "PRAGMA user_version": true, "EXPLAIN DELETE FROM users": true,
		"DELETE FROM users RETURNING id": true, "DELETE FROM users": false, "BEGIN": false, "VACUUM": false,
		"CREATE TABLE x(a)": false, "DELETE FROM users; SELECT 1": true, "SELECT 'a": true,
	} {
		if got := Analyze(t.Context(), SQLite, sql, nil, nil).ReturnsRows; got != want {
			t.Errorf("%s: %v", sql, got)
		}
	}
}

// TestTextAlone covers what the text must tell where nothing else is asked.
func TestTextAlone(t *testing.T) {
	tests := []struct{ sql, want string }{
		{"SELECT * FROM users u, (orders JOIN Items) WHERE 1 IN banned AND 2 IN main.other", `read cacheable r="banned,items,orders,other,users"`},
		{"WITH users AS (SELECT 1 FROM log) SELECT * FROM users", `read cacheable r="log"`},
		{"SELECT * FROM (WITH users AS (SELECT 1) SELECT * FROM users) UNION SELECT id FROM users", `read cacheable r="users"`},
		{"WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a", `read cacheable r="b"`},
		{"SELECT 1 FROM t WHERE a IS NOT DISTINCT FROM b", `read cacheable r="t"`},
		{"SELECT rowid FROM users", "read cacheable r=\"\\x00rowid,users\""},
		{"SELECT * FROM sqlite_schema", "read internal table"},
		{"SELECT * FROM json_each('[1]')", "read cacheable"},
		{"SELECT * FROM generate_series(1, 2)", "read virtual table"},
		{"SELECT nextval('a')", "opaque everything"},
		{"SELECT random()", "read volatile function"},
		{"SELECT date('now')", "read volatile function"},
		{"SELECT date(?) FROM a", `read cacheable r="a" nowargs`},
		{"INSERT INTO Users(id) SELECT id FROM x", `write w="users"`},
		{"UPDATE sqlite_master SET sql = 1", `write w="sqlite_master" everything`},
		{"WITH x AS (SELECT 1) UPDATE \"A b\" SET c = 1 FROM d", `write w="a b"`},
	}
	for _, tt := range tests {
		if got := render(Analyze(t.Context(), SQLite, tt.sql, nil, nil)); got != tt.want {
			t.Errorf("%s\n  got: %s\n want: %s", tt.sql, got, tt.want)
		}
	}
}

// TestOtherDatabases covers attached and temporary relations: a bare name is
// one tag, whatever database it is in.
func TestOtherDatabases(t *testing.T) {
	e := open(t, ruleSchema)
	e.exec(t, "ATTACH '"+t.TempDir()+"/b.db' AS aux1")
	e.exec(t, "CREATE TABLE aux1.far(id INT); CREATE TABLE aux1.log(id INT); CREATE VIEW aux1.v_far AS SELECT id FROM far")
	e.exec(t, "CREATE TEMP TABLE users(id INT); CREATE TEMP VIEW v_temp AS SELECT id FROM main.orders")
	e.exec(t, "CREATE TEMP TRIGGER g_temp AFTER INSERT ON main.loose BEGIN DELETE FROM items; END")
	checkRules(t, e, []rule{
		{"SELECT * FROM far", `read cacheable r="far"`, ""},
		{"SELECT * FROM aux1.v_far", `read cacheable r="far"`, ""},
		{"SELECT id FROM users", `read cacheable r="users"`, ""},
		{"SELECT id FROM main.users", `read cacheable r="users"`, ""},
		{"SELECT id FROM v_temp", `read cacheable r="orders"`, ""},
		{"INSERT INTO aux1.log VALUES (1)", `write w="log"`, ""},
		{"INSERT INTO loose VALUES (1, 2)", `write w="items,loose"`, ""},
	})
}

func TestVersion(t *testing.T) {
	e := open(t, ruleSchema)
	cat := e.catalog(t)
	version := func() string {
		v, err := SQLiteVersion(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	last := version()
	if cat.Version() != last {
		t.Errorf("catalog is of %q, engine says %q", cat.Version(), last)
	}
	e.exec(t, "INSERT INTO log VALUES (1)")
	if v := version(); v != last {
		t.Errorf("a row moved the version from %q to %q", last, v)
	}
	dir := t.TempDir()
	for _, sql := range []string{
		"CREATE TABLE more(a)", "ATTACH '" + dir + "/b.db' AS b", "CREATE TABLE b.x(a)", "CREATE TEMP TABLE y(a)",
		"DROP TABLE y", "DETACH b", "ATTACH '" + dir + "/c.db' AS b",
	} {
		e.exec(t, sql)
		v := version()
		if v == last {
			t.Errorf("%s did not move the version %q", sql, v)
		}
		last = v
	}
}

// TestOldCatalog holds that a relation that the engine knows and the catalog does
// not is neither cached nor taken for harmless, and that the plan is not kept.
func TestOldCatalog(t *testing.T) {
	e := open(t, ruleSchema)
	cat := e.catalog(t)
	e.exec(t, "CREATE TABLE late(id INT)")
	for sql, want := range map[string]string{
		"SELECT id FROM late":           "read unknown relation volatile",
		"SELECT 1 FROM late":            "read unknown relation volatile",
		"SELECT 1 FROM users, late":     `read unknown relation r="users" volatile`,
		"INSERT INTO late VALUES (1)":   "write everything volatile",
		"DELETE FROM late WHERE id = 1": "write everything volatile",
	} {
		if got := render(Analyze(t.Context(), SQLite, sql, cat, e)); got != want {
			t.Errorf("%s\n  got: %s\n want: %s", sql, got, want)
		}
	}
}

// TestSilentWitness holds that an engine that cannot witness, or whose witness
// heard nothing, is answered for by the catalog.
func TestSilentWitness(t *testing.T) {
	e := open(t, ruleSchema)
	cat := e.catalog(t)
	for name, eng := range map[string]Engine{
		"none": &liveEngine{conn: e.conn, silent: true}, "deaf": deafEngine{e},
	} {
		p := Analyze(t.Context(), SQLite, "DELETE FROM users", cat, eng)
		if diff := cmp.Diff([]string{"items", "orders", "users"}, p.Writes); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// deafEngine installs no recorder and says that it did.
type deafEngine struct{ *liveEngine }

func (deafEngine) Authorize(func(op int, a, b, c string) int) bool { return true }

// TestWitnessRemoved holds that the recorder is gone after an analysis, one that
// failed included.
func TestWitnessRemoved(t *testing.T) {
	e := open(t, ruleSchema)
	cat := e.catalog(t)
	for _, sql := range []string{"SELECT 1 FROM users", "SELECT * FROM nowhere"} {
		spy := &spyEngine{liveEngine: e}
		Analyze(t.Context(), SQLite, sql, cat, spy)
		if !slices.Equal(spy.installed, []bool{true, false}) {
			t.Errorf("%s: %v", sql, spy.installed)
		}
	}
}

type spyEngine struct {
	*liveEngine
	installed []bool
}

func (e *spyEngine) Authorize(record func(op int, a, b, c string) int) bool {
	e.installed = append(e.installed, record != nil)
	return e.liveEngine.Authorize(record)
}

// TestPureFunctions holds the list against the engine: every function on it that
// the engine has is built in, and deterministic unless it is a window function.
func TestPureFunctions(t *testing.T) {
	e := open(t, ruleSchema)
	rows, err := e.Query(t.Context(), "SELECT name, builtin, type, flags FROM pragma_function_list")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, row := range rows {
		name := text(row[0])
		if !pureSQLite[name] && !datedSQLite[name] {
			continue
		}
		found++
		if number(row[1]) != 1 || text(row[2]) != "w" && number(row[3])&flagDeterministic == 0 {
			t.Errorf("%v is not pure", row)
		}
	}
	if _, version, _ := sqlite3.Version(); found < 60 {
		t.Errorf("SQLite %d has only %d of the functions", version, found)
	}
}

package analysis

import (
	"context"
	"database/sql/driver"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// maker makes random schemas and statements over them.
type maker struct {
	*rand.Rand
	tables []string
	views  []string
}

func (m *maker) pick(list ...string) string { return list[m.IntN(len(list))] }

// spell writes a name in one of the ways SQLite takes it.
func (m *maker) spell(name string) string {
	return m.pick(name, name, strings.ToUpper(name), `"`+name+`"`, "["+name+"]", "`"+name+"`", "main."+name, `main."`+name+`"`)
}

// bare writes a name without its schema.
func (m *maker) bare(name string) string { return m.pick(name, strings.ToUpper(name), `"`+name+`"`) }

func (m *maker) source() string {
	return m.pick(append(slices.Clone(m.tables), m.views...)...)
}

// schema makes tables that point to each other, views over views and triggers.
func (m *maker) schema() string {
	var b strings.Builder
	m.tables, m.views = nil, nil
	action := func() string {
		return m.pick("CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION")
	}
	for i := range 6 {
		name := fmt.Sprintf("t%d", i)
		fmt.Fprintf(&b, "CREATE TABLE %s(a INTEGER PRIMARY KEY%s, b INT%s, c TEXT", name,
			m.pick("", " ON CONFLICT REPLACE"), m.pick("", " UNIQUE", " UNIQUE ON CONFLICT IGNORE", " UNIQUE ON CONFLICT REPLACE"))
		if i > 0 && m.IntN(3) > 0 {
			fmt.Fprintf(&b, " REFERENCES %s(a) ON DELETE %s ON UPDATE %s", m.pick(m.tables...), action(), action())
		}
		fmt.Fprintf(&b, ", d %s)%s;\n", m.pick("INT", "AS (b+1)", "CHECK (abs(d) < 1000)", "DEFAULT (abs(-3))"), m.pick("", "", " WITHOUT ROWID"))
		m.tables = append(m.tables, name)
	}
	b.WriteString("CREATE TABLE plain(a INT, b INT, c TEXT, d);\n")
	m.tables = append(m.tables, "plain")
	for i := range 4 {
		name := fmt.Sprintf("v%d", i)
		fmt.Fprintf(&b, "CREATE VIEW %s AS %s;\n", name, m.query(1))
		m.views = append(m.views, name)
	}
	// Rows come before the triggers, which could refuse them.
	for i, name := range m.tables {
		fmt.Fprintf(&b, "INSERT OR IGNORE INTO %s(a, b, c) VALUES (1, 1, 1), (2, %d, NULL), (3, 3, 3);\n", name, i)
	}
	for i := range 5 {
		event := m.pick("INSERT", "DELETE", "UPDATE", "UPDATE OF b")
		fmt.Fprintf(&b, "CREATE TRIGGER g%d AFTER %s ON %s WHEN abs(1) > 0 BEGIN %s; SELECT CASE WHEN 1 THEN 2 END; END;\n",
			i, event, m.pick(m.tables...), m.triggered())
	}
	fmt.Fprintf(&b, "CREATE TRIGGER vi INSTEAD OF %s ON %s BEGIN %s; END;\n", m.pick("INSERT", "DELETE", "UPDATE"), m.pick(m.views...), m.triggered())
	return b.String()
}

func (m *maker) triggered() string {
	t := m.bare(m.pick(m.tables...))
	return m.pick(
		"INSERT INTO "+t+"(a, b) SELECT max(a) + 1, 7 FROM "+m.pick(m.tables...),
		"INSERT OR REPLACE INTO "+t+"(a, b) VALUES (2, 2)",
		"UPDATE "+t+" SET b = b + 1 WHERE a = 2",
		"UPDATE OR IGNORE "+t+" SET a = a + 1",
		"DELETE FROM "+t+" WHERE a = 3",
	)
}

// query makes a SELECT of four columns named a to d.
func (m *maker) query(depth int) string {
	t, u := m.spell(m.source()), m.spell(m.source())
	sub := func() string {
		if depth <= 0 {
			return "SELECT a, b, c, d FROM " + m.spell(m.source())
		}
		return m.query(depth - 1)
	}
	cte := m.pick("x", "t1", "t2")
	switch m.IntN(14) {
	case 0:
		return "SELECT a, b, c, d FROM " + t + " WHERE a IN " + "(SELECT a FROM " + u + ")"
	case 1:
		return "SELECT p.a, q.b, p.c, q.d FROM " + t + " AS p, " + u + " q WHERE p.a = q.a"
	case 2:
		return "SELECT p.a, p.b, q.c, q.d FROM (" + t + " p " + m.pick("LEFT", "CROSS", "FULL OUTER", "INNER") + " JOIN (" + u + " AS q) ON p.a = q.b)"
	case 3:
		return "WITH " + cte + "(a, b, c, d) AS (" + sub() + ") SELECT * FROM " + cte
	case 4:
		return "SELECT 1 AS a, 2 AS b, 3 AS c, 4 AS d FROM " + t
	case 5:
		return "SELECT a, b, c, d FROM (" + sub() + ")"
	case 6:
		return sub() + " " + m.pick("UNION", "UNION ALL", "INTERSECT", "EXCEPT") + " SELECT a, b, c, d FROM " + u
	case 7:
		return "SELECT a, (SELECT count(*) FROM " + u + ") AS b, CASE WHEN EXISTS (SELECT 1 FROM " + t + ") THEN 1 END AS c, 4 AS d FROM " + t
	case 8:
		return "SELECT * FROM (SELECT a, sum(b) OVER (PARTITION BY (c) ORDER BY a) AS b, c, d FROM " + t + " ORDER BY (SELECT max(a) FROM " + u + "))"
	case 9:
		return "SELECT * FROM (WITH " + cte + " AS (" + sub() + ") SELECT a, b, c, d FROM " + cte + ") UNION SELECT a, b, c, d FROM " + t
	case 10:
		return "SELECT value AS a, key AS b, 1 AS c, 2 AS d FROM json_each((SELECT c FROM " + t + " LIMIT 1))"
	case 11:
		return "SELECT max(a) AS a, b, group_concat(c) AS c, d FROM " + t + " GROUP BY b HAVING count(*) > (SELECT 0 FROM " + u + ")"
	case 12:
		return "SELECT column1 AS a, column2 AS b, 3 AS c, 4 AS d FROM (VALUES (1, (SELECT a FROM " + t + " LIMIT (SELECT 1 FROM " + u + "))))"
	default:
		return "SELECT rowid AS a, 1 AS b, 2 AS c, 3 AS d FROM plain WHERE 1 IN (SELECT a FROM " + t + ")"
	}
}

func (m *maker) statement() string {
	t := m.spell(m.source())
	if m.IntN(3) > 0 {
		t = m.spell(m.pick(m.tables...))
	}
	from := m.spell(m.source())
	or := m.pick("", "", " OR REPLACE", " OR IGNORE", " OR ABORT", " OR FAIL")
	n := m.IntN(5)
	switch m.IntN(12) {
	case 0:
		return fmt.Sprintf("INSERT%s INTO %s(a, b, c) VALUES (%d, %d, %d)", or, t, n, n, n)
	case 1:
		return fmt.Sprintf("REPLACE INTO %s(a, b) SELECT a, b FROM (%s) WHERE true", t, m.query(1))
	case 2:
		return fmt.Sprintf("UPDATE%s %s SET b = %d WHERE a = %d", or, t, n, n)
	case 3:
		return fmt.Sprintf("UPDATE%s %s SET a = a + 1 WHERE b IN (SELECT b FROM %s)", or, t, from)
	case 4:
		return fmt.Sprintf("DELETE FROM %s WHERE a = %d", t, n)
	case 5:
		return "DELETE FROM " + t
	case 6:
		return fmt.Sprintf("WITH t1 AS (%s) UPDATE %s SET c = 9 FROM t1 AS z", m.query(1), t)
	case 7:
		return fmt.Sprintf("INSERT INTO %s(a, b) VALUES (%d, 1) ON CONFLICT DO UPDATE SET b = b + 1 RETURNING a", t, n)
	default:
		return m.query(2)
	}
}

// TestRandom holds three answers against each other: what the witness says, what
// the catalog says, and what the engine's program opens and really changes. The
// analysis runs with foreign keys on or off, the program with them on.
func TestRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	m := &maker{Rand: rand.New(rand.NewPCG(seed, 1))}
	stop := time.Now().Add(2 * time.Second)
	counts := map[string]int{}
	for round := 0; round < 8 || time.Now().Before(stop); round++ {
		schema := m.schema()
		e := openFile(t, ":memory:", schema)
		cat := e.catalog(t)
		c := &comparison{T: t, e: e, cat: cat, schema: schema, roots: e.roots(t), counts: counts, tables: m.tables}
		for range 60 {
			if !c.compare(m.statement(), m.pick("ON", "OFF")) {
				return
			}
		}
	}
	t.Log(counts)
	if counts["read"] < 50 || counts["write"] < 50 || counts["changed"] < 20 {
		t.Errorf("too little was compared: %v", counts)
	}
}

type comparison struct {
	*testing.T
	e      *liveEngine
	cat    *Catalog
	schema string
	roots  map[int64]string
	tables []string
	counts map[string]int
}

func (c *comparison) compare(text, setting string) bool {
	c.Helper()
	ctx := c.Context()
	c.e.exec(c, "PRAGMA foreign_keys="+setting)
	w := Analyze(ctx, SQLite, text, c.cat, c.e)
	n := Analyze(ctx, SQLite, text, c.cat, nil)
	if w.Reason == Refused {
		c.counts["refused"]++
		return true
	}
	c.counts[w.Kind.String()]++
	c.e.exec(c, "PRAGMA foreign_keys=ON")
	c.e.exec(c, "PRAGMA recursive_triggers=ON")
	reads, writes, err := c.e.program(c.Context(), text, c.roots)
	if err != nil {
		c.Errorf("%s: %v", text, err)
		return false
	}
	bad := ""
	switch {
	case w.Kind != n.Kind && !n.Everything:
		bad = "the kinds differ"
	case w.Kind == Read && len(writes) > 0:
		bad = "a write is called a read"
	case w.Everything || n.Everything:
		bad = "everything"
	case w.Kind == Read && !w.Cacheable || n.Kind == Read && !n.Cacheable:
		bad = "not cached"
	case w.Kind == Read && !subset(reads, w.Reads), n.Kind == Read && !subset(reads, n.Reads), w.Kind == Read && !subset(tables(w.Reads), n.Reads):
		bad = "a read is missing"
	case !subset(writes, w.Writes), !subset(writes, n.Writes), !subset(w.Writes, n.Writes):
		bad = "a write is missing"
	default:
		bad = c.run(text, w)
	}
	if bad == "" {
		return true
	}
	c.Errorf("%s\n%s\n%s\nprogram: reads %v writes %v\nwitness: %+v\ncatalog: %+v", bad, c.schema, text, reads, writes, w, n)
	return false
}

// tables drops the names that common table expressions of these statements have.
// The engine names one where no column of it is used, as it names a table.
func tables(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "t1" || name == "t2" })
}

// run executes the statement and says what the plan got wrong about its effect.
func (c *comparison) run(text string, p *Plan) string {
	before := c.e.dump(c, c.tables)
	// Triggers that fire each other may go on for hours.
	ctx, cancel := context.WithTimeout(c.Context(), 100*time.Millisecond)
	defer cancel()
	res, err := c.e.conn.ExecContext(ctx, text, nil)
	after := c.e.dump(c, c.tables)
	changed := []string{}
	for name, rows := range after {
		if rows != before[name] {
			changed = append(changed, name)
		}
	}
	if len(changed) > 0 {
		c.counts["changed"]++
	}
	if err != nil {
		c.counts["failed"]++
		if p.ErrorUndone && len(changed) > 0 {
			return fmt.Sprintf("%v, but %v changed", err, changed)
		}
		return ""
	}
	if rows, err := res.RowsAffected(); err == nil && rows == 0 && p.NoRowsUndone {
		c.counts["no rows"]++
		if len(changed) > 0 {
			return fmt.Sprintf("no rows, but %v changed", changed)
		}
	}
	if !subset(changed, p.Writes) {
		return fmt.Sprintf("%v changed", changed)
	}
	return ""
}

// roots maps the root pages of tables and indexes to the tables.
func (e *liveEngine) roots(tb testing.TB) map[int64]string {
	tb.Helper()
	rows, err := e.Query(tb.Context(), "SELECT rootpage, tbl_name FROM sqlite_master WHERE rootpage > 0")
	if err != nil {
		tb.Fatal(err)
	}
	out := map[int64]string{}
	for _, row := range rows {
		out[number(row[0])] = fold(text(row[1]))
	}
	return out
}

// program tells which tables the engine's program for a statement opens, those
// of triggers and foreign keys included. Every parameter is NULL.
func (e *liveEngine) program(ctx context.Context, stmt string, roots map[int64]string) (reads, writes []string, err error) {
	st, err := e.conn.PrepareContext(ctx, "EXPLAIN "+stmt)
	if err != nil {
		return nil, nil, err
	}
	args := make([]driver.NamedValue, st.NumInput())
	for i := range args {
		args[i].Ordinal = i + 1
	}
	if err := st.Close(); err != nil {
		return nil, nil, err
	}
	rows, err := e.rows(ctx, "EXPLAIN "+stmt, args)
	if err != nil {
		return nil, nil, err
	}
	r, w := map[string]bool{}, map[string]bool{}
	for _, row := range rows {
		if len(row) < 5 || number(row[4]) != 0 && text(row[1]) != "Clear" {
			continue // p3 is the database; only main is of interest.
		}
		switch text(row[1]) {
		case "OpenRead", "ReopenIdx":
			r[roots[number(row[3])]] = true
		case "OpenWrite":
			w[roots[number(row[3])]] = true
		case "Clear":
			w[roots[number(row[2])]] = true
		}
	}
	delete(r, "")
	delete(w, "")
	return slices.Sorted(maps.Keys(r)), slices.Sorted(maps.Keys(w)), nil
}

// dump returns the rows of every table.
func (e *liveEngine) dump(tb testing.TB, tables []string) map[string]string {
	tb.Helper()
	out := map[string]string{}
	for _, name := range tables {
		rows, err := e.Query(tb.Context(), "SELECT * FROM "+name+" ORDER BY 1, 2, 3")
		if err != nil {
			tb.Fatal(err)
		}
		out[name] = fmt.Sprint(rows)
	}
	return out
}

package enginetest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"

	"github.com/querycache/querycache"
)

const (
	objects = 4
	clients = 8
)

// schema of an object. Table s is a door to table a: writing it makes a trigger
// write a.
const schema = `
CREATE TABLE a%[1]d (id INTEGER PRIMARY KEY, val INTEGER NOT NULL);
CREATE TABLE b%[1]d (id INTEGER PRIMARY KEY, val INTEGER NOT NULL);
CREATE TABLE s%[1]d (id INTEGER PRIMARY KEY, val INTEGER NOT NULL);
CREATE VIEW v%[1]d AS SELECT id, val FROM a%[1]d UNION ALL SELECT id + 2, val FROM b%[1]d;
CREATE TRIGGER door%[1]d AFTER UPDATE ON s%[1]d BEGIN
	UPDATE a%[1]d SET val = new.val WHERE id = new.id;
END;
INSERT INTO a%[1]d VALUES (0, 0), (1, 0);
INSERT INTO b%[1]d VALUES (0, 0), (1, 0);
INSERT INTO s%[1]d VALUES (0, 0), (1, 0);
`

// stage is a database that clients reach through a cache.
type stage struct {
	cache   *querycache.Cache
	db      *sqlx.DB
	objects [objects]object
	serial  atomic.Int64 // of written values: all are different
}

// object is the texts and statements of one object.
type object struct {
	start                  registers // before the round
	table                  [2]string
	point, max, cte        [2]string
	late, declared         [2]string
	view, sum, join        string
	set, upsert, returning [2]string
	door                   string
	prepared               [2]*sql.Stmt
	preparedSet            [2]*sql.Stmt
}

func newStage(t *testing.T) *stage {
	t.Helper()
	dsn := "file:" + filepath.Join(t.TempDir(), "stage.db") +
		"?_journal_mode=WAL&_busy_timeout=30000&_synchronous=OFF&_txlock=immediate"
	makeSchema(t, dsn)
	cache, err := querycache.New(querycache.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close() })
	wrapped, ok := cache.Wrap(&sqlite3.SQLiteDriver{}).(driver.DriverContext)
	if !ok {
		t.Fatal("the wrapped driver has no connectors")
	}
	connector, err := wrapped.OpenConnector(dsn)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{cache: cache, db: sqlx.NewDb(sql.OpenDB(connector), "sqlite3")}
	s.db.SetMaxIdleConns(clients)
	t.Cleanup(func() { _ = s.db.Close() })
	for i := range s.objects {
		s.objects[i] = newObject(t, s.db.DB, i)
	}
	return s
}

func makeSchema(t *testing.T, dsn string) {
	t.Helper()
	db, err := sql.Open("sqlite3", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i := range objects {
		if _, err := db.ExecContext(t.Context(), fmt.Sprintf(schema, i)); err != nil {
			t.Fatal(err)
		}
	}
}

func newObject(t *testing.T, db *sql.DB, n int) object {
	t.Helper()
	a, b := fmt.Sprintf("a%d", n), fmt.Sprintf("b%d", n)
	o := object{
		table: [2]string{a, b},
		view:  fmt.Sprintf("SELECT val FROM v%d WHERE id = ?", n),
		sum:   fmt.Sprintf("SELECT sum(val) FROM v%d", n),
		join:  "SELECT x.val AS a, y.val AS b FROM " + a + " x JOIN " + b + " y ON y.id = x.id ORDER BY x.id",
		door:  fmt.Sprintf("UPDATE s%d SET val = ? WHERE id = ?", n),
	}
	for i, table := range o.table {
		o.point[i] = "SELECT val FROM " + table + " WHERE id = ?"
		o.max[i] = "SELECT max(val) FROM " + table + " WHERE id = ?"
		o.cte[i] = "WITH x AS (SELECT id, val FROM " + table + ") SELECT val FROM x WHERE id = ?"
		o.late[i] = "/* querycache: ttl=2ms swr=1h stale-if-error=1h */ " + o.point[i]
		o.declared[i] = o.point[i] + " -- querycache: tables=" + o.table[1-i]
		o.set[i] = "UPDATE " + table + " SET val = ? WHERE id = ?"
		o.upsert[i] = "INSERT INTO " + table + " (val, id) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET val = excluded.val"
		o.returning[i] = o.set[i] + " RETURNING val"
		o.prepared[i] = prepare(t, db, o.point[i])
		o.preparedSet[i] = prepare(t, db, o.set[i])
	}
	return o
}

func prepare(t *testing.T, db *sql.DB, text string) *sql.Stmt {
	t.Helper()
	stmt, err := db.PrepareContext(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stmt.Close() })
	return stmt
}

// read makes one read of the object.
func (s *stage) read(ctx context.Context, in *input, r *rand.Rand) (out registers, err error) {
	o := &s.objects[in.object]
	in.key = r.IntN(width)
	table, id := in.key/perTable, in.key%perTable
	switch r.IntN(10) {
	case 0:
		in.how = "point"
		err = s.db.QueryRowContext(ctx, o.point[table], id).Scan(&out[0])
	case 1:
		in.how = "prepared"
		err = o.prepared[table].QueryRowContext(ctx, id).Scan(&out[0])
	case 2:
		in.how = "sqlx.Get"
		err = s.db.GetContext(ctx, &out[0], o.point[table], id)
	case 3:
		in.how = "aggregate"
		err = s.db.GetContext(ctx, &out[0], o.max[table], id)
	case 4:
		in.how = "CTE"
		err = s.db.GetContext(ctx, &out[0], o.cte[table], id)
	case 5:
		in.how = "view"
		err = s.db.GetContext(ctx, &out[0], o.view, in.key)
	case 6:
		in.how, in.action = "sum of a view", readSum
		err = s.db.GetContext(ctx, &out[0], o.sum)
	case 7:
		in.how = "served late"
		err = s.db.GetContext(ctx, &out[0], o.late[table], id)
	case 8:
		in.how = "declared"
		err = s.db.GetContext(querycache.WithTags(ctx, "x"), &out[0], o.declared[table], id)
	default:
		in.how, in.action = "join", readAll
		var rows []struct{ A, B int64 }
		err = s.db.SelectContext(ctx, &rows, o.join)
		for i, row := range rows {
			out[i], out[perTable+i] = row.A, row.B
		}
	}
	return out, err
}

// write makes one write of the object. It reports whether it has taken effect.
func (s *stage) write(ctx context.Context, in *input, r *rand.Rand) (effective bool, err error) {
	o := &s.objects[in.object]
	in.action, in.key = write, r.IntN(width)
	table, id := in.key/perTable, in.key%perTable
	value := s.serial.Add(1)
	in.mask[in.key], in.values[in.key] = true, value
	switch r.IntN(8) {
	case 0:
		in.how = "UPDATE"
		_, err = s.db.ExecContext(ctx, o.set[table], value, id)
	case 1:
		in.how = "prepared UPDATE"
		_, err = o.preparedSet[table].ExecContext(ctx, value, id)
	case 2:
		in.how = "upsert"
		_, err = s.db.ExecContext(ctx, o.upsert[table], value, id)
	case 3:
		in.how = "RETURNING"
		var got int64
		err = s.db.GetContext(ctx, &got, o.returning[table], value, id)
		if err == nil && got != value {
			err = fmt.Errorf("wrote %d, RETURNING says %d", value, got)
		}
	case 4:
		in.how = "trigger"
		in.mask, in.values = [width]bool{}, registers{}
		in.mask[id], in.values[id] = true, value
		_, err = s.db.ExecContext(ctx, o.door, value, id)
	case 5, 6:
		in.how = "transaction"
		for key := range width {
			in.mask[key], in.values[key] = true, value
		}
		err = s.transaction(ctx, o, in, true)
	default:
		in.how = "rolled back"
		return false, s.transaction(ctx, o, in, false)
	}
	return true, err
}

// transaction writes all that in says, sees it, and commits or not.
func (s *stage) transaction(ctx context.Context, o *object, in *input, commit bool) error {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for key, written := range in.mask {
		if !written {
			continue
		}
		table, id := key/perTable, key%perTable
		if _, err := tx.ExecContext(ctx, o.set[table], in.values[key], id); err != nil {
			return err
		}
		var got int64
		if err := tx.GetContext(ctx, &got, o.point[table], id); err != nil {
			return err
		}
		if got != in.values[key] {
			return fmt.Errorf("wrote %d and read %d in one transaction", in.values[key], got)
		}
	}
	if commit {
		return tx.Commit()
	}
	return tx.Rollback()
}

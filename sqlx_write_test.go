package querycache_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"

	"github.com/jmoiron/sqlx"
)

// writeDoor is one way to write with sqlx. Each writes note to the second part.
type writeDoor struct {
	name  string
	write func(s *seat, note string) error
}

const (
	writeNote = "UPDATE parts SET note = ? WHERE id = ?"
	namedNote = "UPDATE parts SET note = :note WHERE id = :id"
	returning = " RETURNING note"
)

// noted is the argument of named writes.
type noted struct {
	ID   int64  `db:"id"`
	Note string `db:"note"`
}

func errorOf(_ any, err error) error { return err }

// mustWrite writes by a door that panics.
func mustWrite(write func() sql.Result) error {
	_ = write()
	return nil
}

// stmt prepares, writes and closes.
func (s *seat) stmt(query string, write func(*sqlx.Stmt) error) error {
	st, err := s.at.Preparex(s.at.Rebind(query))
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	return write(st)
}

// namedStmt prepares, writes and closes.
func (s *seat) namedStmt(query string, write func(*sqlx.NamedStmt) error) error {
	st, err := s.at.PrepareNamed(query)
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	return write(st)
}

// writeDoors are the ways to write that a database and a transaction have.
var writeDoors = []writeDoor{
	{"Exec", func(s *seat, note string) error { return errorOf(s.at.Exec(writeNote, note, 2)) }},
	{"ExecContext", func(s *seat, note string) error { return errorOf(s.at.ExecContext(s.ctx, writeNote, note, 2)) }},
	{"MustExec", func(s *seat, note string) error {
		return mustWrite(func() sql.Result { return s.at.MustExec(writeNote, note, 2) })
	}},
	{"MustExecContext", func(s *seat, note string) error {
		return mustWrite(func() sql.Result { return s.at.MustExecContext(s.ctx, writeNote, note, 2) })
	}},
	{"sqlx.MustExec", func(s *seat, note string) error {
		return mustWrite(func() sql.Result { return sqlx.MustExec(s.at, writeNote, note, 2) })
	}},
	{"sqlx.MustExecContext", func(s *seat, note string) error {
		return mustWrite(func() sql.Result { return sqlx.MustExecContext(s.ctx, s.at, writeNote, note, 2) })
	}},
	{"NamedExec of a struct", func(s *seat, note string) error { return errorOf(s.at.NamedExec(namedNote, noted{2, note})) }},
	{"NamedExec of a map", func(s *seat, note string) error {
		return errorOf(s.at.NamedExec(namedNote, map[string]any{"id": 2, "note": note}))
	}},
	{"NamedExec of a slice", func(s *seat, note string) error {
		return errorOf(s.at.NamedExec(`INSERT INTO parts (id, note, maker_id, name, listed)
			VALUES (:id, :note, 1, 'nut', '2025-01-02')
			ON CONFLICT (id) DO UPDATE SET note = excluded.note`, []noted{{2, note}, {5, note}}))
	}},
	{"NamedExecContext", func(s *seat, note string) error {
		return errorOf(s.at.NamedExecContext(s.ctx, namedNote, noted{2, note}))
	}},
	{"sqlx.NamedExec", func(s *seat, note string) error { return errorOf(sqlx.NamedExec(s.at, namedNote, noted{2, note})) }},
	{"sqlx.NamedExecContext", func(s *seat, note string) error {
		return errorOf(sqlx.NamedExecContext(s.ctx, s.at, namedNote, noted{2, note}))
	}},
	{"In, Rebind, Exec", func(s *seat, note string) error {
		query, args, err := sqlx.In("UPDATE parts SET note = ? WHERE id IN (?)", note, []int{2, 3})
		if err != nil {
			return err
		}
		return errorOf(s.at.Exec(s.at.Rebind(query), args...))
	}},
	{"Preparex, Exec", func(s *seat, note string) error {
		return s.stmt(writeNote, func(st *sqlx.Stmt) error { return errorOf(st.Exec(note, 2)) })
	}},
	{"Preparex, ExecContext", func(s *seat, note string) error {
		return s.stmt(writeNote, func(st *sqlx.Stmt) error { return errorOf(st.ExecContext(s.ctx, note, 2)) })
	}},
	{"Preparex, MustExec", func(s *seat, note string) error {
		return s.stmt(writeNote, func(st *sqlx.Stmt) error {
			return mustWrite(func() sql.Result { return st.MustExec(note, 2) })
		})
	}},
	{"PrepareNamed, Exec", func(s *seat, note string) error {
		return s.namedStmt(namedNote, func(st *sqlx.NamedStmt) error { return errorOf(st.Exec(noted{2, note})) })
	}},
	{"PrepareNamed, ExecContext", func(s *seat, note string) error {
		return s.namedStmt(namedNote, func(st *sqlx.NamedStmt) error { return errorOf(st.ExecContext(s.ctx, noted{2, note})) })
	}},
	{"PrepareNamed, MustExec", func(s *seat, note string) error {
		return s.namedStmt(namedNote, func(st *sqlx.NamedStmt) error {
			return mustWrite(func() sql.Result { return st.MustExec(noted{2, note}) })
		})
	}},
	{"RETURNING by Get", func(s *seat, note string) error {
		var got string
		return s.at.Get(&got, writeNote+returning, note, 2)
	}},
	{"RETURNING by Select", func(s *seat, note string) error {
		var got []string
		return s.at.Select(&got, writeNote+returning, note, 2)
	}},
	{"RETURNING by QueryRowx", func(s *seat, note string) error {
		return errorOf(s.at.QueryRowx(writeNote+returning, note, 2).SliceScan())
	}},
	{"RETURNING by NamedQuery", func(s *seat, note string) error {
		_, err := rowsOf(func() (*sqlx.Rows, error) { return s.at.NamedQuery(namedNote+returning, noted{2, note}) }, mapScan)()
		return err
	}},
	{"RETURNING by PrepareNamed, Get", func(s *seat, note string) error {
		return s.namedStmt(namedNote+returning, func(st *sqlx.NamedStmt) error {
			var got string
			return st.Get(&got, noted{2, note})
		})
	}},
	{"sqlx.LoadFile", func(s *seat, note string) error {
		file := filepath.Join(s.TempDir(), "note.sql")
		text := strings.ReplaceAll("UPDATE parts SET note = 'NOTE' WHERE id = 1; UPDATE parts SET note = 'NOTE' WHERE id = 2", "NOTE", note)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
		return errorOf(sqlx.LoadFile(s.at, file))
	}},
}

// dbWriteDoors are those that only a database has.
var dbWriteDoors = []writeDoor{
	{"Connx, ExecContext", func(s *seat, note string) error {
		c, err := s.base.Connx(s.ctx)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		return errorOf(c.ExecContext(s.ctx, writeNote, note, 2))
	}},
	{"Connx, BeginTxx", func(s *seat, note string) error {
		c, err := s.base.Connx(s.ctx)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		tx, err := c.BeginTxx(s.ctx, nil)
		if err != nil {
			return err
		}
		tx.MustExec(writeNote, note, 2)
		return tx.Commit()
	}},
	{"MustBegin", func(s *seat, note string) error {
		tx := s.base.MustBegin()
		tx.MustExec(writeNote, note, 2)
		return tx.Commit()
	}},
	{"MustBeginTx", func(s *seat, note string) error {
		tx := s.base.MustBeginTx(s.ctx, nil)
		tx.MustExec(writeNote, note, 2)
		return tx.Commit()
	}},
}

// txWriteDoors are those that only a transaction has: statements of the database
// taken into it.
var txWriteDoors = []writeDoor{
	{"Stmtx, Exec", func(s *seat, note string) error {
		return errorOf(s.tx().Stmtx(s.outside(writeNote)).Exec(note, 2))
	}},
	{"StmtxContext, MustExecContext", func(s *seat, note string) error {
		st := s.tx().StmtxContext(s.ctx, s.outside(writeNote))
		return mustWrite(func() sql.Result { return st.MustExecContext(s.ctx, note, 2) })
	}},
	{"NamedStmt, Exec", func(s *seat, note string) error {
		return errorOf(s.tx().NamedStmt(s.outsideNamed(namedNote)).Exec(noted{2, note}))
	}},
	{"NamedStmtContext, ExecContext", func(s *seat, note string) error {
		st := s.tx().NamedStmtContext(s.ctx, s.outsideNamed(namedNote))
		return errorOf(st.ExecContext(s.ctx, noted{2, note}))
	}},
}

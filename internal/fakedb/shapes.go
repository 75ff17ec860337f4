package fakedb

import (
	"database/sql/driver"
	"reflect"
)

// database/sql asks a type for its optional interfaces, so every combination
// needs a type of its own. Each is a struct that embeds the interfaces it is to
// have, all filled with the one value that has every method.

// The interfaces that database/sql/driver calls deprecated, or that repeat the
// methods of the interface they extend, by their own methods alone.
type (
	legacyQueryer interface {
		Query(query string, args []driver.Value) (driver.Rows, error)
	}
	legacyExecer interface {
		Exec(query string, args []driver.Value) (driver.Result, error)
	}
	stmtConverter interface {
		ColumnConverter(idx int) driver.ValueConverter
	}
	nextResultSet interface {
		HasNextResultSet() bool
		NextResultSet() error
	}
	scanType interface {
		ColumnTypeScanType(index int) reflect.Type
	}
	databaseTypeName interface {
		ColumnTypeDatabaseTypeName(index int) string
	}
	columnLength interface {
		ColumnTypeLength(index int) (length int64, ok bool)
	}
	columnNullable interface {
		ColumnTypeNullable(index int) (nullable, ok bool)
	}
	precisionScale interface {
		ColumnTypePrecisionScale(index int) (precision, scale int64, ok bool)
	}
)

// Groups of interfaces that shapes have together.
type (
	queryers interface {
		driver.QueryerContext
		legacyQueryer
	}
	execers interface {
		driver.ExecerContext
		legacyExecer
	}
	// baseConn is what every shape of a connection has.
	baseConn interface {
		driver.Conn
		ID() int
	}
	preparer interface {
		baseConn
		driver.ConnPrepareContext
	}
	beginner interface {
		preparer
		driver.ConnBeginTx
	}
	resettable interface {
		driver.SessionResetter
		driver.Validator
	}
	checkedSession interface {
		resettable
		driver.NamedValueChecker
	}
	pingSession interface {
		driver.Pinger
		checkedSession
	}
	checker = driver.NamedValueChecker
)

const (
	contextDirect = QueryerContext | ExecerContext
	direct        = QueryerContext | LegacyQueryer | ExecerContext | LegacyExecer
	prepares      = ConnPrepareContext | ConnBeginTx
	sessions      = SessionResetter | Validator
)

var connShapes = map[Ability]func(*conn) driver.Conn{
	0:             func(c *conn) driver.Conn { return &struct{ baseConn }{c} },
	ConnAbilities: func(c *conn) driver.Conn { return c },

	QueryerContext: func(c *conn) driver.Conn {
		return &struct {
			baseConn
			driver.QueryerContext
		}{c, c}
	},
	LegacyQueryer: func(c *conn) driver.Conn {
		return &struct {
			baseConn
			legacyQueryer
		}{c, c}
	},
	ExecerContext: func(c *conn) driver.Conn {
		return &struct {
			baseConn
			driver.ExecerContext
		}{c, c}
	},
	LegacyExecer: func(c *conn) driver.Conn {
		return &struct {
			baseConn
			legacyExecer
		}{c, c}
	},
	LegacyQueryer | LegacyExecer: func(c *conn) driver.Conn {
		return &struct {
			baseConn
			legacyQueryer
			legacyExecer
		}{c, c, c}
	},
	ConnPrepareContext: func(c *conn) driver.Conn { return &struct{ preparer }{c} },
	ConnBeginTx: func(c *conn) driver.Conn {
		return &struct {
			baseConn
			driver.ConnBeginTx
		}{c, c}
	},
	Pinger: func(c *conn) driver.Conn {
		return &struct {
			baseConn
			driver.Pinger
		}{c, c}
	},
	SessionResetter: func(c *conn) driver.Conn {
		return &struct {
			baseConn
			driver.SessionResetter
		}{c, c}
	},
	Validator: func(c *conn) driver.Conn {
		return &struct {
			baseConn
			driver.Validator
		}{c, c}
	},
	ConnChecker: func(c *conn) driver.Conn {
		return &struct {
			baseConn
			checker
		}{c, c}
	},

	ConnAbilities &^ QueryerContext: func(c *conn) driver.Conn {
		return &struct {
			beginner
			legacyQueryer
			execers
			pingSession
		}{c, c, c, c}
	},
	ConnAbilities &^ LegacyQueryer: func(c *conn) driver.Conn {
		return &struct {
			beginner
			driver.QueryerContext
			execers
			pingSession
		}{c, c, c, c}
	},
	ConnAbilities &^ ExecerContext: func(c *conn) driver.Conn {
		return &struct {
			beginner
			queryers
			legacyExecer
			pingSession
		}{c, c, c, c}
	},
	ConnAbilities &^ LegacyExecer: func(c *conn) driver.Conn {
		return &struct {
			beginner
			queryers
			driver.ExecerContext
			pingSession
		}{c, c, c, c}
	},
	ConnAbilities &^ direct: func(c *conn) driver.Conn {
		return &struct {
			beginner
			pingSession
		}{c, c}
	},
	ConnAbilities &^ ConnPrepareContext: func(c *conn) driver.Conn {
		return &struct {
			baseConn
			driver.ConnBeginTx
			queryers
			execers
			pingSession
		}{c, c, c, c, c}
	},
	ConnAbilities &^ ConnBeginTx: func(c *conn) driver.Conn {
		return &struct {
			preparer
			queryers
			execers
			pingSession
		}{c, c, c, c}
	},
	ConnAbilities &^ Pinger: func(c *conn) driver.Conn {
		return &struct {
			beginner
			queryers
			execers
			checkedSession
		}{c, c, c, c}
	},
	ConnAbilities &^ SessionResetter: func(c *conn) driver.Conn {
		return &struct {
			beginner
			queryers
			execers
			driver.Pinger
			driver.Validator
			checker
		}{c, c, c, c, c, c}
	},
	ConnAbilities &^ Validator: func(c *conn) driver.Conn {
		return &struct {
			beginner
			queryers
			execers
			driver.Pinger
			driver.SessionResetter
			checker
		}{c, c, c, c, c, c}
	},
	ConnAbilities &^ ConnChecker: func(c *conn) driver.Conn {
		return &struct {
			beginner
			queryers
			execers
			driver.Pinger
			resettable
		}{c, c, c, c, c}
	},
	ConnAbilities &^ sessions: func(c *conn) driver.Conn {
		return &struct {
			beginner
			queryers
			execers
			driver.Pinger
			checker
		}{c, c, c, c, c}
	},

	// The shape of go-sqlite3.
	direct | prepares | Pinger | SessionResetter: func(c *conn) driver.Conn {
		return &struct {
			beginner
			queryers
			execers
			driver.Pinger
			driver.SessionResetter
		}{c, c, c, c, c}
	},
	// The shape of pgx.
	contextDirect | prepares | Pinger | SessionResetter | ConnChecker: func(c *conn) driver.Conn {
		return &struct {
			beginner
			driver.QueryerContext
			driver.ExecerContext
			driver.Pinger
			driver.SessionResetter
			checker
		}{c, c, c, c, c, c}
	},
}

var stmtShapes = map[Ability]func(*stmt) driver.Stmt{
	0:                func(s *stmt) driver.Stmt { return &struct{ driver.Stmt }{s} },
	StmtQueryContext: func(s *stmt) driver.Stmt { return &struct{ stmtQ }{s} },
	StmtExecContext:  func(s *stmt) driver.Stmt { return &struct{ stmtE }{s} },
	StmtChecker:      func(s *stmt) driver.Stmt { return &struct{ stmtC }{s} },
	StmtConverter:    func(s *stmt) driver.Stmt { return &struct{ stmtV }{s} },

	StmtQueryContext | StmtExecContext: func(s *stmt) driver.Stmt { return &struct{ stmtQE }{s} },
	StmtQueryContext | StmtChecker: func(s *stmt) driver.Stmt {
		return &struct {
			stmtQ
			checker
		}{s, s}
	},
	StmtQueryContext | StmtConverter: func(s *stmt) driver.Stmt {
		return &struct {
			stmtQ
			stmtConverter
		}{s, s}
	},
	StmtExecContext | StmtChecker: func(s *stmt) driver.Stmt {
		return &struct {
			stmtE
			checker
		}{s, s}
	},
	StmtExecContext | StmtConverter: func(s *stmt) driver.Stmt {
		return &struct {
			stmtE
			stmtConverter
		}{s, s}
	},
	StmtChecker | StmtConverter: func(s *stmt) driver.Stmt {
		return &struct {
			stmtC
			stmtConverter
		}{s, s}
	},

	StmtAbilities &^ StmtQueryContext: func(s *stmt) driver.Stmt {
		return &struct {
			stmtE
			checker
			stmtConverter
		}{s, s, s}
	},
	StmtAbilities &^ StmtExecContext: func(s *stmt) driver.Stmt {
		return &struct {
			stmtQ
			checker
			stmtConverter
		}{s, s, s}
	},
	StmtAbilities &^ StmtChecker: func(s *stmt) driver.Stmt {
		return &struct {
			stmtQE
			stmtConverter
		}{s, s}
	},
	StmtAbilities &^ StmtConverter: func(s *stmt) driver.Stmt {
		return &struct {
			stmtQE
			checker
		}{s, s}
	},
	StmtAbilities: func(s *stmt) driver.Stmt { return s },
}

// A statement with one more interface.
type (
	stmtQ interface {
		driver.Stmt
		driver.StmtQueryContext
	}
	stmtE interface {
		driver.Stmt
		driver.StmtExecContext
	}
	stmtQE interface {
		stmtQ
		driver.StmtExecContext
	}
	stmtC interface {
		driver.Stmt
		driver.NamedValueChecker
	}
	stmtV interface {
		driver.Stmt
		stmtConverter
	}
)

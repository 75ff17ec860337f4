package querycache_test

import "github.com/jmoiron/sqlx"

func (s *seat) preparex() *sqlx.Stmt {
	s.Helper()
	st, err := s.at.Preparex(s.query)
	s.closing(st, err)
	return st
}

func (s *seat) preparexContext() *sqlx.Stmt {
	s.Helper()
	st, err := s.at.PreparexContext(s.ctx, s.query)
	s.closing(st, err)
	return st
}

func (s *seat) prepareNamed() *sqlx.NamedStmt {
	s.Helper()
	st, err := s.at.PrepareNamed(s.named)
	s.closing(st, err)
	return st
}

func (s *seat) prepareNamedContext() *sqlx.NamedStmt {
	s.Helper()
	st, err := s.at.PrepareNamedContext(s.ctx, s.named)
	s.closing(st, err)
	return st
}

// outside prepares on the database of a transaction.
func (s *seat) outside(query string) *sqlx.Stmt {
	s.Helper()
	st, err := s.base.Preparex(s.base.Rebind(query))
	s.closing(st, err)
	return st
}

// outsideNamed is the same for named parameters.
func (s *seat) outsideNamed(query string) *sqlx.NamedStmt {
	s.Helper()
	st, err := s.base.PrepareNamed(query)
	s.closing(st, err)
	return st
}

// preparedDoors are the same by prepared statements.
var preparedDoors = []door{
	{"Preparex, Get", func(s *seat) reader {
		st := s.preparex()
		return getting(func(v any) error { return st.Get(v, 2) })
	}},
	{"Preparex, Select", func(s *seat) reader {
		st := s.preparex()
		return selecting(func(v any) error { return st.Select(v, 2) })
	}},
	{"Preparex, Queryx", func(s *seat) reader {
		st := s.preparex()
		return rowsOf(func() (*sqlx.Rows, error) { return st.Queryx(2) }, structScan)
	}},
	{"Preparex, QueryRowx", func(s *seat) reader {
		st := s.preparex()
		return rowOf(func() *sqlx.Row { return st.QueryRowx(2) }, mapScan)
	}},
	{"Preparex, Unsafe, Get", func(s *seat) reader {
		st := s.preparex().Unsafe()
		return func() (any, error) {
			var few from
			err := st.Get(&few, 2)
			return few, err
		}
	}},
	{"PreparexContext, GetContext", func(s *seat) reader {
		st := s.preparexContext()
		return getting(func(v any) error { return st.GetContext(s.ctx, v, 2) })
	}},
	{"PreparexContext, SelectContext", func(s *seat) reader {
		st := s.preparexContext()
		return selecting(func(v any) error { return st.SelectContext(s.ctx, v, 2) })
	}},
	{"PreparexContext, QueryxContext", func(s *seat) reader {
		st := s.preparexContext()
		return rowsOf(func() (*sqlx.Rows, error) { return st.QueryxContext(s.ctx, 2) }, sliceScan)
	}},
	{"PreparexContext, QueryRowxContext", func(s *seat) reader {
		st := s.preparexContext()
		return rowOf(func() *sqlx.Row { return st.QueryRowxContext(s.ctx, 2) }, structScan)
	}},
	{"Preparex and Close each time", func(s *seat) reader {
		return selecting(func(v any) error {
			st, err := s.at.Preparex(s.query)
			if err != nil {
				return err
			}
			defer func() { _ = st.Close() }()
			return st.Select(v, 2)
		})
	}},
	{"PrepareNamed, Get", func(s *seat) reader {
		st := s.prepareNamed()
		return getting(func(v any) error { return st.Get(v, from{ID: 2}) })
	}},
	{"PrepareNamed, Select", func(s *seat) reader {
		st := s.prepareNamed()
		return selecting(func(v any) error { return st.Select(v, map[string]any{"id": 2}) })
	}},
	{"PrepareNamed, Queryx", func(s *seat) reader {
		st := s.prepareNamed()
		return rowsOf(func() (*sqlx.Rows, error) { return st.Queryx(from{ID: 2}) }, mapScan)
	}},
	{"PrepareNamed, QueryRowx", func(s *seat) reader {
		st := s.prepareNamed()
		return rowOf(func() *sqlx.Row { return st.QueryRowx(from{ID: 2}) }, sliceScan)
	}},
	{"PrepareNamed, QueryRow", func(s *seat) reader {
		st := s.prepareNamed()
		return rowOf(func() *sqlx.Row { return st.QueryRow(from{ID: 2}) }, structScan)
	}},
	{"PrepareNamed, Unsafe, Get", func(s *seat) reader {
		st := s.prepareNamed().Unsafe()
		return func() (any, error) {
			var few from
			err := st.Get(&few, from{ID: 2})
			return few, err
		}
	}},
	{"PrepareNamedContext, GetContext", func(s *seat) reader {
		st := s.prepareNamedContext()
		return getting(func(v any) error { return st.GetContext(s.ctx, v, from{ID: 2}) })
	}},
	{"PrepareNamedContext, SelectContext", func(s *seat) reader {
		st := s.prepareNamedContext()
		return selecting(func(v any) error { return st.SelectContext(s.ctx, v, from{ID: 2}) })
	}},
	{"PrepareNamedContext, QueryxContext", func(s *seat) reader {
		st := s.prepareNamedContext()
		return rowsOf(func() (*sqlx.Rows, error) { return st.QueryxContext(s.ctx, from{ID: 2}) }, structScan)
	}},
	{"PrepareNamedContext, QueryRowxContext", func(s *seat) reader {
		st := s.prepareNamedContext()
		return rowOf(func() *sqlx.Row { return st.QueryRowxContext(s.ctx, from{ID: 2}) }, mapScan)
	}},
}

// dbDoors are those that only a database has.
var dbDoors = []door{
	{"NamedQueryContext", func(s *seat) reader {
		return rowsOf(func() (*sqlx.Rows, error) { return s.base.NamedQueryContext(s.ctx, s.named, from{ID: 2}) }, structScan)
	}},
	{"Unsafe, Get", func(s *seat) reader {
		return func() (any, error) {
			var few from
			err := s.base.Unsafe().Get(&few, s.query, 2)
			return few, err
		}
	}},
	{"Connx, GetContext", func(s *seat) reader {
		c := s.connx()
		return getting(func(v any) error { return c.GetContext(s.ctx, v, s.query, 2) })
	}},
	{"Connx, SelectContext", func(s *seat) reader {
		c := s.connx()
		return selecting(func(v any) error { return c.SelectContext(s.ctx, v, c.Rebind(s.query), 2) })
	}},
	{"Connx, QueryxContext", func(s *seat) reader {
		c := s.connx()
		return rowsOf(func() (*sqlx.Rows, error) { return c.QueryxContext(s.ctx, s.query, 2) }, mapScan)
	}},
	{"Connx, QueryRowxContext", func(s *seat) reader {
		c := s.connx()
		return rowOf(func() *sqlx.Row { return c.QueryRowxContext(s.ctx, s.query, 2) }, sliceScan)
	}},
	{"Connx, PreparexContext", func(s *seat) reader {
		st, err := s.connx().PreparexContext(s.ctx, s.query)
		s.closing(st, err)
		return selecting(func(v any) error { return st.Select(v, 2) })
	}},
}

// txDoors are those that only a transaction has: statements of the database taken
// into it.
var txDoors = []door{
	{"Stmtx, Select", func(s *seat) reader {
		st := s.tx().Stmtx(s.outside(s.query))
		return selecting(func(v any) error { return st.Select(v, 2) })
	}},
	{"Stmtx of a *sql.Stmt, Get", func(s *seat) reader {
		st := s.tx().Stmtx(s.outside(s.query).Stmt)
		return getting(func(v any) error { return st.Get(v, 2) })
	}},
	{"StmtxContext, QueryxContext", func(s *seat) reader {
		st := s.tx().StmtxContext(s.ctx, s.outside(s.query))
		return rowsOf(func() (*sqlx.Rows, error) { return st.QueryxContext(s.ctx, 2) }, mapScan)
	}},
	{"NamedStmt, Get", func(s *seat) reader {
		st := s.tx().NamedStmt(s.outsideNamed(s.named))
		return getting(func(v any) error { return st.Get(v, from{ID: 2}) })
	}},
	{"NamedStmtContext, SelectContext", func(s *seat) reader {
		st := s.tx().NamedStmtContext(s.ctx, s.outsideNamed(s.named))
		return selecting(func(v any) error { return st.SelectContext(s.ctx, v, from{ID: 2}) })
	}},
	{"Unsafe, Get", func(s *seat) reader {
		return func() (any, error) {
			var few from
			err := s.tx().Unsafe().Get(&few, s.query, 2)
			return few, err
		}
	}},
}

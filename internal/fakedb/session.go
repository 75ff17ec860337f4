package fakedb

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
)

// session is the state of one connection in its store. Its connection is used
// by one goroutine at a time, so it needs no lock.
type session struct {
	store *store
	tx    *txn
	// settings holds what SET and PRAGMA set.
	settings map[string]driver.Value
}

func (s *session) begin(opts driver.TxOptions) error {
	if s.tx != nil {
		return errNested
	}
	switch sql.IsolationLevel(opts.Isolation) {
	case sql.LevelDefault, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSnapshot, sql.LevelSerializable:
	default:
		return fmt.Errorf("querycache: fakedb: isolation level %v is not supported", sql.IsolationLevel(opts.Isolation))
	}
	s.tx = s.store.begin()
	s.tx.perStatement = sql.IsolationLevel(opts.Isolation) == sql.LevelReadCommitted
	s.tx.readOnly = opts.ReadOnly
	return nil
}

func (s *session) commit() error {
	if s.tx == nil {
		return errNoTransaction
	}
	t := s.tx
	s.tx = nil
	return t.commit()
}

func (s *session) rollback() error {
	if s.tx == nil {
		return errNoTransaction
	}
	s.tx = nil
	return nil
}

// run executes a program and returns the results of its statements in order.
// With late set the last write that returns rows, outside a transaction, takes
// effect when the returned function is called.
func (s *session) run(p *program, args []driver.NamedValue, late bool) ([]*Result, func() error, error) {
	var results []*Result
	var effect func() error
	for i, st := range p.statements {
		res, err := s.control(st, args)
		if err == nil && res == nil {
			last := i == len(p.statements)-1
			res, effect, err = s.execute(st, args, late && last && st.yields() && st.kind.writes())
		}
		if err != nil {
			return nil, nil, err
		}
		results = append(results, res)
	}
	return results, effect, nil
}

// execute runs one statement in the open transaction or in one of its own.
func (s *session) execute(st *statement, args []driver.NamedValue, late bool) (*Result, func() error, error) {
	if s.tx != nil {
		res, err := s.tx.run(st, args)
		return res, nil, err
	}
	for {
		t := s.store.begin()
		res, err := t.run(st, args)
		if err != nil {
			return nil, nil, err
		}
		if late {
			return res, t.commit, nil
		}
		// A statement on its own never loses to another: it runs again on what that one left.
		if t.commit() == nil {
			return res, nil, nil
		}
	}
}

// control runs a statement about the transaction or the session, and answers
// nil if st is none.
func (s *session) control(st *statement, args []driver.NamedValue) (*Result, error) {
	done := &Result{NoCounts: true}
	switch st.kind {
	case kindBegin:
		return done, s.begin(driver.TxOptions{})
	case kindCommit:
		return done, s.commit()
	case kindRollback:
		return done, s.rollback()
	case kindSavepoint:
		if s.tx == nil {
			return nil, errNoTransaction
		}
		s.tx.save(st.table)
		return done, nil
	case kindRollbackTo, kindRelease:
		if s.tx == nil {
			return nil, errNoTransaction
		}
		return done, s.tx.restore(st.table, st.kind == kindRollbackTo)
	case kindSetting:
		return s.setting(st, args)
	}
	return nil, nil
}

// setting sets or reads a setting of the session.
func (s *session) setting(st *statement, args []driver.NamedValue) (*Result, error) {
	if st.limit != nil {
		v, err := st.limit(&env{args: args})
		if err != nil {
			return nil, err
		}
		if s.settings == nil {
			s.settings = map[string]driver.Value{}
		}
		s.settings[st.table] = v
		return &Result{NoCounts: true}, nil
	}
	return &Result{
		Columns: []Column{{Name: st.table, Nullable: true}},
		Rows:    [][]driver.Value{{s.settings[st.table]}},
	}, nil
}

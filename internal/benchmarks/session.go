package benchmarks

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/querycache/querycache"
)

// session is one goroutine's way into one alternative: the database, and where
// it puts what it reads.
type session struct {
	db   *sqlx.DB
	stmt *sql.Stmt
	// seq counts the runs of the session over its whole life, so that arguments
	// made from it never repeat.
	seq int64
	// out has room for all rows of a query; read is how many the last one gave.
	out  []Person
	read int
}

// body runs the thing to be measured n times.
type body func(s *session, n int) error

// argument makes the argument of run number seq, counted from one.
type argument func(seq int64) any

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

var errManyRows = errors.New("more rows than expected")

// always is boxed once: a caller that boxes an argument for each query pays for
// that on every alternative, which would only blur the ratio.
func always(arg any) argument {
	return func(int64) any { return arg }
}

func distinct(seq int64) any {
	return seq
}

// scattered goes through the ids 1 to hot in an order that the processor cannot
// guess; the factor is prime to hot, so that each comes up once in hot runs.
func scattered() argument {
	ids := make([]any, hot)
	for i := range ids {
		ids[i] = int64(i*1_103%hot + 1)
	}
	return func(seq int64) any { return ids[seq%hot] }
}

func scan(query string, arg argument) body {
	return func(s *session, n int) error {
		return s.repeat(context.Background(), s.db.DB, n, query, arg)
	}
}

func scanBypassed(query string, arg argument) body {
	return func(s *session, n int) error {
		return s.repeat(querycache.Bypass(context.Background()), s.db.DB, n, query, arg)
	}
}

// scanInTx runs all n queries in one transaction, whose own cost is then shared
// by them and vanishes.
func scanInTx(query string, arg argument) body {
	return func(s *session, n int) error {
		ctx := context.Background()
		tx, err := s.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		err = s.repeat(ctx, tx, n, query, arg)
		return errors.Join(err, tx.Rollback())
	}
}

func scanPrepared(arg argument) body {
	return func(s *session, n int) error {
		ctx := context.Background()
		for range n {
			s.seq++
			rows, err := s.stmt.QueryContext(ctx, arg(s.seq))
			if err != nil {
				return err
			}
			if err := s.scan(rows); err != nil {
				return err
			}
		}
		return nil
	}
}

func get(query string, arg argument) body {
	return func(s *session, n int) error {
		ctx := context.Background()
		for range n {
			s.seq++
			if err := s.db.GetContext(ctx, &s.out[0], query, arg(s.seq)); err != nil {
				return err
			}
		}
		s.read = 1
		return nil
	}
}

// selectAll lets sqlx grow the slice, as its users do.
func selectAll(query string, arg argument) body {
	return func(s *session, n int) error {
		ctx := context.Background()
		for range n {
			s.seq++
			s.out = nil
			if err := s.db.SelectContext(ctx, &s.out, query, arg(s.seq)); err != nil {
				return err
			}
		}
		s.read = len(s.out)
		return nil
	}
}

func write(s *session, n int) error {
	ctx := context.Background()
	for range n {
		s.seq++
		age, id := written(s.seq)
		result, err := s.db.ExecContext(ctx, update, age, id)
		if err != nil {
			return err
		}
		switch changed, err := result.RowsAffected(); {
		case err != nil:
			return err
		case changed != 1:
			return fmt.Errorf("the update changed %d rows, want 1", changed)
		}
	}
	return nil
}

// written is what run number seq of write writes, and to which row.
func written(seq int64) (age, id int64) {
	return seq % 97, seq%people + 1
}

func (s *session) repeat(ctx context.Context, q querier, n int, query string, arg argument) error {
	for range n {
		s.seq++
		rows, err := q.QueryContext(ctx, query, arg(s.seq))
		if err != nil {
			return err
		}
		if err := s.scan(rows); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) scan(rows *sql.Rows) error {
	s.read = 0
	for rows.Next() {
		if s.read == len(s.out) {
			return errors.Join(errManyRows, rows.Close())
		}
		p := &s.out[s.read]
		if err := rows.Scan(&p.ID, &p.Name, &p.Email, &p.Age, &p.Score, &p.Active); err != nil {
			return errors.Join(err, rows.Close())
		}
		s.read++
	}
	return errors.Join(rows.Err(), rows.Close())
}

package querycache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/querycache/querycache"
)

// turnstile holds a call of the driver back until the test lets it go on.
type turnstile struct {
	reached, open chan struct{}
}

func newTurnstile() *turnstile {
	return &turnstile{reached: make(chan struct{}), open: make(chan struct{})}
}

// hold is a hook that holds the first call of that method with that text in it.
func (ts *turnstile) hold(method, text string) tapHook {
	var first atomic.Bool
	return func(_ context.Context, m, q string) error {
		if m == method && strings.Contains(q, text) && first.CompareAndSwap(false, true) {
			close(ts.reached)
			<-ts.open
		}
		return nil
	}
}

// await waits for the call to arrive.
func (ts *turnstile) await(t *testing.T) {
	t.Helper()
	select {
	case <-ts.reached:
	case <-time.After(10 * time.Second):
		t.Fatal("the call never reached the driver")
	}
}

// async reads the sum of a on another goroutine.
func (s *stage) async() <-chan answer {
	out := make(chan answer, 1)
	go func() { out <- answerOf(s.ctx, s.db, sumA) }()
	return out
}

func scenario52(t *testing.T) {
	for name, write := range map[string]func(*stage){
		"autocommit": func(s *stage) { s.exec("UPDATE a SET v = 10") },
		"transaction": func(s *stage) {
			tx := s.begin()
			s.execOn(tx, "UPDATE a SET v = 10")
			s.must(nil, tx.Commit())
		},
		"RETURNING": func(s *stage) { s.read("UPDATE a SET v = 10 RETURNING id") },
	} {
		s := newStage(t, family)
		s.read(sumA + " WHERE 1") // The schema is known.
		ts := newTurnstile()
		s.tap.set(nil, ts.hold("query", sumA))
		before := s.cache.Stats()
		slow := s.async()
		ts.await(t)
		write(s)
		close(ts.open)
		a := <-slow
		s.value(a, 4, sumA) // What it asked was answered before the write.
		after := s.cache.Stats()
		if after.RejectedFills != before.RejectedFills+1 || after.Fills != before.Fills {
			t.Errorf("%s: %d fills, %d refused", name, after.Fills-before.Fills, after.RejectedFills-before.RejectedFills)
		}
		s.value(s.miss(sumA), 30, sumA)
	}
}

func scenario53(t *testing.T) {
	s := newStage(t, family)
	const other = "SELECT max(v) FROM a"
	s.entry(sumA)
	s.entry(other)
	tx := s.begin()
	s.execOn(tx, "UPDATE a SET v = 10")
	s.hit(sumA)

	// The COMMIT has taken effect and has not returned.
	ts := newTurnstile()
	s.tap.set(nil, ts.hold("commit", ""))
	committed := make(chan error, 1)
	go func() { committed <- tx.Commit() }()
	ts.await(t)
	s.bypass("write in flight", "SELECT min(v) FROM a")
	for range 2 {
		for query, want := range map[string]int{sumA: 30, other: 10} {
			a, told := s.read(query)
			s.value(a, want, query)
			if told != "bypass: write in flight" {
				t.Errorf("%s: %s", query, told)
			}
		}
	}
	close(ts.open)
	s.must(nil, <-committed)
	s.fresh(sumA)
	s.fresh(other)

	// Many at once: no reader sees a row go back.
	s.tap.set(nil, nil)
	s.exec("UPDATE a SET v = 0")
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			last := int64(0)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				query := []string{"SELECT min(v) FROM a", "SELECT max(v) FROM a", "SELECT v FROM a WHERE id = 1"}[i%3]
				a := answerOf(t.Context(), s.db, query)
				if a.Error != "" || a.Rows[0][0].(int64) < last { //nolint:forcetypeassert // The column is an integer.
					t.Errorf("%s: %v %s after %d", query, a.Rows, a.Error, last)
					return
				}
				last = a.Rows[0][0].(int64) //nolint:forcetypeassert // As above.
			}
		}()
	}
	for i := range 100 {
		s.exec("UPDATE a SET v = ?", i+1)
	}
	close(stop)
	wg.Wait()
}

func scenario54(t *testing.T) {
	const readers = 16
	s := newStage(t, family)
	s.read(sumB)
	ts := newTurnstile()
	var asked atomic.Int64
	s.tap.set(ts.hold("query", sumA), func(_ context.Context, method, text string) error {
		if method == "query" && text == sumA { // Connections may look at the schema.
			asked.Add(1)
		}
		return nil
	})
	s.db.SetMaxIdleConns(readers)
	before := s.cache.Stats()
	var all []<-chan answer
	for range readers {
		all = append(all, s.async())
	}
	ts.await(t)
	synctest.Wait() // The others wait for the leader.
	close(ts.open)
	for _, a := range all {
		s.value(<-a, 4, sumA)
	}
	after := s.cache.Stats()
	if after.Misses-before.Misses != 1 || after.Coalesced-before.Coalesced != readers-1 || after.Hits != before.Hits {
		t.Errorf("%d misses, %d coalesced, %d hits", after.Misses-before.Misses, after.Coalesced-before.Coalesced, after.Hits-before.Hits)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the database was asked %d times, want 1", n)
	}

	// The leader fails, panics, is cancelled: a follower leads anew.
	for _, how := range []string{"fails", "panics", "is cancelled"} {
		s.cache.Purge()
		s.read(sumB)
		s.leaderLost(how)
	}
}

// leaderLost lets a leader with a follower go down.
func (s *stage) leaderLost(how string) {
	s.Helper()
	ts := newTurnstile()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var first atomic.Bool
	s.tap.set(func(_ context.Context, method, text string) error {
		if method != "query" || text != sumA || !first.CompareAndSwap(false, true) {
			return nil
		}
		close(ts.reached)
		<-ts.open
		switch how {
		case "fails":
			return errors.New("the leader fails")
		case "panics":
			panic("the leader panics")
		default:
			cancel()
			return ctx.Err()
		}
	}, nil)
	led := make(chan string, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				led <- fmt.Sprint(p)
			}
		}()
		led <- answerOf(ctx, s.db, sumA).Error
	}()
	ts.await(s.T)
	follower := s.async()
	synctest.Wait() // It waits for the leader.
	close(ts.open)
	if got := <-led; got == "" {
		s.Errorf("%s: the leader has an answer", how)
	}
	s.value(<-follower, 4, sumA)
	s.tap.set(nil, nil)
	s.hit(sumA)
}

func scenario55(t *testing.T) {
	s := newStage(t, family)
	s.read(sumB)
	ts := newTurnstile()
	s.tap.set(nil, ts.hold("query", sumA))
	leader := s.async()
	ts.await(t) // It has read, and is on its way back.
	s.exec("UPDATE a SET v = 10")
	s.value(answerOf(t.Context(), s.db, sumA), 30, sumA) // Began after the write returned.
	close(ts.open)
	s.value(<-leader, 4, sumA)
	s.value(s.hit(sumA), 30, sumA)
	if n := s.cache.Stats().Coalesced; n != 0 {
		t.Errorf("%d coalesced", n)
	}
}

func scenario56(t *testing.T) {
	s := newStage(t, family)
	s.entry(sumA)
	for _, invalidate := range []func(){
		func() { s.exec("UPDATE a SET v = v + 1") },
		func() { s.cache.InvalidateTables("a") },
		func() { s.cache.InvalidateQuery(sumA) },
		s.cache.Purge,
	} {
		ts := newTurnstile()
		s.tap.set(nil, ts.hold("query", sumA))
		before := s.cache.Stats()
		refresh := s.with(querycache.Refresh(t.Context())).async()
		ts.await(t)
		invalidate()
		close(ts.open)
		<-refresh
		if after := s.cache.Stats(); after.RejectedFills != before.RejectedFills+1 || after.Fills != before.Fills {
			t.Errorf("%d fills, %d refused", after.Fills-before.Fills, after.RejectedFills-before.RejectedFills)
		}
		s.tap.set(nil, nil)
		s.fresh(sumA)
		s.hit(sumA)
	}
}

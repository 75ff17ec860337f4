package querycache

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"testing"
	"testing/synctest"

	"github.com/querycache/querycache/internal/fakedb"
)

// TestRefreshedArguments has the caller change its argument while an entry is
// refreshed, after the call that asked for that: what is sent is of the same type
// and says what was asked. Seen to fail without the copies of form.copy.
func TestRefreshedArguments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &harness{t: t}
		var err error
		if h.cache, err = New(Config{Dialect: SQLite, NoCatalog: true}); err != nil {
			t.Fatal(err)
		}
		if h.fake, err = fakedb.New(fakedb.PGX()); err != nil {
			t.Fatal(err)
		}
		sent := make(chan *int64, 4)
		const text = "/* querycache: ttl=60s swr=30s */ SELECT ?"
		h.fake.Handle(text, func(_ context.Context, _ string, args []driver.NamedValue) (*fakedb.Result, error) {
			p, _ := args[0].Value.(*int64)
			sent <- p
			return &fakedb.Result{Columns: []fakedb.Column{{Name: "a"}}, Rows: [][]driver.Value{{*p}}}, nil
		})
		h.DB = sql.OpenDB(h.cache.WrapConnector(h.fake.Connector("x")))
		defer h.close()

		n := int64(5)
		for _, hit := range []bool{false, true} {
			if got, was := h.read(t.Context(), text, &n); got != 5 || was != hit {
				t.Errorf("read %d (hit %v), want 5 (hit %v)", got, was, hit)
			}
			expire()
		}
		synctest.Wait()
		n = 6
		if p := <-sent; p != &n {
			t.Error("the miss did not send the caller's own pointer")
		}
		if p := <-sent; p == nil || p == &n || *p != 5 {
			t.Error("the refresh did not send a copy of what was asked")
		}
	})
}

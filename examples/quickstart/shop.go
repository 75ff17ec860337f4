package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jmoiron/sqlx"
)

// size is how many rows there are and how often they are read.
type size struct {
	customers, products, orders int
	reports, pages, lookups     int // runs of the aggregates, the lists, the point reads
}

var fullSize = size{
	customers: 2_000, products: 200, orders: 100_000,
	reports: 20, pages: 1_000, lookups: 10_000,
}

const schema = `
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, country TEXT NOT NULL);
CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, cents INTEGER NOT NULL);
CREATE TABLE orders (
	id INTEGER PRIMARY KEY,
	customer_id INTEGER NOT NULL REFERENCES customers (id),
	product_id INTEGER NOT NULL REFERENCES products (id),
	quantity INTEGER NOT NULL,
	status TEXT NOT NULL,
	placed_at DATETIME NOT NULL
);
CREATE INDEX orders_by_customer ON orders (customer_id, placed_at);
`

type customer struct {
	ID      int64  `db:"id"`
	Name    string `db:"name"`
	Country string `db:"country"`
}

type product struct {
	ID    int64  `db:"id"`
	Name  string `db:"name"`
	Cents int64  `db:"cents"`
}

type order struct {
	ID         int64     `db:"id"`
	CustomerID int64     `db:"customer_id"`
	ProductID  int64     `db:"product_id"`
	Quantity   int64     `db:"quantity"`
	Status     string    `db:"status"`
	PlacedAt   time.Time `db:"placed_at"`
}

type revenue struct {
	Country string `db:"country"`
	Orders  int64  `db:"orders"`
	Cents   int64  `db:"cents"`
}

// query is one that an application would repeat. Its i-th run may differ from the
// others in its arguments.
type query struct {
	name   string
	tables string
	runs   func(size) int
	read   func(ctx context.Context, db *sqlx.DB, i int, n size) (any, error)
}

var queries = []query{
	{"revenue by country", "orders, products, customers", func(n size) int { return n.reports }, revenueByCountry},
	{"open orders", "orders", func(n size) int { return n.reports }, func(ctx context.Context, db *sqlx.DB, _ int, _ size) (any, error) {
		return openOrders(ctx, db)
	}},
	{"orders of a customer", "orders", func(n size) int { return n.pages }, ordersOfCustomer},
	{"price list", "products", func(n size) int { return n.pages }, priceList},
	{"customer by id", "customers", func(n size) int { return n.lookups }, customerByID},
}

func revenueByCountry(ctx context.Context, db *sqlx.DB, _ int, _ size) (any, error) {
	var rows []revenue
	err := db.SelectContext(ctx, &rows, `
		SELECT c.country, COUNT(*) AS orders, SUM(o.quantity * p.cents) AS cents
		FROM orders o
		JOIN customers c ON c.id = o.customer_id
		JOIN products p ON p.id = o.product_id
		WHERE o.status <> 'cancelled'
		GROUP BY c.country
		ORDER BY cents DESC`)
	return rows, err
}

func openOrders(ctx context.Context, db *sqlx.DB) (int, error) {
	var n int
	err := db.GetContext(ctx, &n, "SELECT COUNT(*) FROM orders WHERE status = 'open'")
	return n, err
}

func ordersOfCustomer(ctx context.Context, db *sqlx.DB, i int, n size) (any, error) {
	var rows []order
	err := db.SelectContext(ctx, &rows,
		"SELECT * FROM orders WHERE customer_id = ? ORDER BY placed_at DESC LIMIT 20", 1+i%min(50, n.customers))
	return rows, err
}

func priceList(ctx context.Context, db *sqlx.DB, _ int, _ size) (any, error) {
	var rows []product
	err := db.SelectContext(ctx, &rows, "SELECT id, name, cents FROM products ORDER BY name, id")
	return rows, err
}

func customerByID(ctx context.Context, db *sqlx.DB, i int, n size) (any, error) {
	var c customer
	err := db.GetContext(ctx, &c, "SELECT id, name, country FROM customers WHERE id = ?", 1+i%min(500, n.customers))
	return c, err
}

func anOpenOrder(ctx context.Context, db *sqlx.DB) (int64, error) {
	var id int64
	err := db.GetContext(ctx, &id, "SELECT id FROM orders WHERE status = 'open' ORDER BY customer_id, id LIMIT 1")
	return id, err
}

// fillShop makes the tables and their rows, the same ones each time.
func fillShop(ctx context.Context, db *sqlx.DB, n size) error {
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return err
	}
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	if err := insertAll(ctx, tx, n); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

func insertAll(ctx context.Context, tx *sqlx.Tx, n size) error {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }

	err := insert(ctx, tx, "INSERT INTO customers (name, country) VALUES (?, ?)", n.customers, func(int) []any {
		return []any{
			pick("Ada", "Grace", "Barbara", "Frances", "Jean") + " " + pick("Ash", "Birch", "Elm", "Oak", "Rowan"),
			pick("Chile", "Ghana", "Iceland", "Japan", "Kenya", "Norway", "Peru", "Vietnam"),
		}
	})
	if err != nil {
		return err
	}
	err = insert(ctx, tx, "INSERT INTO products (name, cents) VALUES (?, ?)", n.products, func(int) []any {
		return []any{pick("blue", "green", "red", "small", "tall") + " " + pick("cup", "lamp", "shelf", "table"), 100 + random.IntN(20_000)}
	})
	if err != nil {
		return err
	}
	day := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	const orders = "INSERT INTO orders (customer_id, product_id, quantity, status, placed_at) VALUES (?, ?, ?, ?, ?)"
	return insert(ctx, tx, orders, n.orders, func(i int) []any {
		return []any{
			1 + random.IntN(n.customers), 1 + random.IntN(n.products), 1 + random.IntN(9),
			pick("open", "shipped", "shipped", "shipped", "cancelled"), day.Add(time.Duration(i) * time.Minute),
		}
	})
}

func insert(ctx context.Context, tx *sqlx.Tx, text string, n int, row func(i int) []any) error {
	stmt, err := tx.PrepareContext(ctx, text)
	if err != nil {
		return err
	}
	defer stmt.Close() //nolint:errcheck // Exec has said what there is to say.
	for i := range n {
		if _, err := stmt.ExecContext(ctx, row(i)...); err != nil {
			return err
		}
	}
	return nil
}

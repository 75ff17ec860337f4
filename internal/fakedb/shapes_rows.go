package fakedb

import "database/sql/driver"

// Groups of interfaces that shapes have together.
type (
	rowsWithTypes interface {
		driver.Rows
		scanType
		databaseTypeName
	}
	sizes interface {
		columnLength
		columnNullable
		precisionScale
	}
)

var rowsShapes = map[Ability]func(*rows) driver.Rows{
	0:             func(r *rows) driver.Rows { return &struct{ driver.Rows }{r} },
	RowsAbilities: func(r *rows) driver.Rows { return r },

	RowsNextResultSet: func(r *rows) driver.Rows {
		return &struct {
			driver.Rows
			nextResultSet
		}{r, r}
	},
	RowsScanType: func(r *rows) driver.Rows {
		return &struct {
			driver.Rows
			scanType
		}{r, r}
	},
	RowsDatabaseTypeName: func(r *rows) driver.Rows {
		return &struct {
			driver.Rows
			databaseTypeName
		}{r, r}
	},
	RowsLength: func(r *rows) driver.Rows {
		return &struct {
			driver.Rows
			columnLength
		}{r, r}
	},
	RowsNullable: func(r *rows) driver.Rows {
		return &struct {
			driver.Rows
			columnNullable
		}{r, r}
	},
	RowsPrecisionScale: func(r *rows) driver.Rows {
		return &struct {
			driver.Rows
			precisionScale
		}{r, r}
	},

	RowsAbilities &^ RowsNextResultSet: func(r *rows) driver.Rows {
		return &struct {
			rowsWithTypes
			sizes
		}{r, r}
	},
	RowsAbilities &^ RowsScanType: func(r *rows) driver.Rows {
		return &struct {
			driver.Rows
			databaseTypeName
			sizes
			nextResultSet
		}{r, r, r, r}
	},
	RowsAbilities &^ RowsDatabaseTypeName: func(r *rows) driver.Rows {
		return &struct {
			driver.Rows
			scanType
			sizes
			nextResultSet
		}{r, r, r, r}
	},
	RowsAbilities &^ RowsLength: func(r *rows) driver.Rows {
		return &struct {
			rowsWithTypes
			columnNullable
			precisionScale
			nextResultSet
		}{r, r, r, r}
	},
	RowsAbilities &^ RowsNullable: func(r *rows) driver.Rows {
		return &struct {
			rowsWithTypes
			columnLength
			precisionScale
			nextResultSet
		}{r, r, r, r}
	},
	RowsAbilities &^ RowsPrecisionScale: func(r *rows) driver.Rows {
		return &struct {
			rowsWithTypes
			columnLength
			columnNullable
			nextResultSet
		}{r, r, r, r}
	},
	// The shape of pgx.
	RowsAbilities &^ (RowsNextResultSet | RowsNullable): func(r *rows) driver.Rows {
		return &struct {
			rowsWithTypes
			columnLength
			precisionScale
		}{r, r, r}
	},
}

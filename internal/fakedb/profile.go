package fakedb

import (
	"fmt"
	"strings"
)

// Ability is a set of optional driver interfaces.
type Ability uint64

// The optional interfaces, each named after the interface in database/sql/driver
// with the type that has it where the name alone does not tell.
const (
	DriverContext Ability = 1 << iota
	ConnectorCloser
	QueryerContext
	LegacyQueryer
	ExecerContext
	LegacyExecer
	ConnPrepareContext
	ConnBeginTx
	Pinger
	SessionResetter
	Validator
	ConnChecker
	StmtQueryContext
	StmtExecContext
	StmtChecker
	StmtConverter
	RowsNextResultSet
	RowsScanType
	RowsDatabaseTypeName
	RowsLength
	RowsNullable
	RowsPrecisionScale
	lastAbility
)

// The abilities by the type that has them, and all of them.
const (
	DriverAbilities = DriverContext | ConnectorCloser
	ConnAbilities   = QueryerContext | LegacyQueryer | ExecerContext | LegacyExecer | ConnPrepareContext |
		ConnBeginTx | Pinger | SessionResetter | Validator | ConnChecker
	StmtAbilities = StmtQueryContext | StmtExecContext | StmtChecker | StmtConverter
	RowsAbilities = RowsNextResultSet | RowsScanType | RowsDatabaseTypeName | RowsLength | RowsNullable |
		RowsPrecisionScale
	AllAbilities = DriverAbilities | ConnAbilities | StmtAbilities | RowsAbilities
)

var abilityNames = [...]string{
	"DriverContext", "ConnectorCloser", "QueryerContext", "LegacyQueryer", "ExecerContext", "LegacyExecer",
	"ConnPrepareContext", "ConnBeginTx", "Pinger", "SessionResetter", "Validator", "ConnChecker",
	"StmtQueryContext", "StmtExecContext", "StmtChecker", "StmtConverter", "RowsNextResultSet", "RowsScanType",
	"RowsDatabaseTypeName", "RowsLength", "RowsNullable", "RowsPrecisionScale",
}

// Has reports whether every ability of b is in a.
func (a Ability) Has(b Ability) bool { return a&b == b }

// String names the abilities in the set.
func (a Ability) String() string {
	var names []string
	for i, name := range abilityNames {
		if a&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, "+")
}

// Skip says when a direct QueryContext or ExecContext answers [driver.ErrSkip],
// so that database/sql prepares the statement instead.
type Skip int

// The choices of Skip. SkipWithArgs is what go-sql-driver/mysql does.
const (
	SkipNever Skip = iota
	SkipWithArgs
	SkipAlways
)

// Check says what a CheckNamedValue method does.
type Check int

// The choices of Check.
const (
	// CheckDefault converts as database/sql does by default, and also a [Point].
	CheckDefault Check = iota
	// CheckSkip answers [driver.ErrSkip] to everything.
	CheckSkip
	// CheckRemove takes an [Option] out of the arguments and converts the rest as CheckDefault.
	CheckRemove
	// CheckAny accepts every value as it is, as pgx does.
	CheckAny
)

// Profile describes one kind of driver.
type Profile struct {
	// Name tells profiles apart in the output of tests.
	Name string
	// Abilities are the optional interfaces that the driver has.
	Abilities Ability
	// SkipQuery and SkipExec say when the connection's direct methods answer ErrSkip.
	SkipQuery, SkipExec Skip
	// ConnCheck and StmtCheck are what the two checkers do, where they are present.
	ConnCheck, StmtCheck Check
	// UnknownInputs makes NumInput answer -1.
	UnknownInputs bool
	// ReuseBuffers makes all rows of a result share the memory of their byte
	// slices: each Next overwrites what the one before returned, and Close
	// overwrites the last.
	ReuseBuffers bool
	// ReturningAtClose delays the effect of a statement that writes and returns
	// rows, outside a transaction, until its rows are closed.
	ReturningAtClose bool
}

// With returns p under another name with abilities added.
func (p Profile) With(name string, a Ability) Profile {
	p.Name, p.Abilities = name, p.Abilities|a
	return p
}

// Without returns p under another name with abilities taken away.
func (p Profile) Without(name string, a Ability) Profile {
	p.Name, p.Abilities = name, p.Abilities&^a
	return p
}

// Full returns the profile of a driver that has every optional interface.
func Full() Profile { return Profile{Name: "full", Abilities: AllAbilities} }

// Bare returns the profile of a driver that has no optional interface at all.
func Bare() Profile { return Profile{Name: "bare"} }

// contexts are the abilities that nearly every driver of today has.
const contexts = QueryerContext | ExecerContext | ConnPrepareContext | ConnBeginTx | StmtQueryContext | StmtExecContext

// SQLite3 returns a profile with the shape of mattn/go-sqlite3.
func SQLite3() Profile {
	return Profile{
		Name: "go-sqlite3",
		Abilities: contexts | LegacyQueryer | LegacyExecer | Pinger | SessionResetter |
			RowsScanType | RowsDatabaseTypeName | RowsLength | RowsNullable | RowsPrecisionScale,
	}
}

// SQLMock returns a profile with the shape of DATA-DOG/go-sqlmock.
func SQLMock() Profile {
	return Profile{
		Name:          "sqlmock",
		Abilities:     contexts | LegacyQueryer | LegacyExecer | Pinger | ConnChecker | RowsNextResultSet,
		UnknownInputs: true,
	}
}

// MySQL returns a profile with the shape of go-sql-driver/mysql.
func MySQL() Profile {
	return Profile{
		Name: "go-sql-driver",
		Abilities: contexts | DriverContext | LegacyQueryer | LegacyExecer | Pinger | SessionResetter | Validator |
			ConnChecker | StmtChecker | StmtConverter | RowsAbilities&^RowsLength,
		SkipQuery: SkipWithArgs, SkipExec: SkipWithArgs,
		ReuseBuffers: true,
	}
}

// PGX returns a profile with the shape of jackc/pgx's stdlib.
func PGX() Profile {
	return Profile{
		Name: "pgx",
		Abilities: contexts | DriverContext | Pinger | SessionResetter | ConnChecker |
			RowsAbilities&^(RowsNextResultSet|RowsNullable),
		ConnCheck: CheckAny,
	}
}

// PQ returns a profile with the shape of lib/pq.
func PQ() Profile {
	return Profile{
		Name: "lib/pq",
		Abilities: contexts | LegacyQueryer | LegacyExecer | Pinger | SessionResetter | Validator | ConnChecker |
			StmtChecker | RowsAbilities&^RowsNullable,
	}
}

// Legacy returns a profile with the shape of a driver written before Go 1.8:
// direct execution, and no method that takes a context.
func Legacy() Profile {
	return Profile{Name: "legacy", Abilities: LegacyQueryer | LegacyExecer | StmtConverter | RowsNextResultSet}
}

// Profiles lists the profiles that matter: everything, nothing, the shapes of
// real drivers, each ability absent alone and present alone, and each
// behaviour switched on once.
func Profiles() []Profile {
	full, bare := Full(), Bare()
	list := []Profile{full, bare, Legacy(), SQLite3(), SQLMock(), MySQL(), PGX(), PQ()}
	for a := Ability(1); a < lastAbility; a <<= 1 {
		list = append(list, full.Without("full-"+a.String(), a), bare.With("bare+"+a.String(), a))
	}
	variant := func(name string, change func(*Profile)) {
		p := full
		p.Name = name
		change(&p)
		list = append(list, p)
	}
	variant("skip-with-args", func(p *Profile) { p.SkipQuery, p.SkipExec = SkipWithArgs, SkipWithArgs })
	variant("skip-always", func(p *Profile) { p.SkipQuery, p.SkipExec = SkipAlways, SkipAlways })
	variant("skip-query", func(p *Profile) { p.SkipQuery = SkipAlways })
	variant("check-skip", func(p *Profile) { p.ConnCheck, p.StmtCheck = CheckSkip, CheckSkip })
	variant("check-stmt-skip", func(p *Profile) { p.StmtCheck = CheckSkip; p.Abilities &^= StmtConverter })
	variant("check-remove", func(p *Profile) { p.ConnCheck, p.StmtCheck = CheckRemove, CheckRemove })
	variant("check-any", func(p *Profile) { p.ConnCheck, p.StmtCheck = CheckAny, CheckAny })
	variant("unknown-inputs", func(p *Profile) { p.UnknownInputs = true })
	variant("reuse-buffers", func(p *Profile) { p.ReuseBuffers = true })
	variant("returning-at-close", func(p *Profile) { p.ReturningAtClose = true })
	variant("no-direct", func(p *Profile) {
		p.Abilities &^= QueryerContext | LegacyQueryer | ExecerContext | LegacyExecer
	})
	variant("no-checkers", func(p *Profile) { p.Abilities &^= ConnChecker | StmtChecker })
	variant("no-session", func(p *Profile) { p.Abilities &^= SessionResetter | Validator })
	return list
}

func (p Profile) validate() error {
	for _, part := range []struct {
		kind  string
		mask  Ability
		known func(Ability) bool
	}{
		{"connection", ConnAbilities, func(a Ability) bool { return connShapes[a] != nil }},
		{"rows", RowsAbilities, func(a Ability) bool { return rowsShapes[a] != nil }},
	} {
		if !part.known(p.Abilities & part.mask) {
			return fmt.Errorf("querycache: fakedb: profile %q: no %s type has exactly %v",
				p.Name, part.kind, p.Abilities&part.mask)
		}
	}
	return nil
}

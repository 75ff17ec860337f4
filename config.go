package querycache

import (
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"
)

// Dialect is the SQL that a database speaks.
type Dialect int

// The dialects. The zero Dialect is told from the driver's type.
const (
	SQLite     Dialect = iota + 1
	PostgreSQL         // Not supported yet: Register answers a *ConfigError.
	MySQL              // MariaDB included. Not supported yet: Register answers a *ConfigError.
)

// String returns the dialect's name.
func (d Dialect) String() string {
	switch d {
	case SQLite:
		return "SQLite"
	case PostgreSQL:
		return "PostgreSQL"
	case MySQL:
		return "MySQL"
	default:
		return fmt.Sprintf("Dialect(%d)", int(d))
	}
}

// TxReads is what happens to reads inside a transaction.
type TxReads int

const (
	// BypassTx sends every read inside a transaction to the database. It is
	// the default.
	BypassTx TxReads = iota
	// ReadCommitted may serve reads from the cache until the transaction's
	// first write. It is refused where a transaction reads from one snapshot,
	// as SQLite's does.
	ReadCommitted
)

// Mode says which reads may be served from the cache.
type Mode int

const (
	// Automatic caches every read that can be cached. It is the default.
	Automatic Mode = iota
	// HintedOnly caches the reads alone that have a hint, by comment or by
	// context, or that a rule matches.
	HintedOnly
	// Off caches nothing, whatever hints and rules say.
	Off
)

// Config tunes a [Cache]. Every field has a useful zero value.
type Config struct {
	// Dialect is the SQL of the database. The zero value tells it from the
	// type of the driver; where that says nothing, Register answers an error.
	Dialect Dialect

	// Mode is which reads may be served from the cache. Writes invalidate in every
	// mode. Default: [Automatic].
	Mode Mode

	// Rules tune statements without touching them. The first rule that matches a
	// statement is in force. Default: none.
	Rules []Rule

	// MaxBytes bounds the memory of all results, in bytes. Default: 64 MiB.
	MaxBytes int64

	// MaxEntryBytes bounds one result, in bytes. A larger one is handed
	// through whole, in bounded memory, and is not cached. Default: 1 MiB, and
	// at most MaxBytes.
	MaxEntryBytes int64

	// TTL is how long an entry lives, counted from before its query ran. It
	// bounds how stale an entry can be for a writer that the cache does not
	// see: a query is served nothing that is older, unless a hint or a rule gives it
	// a TTL of its own. Default: 1 minute. Negative: no expiry. Each entry's TTL is
	// shortened at random by up to a tenth, so that entries filled together do
	// not expire together.
	TTL time.Duration

	// TxReads is what happens to reads inside a transaction. Default:
	// [BypassTx].
	TxReads TxReads

	// InDoubt is how long the tables of a write stay uncached whose outcome is
	// unknown: it was sent, and ended by a cancellation or a lost connection.
	// It does not concern SQLite, where a call that returned is settled.
	// Default: 1 minute.
	InDoubt time.Duration

	// NoCatalog makes the text of a statement alone tell what it touches:
	// nothing is asked of the database. Views, triggers and cascades are then
	// not seen. It is meant for mocks, and for databases that have none of
	// them.
	NoCatalog bool

	// CatalogMaxAge is how old the knowledge of the schema can be when it is
	// changed by somebody else than this cache's connections. Default: 10
	// seconds.
	CatalogMaxAge time.Duration

	// SplitByDSN keeps the invalidation of each data source name apart. By
	// default a write through any of them invalidates what all of them cached,
	// which is right also where two names lead to one database. Set it only
	// for databases that share nothing.
	SplitByDSN bool

	// Authorizer is the application's own SQLite authorizer, if it uses one.
	// SQLite has one authorizer for each connection, and the cache learns from
	// it what statements touch. Where the driver has a ConnectHook or is
	// reached through a connector of its own, the slot may be taken and the
	// cache reads the schema instead, unless Authorizer is set: it is then
	// installed on every connection, and the cache listens beside it. Return 0
	// to allow everything.
	Authorizer func(op int, arg1, arg2, arg3 string) int

	// Logger receives what an operator should know: it never receives
	// arguments or data source names. Default: nothing is logged.
	Logger *slog.Logger
}

// ConfigError says which part of a configuration cannot be used, and why.
type ConfigError struct {
	Field  string // the field of Config, or the parameter of the function
	Reason string
}

// Error names the field and the reason.
func (e *ConfigError) Error() string {
	return "querycache: " + e.Field + ": " + e.Reason
}

// withDefaults validates a configuration and fills in what is zero.
func (cfg Config) withDefaults() (Config, error) {
	switch {
	case cfg.Dialect < 0 || cfg.Dialect > MySQL:
		return cfg, &ConfigError{"Dialect", fmt.Sprintf("unknown dialect %d", int(cfg.Dialect))}
	case cfg.MaxBytes < 0:
		return cfg, &ConfigError{"MaxBytes", fmt.Sprintf("%d is negative", cfg.MaxBytes)}
	case cfg.MaxEntryBytes < 0:
		return cfg, &ConfigError{"MaxEntryBytes", fmt.Sprintf("%d is negative", cfg.MaxEntryBytes)}
	case cfg.Mode < Automatic || cfg.Mode > Off:
		return cfg, &ConfigError{"Mode", fmt.Sprintf("unknown mode %d", int(cfg.Mode))}
	case cfg.TxReads < BypassTx || cfg.TxReads > ReadCommitted:
		return cfg, &ConfigError{"TxReads", fmt.Sprintf("unknown value %d", int(cfg.TxReads))}
	case cfg.InDoubt < 0:
		return cfg, &ConfigError{"InDoubt", fmt.Sprintf("%v is negative", cfg.InDoubt)}
	case cfg.CatalogMaxAge < 0:
		return cfg, &ConfigError{"CatalogMaxAge", fmt.Sprintf("%v is negative", cfg.CatalogMaxAge)}
	}
	setDefault(&cfg.MaxBytes, 64<<20)
	if cfg.MaxEntryBytes > cfg.MaxBytes {
		return cfg, &ConfigError{"MaxEntryBytes", fmt.Sprintf("%d is more than MaxBytes (%d)", cfg.MaxEntryBytes, cfg.MaxBytes)}
	}
	setDefault(&cfg.MaxEntryBytes, min(1<<20, cfg.MaxBytes))
	setDefault(&cfg.TTL, time.Minute)
	setDefault(&cfg.InDoubt, time.Minute)
	setDefault(&cfg.CatalogMaxAge, 10*time.Second)
	if _, err := cfg.compile(); err != nil {
		return cfg, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg, nil
}

// largest is the largest result that is to be cached, in bytes.
func (cfg *Config) largest() int64 {
	n := cfg.MaxEntryBytes
	for _, r := range cfg.Rules {
		n = max(n, r.MaxBytes)
	}
	return n
}

func setDefault[T int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// supports reports why a driver cannot be wrapped with these settings, if so.
func (cfg Config) supports(driver any) error {
	d := cfg.Dialect
	if d == 0 {
		d = dialectOf(driver)
	}
	switch {
	case d == 0:
		return &ConfigError{"Dialect", fmt.Sprintf("cannot be told from a driver of type %T: set it", driver)}
	case d != SQLite:
		return &ConfigError{"Dialect", d.String() + " is not supported yet"}
	case cfg.TxReads == ReadCommitted:
		return &ConfigError{"TxReads", "ReadCommitted is refused with " + d.String() + ": a transaction reads from one snapshot"}
	}
	return nil
}

// dialectOf tells the dialect from the package of a driver's type.
func dialectOf(driver any) Dialect {
	t := reflect.TypeOf(driver)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return 0
	}
	for _, known := range []struct {
		path    string
		dialect Dialect
	}{
		{"github.com/mattn/go-sqlite3", SQLite},
		{"modernc.org/sqlite", SQLite},
		{"github.com/jackc/pgx/", PostgreSQL},
		{"github.com/lib/pq", PostgreSQL},
		{"github.com/go-sql-driver/mysql", MySQL},
	} {
		if strings.HasPrefix(t.PkgPath()+"/", strings.TrimSuffix(known.path, "/")+"/") {
			return known.dialect
		}
	}
	return 0
}

// hasConnectHook reports whether a driver calls the application on every new
// connection, as go-sqlite3 does with its ConnectHook.
func hasConnectHook(driver any) bool {
	v := reflect.Indirect(reflect.ValueOf(driver))
	if v.Kind() != reflect.Struct {
		return true
	}
	hook := v.FieldByName("ConnectHook")
	return !hook.IsValid() || hook.Kind() != reflect.Func || !hook.IsNil()
}

// Package querycache caches query results under database/sql.
//
// It is a driver that wraps another one. It serves repeated SELECT statements
// from memory and stops serving a result as soon as anything it was made of is
// written through the cache. Nothing in the code that queries changes but the
// name of the driver.
//
// # Usage
//
//	cache, err := querycache.Register("sqlite3-cached", &sqlite3.SQLiteDriver{}, querycache.Config{})
//	…
//	db, err := sqlx.Open("sqlite3-cached", "app.db")
//
// # Consistency
//
// A read served from the cache is never older than the last write through the
// same [Cache] that returned before the read began, and no client sees new
// data and then old. A write that does not go through the cache, made by
// another process for example, is seen after at most [Config.TTL]; tell the
// cache of it with [Cache.InvalidateTables] to see it at once. Two Caches over
// one database do not know of each other.
//
// What the cache does not understand it does not cache (a read), or lets
// invalidate everything (a write). Inside a transaction, and on a connection
// whose state cannot be told, reads go to the database. The cache never fails
// a query.
//
// # Hints
//
// A query is tuned by a comment in front of it or behind it, by its context, or by
// a rule of the configuration, which needs no change of the code that asks:
//
//	/* querycache: ttl=30s swr=10s tags=report */ SELECT …
//	db.SelectContext(querycache.WithTTL(ctx, 30*time.Second), …)
//	Rules: []querycache.Rule{{Tables: []string{"orders"}, TTL: 30 * time.Second}}
//
// For each setting the nearest that says something is in force:
//
//	                        context     comment          rule                  Config
//	bypass                  Bypass      bypass, ttl=0    Deny                  Mode
//	ask, and store          Refresh     refresh          Refresh
//	time to live            WithTTL     ttl=             TTL                   TTL
//	serve while refreshed               swr=             SWR
//	serve when unreachable              stale-if-error=  StaleIfError
//	largest result                      max-bytes=       MaxBytes              MaxEntryBytes
//	tables                  WithTables  tables=          DependsOn
//	tags                    WithTags    tags=            Tags
//
// Bypass, Refresh, Deny and their like hold wherever they are said, and a bypass beats
// everything, with one exception: ttl=0 is a time to live, and one in the context beats
// it. Tables and tags add up, on top of the tables that a statement is known to read.
// Of the rules the first that matches is in force. What was stored with one set of
// tables and tags does not serve a query that declares others. The time to live in
// force for a query is also the greatest age of what it is served. A view among the
// tables stands for the tables behind it.
//
// A comment is a hint if it stands before the first word of the statement or after its
// last, and its first word is querycache. (Behind a final semicolon it is one too, but
// some drivers run what stands there as one more statement.) The comments of other tools, such as
// sqlcommenter's, are none, and change no key. A hint that is malformed or unknown makes
// its statement bypass the cache, or invalidate everything if it writes, is counted
// ([ReasonBadHint]), told to [WithTrace], and once to [Config.Logger]; the query itself
// does not fail. In the notation of the Go
// specification, where letters in quotes stand for both cases:
//
//	hint     = { white } "querycache:" { white } [ item { white { white } item } ] { white } .
//	item     = "ttl=" ( duration | "none" )
//	         | "swr=" duration
//	         | "stale-if-error=" duration
//	         | "tables=" names
//	         | "tags=" names
//	         | "max-bytes=" size
//	         | "bypass"
//	         | "refresh" .
//	names    = name { "," name } .
//	name     = bare { bare } | `"` quoted { quoted } `"` .
//	bare     = "a" … "z" | digit | "_" | "." | "-" | ":" | "/" | /* any character beyond ASCII */ .
//	quoted   = /* any character but a double quote */ | `""` .
//	duration = /* what time.ParseDuration reads, as in 1m30s */ .
//	size     = digit { digit } [ "B" | "KB" | "MB" | "GB" | "KiB" | "MiB" | "GiB" ] .
//	digit    = "0" … "9" .
//	white    = /* space, tab, newline, vertical tab, form feed or carriage return */ .
//
// No duration is negative, those of swr and stale-if-error are not zero, nor is a size.
// KB is 1000 bytes and KiB is 1024. A key stands once in all hints of a statement. In the
// comment of a statement that writes, tables and tags are written too, and the rest means
// nothing; what a context hints is for reads alone.
//
// # Serving late
//
// An entry that has expired by its time to live, and no table or tag of which was
// written since, may be served to a query that says so: within swr while the first such
// query has it refreshed in the background, and within stale-if-error when the database
// cannot be reached. A refresh has a connection of its own, 30 seconds at most, and ends
// with the cache or the database; 16 run at the same time. A query that finds none to be
// had asks the database itself. Sessions that a new connection would not have, databases
// in memory, and SQLite files that are not in WAL mode or have a shared cache, where a
// reader locks writers out, are not served late by swr.
//
// # Seeing what it does
//
// [Cache.Stats] counts, [WithTrace] tells what became of one query and why, and which
// statement invalidated what it had stored.
//
// # Invalidation
//
// Writes invalidate by themselves: the tables that a statement writes, also
// through triggers, cascades and views, are learned from the database.
// [Cache.InvalidateTables], [Cache.InvalidateTags], [Cache.InvalidateQuery] and
// [Cache.Purge] do it by hand.
//
// # Limits
//
// SQLite is supported, through github.com/mattn/go-sqlite3. Statements that
// are not a single plain read, use functions that are not known to be pure,
// take locks or read virtual or internal tables are not cached. A column that
// holds the text 'now' and is passed to a date function is taken for the
// constant that it usually is. What is done with a connection taken out by
// [Unwrap] is not seen: while it is out nothing is cached, and its reads are
// not cached afterwards.
package querycache

// Package script runs scripts of SQL whose recorded output says what a cache
// did: for each read the rows and whether they were a hit, for each write what
// it invalidated.
//
// # Format
//
// A script is paragraphs with empty lines between them. A paragraph whose lines
// begin with # is a comment. The first line of any other is a step, the lines
// below it are a statement, and below ---- stands the recorded output. Where
// there is no ---- the output is of no interest and the step must succeed.
//
//	query db 1
//	SELECT name FROM people WHERE id = ?
//	----
//	hit
//	ann
//
// # Steps
//
//	open NAME                 take a connection out of the pool
//	begin NAME [CONN]         begin a transaction
//	prepare NAME [TARGET]     prepare the statement below
//	close NAME                close a connection or a prepared statement
//	commit NAME, rollback NAME
//	query TARGET [ARG…]       run the statement below and show its rows
//	exec TARGET [ARG…]        execute the statement below
//	watch NAME                from here on a read that is looked at after each step that may write
//
// Other steps call a function of [Env.Controls]. TARGET is db (the pool),
// outside (the database without the cache), or a name that was opened, begun or
// prepared; a prepared statement has no statement below it. An argument is an
// integer, a float, a quoted string, x'00ff', nil, true or false.
//
// # Output
//
// The first line of a query's output is hit, miss, coalesced, bypass with its
// reason, write where it invalidates, or passed where the cache takes it for
// neither; then come the rows. A step that writes shows which of the watched reads were not served
// from the cache any more. A watched read that is served and differs from what
// the database holds shows as STALE.
package script

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// Counts are the counts of a cache that outcomes are told by.
type Counts struct {
	Hits, Misses, Coalesced, Fills, Invalidations uint64

	Bypasses map[string]uint64 // by reason
}

// Env is what a script runs in.
type Env struct {
	DB       *sql.DB       // the database through the cache
	Outside  *sql.DB       // the same database without it
	Counts   func() Counts // of the cache
	Controls map[string]func(args []string) error
}

// Run runs the script and returns it with the output that it has now.
func Run(ctx context.Context, text string, env Env) (string, error) {
	r := &runner{
		ctx:     ctx,
		env:     env,
		targets: map[string]target{"db": env.DB, "outside": env.Outside},
		conns:   map[string]*sql.Conn{},
		txs:     map[string]*sql.Tx{},
		stmts:   map[string]*sql.Stmt{},
	}
	defer r.end()
	var out []string
	for _, p := range paragraphs(text) {
		done, err := r.paragraph(p)
		if err != nil {
			return "", fmt.Errorf("%s: %w", p[0], err)
		}
		out = append(out, strings.Join(done, "\n"))
	}
	return strings.Join(out, "\n\n") + "\n", nil
}

// paragraphs cuts a script at its empty lines.
func paragraphs(text string) [][]string {
	var all [][]string
	var now []string
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case strings.TrimSpace(line) != "":
			now = append(now, line)
		case now != nil:
			all, now = append(all, now), nil
		}
	}
	if now != nil {
		all = append(all, now)
	}
	return all
}

const outputBelow = "----"

// paragraph runs a paragraph and returns it with its output.
func (r *runner) paragraph(lines []string) ([]string, error) {
	if strings.HasPrefix(lines[0], "#") {
		return lines, nil
	}
	source, shown := lines, false
	if i := slices.Index(lines, outputBelow); i >= 0 {
		source, shown = lines[:i], true
	}
	s, err := parse(source)
	if err != nil {
		return nil, err
	}
	output, err := r.run(s)
	if !shown || isMistake(err) {
		return source, err
	}
	if err != nil {
		output = append(output, "error: "+err.Error())
	}
	return slices.Concat(source, []string{outputBelow}, output), nil
}

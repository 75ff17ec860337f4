package querycache_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/querycache/querycache/internal/fakedb"
)

// The scripts of testdata/transparency are steps, one in each line, on the
// objects of database/sql: a verb, options as key=value, the name of an object,
// a statement in quotes, arguments. A line "#! requires A B" or "#! lacks A B"
// restricts a script to the profiles with, or without, these abilities, and
// "#! one-to-one" to connections that keep their parent. Below
// the first line of dashes is what a client saw with the driver alone, once for
// each group of reference profiles that agree; -rewrite writes it anew.

// referenceProfiles are those whose transcript is kept in the script's file.
var referenceProfiles = []string{
	"full", "bare", "legacy", "go-sqlite3", "sqlmock", "go-sql-driver", "pgx", "lib/pq",
}

type scriptFile struct {
	path     string
	source   string
	steps    []string
	requires fakedb.Ability
	lacks    fakedb.Ability
	hits     bool // reads may be repeated
	oneToOne bool // not with connections that change their parents
	want     map[string]string
}

func readScript(t *testing.T, path string) *scriptFile {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &scriptFile{path: path, want: map[string]string{}}
	source, outputs, _ := strings.Cut(string(data), "\n---- ")
	s.source = strings.TrimRight(source, "\n") + "\n"
	for sc := bufio.NewScanner(strings.NewReader(s.source)); sc.Scan(); {
		line := strings.TrimSpace(sc.Text())
		switch {
		case strings.HasPrefix(line, "#! requires "):
			s.requires |= abilities(t, strings.Fields(line)[2:])
		case strings.HasPrefix(line, "#! lacks "):
			s.lacks |= abilities(t, strings.Fields(line)[2:])
		case line == "#! one-to-one":
			s.oneToOne = true
		case line != "" && !strings.HasPrefix(line, "#"):
			s.steps = append(s.steps, line)
		}
	}
	for _, block := range strings.Split(outputs, "\n---- ") {
		names, body, _ := strings.Cut(block, "\n")
		for _, name := range strings.Fields(names) {
			s.want[name] = strings.TrimRight(body, "\n") + "\n"
		}
	}
	return s
}

func abilities(t *testing.T, names []string) fakedb.Ability {
	t.Helper()
	var set fakedb.Ability
	for _, name := range names {
		found := false
		for a := fakedb.Ability(1); a <= fakedb.AllAbilities; a <<= 1 {
			if a.String() == name {
				set, found = set|a, true
			}
		}
		if !found {
			t.Fatalf("no ability is called %s", name)
		}
	}
	return set
}

// suits reports whether the script is for drivers of that profile.
func (s *scriptFile) suits(p fakedb.Profile) bool {
	return p.Abilities.Has(s.requires) && p.Abilities&s.lacks == 0
}

// write stores the transcripts, those that agree together.
func (s *scriptFile) write(t *testing.T, got map[string]string) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(s.source)
	done := map[string]bool{}
	for _, name := range referenceProfiles {
		text, ok := got[name]
		if !ok || done[name] {
			continue
		}
		b.WriteString("\n----")
		for _, other := range referenceProfiles {
			if got[other] == text {
				done[other] = true
				b.WriteString(" " + other)
			}
		}
		b.WriteString("\n" + text)
	}
	if err := os.WriteFile(s.path, b.Bytes(), 0o644); err != nil { //nolint:gosec // A file of the repository.
		t.Fatal(err)
	}
}

// world is what a script runs in.
type world struct {
	fake   *fakedb.DB
	unwrap func(any) any

	mu     sync.Mutex // guards things
	things map[string]any
}

// run returns the transcript of the script on driver d, whose data is fake's.
// When the pool is closed it calls end.
func (s *scriptFile) run(t *testing.T, fake *fakedb.DB, d driver.Driver, unwrap func(any) any, end func()) string {
	t.Helper()
	if err := fake.Seed("main", schema); err != nil {
		t.Fatal(err)
	}
	db, err := fakedb.Open(d, "main")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{fake: fake, unwrap: unwrap, things: map[string]any{"db": db}}
	var b strings.Builder
	for _, line := range s.steps {
		b.WriteString("> " + line + "\n")
		for _, l := range strings.Split(strings.TrimRight(w.step(line), "\n"), "\n") {
			if l != "" {
				b.WriteString("  " + l + "\n")
			}
		}
	}
	b.WriteString("> close db\n  " + w.step("close db") + "\n")
	end()
	b.WriteString("> open\n  " + w.step("open") + "\n")
	for _, v := range fake.Violations() {
		b.WriteString("violation: " + v + "\n")
	}
	return b.String()
}

// reached tells what reached the driver that a wrapper may neither add nor leave
// out where nothing is served from the cache; except that a plain read whose
// rows do not come for some 20 ms, which a busy machine is enough for, may be
// sent a second time.
func reached(fake *fakedb.DB, kinds ...string) []string {
	var list []string
	for _, c := range fake.Log(kinds...) {
		if c.Err != driver.ErrSkip { //nolint:errorlint // Compared by identity, as database/sql does.
			c.Conn = 0
			line := strings.TrimPrefix(c.String(), "c0 ")
			if n := len(list); n > 0 && list[n-1] == line && c.Kind() == "Query" && strings.HasPrefix(c.Text, "SELECT") {
				continue
			}
			list = append(list, line)
		}
	}
	return list
}

// schema is the data that every script starts from.
const schema = `
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INTEGER);
INSERT INTO people VALUES (1, 'ann', 30), (2, 'bob', NULL), (3, 'cy', 20);
CREATE TABLE kinds (i INTEGER NOT NULL, f REAL, s TEXT, b BLOB, t BOOLEAN, at TIMESTAMP, v VARCHAR(20), d DECIMAL(6,2));
INSERT INTO kinds VALUES (1, 1.5, 'text', X'00ff', TRUE, TIMESTAMP '2020-01-02T03:04:05.000000006+02:00', 'vc', '12.50'),
	(2, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (3, 0.0, '', X'', FALSE, TIMESTAMP '0001-01-01T00:00:00Z', '', '0');
CREATE TABLE blobs (id INTEGER PRIMARY KEY, b BLOB);
INSERT INTO blobs VALUES (1, X'616161'), (2, X'6262'), (3, X'63636363')`

// step is a parsed line.
type step struct {
	verb    string
	options map[string]string
	words   []string
	err     error
}

func (w *world) step(line string) (out string) {
	defer func() {
		if p := recover(); p != nil {
			out = fmt.Sprintf("panic: %v", p)
		}
	}()
	fields, err := split(line)
	if err != nil {
		return "script error: " + err.Error()
	}
	s := &step{verb: fields[0], options: map[string]string{}}
	for _, f := range fields[1:] {
		key, value, ok := strings.Cut(f, "=")
		if ok && len(s.words) == 0 && !strings.HasPrefix(f, "\"") && !strings.HasPrefix(f, "@") {
			s.options[key] = value
		} else {
			s.words = append(s.words, f)
		}
	}
	do := verbs[s.verb]
	if do == nil {
		return "script error: no verb " + s.verb
	}
	out = do(w, s)
	if s.err != nil {
		return "script error: " + s.err.Error()
	}
	return out
}

// split cuts a line at spaces, outside of quotes.
func split(line string) ([]string, error) {
	var fields []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if line[0] != '"' {
			f, rest, _ := strings.Cut(line, " ")
			fields, line = append(fields, f), rest
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		fields, line = append(fields, quoted), line[len(quoted):]
	}
	return fields, nil
}

// word takes the next word; text takes the next one out of its quotes.
func (s *step) word() string {
	if len(s.words) == 0 {
		s.err = errors.New("a word is missing")
		return ""
	}
	first := s.words[0]
	s.words = s.words[1:]
	return first
}

func (s *step) text() string {
	text, err := strconv.Unquote(s.word())
	if err != nil && s.err == nil {
		s.err = err
	}
	return text
}

func (s *step) number(option string) int {
	text, ok := s.options[option]
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		s.err = err
	}
	return n
}

// args reads the rest of the words as arguments.
func (s *step) args() []any {
	var list []any
	for _, w := range s.words {
		v, err := parseArg(w)
		if err != nil {
			s.err = err
		}
		list = append(list, v)
	}
	s.words = nil
	return list
}

func (w *world) get(name string) any {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.things[name]
}

func (w *world) put(name string, v any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.things[name] = v
}

// thing returns the object of that name, which must be a T.
func thing[T any](w *world, s *step, name string) T {
	v, ok := w.get(name).(T)
	if !ok && s.err == nil {
		s.err = fmt.Errorf("%q is a %T", name, w.get(name))
	}
	return v
}

func (w *world) ctx(s *step) context.Context {
	name, ok := s.options["ctx"]
	if !ok {
		return context.Background()
	}
	return thing[scriptContext](w, s, name).Context
}

type scriptContext struct {
	context.Context
	cancel context.CancelFunc
}

// sentinels are the errors that clients compare by identity.
var sentinels = []struct {
	name string
	err  error
}{
	{"sql.ErrNoRows", sql.ErrNoRows},
	{"sql.ErrTxDone", sql.ErrTxDone},
	{"sql.ErrConnDone", sql.ErrConnDone},
	{"driver.ErrBadConn", driver.ErrBadConn},
	{"driver.ErrSkip", driver.ErrSkip},
	{"driver.ErrRemoveArgument", driver.ErrRemoveArgument},
	{"context.Canceled", context.Canceled},
	{"context.DeadlineExceeded", context.DeadlineExceeded},
	{"io.EOF", io.EOF},
	{"broken", errBroken},
}

var errBroken = errors.New("broken")

// failed describes an error by what a client can tell about it: its type, its
// text, which sentinel it is or wraps.
func failed(err error) string {
	for _, s := range sentinels {
		if err == s.err { //nolint:errorlint // Identity is the point.
			return "error = " + s.name
		}
	}
	text := fmt.Sprintf("error %T: %v", err, err)
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			text += " (wraps " + s.name + ")"
		}
	}
	return text
}

func status(err error) string {
	if err != nil {
		return failed(err)
	}
	return "ok"
}

// Argument types of a client's own.
type (
	myInt    int32
	myString string
	valuer   struct {
		v     any
		fails bool
	}
	opaque struct{ a int }
)

func (v valuer) Value() (driver.Value, error) {
	if v.fails {
		return nil, errBroken
	}
	return v.v, nil
}

// constants are arguments that are one word.
var constants = map[string]any{
	"nil": nil, "true": true, "false": false, "nilbytes": []byte(nil), "nilptr": (*int64)(nil),
	"opaque": opaque{1}, "badvaluer": valuer{nil, true}, "channel": (chan int)(nil),
	"maxuint64": uint64(1<<64 - 1), "nullstring": sql.NullString{}, "nilvaluer": valuer{nil, false},
}

func parseArg(word string) (any, error) {
	if strings.HasPrefix(word, "@") {
		name, rest, _ := strings.Cut(word[1:], "=")
		v, err := parseArg(rest)
		return sql.Named(name, v), err
	}
	if v, ok := constants[word]; ok {
		return v, nil
	}
	if strings.HasPrefix(word, `"`) {
		return strconv.Unquote(word)
	}
	kind, inner, ok := strings.Cut(strings.TrimSuffix(word, ")"), "(")
	if !ok {
		if n, err := strconv.Atoi(word); err == nil {
			return n, nil
		}
		return strconv.ParseFloat(word, 64)
	}
	if from := textArgs[kind]; from != nil {
		return from(inner)
	}
	n, err := strconv.ParseInt(inner, 10, 64)
	if err != nil || numberArgs[kind] == nil {
		return nil, fmt.Errorf("no argument %s", word)
	}
	return numberArgs[kind](n), nil
}

var textArgs = map[string]func(string) (any, error){
	"bytes":      func(s string) (any, error) { return append([]byte{}, s...), nil },
	"mystring":   func(s string) (any, error) { return myString(s), nil },
	"nullstring": func(s string) (any, error) { return sql.NullString{String: s, Valid: true}, nil },
	"strings":    func(s string) (any, error) { return strings.Split(s, ","), nil },
	"rawbytes":   func(s string) (any, error) { return sql.RawBytes(s), nil },
	"option":     func(s string) (any, error) { return fakedb.Option{Name: s}, nil },
	"time":       func(s string) (any, error) { return time.Parse(time.RFC3339Nano, s) },
	"valuer":     func(s string) (any, error) { return valuer{s, false}, nil },
}

var numberArgs = map[string]func(int64) any{
	"int8":    func(n int64) any { return int8(n) },
	"int16":   func(n int64) any { return int16(n) },
	"int32":   func(n int64) any { return int32(n) },
	"int64":   func(n int64) any { return n },
	"uint":    func(n int64) any { return uint(n) },
	"uint8":   func(n int64) any { return uint8(n) },
	"uint16":  func(n int64) any { return uint16(n) },
	"uint32":  func(n int64) any { return uint32(n) },
	"uint64":  func(n int64) any { return uint64(n) },
	"float32": func(n int64) any { return float32(n) },
	"ptr":     func(n int64) any { return &n },
	"myint":   func(n int64) any { return myInt(n) },
	"point":   func(n int64) any { return fakedb.Point{X: int(n), Y: int(n)} },
}

// isReference reports whether the transcript of that profile is kept.
func isReference(name string) bool { return slices.Contains(referenceProfiles, name) }

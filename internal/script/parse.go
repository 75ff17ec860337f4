package script

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// step is a parsed paragraph.
type step struct {
	verb string
	args []string
	text string // the statement below
}

// mistake is an error of the script itself. It ends the run, where an error of
// the database is output.
type mistake string

func (m mistake) Error() string { return string(m) }

func mistakef(format string, args ...any) error { return mistake(fmt.Sprintf(format, args...)) }

func isMistake(err error) bool {
	var m mistake
	return errors.As(err, &m)
}

func parse(lines []string) (*step, error) {
	words, err := split(lines[0])
	if err != nil {
		return nil, err
	}
	return &step{verb: words[0], args: words[1:], text: strings.Join(lines[1:], "\n")}, nil
}

// split cuts a line at spaces, outside of quotes.
func split(line string) ([]string, error) {
	var words []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if line[0] != '"' {
			word, rest, _ := strings.Cut(line, " ")
			words, line = append(words, word), rest
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, mistakef("%q: %v", line, err)
		}
		words, line = append(words, quoted), line[len(quoted):]
	}
	return words, nil
}

// name takes the i-th word of the step.
func (s *step) name(i int) (string, error) {
	if i >= len(s.args) {
		return "", mistakef("a name is missing")
	}
	return s.args[i], nil
}

// values reads the words from the i-th on as arguments of a statement.
func (s *step) values(i int) ([]any, error) {
	var list []any
	for _, word := range s.args[min(i, len(s.args)):] {
		v, err := value(word)
		if err != nil {
			return nil, mistakef("argument %s: %v", word, err)
		}
		list = append(list, v)
	}
	return list, nil
}

func value(word string) (any, error) {
	switch {
	case word == "nil":
		return nil, nil
	case word == "true", word == "false":
		return word == "true", nil
	case strings.HasPrefix(word, `"`):
		return strconv.Unquote(word)
	case strings.HasPrefix(word, "x'"):
		return hex.DecodeString(strings.TrimSuffix(word[2:], "'"))
	}
	if n, err := strconv.ParseInt(word, 10, 64); err == nil {
		return n, nil
	}
	return strconv.ParseFloat(word, 64)
}

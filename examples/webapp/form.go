package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// form is what a user has typed, and what is wrong with it. It goes back to the
// user as it came, so that nothing has to be typed twice.
type form struct {
	Values url.Values
	Errors map[string]string // by the name of the field
}

// readForm reads the form that a request posts.
func readForm(r *http.Request) (*form, error) {
	if err := r.ParseForm(); err != nil {
		return nil, &statusError{http.StatusBadRequest, "the form cannot be read"}
	}
	return &form{Values: r.PostForm, Errors: map[string]string{}}, nil
}

// ok reports whether nothing is wrong.
func (f *form) ok() bool { return len(f.Errors) == 0 }

// fail says what is wrong with a field. The first fault of a field counts.
func (f *form) fail(field, format string, args ...any) {
	if f.Errors[field] == "" {
		f.Errors[field] = field + " " + fmt.Sprintf(format, args...)
	}
}

// text reads a field of up to limit characters that must not be empty.
func (f *form) text(field string, limit int) string {
	text := strings.TrimSpace(f.Values.Get(field))
	switch {
	case text == "":
		f.fail(field, "must not be empty")
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		f.fail(field, "must be plain text")
	case utf8.RuneCountInString(text) > limit:
		f.fail(field, "must have at most %d characters", limit)
	}
	return text
}

// number reads a field that is a whole number between least and most.
func (f *form) number(field string, least, most int) int {
	n, err := strconv.Atoi(strings.TrimSpace(f.Values.Get(field)))
	if err != nil || n < least || n > most {
		f.fail(field, "must be a whole number between %d and %d", least, most)
	}
	return n
}

// cents reads a field that is a price such as 12, 12.5 or 12.50.
func (f *form) cents(field string) int64 {
	cents, ok := parsePrice(strings.TrimSpace(f.Values.Get(field)))
	if !ok {
		f.fail(field, "must be a price such as 12.50, up to 10000")
	}
	return cents
}

// parsePrice counts in cents from the start: a price must not pass through a
// float, which has no 0.10.
func parsePrice(text string) (cents int64, ok bool) {
	units, rest, point := strings.Cut(text, ".")
	if point && (rest == "" || len(rest) > 2) {
		return 0, false
	}
	for len(rest) < 2 {
		rest += "0"
	}
	whole, err := strconv.ParseUint(units, 10, 32)
	if err != nil {
		return 0, false
	}
	part, err := strconv.ParseUint(rest, 10, 32)
	if err != nil {
		return 0, false
	}
	cents = int64(whole*100 + part)
	return cents, cents <= 10_000_00
}

// formatPrice is the inverse of parsePrice.
func formatPrice(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }
